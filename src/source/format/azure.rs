//! Azure Monitor alerts: the common alert schema, and the legacy schemas of metric alerts and of the
//! activity log. One message is one alert, so one event.
//!
//! Severities keep Azure's own words, `Sev0` to `Sev4`, in every schema. The resource that the alert
//! is about becomes the labels `resource_id`, `resource_group`, `resource_type` and `resource`; the
//! dimensions of the first condition become labels under their own names. Identity is the alert rule
//! with its target and dimensions: the `alertId` is a new one each time that it fires.
//! Source: Microsoft Learn, "Common alert schema for Azure Monitor alerts" and "Non-common alert
//! schema definitions".

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::clock::WallTime;
use crate::model::Status;

use super::draft::{self, Draft, at, below, payload};
use super::{Error, digest, word};

const COMMON: &str = "azureMonitorCommonAlertSchema";
const LEGACY_METRIC: &str = "AzureMonitorMetricAlert";
const LEGACY_ACTIVITY: &str = "Microsoft.Insights/activityLogs";

type Labels = BTreeMap<String, String>;

/// Reads one alert.
pub(super) fn read(object: &Map<String, Value>, path: &str) -> Result<Vec<Draft>, Error> {
    let schema_path = below(path, "schemaId");
    let schema = draft::short_text(object.get("schemaId"), &schema_path)?.unwrap_or_default();
    let data_path = below(path, "data");
    let data = draft::object(object.get("data"), &data_path)?
        .ok_or_else(|| at(data_path.clone(), "is missing; an Azure Monitor alert has data"))?;
    let draft = match schema.as_str() {
        COMMON => common(object, data, &data_path),
        LEGACY_METRIC => legacy_metric(object, data, &data_path),
        LEGACY_ACTIVITY => legacy_activity(object, data, &data_path),
        other => {
            let problem = format!(
                "'{}' is no schema that is read; known are {COMMON}, {LEGACY_METRIC} and \
                 {LEGACY_ACTIVITY}",
                word::quoted(other)
            );
            Err(at(schema_path, problem))
        }
    };
    draft.map(|draft| vec![draft])
}

fn common(
    whole: &Map<String, Value>,
    data: &Map<String, Value>,
    path: &str,
) -> Result<Draft, Error> {
    let path_of = below(path, "essentials");
    let essentials = required(data, "essentials", path)?;
    let name_path = below(&path_of, "alertRule");
    let name = draft::short_text(essentials.get("alertRule"), &name_path)?
        .ok_or_else(|| at(name_path, "is missing; it names the alert"))?;
    let status = status(essentials.get("monitorCondition"), &below(&path_of, "monitorCondition"))?;
    let severity = draft::short_text(essentials.get("severity"), &below(&path_of, "severity"))?;
    let mut labels = Labels::new();
    for (label, field) in
        [("signal_type", "signalType"), ("monitoring_service", "monitoringService")]
    {
        if let Some(value) = essentials.get(field) {
            draft::add_label(&mut labels, label, value, &below(&path_of, field))?;
        }
    }
    if let Some(target) = first_text(essentials.get("alertTargetIDs")) {
        resource(&mut labels, target, &below(&path_of, "alertTargetIDs"))?;
    }
    if let Some(item) = first_text(essentials.get("configurationItems")) {
        let item = Value::String(item.to_owned());
        let item_path = below(&path_of, "configurationItems");
        draft::add_label(&mut labels, "configuration_item", &item, &item_path)?;
    }
    let context_path = below(path, "alertContext");
    let context = draft::object(data.get("alertContext"), &context_path)?;
    let value = match context {
        Some(context) => condition(context, &context_path, &mut labels)?,
        None => None,
    };
    let fired = time(essentials.get("firedDateTime"), &below(&path_of, "firedDateTime"))?;
    let mut annotations = text_annotation(essentials, "description");
    add_properties(&mut annotations, data.get("customProperties"));
    Ok(draft(whole, name, status, severity, labels, annotations, value, fired))
}

