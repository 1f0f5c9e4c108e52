//! Metrics of Telegraf's JSON serializer: one event for each number.
//!
//! A metric carries several fields; each number among them is an event of its own, so that a rule can
//! speak of its `value`. It is called `<measurement>_<field>`, as Telegraf's own Prometheus output
//! calls it; tags become labels, and so do the two words of the name as `measurement` and `field`.
//! Fields that are texts or booleans describe the others: they become annotations. The tags alone
//! are the identity.
//! Source: influxdata/telegraf `plugins/serializers/json`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::clock::WallTime;
use crate::model::Status;

use super::draft::{self, Draft, at, below, payload};
use super::{Error, digest, json};

/// Reads one metric, or a batch as an object with `metrics`.
pub(super) fn read(object: &Map<String, Value>, path: &str) -> Result<Vec<Draft>, Error> {
    let batch_path = below(path, "metrics");
    match draft::present(object.get("metrics")) {
        None => metric(object, path),
        Some(Value::Array(metrics)) => {
            let mut drafts = Vec::new();
            for (index, value) in metrics.iter().enumerate() {
                let path = format!("{batch_path}[{index}]");
                drafts.extend(metric(draft::record(value, &path)?, &path)?);
                draft::check_count(drafts.len(), &batch_path)?;
            }
            Ok(drafts)
        }
        Some(other) => Err(at(batch_path, format!("is {}; a list is needed", draft::kind(other)))),
    }
}

fn metric(object: &Map<String, Value>, path: &str) -> Result<Vec<Draft>, Error> {
    let name_path = below(path, "name");
    let measurement = draft::short_text(object.get("name"), &name_path)?
        .ok_or_else(|| at(name_path, "is missing; a metric has a name"))?;
    let fields_path = below(path, "fields");
    let fields = draft::object(object.get("fields"), &fields_path)?
        .ok_or_else(|| at(fields_path.clone(), "is missing; a metric has fields"))?;
    let tags_path = below(path, "tags");
    let tags = match draft::object(object.get("tags"), &tags_path)? {
        Some(tags) => draft::labels(tags, &tags_path)?,
        None => BTreeMap::new(),
    };
    let stamp = json::time(object.get("timestamp"), &below(path, "timestamp"))?;
    let described: Map<String, Value> = fields
        .iter()
        .filter(|(_, value)| !value.is_number())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let annotations = draft::annotations(Some(&described), &fields_path)?;
    let of = |field: Option<(&String, f64)>| {
        let about = Metric { measurement: &measurement, tags: &tags, annotations: &annotations };
        about.event(object, field, stamp, &fields_path)
    };
    let numbers = fields.iter().filter_map(|(name, value)| Some((name, value.as_f64()?)));
    let drafts: Vec<_> = numbers.map(|number| of(Some(number))).collect::<Result<_, _>>()?;
    if drafts.is_empty() { of(None).map(|only| vec![only]) } else { Ok(drafts) }
}

/// What all events of one metric share.
struct Metric<'m> {
    measurement: &'m str,
    tags: &'m BTreeMap<String, String>,
    annotations: &'m BTreeMap<String, String>,
}

impl Metric<'_> {
    fn event(
        &self,
        object: &Map<String, Value>,
        field: Option<(&String, f64)>,
        stamp: Option<WallTime>,
        path: &str,
    ) -> Result<Draft, Error> {
        let mut labels = self.tags.clone();
        let mut add = |label: &str, text: &str| {
            draft::add_label(&mut labels, label, &Value::String(text.to_owned()), path)
        };
        add("measurement", self.measurement)?;
        let name = match field {
            Some((field, _)) => {
                add("field", field)?;
                format!("{}_{field}", self.measurement)
            }
            None => self.measurement.to_owned(),
        };
        Ok(Draft {
            fingerprint: digest::fingerprint(&name, &labels),
            name,
            status: Status::Firing,
            severity: None,
            labels,
            annotations: self.annotations.clone(),
            value: field.map(|(_, value)| value).filter(|value| value.is_finite()),
            starts_at: stamp,
            payload: payload(object),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn net(drops: u32) -> Value {
        json!({
            "name": "net", "timestamp": 1_795_368_600,
            "tags": { "host": "edge-7", "interface": "eth0" },
            "fields": { "drop_in": drops, "err_in": 0.5, "state": "up", "idle": null },
        })
    }

    #[test]
    fn every_number_is_an_event_with_the_tags_as_labels() {
        let events = read(net(3).as_object().unwrap(), "").unwrap();
        let names: Vec<_> = events.iter().map(|e| (e.name.as_str(), e.value)).collect();
        assert_eq!(names, [("net_drop_in", Some(3.0)), ("net_err_in", Some(0.5))]);
        assert_eq!(events[0].labels["interface"], "eth0");
        assert_eq!(events[0].labels["field"], "drop_in");
        assert_eq!(events[0].labels["measurement"], "net");
        assert_eq!(events[0].annotations["state"], "up");
        assert_eq!(events[0].starts_at, Some(WallTime::from_nanos(1_795_368_600_000_000_000)));
    }

    #[test]
    fn a_metric_is_the_same_whatever_it_measured() {
        let first = |metric: Value| read(metric.as_object().unwrap(), "").unwrap().remove(0);
        assert_eq!(first(net(3)).fingerprint, first(net(900)).fingerprint);
    }

    #[test]
    fn a_batch_is_all_its_metrics_and_one_mistake_in_it_has_its_place() {
        let batch = json!({ "metrics": [net(1), net(2)] });
        assert_eq!(read(batch.as_object().unwrap(), "").unwrap().len(), 4);
        let wrong = json!({ "metrics": [net(1), { "name": "net" }] });
        let error = read(wrong.as_object().unwrap(), "").unwrap_err().to_string();
        assert_eq!(error, "metrics[1].fields: is missing; a metric has fields");
    }

    #[test]
    fn a_metric_without_numbers_is_one_event() {
        let text = json!({ "name": "unit", "fields": { "active": true } });
        let [event] = read(text.as_object().unwrap(), "").unwrap().try_into().unwrap();
        assert_eq!((event.name.as_str(), event.value), ("unit", None));
        assert_eq!(event.annotations["active"], "true");
    }
}
