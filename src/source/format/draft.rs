//! What every JSON format needs: finding fields, reading labels, times and words, with the place in
//! the error.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::clock::WallTime;
use crate::model::{Event, EventId, MAX_PAYLOAD_BYTES, Status};
use crate::random;

use super::{Error, word};

/// The most events of one message. Alertmanager's `max_alerts` is unlimited by default; this many
/// small alerts just fit a message of the greatest length.
pub(super) const MAX_EVENTS: usize = 4096;

/// The most labels, and the most annotations, of one event.
pub(super) const MAX_LABELS: usize = 128;

/// The longest name of a label, in bytes.
const MAX_LABEL_NAME_BYTES: usize = 256;

/// The longest value of a label, in bytes. Labels are identity, so longer ones are refused.
const MAX_LABEL_BYTES: usize = 4096;

/// The longest annotation, in bytes. Annotations are prose, so longer ones are cut.
const MAX_ANNOTATION_BYTES: usize = 4096;

/// The longest name, severity or fingerprint, in bytes.
const MAX_WORD_BYTES: usize = 512;

/// The year of Go's zero time, which Go programs write where a time is not set.
const ZERO_TIME_OF_GO: &str = "0001-01-01T00:00:00";

const FIRING: [&str; 8] =
    ["firing", "alert", "alerting", "active", "triggered", "problem", "warning", "critical"];
const RESOLVED: [&str; 8] =
    ["resolved", "ok", "normal", "inactive", "recovered", "recovery", "closed", "cleared"];

/// An event as its format read it; the rest is the same for all.
#[derive(Debug, PartialEq)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) severity: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) value: Option<f64>,
    pub(super) starts_at: Option<WallTime>,
    pub(super) fingerprint: String,
    pub(super) payload: String,
}

impl Draft {
    pub(super) fn into_event(self, source: &str, received_at: WallTime) -> Event {
        Event {
            id: EventId::mint(received_at, [random::seed(), random::seed()]),
            source: source.to_owned(),
            name: self.name,
            status: self.status,
            severity: self.severity,
            labels: self.labels,
            annotations: self.annotations,
            value: self.value,
            starts_at: self.starts_at,
            received_at,
            fingerprint: self.fingerprint,
            payload: self.payload,
        }
    }
}

/// The message's JSON values, one after the other: one, or lines of them as log shippers send them.
/// serde_json refuses nesting deeper than 128.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Value>, Error> {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_slice(body).into_iter() {
        values.push(value.map_err(|error| Error::NotJson(error.to_string()))?);
        check_count(values.len(), "the message")?;
    }
    if values.is_empty() {
        return Err(Error::NotJson("it is empty".to_owned()));
    }
    Ok(values)
}

/// Refuses a message with more events than are taken.
pub(super) fn check_count(events: usize, path: &str) -> Result<(), Error> {
    if events > MAX_EVENTS {
        return Err(at(
            path,
            format!("holds {events} events or more; at most {MAX_EVENTS} are taken"),
        ));
    }
    Ok(())
}

pub(super) fn at(path: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::At { path: path.into(), problem: problem.into() }
}

/// One event's own JSON, cut to what is kept.
pub(super) fn payload(object: &Map<String, Value>) -> String {
    let text = serde_json::to_string(object).expect("a map with text keys is always JSON");
    word::cut(&text, MAX_PAYLOAD_BYTES).to_owned()
}

/// A field as errors name it: `alerts[2].labels.port`.
pub(super) fn below(path: &str, field: &str) -> String {
    let field = word::quoted(field);
    if path.is_empty() { field } else { format!("{path}.{field}") }
}

/// What a value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A field that is there: null counts as absent.
pub(super) fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// A scalar as text; numbers and booleans as JSON writes them.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A name, severity or fingerprint. The empty text counts as absent.
pub(super) fn short_text(value: Option<&Value>, path: &str) -> Result<Option<String>, Error> {
    let Some(value) = present(value) else {
        return Ok(None);
    };
    let text =
        scalar(value).ok_or_else(|| at(path, format!("is {}; a text is needed", kind(value))))?;
    if text.len() > MAX_WORD_BYTES {
        let problem = format!("has {} bytes; at most {MAX_WORD_BYTES} are taken", text.len());
        return Err(at(path, problem));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// An object that must be there.
pub(super) fn record<'v>(value: &'v Value, path: &str) -> Result<&'v Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| at(path, format!("is {}; an object is needed", kind(value))))
}

