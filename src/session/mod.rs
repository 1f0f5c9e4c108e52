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
mod by_hand;
mod closing;
mod decide;
mod effect;
mod health;
mod input;
mod machine;
mod outgoing;
mod placing;
mod progress;
mod propose;
mod quota;
mod restore;
mod room;
mod settings;
mod states;
mod summaries;
mod transfer;
mod waits;

#[cfg(test)]
mod samples;

pub use by_hand::{NotCreated, Redriven};
pub use effect::{Action, Effects};
pub use input::{Failure, Input, Space};
pub use machine::Machine;
pub use placing::local_file_of;
pub use settings::{Ceilings, FreeDisk, Settings, UPLOAD_BUDGET, usual_kinds};
