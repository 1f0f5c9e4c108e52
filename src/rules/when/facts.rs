//! An event as conditions see it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::common::traits::{self, Container, Indexer, Iterable, Sizer};
use cel::common::types::{CelInt, CelString, MAP_TYPE, STRING_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, ExecutionError, Value};

use crate::clock::WallTime;
use crate::model::{Event, Status};
use crate::rules::when::cost::{MAX_ENTRIES, TEXT_BYTES};
use crate::rules::when::functions::MATCHES;
use crate::rules::when::kind::Kind;
use crate::rules::when::pattern;

/// The variables of a condition, and what they hold. A value or a time that the event does not have
/// is null.
pub(super) const VARIABLES: [(&str, Kind); 10] = [
    ("name", Kind::Text),
    ("source", Kind::Text),
    ("status", Kind::Text),
    ("severity", Kind::Text),
    ("value", Kind::Double),
    ("labels", Kind::Map),
    ("annotations", Kind::Map),
    ("starts_at", Kind::Time),
    ("received_at", Kind::Time),
    ("fingerprint", Kind::Text),
];

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib().with_optional_support(false);
    environment
        .add_member_overload(
            MATCHES,
            "string_matches_pattern",
            STRING_TYPE,
            vec![pattern::kind()],
            pattern::matches,
        )
        .expect("the library is built without a function of this name");
    Arc::new(environment)
});

/// The functions and macros of conditions.
pub(super) fn environment() -> &'static Arc<Env> {
    &ENVIRONMENT
}

/// What the conditions of all rules ask of one event; made ready when the first one asks.
pub struct Facts<'e> {
    event: &'e Event,
    context: OnceCell<Result<Context<'e, 'e>, String>>,
}

impl<'e> Facts<'e> {
    /// Costs nothing.
    pub fn of(event: &'e Event) -> Self {
        Self { event, context: OnceCell::new() }
    }

    /// # Errors
    /// The event is larger than any that a source takes.
    pub(super) fn context(&self) -> Result<&Context<'e, 'e>, String> {
        let ready = self.context.get_or_init(|| {
            check_size(self.event)?;
            Ok(ready(self.event))
        });
        ready.as_ref().map_err(Clone::clone)
    }
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").field("event", &self.event.id).finish_non_exhaustive()
    }
}

/// The bounds that the cost of conditions is counted with.
fn check_size(event: &Event) -> Result<(), String> {
    let maps = [&event.labels, &event.annotations];
    let many = maps.iter().any(|map| u64::try_from(map.len()).is_ok_and(|len| len > MAX_ENTRIES));
    let texts = maps.iter().flat_map(|map| map.iter()).flat_map(|(key, value)| [key, value]);
    let fields = [&event.name, &event.source, &event.fingerprint];
    let long = texts.chain(fields).chain(&event.severity).any(|text| text.len() > TEXT_BYTES);
    if many || long {
        return Err(format!(
            "the event is too large to be judged: at most {MAX_ENTRIES} labels, as many \
             annotations, and {TEXT_BYTES} bytes in each text"
        ));
    }
    Ok(())
}

fn ready(event: &Event) -> Context<'_, '_> {
    let mut context = Context::with_env(Arc::clone(environment()));
    let status = match event.status {
        Status::Firing => "firing",
        Status::Resolved => "resolved",
    };
    for (name, text) in [
        ("name", event.name.as_str()),
        ("source", &event.source),
        ("status", status),
        ("severity", event.severity.as_deref().unwrap_or_default()),
        ("fingerprint", &event.fingerprint),
    ] {
        context.add_variable_as_val(name, Box::new(CelString::from(text)));
    }
    context.add_variable_from_value("value", event.value.map_or(Value::Null, Value::Float));
    context.add_variable_as_val("labels", Box::new(Pairs::of(&event.labels)));
    context.add_variable_as_val("annotations", Box::new(Pairs::of(&event.annotations)));
    context.add_variable_from_value("starts_at", event.starts_at.map_or(Value::Null, time));
    context.add_variable_from_value("received_at", time(event.received_at));
    context
}

/// A time as conditions know it. Its text is a form that both sides know: RFC 3339.
fn time(time: WallTime) -> Value {
    time.to_string().parse().map_or(Value::Null, Value::Timestamp)
}

/// Labels or annotations, in the order of their names: macros see the same order every time.
#[derive(Clone, Debug)]
struct Pairs<'e>(Arc<[(CelString<'e>, CelString<'e>)]>);

impl<'e> Pairs<'e> {
    fn of(map: &'e BTreeMap<String, String>) -> Self {
        let text = |text: &'e String| CelString::from(text.as_str());
        Self(map.iter().map(|(key, value)| (text(key), text(value))).collect())
    }

    fn find(&self, key: &dyn Val) -> Result<Option<&CelString<'e>>, ExecutionError> {
        let Some(key) = key.downcast_ref::<CelString<'_>>() else {
            return Err(ExecutionError::UnexpectedType {
                got: key.get_type().name().to_owned(),
                want: "string".to_owned(),
            });
        };
        let found = self.0.binary_search_by(|(name, _)| name.inner().cmp(key.inner()));
        Ok(found.ok().and_then(|at| self.0.get(at)).map(|(_, value)| value))
    }

    fn value(&self, key: &dyn Val) -> Result<&CelString<'e>, ExecutionError> {
        let missing = || {
            let key = key.downcast_ref::<CelString<'_>>().map_or("", |key| key.inner());
            ExecutionError::no_such_key(key)
        };
        self.find(key)?.ok_or_else(missing)
    }
}

impl Val for Pairs<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
}

impl Container for Pairs<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        self.find(key).map(|found| found.is_some())
    }
}

impl Indexer for Pairs<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.value(key).map(|value| CowVal::Borrowed(value))
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.value(key).map(|value| value.clone_as_boxed())
    }
}

impl Iterable for Pairs<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn traits::Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Names(self.0.iter()))
    }
}

impl Sizer for Pairs<'_> {
    fn size(&self) -> CelInt {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX).into()
    }
}

/// What a macro goes through: the names.
struct Names<'b, 'e>(std::slice::Iter<'b, (CelString<'e>, CelString<'e>)>);

impl<'b, 'v, 'e: 'v> traits::Iterator<'b, 'v> for Names<'b, 'e> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|(name, _)| name as &'b (dyn Val + 'v))
    }
}
