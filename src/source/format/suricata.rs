//! Suricata's EVE records: alerts, and other records that somebody forwards.
//!
//! The five-tuple becomes the labels `src_ip`, `src_port`, `dest_ip`, `dest_port` and `proto`, so that
//! a rule can make its filter from them. An alert is called by its signature, any other record by its
//! event type. Identity is the signature with the two hosts and the port that was spoken to; the
//! other port is a new one with each connection.
//! Source: Suricata documentation, "EVE JSON format".

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::clock::WallTime;
use crate::model::Status;

use super::draft::{self, Draft, at, below, payload};
use super::{Error, digest};

/// Fields at the top that become labels under their own names.
const LABELS: [&str; 12] = [
    "event_type",
    "src_ip",
    "src_port",
    "dest_ip",
    "dest_port",
    "proto",
    "app_proto",
    "in_iface",
    "host",
    "vlan",
    "community_id",
    "direction",
];

/// Fields of `alert` that become labels under their own names.
const ALERT_LABELS: [&str; 4] = ["action", "gid", "signature_id", "category"];

/// The labels that make an alert the same again.
const IDENTITY: [&str; 7] =
    ["event_type", "gid", "signature_id", "src_ip", "dest_ip", "dest_port", "proto"];

/// Reads one record.
pub(super) fn read(object: &Map<String, Value>, path: &str) -> Result<Vec<Draft>, Error> {
    let type_path = below(path, "event_type");
    let kind = draft::short_text(object.get("event_type"), &type_path)?
        .ok_or_else(|| at(type_path, "is missing; an EVE record has one"))?;
    let mut labels = BTreeMap::new();
    for field in LABELS {
        // Tagged packets have a list of VLAN ids; the outermost one says which network it was.
        let value = match object.get(field) {
            Some(Value::Array(list)) if field == "vlan" => list.first(),
            value => value,
        };
        if let Some(value) = value {
            draft::add_label(&mut labels, field, value, &below(path, field))?;
        }
    }
    let alert_path = below(path, "alert");
    let alert = draft::object(object.get("alert"), &alert_path)?;
    let mut name = kind;
    let mut severity = None;
    if let Some(alert) = alert {
        for field in ALERT_LABELS {
            if let Some(value) = alert.get(field) {
                draft::add_label(&mut labels, field, value, &below(&alert_path, field))?;
            }
        }
        if let Some(signature) =
            draft::short_text(alert.get("signature"), &below(&alert_path, "signature"))?
        {
            name = signature;
        }
        severity = draft::short_text(alert.get("severity"), &below(&alert_path, "severity"))?;
    }
    let identity: BTreeMap<_, _> = IDENTITY
        .iter()
        .filter_map(|label| labels.get_key_value(*label))
        .map(|(label, value)| (label.clone(), value.clone()))
        .collect();
    Ok(vec![Draft {
        fingerprint: digest::fingerprint(&name, &identity),
        name,
        status: Status::Firing,
        severity,
        labels,
        annotations: BTreeMap::new(),
        value: None,
        starts_at: stamp(object.get("timestamp"), &below(path, "timestamp"))?,
        payload: payload(object),
    }])
}

/// EVE writes the zone without the colon that RFC 3339 wants: `2026-11-22T17:30:00.000000+0100`.
fn stamp(value: Option<&Value>, path: &str) -> Result<Option<WallTime>, Error> {
    let Some(mut text) = draft::short_text(value, path)? else {
        return Ok(None);
    };
    let zone = text.len().checked_sub(5).and_then(|at| text.get(at..));
    let is_plain = zone.is_some_and(|zone| {
        zone.starts_with(['+', '-']) && zone[1..].bytes().all(|digit| digit.is_ascii_digit())
    });
    if is_plain {
        text.insert(text.len() - 2, ':');
    }
    draft::rfc3339(&text, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn alert(src_port: u16, dest_port: u16) -> Value {
        json!({
            "timestamp": "2026-11-22T18:30:00.534255+0100", "flow_id": 1_842_305_551_134_u64,
            "in_iface": "eth0", "event_type": "alert", "vlan": [100, 7],
            "src_ip": "192.0.2.7", "src_port": src_port,
            "dest_ip": "198.51.100.9", "dest_port": dest_port, "proto": "TCP",
            "alert": {
                "action": "allowed", "gid": 1, "signature_id": 2_001_999, "rev": 9,
                "signature": "ET MALWARE Beacon", "category": "A Network Trojan was detected",
                "severity": 1,
            },
            "payload_printable": "GET / HTTP/1.1\r\n",
        })
    }

    fn one(record: &Value) -> Draft {
        read(record.as_object().unwrap(), "").unwrap().remove(0)
    }

    #[test]
    fn an_alert_gives_its_signature_and_the_five_tuple() {
        let event = one(&alert(49_152, 443));
        assert_eq!(event.name, "ET MALWARE Beacon");
        assert_eq!(event.severity.as_deref(), Some("1"));
        let labels =
            ["src_ip", "src_port", "dest_ip", "dest_port", "proto", "vlan", "signature_id"];
        let found: Vec<_> = labels.iter().map(|label| event.labels[*label].as_str()).collect();
        assert_eq!(found, ["192.0.2.7", "49152", "198.51.100.9", "443", "TCP", "100", "2001999"]);
        assert_eq!(event.starts_at.unwrap().to_string(), "2026-11-22T17:30:00.534255000Z");
    }

    #[test]
    fn the_port_that_was_spoken_to_counts_for_the_identity_and_the_other_does_not() {
        let first = one(&alert(49_152, 443)).fingerprint;
        assert_eq!(one(&alert(50_000, 443)).fingerprint, first);
        assert_ne!(one(&alert(49_152, 8443)).fingerprint, first);
    }

    #[test]
    fn another_record_is_called_by_its_type_and_a_wrong_time_has_its_place() {
        let event = one(&json!({ "event_type": "anomaly", "src_ip": "192.0.2.7" }));
        assert_eq!(event.name, "anomaly");
        let wrong = json!({ "event_type": "alert", "timestamp": "yesterday" });
        let error = read(wrong.as_object().unwrap(), "").unwrap_err().to_string();
        assert!(error.starts_with("timestamp: 'yesterday' is no time"), "{error}");
    }
}
