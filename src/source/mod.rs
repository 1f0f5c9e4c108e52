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
pub mod webhook;

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
}

/// Settings of one named source.
#[derive(Clone, Debug, PartialEq)]
pub enum Settings {
    Mqtt(mqtt::Settings),
    Webhook(webhook::Settings),
}