fn legacy_metric(
    whole: &Map<String, Value>,
    data: &Map<String, Value>,
    path: &str,
) -> Result<Draft, Error> {
    let context_path = below(path, "context");
    let context = required(data, "context", path)?;
    let name_path = below(&context_path, "name");
    let name = draft::short_text(context.get("name"), &name_path)?
        .ok_or_else(|| at(name_path, "is missing; it names the alert"))?;
    let status = status(data.get("status"), &below(path, "status"))?;
    let severity = draft::short_text(context.get("severity"), &below(&context_path, "severity"))?
        .map(|number| if number.len() == 1 { format!("Sev{number}") } else { number });
    let mut labels = Labels::new();
    if let Some(Value::String(id)) = context.get("resourceId") {
        resource(&mut labels, id, &below(&context_path, "resourceId"))?;
    }
    let value = condition(context, &context_path, &mut labels)?;
    let fired = time(context.get("timestamp"), &below(&context_path, "timestamp"))?;
    let mut annotations = text_annotation(context, "description");
    add_properties(&mut annotations, data.get("properties"));
    Ok(draft(whole, name, status, severity, labels, annotations, value, fired))
}

fn legacy_activity(
    whole: &Map<String, Value>,
    data: &Map<String, Value>,
    path: &str,
) -> Result<Draft, Error> {
    let context_path = below(path, "context");
    let log_path = below(&context_path, "activityLog");
    let log = required(required(data, "context", path)?, "activityLog", &context_path)?;
    let name_path = below(&log_path, "operationName");
    let name = draft::short_text(log.get("operationName"), &name_path)?
        .ok_or_else(|| at(name_path, "is missing; it names the operation"))?;
    let status = status(data.get("status"), &below(path, "status"))?;
    let severity = draft::short_text(log.get("level"), &below(&log_path, "level"))?;
    let mut labels = Labels::new();
    for (label, field) in
        [("event_source", "eventSource"), ("caller", "caller"), ("operation_status", "status")]
    {
        if let Some(value) = log.get(field) {
            draft::add_label(&mut labels, label, value, &below(&log_path, field))?;
        }
    }
    if let Some(Value::String(id)) = log.get("resourceId") {
        resource(&mut labels, id, &below(&log_path, "resourceId"))?;
    }
    let at = time(log.get("eventTimestamp"), &below(&log_path, "eventTimestamp"))?;
    let mut annotations = text_annotation(log, "description");
    add_properties(&mut annotations, data.get("properties"));
    Ok(draft(whole, name, status, severity, labels, annotations, None, at))
}

#[expect(clippy::too_many_arguments, reason = "the parts of one event, each read by its schema")]
fn draft(
    whole: &Map<String, Value>,
    name: String,
    status: Status,
    severity: Option<String>,
    labels: Labels,
    annotations: Labels,
    value: Option<f64>,
    starts_at: Option<WallTime>,
) -> Draft {
    Draft {
        fingerprint: digest::fingerprint(&name, &labels),
        name,
        status,
        severity,
        labels,
        annotations,
        value,
        starts_at,
        payload: payload(whole),
    }
}

fn required<'v>(
    object: &'v Map<String, Value>,
    field: &str,
    path: &str,
) -> Result<&'v Map<String, Value>, Error> {
    let path = below(path, field);
    draft::object(object.get(field), &path)?.ok_or_else(|| at(path, "is missing"))
}

/// `Fired`, `Resolved` and, in the legacy schemas, `Activated`, `Deactivated`.
fn status(value: Option<&Value>, path: &str) -> Result<Status, Error> {
    let text = draft::short_text(value, path)?.unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "fired" | "activated" | "" => Ok(Status::Firing),
        "resolved" | "deactivated" => Ok(Status::Resolved),
        _ => {
            let found = word::quoted(&text);
            Err(at(path, format!("'{found}' is no status; known are Fired, Resolved, Activated")))
        }
    }
}

/// The labels of a resource id, as in
/// `/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/web-1`.
fn resource(labels: &mut Labels, id: &str, path: &str) -> Result<(), Error> {
    let mut add = |label: &str, text: &str| {
        draft::add_label(labels, label, &Value::String(text.to_owned()), path)
    };
    add("resource_id", id)?;
    let parts: Vec<&str> = id.split('/').filter(|part| !part.is_empty()).collect();
    let after = |word: &str| {
        let at = parts.iter().position(|part| part.eq_ignore_ascii_case(word))?;
        parts.get(at + 1).copied()
    };
    if let Some(group) = after("resourceGroups") {
        add("resource_group", group)?;
    }
    let provider = parts.iter().position(|part| part.eq_ignore_ascii_case("providers"));
    if let Some([provider, kind, name, ..]) = provider.and_then(|at| parts.get(at + 1..)) {
        add("resource_type", &format!("{provider}/{kind}"))?;
        add("resource", name)?;
    }
    Ok(())
}

