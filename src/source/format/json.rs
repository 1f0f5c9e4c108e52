//! Plain JSON with a field mapping: an object is an event.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::clock::WallTime;
use crate::model::Status;

use super::draft::{self, Draft, at, below, kind, payload};
use super::{Error, digest, word};

/// Unix times below this many are seconds, from it on milliseconds: as seconds it is the year 5138,
/// as milliseconds it is 1973.
const FIRST_MILLISECONDS: f64 = 1e11;

/// Which fields of the object say what: dotted paths, as in `alert.name`; a number picks from a list,
/// as in `samples.0.value`. Defaults take the event's own words (`name`, `status`, ...).
///
/// Without `labels`, every scalar at the top becomes a label, except those read as status, value,
/// start and fingerprint, and so does every entry of an object `labels`. Where the sender gives no
/// fingerprint it is computed from the name and the labels; numbers are taken for measurements and
/// do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    pub name: Option<String>,
    pub status: Option<String>,
    pub severity: Option<String>,
    /// A number, or a text that is one. Infinities and NaN are no value.
    pub value: Option<String>,
    /// An RFC 3339 time, or a Unix time in seconds or milliseconds.
    pub starts_at: Option<String>,
    pub fingerprint: Option<String>,
    /// The path of an object whose scalars become labels.
    pub labels: Option<String>,
    pub annotations: Option<String>,
}

/// The mapping with its defaults.
struct Fields<'m> {
    name: &'m str,
    status: &'m str,
    severity: &'m str,
    value: &'m str,
    starts_at: &'m str,
    fingerprint: &'m str,
    labels: Option<&'m str>,
    annotations: &'m str,
}

impl Mapping {
    fn fields(&self) -> Fields<'_> {
        Fields {
            name: self.name.as_deref().unwrap_or("name"),
            status: self.status.as_deref().unwrap_or("status"),
            severity: self.severity.as_deref().unwrap_or("severity"),
            value: self.value.as_deref().unwrap_or("value"),
            starts_at: self.starts_at.as_deref().unwrap_or("starts_at"),
            fingerprint: self.fingerprint.as_deref().unwrap_or("fingerprint"),
            labels: self.labels.as_deref(),
            annotations: self.annotations.as_deref().unwrap_or("annotations"),
        }
    }
}

/// Reads one object.
pub(super) fn read(
    object: &Map<String, Value>,
    mapping: &Mapping,
    path: &str,
) -> Result<Vec<Draft>, Error> {
    event(object, mapping, path).map(|one| vec![one])
}

/// As [`read`]: an object is one event.
pub(super) fn event(
    object: &Map<String, Value>,
    mapping: &Mapping,
    path: &str,
) -> Result<Draft, Error> {
    let fields = &mapping.fields();
    let name_path = below(path, fields.name);
    let name = draft::short_text(find(object, fields.name), &name_path)?.ok_or_else(|| {
        at(name_path, "is missing; set fields.name to the path of the event's name")
    })?;
    let (labels, identity) = labels(object, fields, path)?;
    let annotations_path = below(path, fields.annotations);
    let annotations = draft::object(find(object, fields.annotations), &annotations_path)?;
    let status = draft::status(find(object, fields.status), &below(path, fields.status))?;
    let severity = find(object, fields.severity);
    let starts_at = find(object, fields.starts_at);
    let sent = find(object, fields.fingerprint);
    let sent = draft::short_text(sent, &below(path, fields.fingerprint))?;
    Ok(Draft {
        status: status.unwrap_or(Status::Firing),
        severity: draft::short_text(severity, &below(path, fields.severity))?,
        labels,
        annotations: draft::annotations(annotations, &annotations_path)?,
        value: number(find(object, fields.value), &below(path, fields.value))?,
        starts_at: time(starts_at, &below(path, fields.starts_at))?,
        fingerprint: sent.unwrap_or_else(|| digest::fingerprint(&name, &identity)),
        name,
        payload: payload(object),
    })
}

