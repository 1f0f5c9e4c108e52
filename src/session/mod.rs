//! The session machine: every capture's state, admission and deadlines. Pure.

use std::time::Duration;

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
