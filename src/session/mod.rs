//! The session machine: every capture's state, admission, uploads and notices in their order.
//!
//! Pure and synchronous: [`Machine::apply`] takes one [`Input`] and the time, changes the state and
//! says as [`Effects`] what has to be kept and done; [`Machine::settle`], once after each batch of inputs,
//! leaves the state clean (what changed is persisted, what is due is started). It owns all the
//! state there is and does no I/O, so a scripted history is a test, and the same history cut after
//! any effect and restored from the journal is a crash test (`tests/sim.rs`).
//!
//! It must not know how packets are captured, where files go, or how the journal keeps things.
//!
//! Invariant: whoever carries out the effects makes every change of a batch durable before any
//! action of it, and before an event of it is acknowledged.

mod admission;
mod attempts;
mod closing;
mod effect;
mod health;
mod input;
mod machine;
mod restore;
mod transfer;

use std::time::Duration;

pub use effect::{Action, Effects};
pub use input::{Failure, Input};
pub use machine::Machine;

/// The ceilings that no rule passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// The longest that a capture goes on after its trigger.
    pub duration: Duration,
    /// The most that one capture's files hold.
    pub bytes: u64,
    /// Captures at one time.
    pub concurrent: usize,
    /// Captures that begin within any 60 minutes.
    pub captures_per_hour: usize,
}