/// An object that may be absent.
pub(super) fn object<'v>(
    value: Option<&'v Value>,
    path: &str,
) -> Result<Option<&'v Map<String, Value>>, Error> {
    present(value).map(|value| record(value, path)).transpose()
}

/// Adds one label. Labels that are null are absent.
pub(super) fn add_label(
    labels: &mut BTreeMap<String, String>,
    name: &str,
    value: &Value,
    path: &str,
) -> Result<(), Error> {
    let Some(value) = present(Some(value)) else {
        return Ok(());
    };
    let text = scalar(value)
        .ok_or_else(|| at(path, format!("is {}; a label has a plain value", kind(value))))?;
    if name.len() > MAX_LABEL_NAME_BYTES {
        let problem = format!("its name has {} bytes; at most {MAX_LABEL_NAME_BYTES}", name.len());
        return Err(at(path, problem));
    }
    if text.len() > MAX_LABEL_BYTES {
        let problem = format!("has {} bytes; a label at most {MAX_LABEL_BYTES}", text.len());
        return Err(at(path, problem));
    }
    labels.insert(name.to_owned(), text);
    if labels.len() > MAX_LABELS {
        return Err(at(path, format!("is one label more than the {MAX_LABELS} that are taken")));
    }
    Ok(())
}

/// The labels that an object holds.
pub(super) fn labels(
    object: &Map<String, Value>,
    path: &str,
) -> Result<BTreeMap<String, String>, Error> {
    let mut labels = BTreeMap::new();
    for (name, value) in object {
        add_label(&mut labels, name, value, &below(path, name))?;
    }
    Ok(labels)
}

/// The annotations that an object holds: long ones are cut, what is no scalar is kept as its JSON.
pub(super) fn annotations(
    object: Option<&Map<String, Value>>,
    path: &str,
) -> Result<BTreeMap<String, String>, Error> {
    let present = object.into_iter().flatten().filter(|(_, value)| !value.is_null());
    let mut annotations = BTreeMap::new();
    for (name, value) in present {
        let text = scalar(value).unwrap_or_else(|| value.to_string());
        annotations.insert(name_of(name), prose(&text));
    }
    if annotations.len() > MAX_LABELS {
        let problem = format!("holds {} entries; at most {MAX_LABELS}", annotations.len());
        return Err(at(path, problem));
    }
    Ok(annotations)
}

/// The name of an annotation, cut to what is kept.
pub(super) fn name_of(name: &str) -> String {
    word::cut(name, MAX_LABEL_NAME_BYTES).to_owned()
}

/// The text of an annotation, cut to what is kept.
pub(super) fn prose(text: &str) -> String {
    word::cut(text, MAX_ANNOTATION_BYTES).to_owned()
}

/// Whether it goes on. Words in any case, and booleans: true is firing.
pub(super) fn status(value: Option<&Value>, path: &str) -> Result<Option<Status>, Error> {
    let is_one_of = |words: &[&str], text: &str| words.iter().any(|w| w.eq_ignore_ascii_case(text));
    match present(value) {
        None => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(Status::Firing)),
        Some(Value::Bool(false)) => Ok(Some(Status::Resolved)),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if is_one_of(&FIRING, text) => Ok(Some(Status::Firing)),
        Some(Value::String(text)) if is_one_of(&RESOLVED, text) => Ok(Some(Status::Resolved)),
        Some(other) => {
            let found =
                scalar(other).map_or_else(|| kind(other).to_owned(), |text| word::quoted(&text));
            let problem = format!(
                "'{found}' is no status; known are {} and {}",
                FIRING.join(", "),
                RESOLVED.join(", ")
            );
            Err(at(path, problem))
        }
    }
}

/// An RFC 3339 time. Go's zero time and the empty text count as absent.
pub(super) fn rfc3339(text: &str, path: &str) -> Result<Option<WallTime>, Error> {
    if text.is_empty() || text.starts_with(ZERO_TIME_OF_GO) {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_says_the_same_with_raw_text: crate::clock::NotATime| {
        let found = word::quoted(text);
        at(path, format!("'{found}' is no time as in 2026-11-22T17:30:00Z (RFC 3339)"))
    })
}
