//! Templates: what an operator wrote, or one of ours, and a notice make a text.
//!
//! A text of an event is only ever a value, never a part of a template, and no template can print a
//! value but in the way of its [`Form`]: in JSON as a JSON value, in HTML escaped. Time and size of
//! what a template makes are bounded. A template is tried on samples before it is used.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, UndefinedBehavior};
use serde::de::IgnoredAny;

use crate::model::Kind;

use super::plain::plain;
use super::samples;
use super::view::View;

/// How much a template may do for one notice: about as many steps of its program. Ours need a few
/// thousand.
const FUEL: u64 = 500_000;

/// The largest text that a template may make, in bytes. Chats take some ten thousand.
const MAX_OUTPUT_BYTES: usize = 256 << 10;

/// The largest file of a template, in bytes.
const MAX_SOURCE_BYTES: u64 = 256 << 10;

/// The name of the one template in its environment; errors do not show it.
const NAME: &str = "notice";

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Html,
    Text,
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line and column, in characters; both count from 1. Absent where it is about the whole.
    pub place: Option<(u32, u32)>,
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// The text of a template's file.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let cannot = |reason: String| format!("cannot read the template {}: {reason}", path.display());
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SOURCE_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| cannot(error.to_string()))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_SOURCE_BYTES {
        return Err(cannot(format!("it has more than {MAX_SOURCE_BYTES} bytes")));
    }
    Ok(text)
}

/// A template that was read without a mistake.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    form: Form,
}

/// Why a template made nothing.
enum Failure {
    Engine(minijinja::Error),
    TooLong,
    NoJson(serde_json::Error),
}

/// Reads the template in a file, and tries it on samples of these kinds of notices.
///
/// # Errors
/// The first mistake, with the text that it is in.
pub fn check(form: Form, path: &Path, events: &BTreeSet<Kind>) -> Result<(), (Mistake, String)> {
    let source = read(path).map_err(|message| (Mistake { place: None, message }, String::new()))?;
    Template::tried(form, source.clone(), events).map(drop).map_err(|mistake| (mistake, source))
}

impl Template {
    /// A template that was tried on samples of these kinds.
    pub(super) fn tried(
        form: Form,
        source: String,
        events: &BTreeSet<Kind>,
    ) -> Result<Self, Mistake> {
        let mut environment = environment(form);
        environment
            .add_template_owned(NAME, source.clone())
            .map_err(|error| mistake(&source, &error, None))?;
        let template = Self { environment, form };
        for sample in events.iter().flat_map(|kind| samples::of(*kind)) {
            let made = template.make(&View::of(&sample));
            made.map_err(|failure| failure.mistake(&source, sample.kind))?;
        }
        Ok(template)
    }

    /// What the template makes of a notice.
    pub(super) fn render(&self, view: &View) -> Result<String, String> {
        self.make(view).map_err(|failure| failure.told())
    }

    fn make(&self, view: &View) -> Result<String, Failure> {
        let template = self.environment.get_template(NAME).map_err(Failure::Engine)?;
        let mut text = Bounded { text: Vec::new(), is_full: false };
        let rendered = template.render_captured_to(Value::from(Serde(view)), &mut text);
        if text.is_full {
            return Err(Failure::TooLong);
        }
        rendered.map_err(Failure::Engine)?;
        let text = String::from_utf8_lossy(&text.text).into_owned();
        if self.form == Form::Json {
            serde_json::from_str::<IgnoredAny>(&text).map_err(Failure::NoJson)?;
        }
        Ok(text)
    }
}

/// An engine whose values come out in one form, whatever the template says.
fn environment(form: Form) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters differ from each other"));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(move |output, _state, value| print(form, output, value));
    // Nothing is exempt from the form, so what would mark a text as exempt does nothing or is not there.
    environment.remove_filter("safe");
    for name in ["tojson", "escape", "e"] {
        environment.add_filter(name, |value: Value| value);
    }
    environment.add_filter("cut", |text: Cow<'_, str>, max: usize| plain(&text, max));
    environment.add_filter("slack", |text: Cow<'_, str>| {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    });
    environment
}

fn print(form: Form, output: &mut Output<'_>, value: &Value) -> Result<(), minijinja::Error> {
    let text = match form {
        Form::Json => serde_json::to_string(value).map_err(|error| {
            minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())
        })?,
        Form::Html => in_html(&value.to_string()),
        Form::Text => value.to_string(),
    };
    output.write_str(&text).map_err(|error| {
        minijinja::Error::new(ErrorKind::WriteFailure, "the text cannot be kept").with_source(error)
    })
}

