//! The event as a capture file shows it: JSON without the payload, bounded.
//!
//! Not known here: who keeps it. It is made for the events of which a plan is kept, and not for the
//! many of a storm that begin nothing.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::WallTime;
use crate::model::{Event, EventId, Status};

/// The most bytes of JSON that one event's labels and annotations take in a file's comment, whose
/// own bound is 64 KiB. Source: pcapng, section 3.5 (options have a 16-bit length).
const MAX_PAIRS_BYTES: usize = 16 * 1024;

/// The most characters of each text beside them.
const MAX_TEXT_CHARS: usize = 256;

/// What is shown of an event.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a EventId,
    source: String,
    name: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<String>,
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<WallTime>,
    received_at: WallTime,
    fingerprint: String,
    /// How many labels and annotations found no room.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Event {
    /// The event as JSON for [`CapturePlan::event_json`]: never empty, less than 24 KiB. Labels come
    /// before annotations; those that would pass the bound are left out, and counted.
    ///
    /// [`CapturePlan::event_json`]: crate::model::CapturePlan::event_json
    pub fn shown(&self) -> String {
        let mut room = MAX_PAIRS_BYTES;
        let mut left_out = 0;
        let mut keep = |pairs: &std::collections::BTreeMap<String, String>| {
            let mut kept = Map::new();
            for (key, value) in pairs {
                let size = json_len(key) + json_len(value) + 2;
                if size <= room {
                    room -= size;
                    kept.insert(key.clone(), Value::String(value.clone()));
                } else {
                    left_out += 1;
                }
            }
            kept
        };
        let (labels, annotations) = (keep(&self.labels), keep(&self.annotations));
        let shown = Shown {
            id: &self.id,
            source: clip(&self.source),
            name: clip(&self.name),
            status: self.status,
            severity: self.severity.as_deref().map(clip),
            labels,
            annotations,
            value: self.value,
            starts_at: self.starts_at,
            received_at: self.received_at,
            fingerprint: clip(&self.fingerprint),
            left_out,
        };
        serde_json::to_string(&shown).expect("maps with text keys always become JSON")
    }
}

/// The bytes of a text as JSON; a text much longer than the bound is not written out for it.
fn json_len(text: &str) -> usize {
    if text.len() > MAX_PAIRS_BYTES {
        return text.len();
    }
    serde_json::to_string(text).map_or(usize::MAX / 4, |json| json.len())
}

fn clip(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: EventId::from_text("0event"),
            source: "plant".to_owned(),
            name: "Named".to_owned(),
            status: Status::Firing,
            severity: None,
            labels: [("peer".to_owned(), "10.0.0.7".to_owned())].into(),
            annotations: [].into(),
            value: None,
            starts_at: None,
            received_at: WallTime::from_nanos(60_000_000_000),
            fingerprint: "f00d".to_owned(),
            payload: String::new(),
        }
    }

    #[test]
    fn the_event_is_shown_without_its_payload() {
        let mut event = event();
        event.payload = "secret original".to_owned();
        let shown: Value = serde_json::from_str(&event.shown()).unwrap();
        assert_eq!(shown["labels"]["peer"], "10.0.0.7");
        assert_eq!(shown["status"], "firing");
        assert_eq!(shown.get("payload"), None);
        assert_eq!(shown.get("left_out"), None);
    }

    #[test]
    fn a_large_event_stays_valid_json_under_the_bound() {
        let mut event = event();
        event.name = "\u{1}".repeat(100_000);
        for number in 0..1_000 {
            event.annotations.insert(format!("a{number}"), "\u{1}".repeat(1_000));
        }
        let json = event.shown();
        assert!(json.len() < 24 * 1024, "{}", json.len());
        let shown: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(shown["labels"]["peer"], "10.0.0.7");
        assert!(shown["left_out"].as_u64().unwrap() > 900);
    }
}