/// The metric, the dimensions and the value of the first condition.
fn condition(
    context: &Map<String, Value>,
    path: &str,
    labels: &mut Labels,
) -> Result<Option<f64>, Error> {
    let path = below(path, "condition");
    let Some(condition) = draft::object(context.get("condition"), &path)? else {
        return Ok(None);
    };
    let path = format!("{path}.allOf[0]");
    let first = condition.get("allOf").and_then(Value::as_array).and_then(|all| all.first());
    let Some(first) = draft::object(first, &path)? else {
        return Ok(None);
    };
    for (label, field) in [
        ("metric", "metricName"),
        ("metric_namespace", "metricNamespace"),
        ("operator", "operator"),
        ("threshold", "threshold"),
    ] {
        if let Some(value) = first.get(field) {
            draft::add_label(labels, label, value, &below(&path, field))?;
        }
    }
    let dimensions = first.get("dimensions").and_then(Value::as_array).into_iter().flatten();
    for (index, dimension) in dimensions.enumerate() {
        let path = format!("{path}.dimensions[{index}]");
        let dimension = draft::record(dimension, &path)?;
        let name = draft::short_text(dimension.get("name"), &below(&path, "name"))?;
        if let (Some(name), Some(value)) = (name, dimension.get("value")) {
            draft::add_label(labels, &name, value, &below(&path, "value"))?;
        }
    }
    Ok(first.get("metricValue").and_then(Value::as_f64).filter(|value| value.is_finite()))
}

fn first_text(value: Option<&Value>) -> Option<&str> {
    value?.as_array()?.first()?.as_str()
}

fn time(value: Option<&Value>, path: &str) -> Result<Option<WallTime>, Error> {
    match draft::short_text(value, path)? {
        Some(text) => draft::rfc3339(&text, path),
        None => Ok(None),
    }
}

fn text_annotation(object: &Map<String, Value>, field: &str) -> Labels {
    let text = object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let entry = |text: &str| (field.to_owned(), draft::prose(text));
    text.map(entry).into_iter().collect()
}

