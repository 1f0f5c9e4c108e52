//! How a rule stands, for people who ask why it did or did not capture.

use std::time::Duration;

use crate::clock::WallTime;
use crate::model::CaptureId;

/// How one rule stands at one instant. Its default is a rule of which nothing is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleState {
    /// Groups that wait by `for` or `times`.
    pub waiting: usize,
    /// When the first of those that wait by `for` has waited long enough.
    pub next_due: Option<WallTime>,
    /// Groups for which another capture begins after the one that runs.
    pub queued: usize,
    /// Groups whose cooldown is not over.
    pub in_cooldown: usize,
    /// The longest of these cooldowns goes on for so long.
    pub cooldown_left: Option<Duration>,
    /// Only of a rule with `max_captures` that has begun a capture, or has been asked for one, since
    /// the begins that count.
    pub quota: Option<QuotaUse>,
    /// Its captures that take packets, oldest first.
    pub running: Vec<CaptureId>,
}

/// How much of its `max_captures` a rule has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaUse {
    /// Begins that count now.
    pub counted: u32,
    /// As many are allowed.
    pub max: u32,
    /// How long until one of those that count counts no longer; absent where none does.
    pub next_free: Option<Duration>,
}

/// The last word on an event of a rule, or on what waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastDecision {
    pub rule: String,
    pub at: WallTime,
    /// [`Decision::word`](crate::model::Decision::word).
    pub decision: String,
    /// [`Decision::reason`](crate::model::Decision::reason).
    pub reason: String,
}
