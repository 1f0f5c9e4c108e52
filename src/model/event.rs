//! One alert or metric sample, normalised.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::EventId;

/// The most of an event's original text that is kept, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// Whether what the event reports is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Firing,
    Resolved,
}

/// One alert or metric sample in our own form, whatever it arrived as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    /// The name of the configured source that it came through.
    pub source: String,
    /// What it is called: `alertname`, a metric's or a rule's name.
    pub name: String,
    pub status: Status,
    pub severity: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// The measured value, where it carries one.
    pub value: Option<f64>,
    /// When the sender says that it began.
    pub starts_at: Option<WallTime>,
    /// When we read it off the wire: the trigger instant of a capture.
    pub received_at: WallTime,
    /// What makes it the same alert again: the sender's fingerprint, or a hash of its identity.
    pub fingerprint: String,
    /// The original JSON of this one event, at most [`MAX_PAYLOAD_BYTES`]; longer ones are cut.
    pub payload: String,
}

impl Event {
    /// The label that a matcher or a placeholder names. `alertname` and `severity` fall back to the
    /// event's own fields, so that rules read the same for every format. Missing is the empty text,
    /// as in Alertmanager.
    pub fn label(&self, name: &str) -> &str {
        match (self.labels.get(name), name) {
            (Some(value), _) => value,
            (None, "alertname") => &self.name,
            (None, "severity") => self.severity.as_deref().unwrap_or_default(),
            (None, _) => "",
        }
    }
}

/// A message that no event could be made of: recorded and acknowledged, so that it blocks nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    pub id: EventId,
    pub source: String,
    pub received_at: WallTime,
    /// What is wrong with it, and where.
    pub reason: String,
    /// SHA-256 of the whole message, in hexadecimal.
    pub sha256: String,
    pub size_bytes: u64,
    /// Its first bytes, control characters escaped, at most 256 characters.
    pub head: String,
}