/// What the owner of the alert rule added to it.
fn add_properties(annotations: &mut Labels, properties: Option<&Value>) {
    let entries = properties.and_then(Value::as_object).into_iter().flatten();
    let texts = entries.filter_map(|(name, value)| Some((name, draft::scalar(value)?)));
    for (name, text) in texts.take(draft::MAX_LABELS.saturating_sub(annotations.len())) {
        annotations.entry(draft::name_of(name)).or_insert_with(|| draft::prose(&text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(message: &Value) -> Draft {
        read(message.as_object().unwrap(), "").unwrap().remove(0)
    }

    fn common_metric(condition: &str) -> Value {
        json!({
            "schemaId": "azureMonitorCommonAlertSchema",
            "data": {
                "essentials": {
                    "alertId": "/subscriptions/s/providers/Microsoft.AlertsManagement/alerts/1",
                    "alertRule": "cpu-high",
                    "severity": "Sev3",
                    "signalType": "Metric",
                    "monitorCondition": condition,
                    "monitoringService": "Platform",
                    "alertTargetIDs": [
                        "/subscriptions/s/resourcegroups/net/providers/microsoft.compute/virtualmachines/web-1"
                    ],
                    "configurationItems": ["web-1"],
                    "firedDateTime": "2019-03-22T13:58:24.3713213Z",
                    "description": "",
                },
                "alertContext": {
                    "conditionType": "SingleResourceMultipleMetricCriteria",
                    "condition": { "windowSize": "PT5M", "allOf": [{
                        "metricName": "Percentage CPU",
                        "metricNamespace": "Microsoft.Compute/virtualMachines",
                        "operator": "GreaterThan",
                        "threshold": "25",
                        "dimensions": [{ "name": "ResourceId", "value": "3efa" }],
                        "metricValue": 31.1105,
                    }] },
                },
                "customProperties": { "Key1": "Value1" },
            },
        })
    }

    #[test]
    fn the_common_schema_gives_rule_target_metric_and_value() {
        let event = one(&common_metric("Fired"));
        assert_eq!(event.name, "cpu-high");
        assert_eq!(event.status, Status::Firing);
        assert_eq!(event.severity.as_deref(), Some("Sev3"));
        assert_eq!(event.value, Some(31.1105));
        assert_eq!(event.labels["resource"], "web-1");
        assert_eq!(event.labels["resource_group"], "net");
        assert_eq!(event.labels["resource_type"], "microsoft.compute/virtualmachines");
        assert_eq!(event.labels["metric"], "Percentage CPU");
        assert_eq!(event.labels["threshold"], "25");
        assert_eq!(event.labels["ResourceId"], "3efa");
        assert_eq!(event.annotations["Key1"], "Value1");
        assert_eq!(event.starts_at.unwrap().to_string(), "2019-03-22T13:58:24.371321300Z");
    }

    #[test]
    fn an_alert_and_its_end_are_the_same_alert_whatever_its_value() {
        let fired = one(&common_metric("Fired"));
        let mut resolved = common_metric("Resolved");
        resolved["data"]["alertContext"]["condition"]["allOf"][0]["metricValue"] = json!(7.7);
        resolved["data"]["essentials"]["alertId"] = json!("another");
        let resolved = one(&resolved);
        assert_eq!(resolved.status, Status::Resolved);
        assert_eq!(resolved.fingerprint, fired.fingerprint);
    }

    #[test]
    fn the_legacy_metric_schema_reads_the_same() {
        let event = one(&json!({
            "schemaId": "AzureMonitorMetricAlert",
            "data": {
                "version": "2.0",
                "properties": { "customKey1": "value1" },
                "status": "Activated",
                "context": {
                    "timestamp": "2021-11-15T09:35:12.9703687Z",
                    "name": "transactions",
                    "severity": "3",
                    "condition": { "allOf": [{
                        "metricName": "Transactions", "threshold": "0",
                        "dimensions": [{ "name": "ApiName", "value": "GetBlob" }],
                        "metricValue": 100, "webTestName": null,
                    }] },
                    "resourceId": "/subscriptions/1/resourceGroups/test-RG/providers/Microsoft.Storage/storageAccounts/acc",
                },
            },
        }));
        assert_eq!(
            (event.name.as_str(), event.severity.as_deref()),
            ("transactions", Some("Sev3"))
        );
        assert_eq!((event.value, event.labels["ApiName"].as_str()), (Some(100.0), "GetBlob"));
        assert_eq!(event.labels["resource"], "acc");
        assert_eq!(event.annotations["customKey1"], "value1");
    }

    #[test]
    fn an_entry_of_the_activity_log_is_an_event() {
        let event = one(&json!({
            "schemaId": "Microsoft.Insights/activityLogs",
            "data": { "status": "Activated", "context": { "activityLog": {
                "operationName": "Microsoft.Compute/virtualMachines/restart/action",
                "level": "Informational", "caller": "user@example.com", "status": "Succeeded",
                "eventTimestamp": "2021-11-16T08:27:36.1836909+00:00",
                "resourceId": "/subscriptions/1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm",
            } } },
        }));
        assert_eq!(event.name, "Microsoft.Compute/virtualMachines/restart/action");
        assert_eq!(event.labels["operation_status"], "Succeeded");
        assert_eq!(event.labels["resource"], "vm");
    }

    #[test]
    fn what_is_no_alert_is_refused_with_its_place() {
        let refused =
            |message: Value| read(message.as_object().unwrap(), "").unwrap_err().to_string();
        let unknown = refused(json!({ "schemaId": "Other", "data": {} }));
        assert!(unknown.starts_with("schemaId: 'Other' is no schema"), "{unknown}");
        assert_eq!(
            refused(json!({ "schemaId": COMMON, "data": {} })),
            "data.essentials: is missing"
        );
        let mut wrong = common_metric("Paused");
        assert!(refused(wrong.clone()).contains("'Paused' is no status"));
        wrong["data"]["essentials"]["monitorCondition"] = json!("Fired");
        wrong["data"]["alertContext"]["condition"]["allOf"][0]["dimensions"] = json!([7]);
        let place = refused(wrong);
        assert!(place.starts_with("data.alertContext.condition.allOf[0].dimensions[0]"), "{place}");
    }
}
