//! The formats of events, without the clients that bring them.

use crate::model::{Event, Rejected};

#[expect(dead_code, reason = "the clients use more of it")]
#[path = "../../../src/source/format/mod.rs"]
pub mod format;

/// What a message held.
#[derive(Debug)]
pub enum Content {
    Events(Vec<Event>),
    Rejected(Rejected),
}
