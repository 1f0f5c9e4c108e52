//! Alertmanager webhook payloads, version 4: one event for each alert.
//!
//! The same reader takes one alert object alone, as people publish it over MQTT. An alert is the same
//! again when its fingerprint and start are; the group around it changes with every notification, so
//! nothing of the group is part of an event. Grafana's webhook sends the same with more fields, of
//! which `values` is read: the first by its letter, which is the query; the later ones are expressions
//! over it. `endsAt` decides nothing: Alertmanager also sets it, in
//! the future, on alerts that fire; the alert's own `status` decides.
//! Source: prometheus/alertmanager `template.Data`, `notify/webhook`.

use serde_json::{Map, Value};
use tracing::warn;

use crate::model::Status;

use super::draft::{self, Draft, at, below, kind, payload};
use super::{Error, digest, word};

/// The only version there has been since 2017.
const VERSION: &str = "4";

/// The version of Grafana's payload, which is Alertmanager's with more fields.
const VERSION_OF_GRAFANA: &str = "1";

/// Reads a payload or a single alert.
pub(super) fn read(message: &Map<String, Value>, path: &str) -> Result<Vec<Draft>, Error> {
    let alerts_path = below(path, "alerts");
    match draft::present(message.get("alerts")) {
        Some(Value::Array(alerts)) => group(message, alerts, path),
        Some(other) => Err(at(alerts_path, format!("is {}; a list is needed", kind(other)))),
        None if message.contains_key("labels") => alert(message, path, None).map(|one| vec![one]),
        None => {
            let problem = "is neither a payload with 'alerts' nor an alert with 'labels'";
            Err(at(if path.is_empty() { "the message" } else { path }, problem))
        }
    }
}

fn group(message: &Map<String, Value>, alerts: &[Value], path: &str) -> Result<Vec<Draft>, Error> {
    let version_path = below(path, "version");
    if let Some(version) = draft::short_text(message.get("version"), &version_path)?
        && version != VERSION
        && version != VERSION_OF_GRAFANA
    {
        let found = word::quoted(&version);
        let problem = format!(
            "is '{found}'; version {VERSION} is read, and Grafana's version {VERSION_OF_GRAFANA}"
        );
        return Err(at(version_path, problem));
    }
    let alerts_path = below(path, "alerts");
    draft::check_count(alerts.len(), &alerts_path)?;
    if let Some(cut @ 1..) = message.get("truncatedAlerts").and_then(Value::as_u64) {
        warn!(alerts = cut, "Alertmanager left alerts out of its message; raise its max_alerts");
    }
    let of_group = draft::status(message.get("status"), &below(path, "status"))?;
    let read_one = |(index, value): (usize, &Value)| {
        let path = format!("{alerts_path}[{index}]");
        alert(draft::record(value, &path)?, &path, of_group)
    };
    alerts.iter().enumerate().map(read_one).collect()
}

fn alert(
    object: &Map<String, Value>,
    path: &str,
    status_of_group: Option<Status>,
) -> Result<Draft, Error> {
    let labels_path = below(path, "labels");
    let labels = draft::object(object.get("labels"), &labels_path)?
        .ok_or_else(|| at(labels_path.clone(), "is missing; an alert has labels"))?;
    let labels = draft::labels(labels, &labels_path)?;
    if labels.is_empty() {
        return Err(at(labels_path, "is empty; an alert has at least one label"));
    }
    let annotations_path = below(path, "annotations");
    let annotations = draft::object(object.get("annotations"), &annotations_path)?;
    let status = draft::status(object.get("status"), &below(path, "status"))?;
    let starts_at = match draft::present(object.get("startsAt")) {
        None => None,
        Some(Value::String(text)) => draft::rfc3339(text, &below(path, "startsAt"))?,
        Some(other) => {
            let problem =
                format!("is {}; a time as in 2026-11-22T17:30:00Z is needed", kind(other));
            return Err(at(below(path, "startsAt"), problem));
        }
    };
    let sent = draft::short_text(object.get("fingerprint"), &below(path, "fingerprint"))?;
    Ok(Draft {
        name: labels.get("alertname").cloned().unwrap_or_default(),
        status: status.or(status_of_group).unwrap_or(Status::Firing),
        severity: labels.get("severity").cloned(),
        annotations: draft::annotations(annotations, &annotations_path)?,
        value: value_of(object),
        starts_at,
        fingerprint: sent.unwrap_or_else(|| digest::fingerprint("", &labels)),
        labels,
        payload: payload(object),
    })
}

