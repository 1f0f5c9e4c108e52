//! Events of a fixture, before the clock says when they come.

use std::collections::BTreeMap;

use crate::clock::WallTime;
use crate::model::{Event, EventId, Status};
use crate::source::Content;
use crate::source::format::Format;

use super::moment::Moment;

/// What comes at a step.
#[derive(Debug)]
pub(super) enum Incoming {
    /// An event in our own words.
    Event(Box<Draft>),
    /// A message of a producer.
    Message { source: String, format: Box<Format>, body: Vec<u8> },
}

/// An event that waits for its instant.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) source: String,
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) severity: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) value: Option<f64>,
    pub(super) starts_at: Option<Moment>,
    pub(super) fingerprint: Option<String>,
}

impl Incoming {
    /// The events of it, as its source would give them now. `noise` goes into identifiers.
    pub(super) fn arrive(&self, start: WallTime, now: WallTime, noise: [u64; 2]) -> Content {
        match self {
            Self::Message { source, format, body } => format.decode(source, body, now),
            Self::Event(draft) => Content::Events(vec![draft.arrive(start, now, noise)]),
        }
    }
}

impl Draft {
    fn arrive(&self, start: WallTime, now: WallTime, noise: [u64; 2]) -> Event {
        // As the formats have it: who sends no fingerprint is known by its name and labels.
        let identity = || format!("{} {:?}", self.name, self.labels);
        Event {
            id: EventId::mint(now, noise),
            source: self.source.clone(),
            name: self.name.clone(),
            status: self.status,
            severity: self.severity.clone(),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            value: self.value,
            starts_at: self.starts_at.map(|moment| moment.resolve(start)),
            received_at: now,
            fingerprint: self.fingerprint.clone().unwrap_or_else(identity),
            payload: String::new(),
        }
    }
}
