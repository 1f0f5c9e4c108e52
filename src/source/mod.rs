//! Where events come from: bytes off the wire become [`Event`]s, and nothing is acknowledged before
//! the journal has them.
//!
//! A source gives each message to the worker as a [`Delivery`] and acknowledges it to its sender
//! (PUBACK, 2xx) only when the worker has answered through `done`, which happens after the commit.
//! A `done` that is dropped means: not recorded, do not acknowledge.
//! Knows nothing of rules or captures.

pub mod format;
pub mod mqtt;
mod receivers;
pub mod schedule;
pub mod webhook;

use std::time::Duration;

use tokio::sync::oneshot;

pub use receivers::Receivers;

use crate::model::{Event, Outcome, Rejected};

/// One message: its events, or why it is none, and the way back.
#[derive(Debug)]
pub struct Delivery {
    pub content: Content,
    /// Told the recorded outcomes once they are durable.
    pub done: oneshot::Sender<Vec<Outcome>>,
}

/// What a message held.
#[derive(Debug)]
pub enum Content {
    /// One payload may carry many events; an empty list is a message that says nothing.
    Events(Vec<Event>),
    /// Poison: recorded with its digest and acknowledged, so that it blocks nothing behind it.
    Rejected(Rejected),
    /// A broker has accepted a connection of the source of this name. It comes before every message of that
    /// connection, and is durable before the first one is asked for.
    Session {
        source: String,
        /// Which session this is about: the broker's address and the client id. Another key is
        /// another session, and says nothing about this one.
        key: String,
        /// Whether the broker still had it. What came while it had it not is lost to us.
        present: bool,
    },
}

/// Settings of one named source.
#[derive(Clone, Debug, PartialEq)]
pub enum Settings {
    Mqtt(mqtt::Settings),
    Webhook(webhook::Settings),
}

impl Settings {
    /// How old an event may be, by its own time, to be acted on; absent: any age.
    pub const fn max_event_age(&self) -> Option<Duration> {
        match self {
            Self::Mqtt(settings) => settings.max_event_age,
            Self::Webhook(settings) => settings.max_event_age,
        }
    }
}
