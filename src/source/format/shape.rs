//! Which form an object has, by the fields that only that form has.

use serde_json::{Map, Value};

/// A form of events that is known by its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Alertmanager's payload or Grafana's, or one alert of theirs.
    Alerts,
    Azure,
    CloudEvent,
    Suricata,
    Telegraf,
    /// None of these: an object with words of its own.
    Plain,
}

impl Shape {
    /// The form of one object. No two of the forms have all the fields that are asked for.
    pub(super) fn of(object: &Map<String, Value>) -> Self {
        let is_text = |field: &str| object.get(field).is_some_and(Value::is_string);
        let is_object = |field: &str| object.get(field).is_some_and(Value::is_object);
        let is_list = |field: &str| object.get(field).is_some_and(Value::is_array);
        let is_metric = |value: &Value| value.get("fields").is_some_and(Value::is_object);
        let metrics = object.get("metrics").and_then(Value::as_array);
        if is_text("schemaId") && is_object("data") {
            Self::Azure
        } else if is_text("specversion") {
            Self::CloudEvent
        } else if is_list("alerts") {
            Self::Alerts
        } else if is_text("event_type") && (is_text("src_ip") || object.contains_key("flow_id")) {
            Self::Suricata
        } else if (is_object("fields") && is_text("name"))
            || metrics.is_some_and(|list| !list.is_empty() && list.iter().all(is_metric))
        {
            Self::Telegraf
        } else if is_object("labels") && !is_text("name") {
            Self::Alerts
        } else {
            Self::Plain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_form_is_known_by_its_own_fields() {
        for (object, shape) in [
            (json!({ "schemaId": "azureMonitorCommonAlertSchema", "data": {} }), Shape::Azure),
            (json!({ "specversion": "1.0", "type": "x" }), Shape::CloudEvent),
            (json!({ "version": "4", "alerts": [] }), Shape::Alerts),
            (json!({ "labels": { "alertname": "A" } }), Shape::Alerts),
            (json!({ "event_type": "alert", "src_ip": "192.0.2.1" }), Shape::Suricata),
            (json!({ "name": "net", "fields": { "drops": 1 } }), Shape::Telegraf),
            (json!({ "metrics": [{ "name": "net", "fields": {} }] }), Shape::Telegraf),
            (json!({ "name": "A", "labels": { "peer": "x" } }), Shape::Plain),
            (json!({ "event_type": "login" }), Shape::Plain),
            (json!({ "metrics": [] }), Shape::Plain),
        ] {
            assert_eq!(Shape::of(object.as_object().unwrap()), shape, "{object}");
        }
    }
}
