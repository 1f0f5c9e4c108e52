//! What happened in a step, as expectations are held against it.

use std::time::Duration;

use crate::model::{CapturePlan, Decision, StopReason};

/// One decision.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    /// Since the start of the test.
    pub(super) at: Duration,
    /// Absent where no rule is concerned.
    pub(super) rule: Option<String>,
    pub(super) decision: Decision,
    /// Of the capture that began, or would have begun.
    pub(super) plan: Option<Box<CapturePlan>>,
}

/// A capture that ended.
#[derive(Clone, Debug)]
pub(super) struct Over {
    pub(super) rule: String,
    pub(super) reason: StopReason,
    /// How long after its trigger.
    pub(super) after: Duration,
}

/// All that a step made happen.
#[derive(Debug, Default)]
pub(super) struct Happened {
    /// On the step's events, in their order.
    pub(super) on_events: Vec<Happening>,
    /// By themselves, since the step before: a schedule, or what was waited for.
    pub(super) by_time: Vec<Happening>,
    pub(super) over: Vec<Over>,
}