/// The value at a dotted path.
fn find<'v>(object: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    let mut steps = path.split('.');
    let first = object.get(steps.next()?)?;
    steps.try_fold(first, |value, step| match value {
        Value::Object(object) => object.get(step),
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

type Labels = BTreeMap<String, String>;

/// All labels, and those of them that say who the event is.
fn labels(
    object: &Map<String, Value>,
    fields: &Fields<'_>,
    path: &str,
) -> Result<(Labels, Labels), Error> {
    let (mut labels, mut identity) = (BTreeMap::new(), BTreeMap::new());
    let mut add = |name: &str, value: &Value, path: String| {
        draft::add_label(&mut labels, name, value, &path)?;
        if !value.is_number() {
            draft::add_label(&mut identity, name, value, &path)?;
        }
        Ok(())
    };
    if fields.labels.is_none() {
        let read_elsewhere = [fields.status, fields.value, fields.starts_at, fields.fingerprint];
        let scalars = object.iter().filter(|(name, value)| {
            !read_elsewhere.contains(&name.as_str()) && !value.is_array() && !value.is_object()
        });
        for (name, value) in scalars {
            add(name, value, below(path, name))?;
        }
    }
    let of_object = fields.labels.unwrap_or("labels");
    let labels_path = below(path, of_object);
    // A scalar called `labels` is a label like any other, where no mapping says otherwise.
    let found =
        find(object, of_object).filter(|found| fields.labels.is_some() || found.is_object());
    for (name, value) in draft::object(found, &labels_path)?.into_iter().flatten() {
        add(name, value, below(&labels_path, name))?;
    }
    Ok((labels, identity))
}

fn number(value: Option<&Value>, path: &str) -> Result<Option<f64>, Error> {
    let number = match draft::present(value) {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => {
            let parsed =
                text.trim().parse::<f64>().map_err(|_says_less: std::num::ParseFloatError| {
                    at(path, format!("'{}' is no number", word::quoted(text)))
                })?;
            Some(parsed)
        }
        Some(other) => {
            return Err(at(path, format!("is {}; a number is needed", kind(other))));
        }
    };
    Ok(number.filter(|number| number.is_finite()))
}

pub(super) fn time(value: Option<&Value>, path: &str) -> Result<Option<WallTime>, Error> {
    match draft::present(value) {
        None => Ok(None),
        Some(Value::Number(_)) => unix_time(value, path),
        Some(Value::String(text)) if text.trim().parse::<f64>().is_ok() => unix_time(value, path),
        Some(Value::String(text)) => draft::rfc3339(text, path),
        Some(other) => Err(at(path, format!("is {}; a time is needed", kind(other)))),
    }
}

/// A Unix time in seconds or milliseconds; 0 is how many programs write "not set".
fn unix_time(value: Option<&Value>, path: &str) -> Result<Option<WallTime>, Error> {
    /// Microseconds per unit: finer than what a double holds for today's dates is noise.
    const OF_A_SECOND: f64 = 1e6;
    const OF_A_MILLISECOND: f64 = 1e3;

    let Some(number) = number(value, path)?.filter(|number| *number != 0.0) else {
        return Ok(None);
    };
    let unit = if number.abs() < FIRST_MILLISECONDS { OF_A_SECOND } else { OF_A_MILLISECOND };
    let micros = (number * unit).round();
    let nanos =
        format!("{micros:.0}").parse::<i64>().ok().and_then(|micros| micros.checked_mul(1000));
    nanos
        .map(WallTime::from_nanos)
        .map(Some)
        .ok_or_else(|| at(path, format!("{number} is no Unix time in seconds or milliseconds")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn of(value: &Value, mapping: &Mapping) -> Result<Draft, String> {
        event(value.as_object().unwrap(), mapping, "").map_err(|error| error.to_string())
    }

    fn plain(value: &Value) -> Result<Draft, String> {
        of(value, &Mapping::default())
    }

    #[test]
    fn the_defaults_take_the_words_of_an_event() {
        let draft = plain(&json!({
            "name": "RetransmitsHigh", "status": "ALERT", "severity": "critical", "value": "0.07",
            "starts_at": "2026-11-22T17:30:00Z", "fingerprint": "abc", "host": "edge-7",
            "port": 443, "tls": true, "nothing": null, "nested": {"x": 1},
            "labels": {"peer": "192.0.2.7"}, "annotations": {"why": "loss"}
        }))
        .unwrap();
        assert_eq!(draft.name, "RetransmitsHigh");
        assert_eq!(draft.status, Status::Firing);
        assert_eq!(draft.severity.as_deref(), Some("critical"));
        assert_eq!(draft.value, Some(0.07));
        assert_eq!(draft.starts_at.unwrap().to_string(), "2026-11-22T17:30:00.000000000Z");
        assert_eq!(draft.fingerprint, "abc");
        assert_eq!(draft.annotations["why"], "loss");
        let labels: Vec<_> = draft.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let expected = [
            "host=edge-7",
            "name=RetransmitsHigh",
            "peer=192.0.2.7",
            "port=443",
            "severity=critical",
            "tls=true",
        ];
        assert_eq!(labels, expected);
    }

    #[test]
    fn a_mapping_reads_dotted_paths() {
        let mapping = Mapping {
            name: Some("metric".into()),
            status: Some("state.now".into()),
            severity: Some("state.level".into()),
            value: Some("samples.0.v".into()),
            starts_at: Some("time".into()),
            fingerprint: Some("id".into()),
            labels: Some("tags".into()),
            annotations: Some("notes".into()),
        };
        let message = json!({
            "metric": "net.retrans", "state": {"now": "ok", "level": 3},
            "samples": [{"v": 12}], "time": 1_795_368_600, "id": 77, "top": "is no label now",
            "tags": {"iface": "eth0"}, "notes": {"a": {"b": 1}}
        });
        let draft = of(&message, &mapping).unwrap();
        assert_eq!(draft.name, "net.retrans");
        assert_eq!(draft.status, Status::Resolved);
        assert_eq!(draft.severity.as_deref(), Some("3"));
        assert_eq!(draft.value, Some(12.0));
        assert_eq!(draft.starts_at.unwrap().to_string(), "2026-11-22T17:30:00.000000000Z");
        assert_eq!(draft.fingerprint, "77");
        assert_eq!(draft.labels, BTreeMap::from([("iface".to_owned(), "eth0".to_owned())]));
        assert_eq!(draft.annotations["a"], "{\"b\":1}");
    }

    #[test]
    fn a_start_is_read_in_seconds_and_in_milliseconds() {
        let start = |value: Value| {
            plain(&json!({"name": "x", "starts_at": value}))
                .map(|draft| draft.starts_at.map(|time| time.to_string()))
        };
        let instant = Ok(Some("2026-11-22T17:30:00.250000000Z".to_owned()));
        assert_eq!(start(json!(1_795_368_600.25)), instant);
        assert_eq!(start(json!(1_795_368_600_250_u64)), instant);
        assert_eq!(start(json!("1795368600250")), instant);
        assert_eq!(start(json!("2026-11-22T18:30:00.25+01:00")), instant);
        assert_eq!(start(json!(0)), Ok(None));
        assert_eq!(start(json!("0001-01-01T00:00:00Z")), Ok(None));
        assert!(start(json!(1e300)).unwrap_err().starts_with("starts_at: "));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            (json!({}), "name: is missing; set fields.name to the path of the event's name"),
            (json!({"name": ["x"]}), "name: is a list; a text is needed"),
            (json!({"name": "x", "value": "many"}), "value: 'many' is no number"),
            (json!({"name": "x", "value": true}), "value: is a boolean; a number is needed"),
            (json!({"name": "x", "starts_at": {}}), "starts_at: is an object; a time is needed"),
            (
                json!({"name": "x", "labels": {"a": {}}}),
                "labels.a: is an object; a label has a plain value",
            ),
            (
                json!({"name": ""}),
                "name: is missing; set fields.name to the path of the event's name",
            ),
        ];
        for (message, reason) in cases {
            assert_eq!(plain(&message).unwrap_err(), reason);
        }
        let mapping = Mapping { labels: Some("tags".into()), ..Mapping::default() };
        let error = of(&json!({"name": "x", "tags": "a"}), &mapping).unwrap_err();
        assert_eq!(error, "tags: is a text; an object is needed");
    }

    #[test]
    fn an_infinite_value_is_no_value_and_no_reason_to_refuse() {
        for text in ["NaN", "+Inf", "-inf"] {
            assert_eq!(plain(&json!({"name": "x", "value": text})).unwrap().value, None);
        }
    }

    proptest! {
        #[test]
        fn samples_of_one_series_have_one_fingerprint(
            value: f64, at in 1u64..4_000_000_000, seen: u32, host in "[a-z]{1,8}"
        ) {
            let one = plain(&json!({"name": "loss", "host": host, "value": value, "seen": seen}));
            let other = plain(&json!({"name": "loss", "host": host, "value": 0, "starts_at": at}));
            prop_assert_eq!(one.unwrap().fingerprint, other.unwrap().fingerprint);
        }
    }
}
