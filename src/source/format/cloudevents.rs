//! CloudEvents 1.0 in JSON, structured or as a batch.
//!
//! The `data` is what counts. Where it is an alert of a form that is known (Azure Monitor through
//! Event Grid, Alertmanager) it is read as that; otherwise its fields go by the words of the plain
//! JSON format, and what it does not say comes from the envelope: the name from `type`, the start
//! from `time`. `source`, `subject` and `type` become labels; the `id` is another one with each
//! message, so it is no part of the identity.
//! Source: CloudEvents specification 1.0.2, JSON event format 1.0.2.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::draft::{self, Draft, at, below, payload};
use super::json::{self, Mapping};
use super::shape::Shape;
use super::{Error, alertmanager, azure, digest, word};

/// Reads one event; a batch is a list of these.
pub(super) fn read(object: &Map<String, Value>, path: &str) -> Result<Vec<Draft>, Error> {
    let version_path = below(path, "specversion");
    let version = draft::short_text(object.get("specversion"), &version_path)?.unwrap_or_default();
    if version != "1.0" {
        let found = word::quoted(&version);
        return Err(at(version_path, format!("is '{found}'; version 1.0 is read")));
    }
    if object.contains_key("data_base64") {
        return Err(at(below(path, "data_base64"), "is not read; send `data` as JSON"));
    }
    let data_path = below(path, "data");
    let data = draft::object(object.get("data"), &data_path)?;
    let mut drafts = match data {
        Some(data) => match Shape::of(data) {
            Shape::Alerts => alertmanager::read(data, &data_path)?,
            Shape::Azure => azure::read(data, &data_path)?,
            Shape::CloudEvent | Shape::Suricata | Shape::Telegraf | Shape::Plain => {
                vec![plain(object, data, path, &data_path)?]
            }
        },
        None => vec![plain(object, &Map::new(), path, &data_path)?],
    };
    for draft in &mut drafts {
        draft.payload = payload(object);
    }
    Ok(drafts)
}

fn plain(
    envelope: &Map<String, Value>,
    data: &Map<String, Value>,
    path: &str,
    data_path: &str,
) -> Result<Draft, Error> {
    let type_path = below(path, "type");
    let kind = draft::short_text(envelope.get("type"), &type_path)?
        .ok_or_else(|| at(type_path, "is missing; a CloudEvent has a type"))?;
    let mut named = data.clone();
    named.entry("name").or_insert_with(|| Value::String(kind.clone()));
    let mut draft = json::event(&named, &Mapping::default(), data_path)?;
    let had_fingerprint = draft::present(data.get("fingerprint")).is_some();
    // With a name from the envelope, the label that json makes of it would say nothing new.
    if !data.contains_key("name") {
        draft.labels.remove("name");
    }
    for (label, field) in [("type", "type"), ("source", "source"), ("subject", "subject")] {
        if let Some(value) = envelope.get(field) {
            draft::add_label(&mut draft.labels, label, value, &below(path, field))?;
        }
    }
    if draft.starts_at.is_none()
        && let Some(time) = draft::short_text(envelope.get("time"), &below(path, "time"))?
    {
        draft.starts_at = draft::rfc3339(&time, &below(path, "time"))?;
    }
    if !had_fingerprint {
        draft.fingerprint = digest::fingerprint(&draft.name, &identity(envelope, &draft));
    }
    Ok(draft)
}

/// Who the event is about: its labels, but for what the plain format takes for measurements.
fn identity(envelope: &Map<String, Value>, draft: &Draft) -> BTreeMap<String, String> {
    let is_measurement = |name: &str| {
        let in_data = envelope.get("data").and_then(|data| data.get(name));
        in_data.is_some_and(Value::is_number)
    };
    let labels = draft.labels.iter().filter(|(name, _)| !is_measurement(name));
    labels.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;
    use serde_json::json;

    fn all(message: &Value) -> Vec<Draft> {
        read(message.as_object().unwrap(), "").unwrap()
    }

    #[test]
    fn the_envelope_says_what_the_data_does_not() {
        let message = json!({
            "specversion": "1.0", "id": "a1", "source": "/plant/line-4", "type": "link.flapping",
            "subject": "eth3", "time": "2026-11-22T17:30:00Z",
            "data": { "severity": "warning", "value": 12.5, "peer": "10.0.0.9", "errors": 3 },
        });
        let [event] = all(&message).try_into().unwrap();
        assert_eq!(event.name, "link.flapping");
        assert_eq!(event.status, Status::Firing);
        assert_eq!(event.severity.as_deref(), Some("warning"));
        assert_eq!(event.value, Some(12.5));
        assert_eq!(event.labels["peer"], "10.0.0.9");
        assert_eq!(event.labels["source"], "/plant/line-4");
        assert_eq!(event.labels["subject"], "eth3");
        assert!(!event.labels.contains_key("name"));
        assert_eq!(event.starts_at.unwrap().to_string(), "2026-11-22T17:30:00.000000000Z");

        let mut again = message;
        again["id"] = json!("a2");
        again["data"]["errors"] = json!(4);
        assert_eq!(all(&again)[0].fingerprint, event.fingerprint);
        again["subject"] = json!("eth4");
        assert_ne!(all(&again)[0].fingerprint, event.fingerprint);
    }

    #[test]
    fn an_alert_inside_is_read_as_the_alert_that_it_is() {
        let message = json!({
            "specversion": "1.0", "id": "a1", "source": "/am", "type": "io.alert",
            "data": { "version": "4", "alerts": [
                { "labels": { "alertname": "A", "peer": "10.0.0.9" } },
                { "labels": { "alertname": "B" }, "status": "resolved" },
            ] },
        });
        let names: Vec<_> = all(&message).into_iter().map(|event| event.name).collect();
        assert_eq!(names, ["A", "B"]);
    }

    #[test]
    fn what_is_no_event_of_this_version_is_refused() {
        let refused =
            |message: Value| read(message.as_object().unwrap(), "").unwrap_err().to_string();
        let old = json!({ "specversion": "0.3", "type": "x", "data": {} });
        assert_eq!(refused(old), "specversion: is '0.3'; version 1.0 is read");
        let nameless = json!({ "specversion": "1.0", "data": {} });
        assert_eq!(refused(nameless), "type: is missing; a CloudEvent has a type");
        let binary = json!({ "specversion": "1.0", "type": "x", "data_base64": "AA==" });
        assert_eq!(refused(binary), "data_base64: is not read; send `data` as JSON");
    }
}