/// The number that Grafana measured. Alertmanager sends none.
fn value_of(alert: &Map<String, Value>) -> Option<f64> {
    let values = alert.get("values")?.as_object()?;
    let first = values.iter().min_by_key(|(letter, _)| *letter)?;
    first.1.as_f64().filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MAX_PAYLOAD_BYTES;
    use serde_json::json;

    /// As Alertmanager 0.27 sends it.
    fn sent() -> Value {
        json!({
            "receiver": "hindsight", "status": "firing", "version": "4", "truncatedAlerts": 0,
            "groupKey": "{}:{alertname=\"TcpRetransmitsHigh\"}",
            "groupLabels": {"alertname": "TcpRetransmitsHigh"},
            "commonLabels": {"alertname": "TcpRetransmitsHigh"}, "commonAnnotations": {},
            "externalURL": "http://am:9093",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "TcpRetransmitsHigh", "instance": "edge-7", "severity": "critical"},
                    "annotations": {"summary": "Retransmissions towards 192.0.2.7"},
                    "startsAt": "2026-11-22T17:30:00.5Z", "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://prom/graph", "fingerprint": "dcfdcc9c3e0c1f8b"
                },
                {
                    "status": "resolved",
                    "labels": {"alertname": "TcpRetransmitsHigh", "instance": "edge-8"},
                    "annotations": {}, "startsAt": "0001-01-01T00:00:00Z",
                    "endsAt": "2026-11-22T18:00:00Z", "generatorURL": "", "fingerprint": ""
                }
            ]
        })
    }

    fn of(value: &Value) -> Result<Vec<Draft>, String> {
        draft::record(value, "the message")
            .and_then(|message| read(message, ""))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_alert_of_a_group_is_an_event_of_its_own() {
        let drafts = of(&sent()).unwrap();
        let [first, second] = drafts.as_slice() else { panic!("{drafts:?}") };
        assert_eq!(first.name, "TcpRetransmitsHigh");
        assert_eq!(first.status, Status::Firing);
        assert_eq!(first.severity.as_deref(), Some("critical"));
        assert_eq!(first.labels["instance"], "edge-7");
        assert_eq!(first.annotations["summary"], "Retransmissions towards 192.0.2.7");
        assert_eq!(first.starts_at.unwrap().to_string(), "2026-11-22T17:30:00.500000000Z");
        assert_eq!(first.fingerprint, "dcfdcc9c3e0c1f8b");
        let kept: Value = serde_json::from_str(&first.payload).unwrap();
        assert_eq!(kept, sent()["alerts"][0]);

        assert_eq!(second.status, Status::Resolved);
        assert_eq!(second.starts_at, None);
        assert_eq!(second.fingerprint.len(), 16);
    }

    #[test]
    fn the_status_of_the_alert_decides_and_its_end_does_not() {
        let mut message = sent();
        message["status"] = json!("resolved");
        message["alerts"][0]["endsAt"] = json!("2020-01-01T00:00:00Z");
        assert_eq!(of(&message).unwrap()[0].status, Status::Firing);
        message["alerts"][0].as_object_mut().unwrap().remove("status");
        assert_eq!(
            of(&message).unwrap()[0].status,
            Status::Resolved,
            "the group's, where it has none"
        );
    }

    #[test]
    fn an_alert_alone_is_read_like_one_of_a_group() {
        let alone = of(&sent()["alerts"][0]).unwrap();
        assert_eq!(alone[0], of(&sent()).unwrap()[0]);
        let bare = of(&json!({"labels": {"alertname": "X", "port": 443}})).unwrap();
        assert_eq!((bare[0].status, bare[0].labels["port"].as_str()), (Status::Firing, "443"));
    }

    #[test]
    fn the_group_around_an_alert_does_not_change_who_it_is() {
        let mut repeated = sent();
        repeated["notification_reason"] = json!("repeat interval elapsed");
        repeated["alerts"].as_array_mut().unwrap().reverse();
        let (once, again) = (of(&sent()).unwrap(), of(&repeated).unwrap());
        assert_eq!(once[1].fingerprint, again[0].fingerprint);
        assert_eq!(once[0], again[1]);
    }

    #[test]
    fn an_empty_group_is_a_message_that_says_nothing() {
        assert_eq!(of(&json!({"version": "4", "alerts": []})).unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let long = "x".repeat(5000);
        let many: Map<String, Value> = (0..129).map(|n| (format!("l{n:03}"), json!("x"))).collect();
        let cases = [
            (json!([]), "the message: is a list; an object is needed"),
            (
                json!({}),
                "the message: is neither a payload with 'alerts' nor an alert with 'labels'",
            ),
            (json!({"alerts": {}}), "alerts: is an object; a list is needed"),
            (json!({"alerts": [7]}), "alerts[0]: is a number; an object is needed"),
            (
                json!({"version": "5", "alerts": []}),
                "version: is '5'; version 4 is read, and Grafana's version 1",
            ),
            (json!({"alerts": [{}]}), "alerts[0].labels: is missing; an alert has labels"),
            (json!({"labels": {}}), "labels: is empty; an alert has at least one label"),
            (json!({"labels": {"a": ["b"]}}), "labels.a: is a list; a label has a plain value"),
            (json!({"labels": {"a": long}}), "labels.a: has 5000 bytes; a label at most 4096"),
            (json!({"labels": many}), "labels.l128: is one label more than the 128 that are taken"),
            (
                json!({"labels": {"a": "b"}, "startsAt": "yesterday\n"}),
                "startsAt: 'yesterday\\n' is no time as in 2026-11-22T17:30:00Z (RFC 3339)",
            ),
            (
                json!({"labels": {"a": "b"}, "startsAt": 1}),
                "startsAt: is a number; a time as in 2026-11-22T17:30:00Z is needed",
            ),
        ];
        for (message, reason) in cases {
            assert_eq!(of(&message).unwrap_err(), reason);
        }
        let reason = of(&json!({"labels": {"a": "b"}, "status": "maybe"})).unwrap_err();
        assert!(reason.starts_with("status: 'maybe' is no status; known are firing, "), "{reason}");
    }

    #[test]
    fn more_alerts_than_the_bound_are_refused() {
        let alerts = vec![json!({"labels": {"a": "b"}}); draft::MAX_EVENTS + 1];
        let reason = of(&json!({ "alerts": alerts })).unwrap_err();
        assert_eq!(reason, "alerts: holds 4097 events or more; at most 4096 are taken");
    }

    #[test]
    fn grafana_sends_the_same_with_the_value_that_it_measured() {
        let message = json!({
            "receiver": "hook", "status": "firing", "orgId": 1, "version": "1",
            "alerts": [{
                "status": "firing",
                "labels": {"alertname": "LossHigh", "grafana_folder": "net"},
                "annotations": {"summary": "loss"},
                "startsAt": "2026-11-22T17:30:00Z", "endsAt": "0001-01-01T00:00:00Z",
                "values": {"C": 1, "A": 0.125}, "valueString": "[ var='A' value=0.125 ]",
                "fingerprint": "c6eadffa33fcdf37", "panelURL": "http://grafana/d/x"
            }]
        });
        let drafts = of(&message).unwrap();
        assert_eq!((drafts[0].name.as_str(), drafts[0].value), ("LossHigh", Some(0.125)));
    }

    #[test]
    fn a_long_payload_is_cut_between_characters() {
        let annotations: Map<String, Value> =
            (0..40).map(|n| (format!("a{n}"), json!("é".repeat(2000)))).collect();
        let drafts = of(&json!({"labels": {"a": "b"}, "annotations": annotations})).unwrap();
        assert!(drafts[0].payload.len() <= MAX_PAYLOAD_BYTES);
        assert!(drafts[0].payload.len() > MAX_PAYLOAD_BYTES - 4);
    }
}