fn in_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Takes bytes up to the bound.
struct Bounded {
    text: Vec<u8>,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > MAX_OUTPUT_BYTES {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Failure {
    fn mistake(&self, source: &str, sample: Kind) -> Mistake {
        match self {
            Self::Engine(error) => mistake(source, error, Some(sample)),
            Self::TooLong | Self::NoJson(_) => {
                let message =
                    format!("for a notice of the kind `{}` {}", sample.word(), self.told());
                Mistake { place: None, message }
            }
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Engine(error) => words_of(error),
            Self::TooLong => format!("it makes more than {MAX_OUTPUT_BYTES} bytes"),
            Self::NoJson(error) => format!(
                "it makes no JSON: {error} of what it makes; values stand there without quotes of \
                 yours, as in {{\"text\": {{{{ title }}}}}}"
            ),
        }
    }
}

/// What the engine says, without its own frame.
fn words_of(error: &minijinja::Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => format!("it takes more than {FUEL} steps"),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    }
}

fn mistake(source: &str, error: &minijinja::Error, sample: Option<Kind>) -> Mistake {
    let when = sample.map(|kind| format!(", for a notice of the kind `{}`", kind.word()));
    let message = format!("{}{}", words_of(error), when.unwrap_or_default());
    let place = match (error.range(), error.line()) {
        (Some(range), _) if source.is_char_boundary(range.start) => {
            let before = &source[..range.start];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            Some((line, column))
        }
        (_, Some(line)) => Some((line, 1)),
        (_, None) => None,
    };
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Mistake { place: place.map(|(line, column)| (number(line), number(column))), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(form: Form, source: &str) -> Result<Template, Mistake> {
        let events = BTreeSet::from([Kind::Completed, Kind::Failed, Kind::Suppressed]);
        Template::tried(form, source.to_owned(), &events)
    }

    fn made(form: Form, source: &str) -> String {
        let template = tried(form, source).unwrap_or_else(|mistake| panic!("{source}: {mistake}"));
        template.render(&View::of(&samples::of(Kind::Completed)[0])).unwrap()
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_column() {
        for (source, told) in [
            ("{\"a\": 1,\n \"b\": {{ titel }}}", "line 2, column 10: undefined value"),
            ("{{ title | upcase }}", "line 1, column 12: unknown filter"),
            ("{\n{% for x in files }\n}", "line 2, column 19: syntax error"),
            ("{{ title | safe }}", "line 1, column 12: unknown filter: filter safe is unknown"),
            (
                "{{ capture.name }}",
                "line 1, column 4: undefined value: `capture.name` is undefined, for a notice of the kind `suppressed`",
            ),
            (
                "{{ capture.nam if capture else 0 }}",
                "line 1, column 4: undefined value: `capture.nam` is undefined, for a notice of the kind `completed`",
            ),
        ] {
            let mistake = tried(Form::Json, source).unwrap_err().to_string();
            assert!(mistake.starts_with(told), "{source}\n{mistake}\n{told}");
        }
    }

    #[test]
    fn what_is_no_json_or_does_not_end_is_found_before_it_is_used() {
        for (source, told) in [
            ("{\"text\": \"{{ title }}\"}", "it makes no JSON: expected `,` or `}` at line 1"),
            ("{\"a\": 1,}", "it makes no JSON: key must be a string"),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}1",
                "it takes more than 500000 steps",
            ),
            (
                "{% for a in range(9999) %}{{ message }}{{ message }}{% endfor %}",
                "it makes more than 262144 bytes",
            ),
        ] {
            let mistake = tried(Form::Json, source).unwrap_err().to_string();
            assert!(mistake.contains(told), "{source}\n{mistake}");
        }
    }

    #[test]
    fn no_template_prints_a_value_but_in_its_form() {
        let title = "\"sample-host: sample-rule-20261122t173000: 1234 packets captured\"";
        let in_every_way = [
            "{{ title }}",
            "{{ title | tojson }}",
            "{{ title | escape }}",
            "{% autoescape false %}{{ title }}{% endautoescape %}",
            "{% autoescape 'html' %}{{ title | e }}{% endautoescape %}",
            "{% filter trim %}sample-host: {{ subject | replace('\"', '') }}{% endfilter %}",
        ];
        for source in &in_every_way[..5] {
            assert_eq!(made(Form::Json, source), title, "{source}");
        }
        serde_json::from_str::<String>(&made(Form::Json, in_every_way[5])).unwrap();
        let caught = made(
            Form::Json,
            "{% set x %}{{ capture.event_name if capture else '' }}{% endset %}{{ x }}",
        );
        let inner: String = serde_json::from_str(&caught).unwrap();
        let name: String = serde_json::from_str(&inner).unwrap();
        assert!(name.starts_with("link \"down\" </script> {{ 7 }}"), "{name}");
        let source = "<p>{{ capture.event_name if capture else '' }}</p>";
        let html = made(Form::Html, source);
        assert!(html.contains("&lt;/script&gt; {{ 7 }} {% x %} \\ &#39;</p>"), "{html}");
    }
}
