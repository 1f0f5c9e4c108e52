//! What the rules make of one event, before anything that has state is asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{CaptureId, CapturePlan, GroupKey, IncidentId};

/// One matching rule's word on one event. A rule that does not match says nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Capture, if the session's state allows it.
    Capture(Box<Proposal>),
    /// The event is the end of the alert: nothing to capture.
    Resolved { rule: String, group: GroupKey },
    /// Only said by a rule that waits before it captures: its matchers hold and its condition does
    /// not, so that the group has to begin anew.
    Unmet { rule: String, group: GroupKey },
    /// The rule matched at a time at which it is not active.
    Inactive { rule: String, notify: Vec<String> },
    /// The rule matched, but nothing can be made of this event; the reason names the field.
    Refused { rule: String, notify: Vec<String>, cause: Refusal, reason: String },
}

/// What a rule could not make of an event that its matchers let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its condition has no truth value for this event.
    Condition,
    /// A place of the plan cannot be filled from it.
    Plan,
}

impl Refusal {
    /// One word, for counters and summaries.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Condition => "condition_error",
            Self::Plan => "refused",
        }
    }
}

impl Verdict {
    pub fn rule(&self) -> &str {
        match self {
            Self::Capture(proposal) => &proposal.plan.rule,
            Self::Resolved { rule, .. }
            | Self::Unmet { rule, .. }
            | Self::Inactive { rule, .. }
            | Self::Refused { rule, .. } => rule,
        }
    }
}

/// A plan, with what admission needs to know about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    pub group: GroupKey,
    pub policy: Policy,
    pub plan: CapturePlan,
}

/// When a rule's matching event makes a capture, and how many it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `for`: the group has to go on so long, from its first event, without an end of the alert. With
    /// [`times`](Self::times) as well, what comes first is enough. Absent, both: the first event is.
    pub hold: Option<Duration>,
    pub times: Option<Times>,
    /// How long after a capture began the same group makes no other one.
    pub cooldown: Duration,
    /// Of the rule, over all its groups.
    pub max_captures: Option<Quota>,
    pub while_running: WhileRunning,
    /// Decide, record and tell, and capture nothing.
    pub dry_run: bool,
    /// The plan's look-back begins at an instant that the event names: a capture that begins later than
    /// its event arrived reaches back further by as much.
    #[serde(default)]
    pub from_start: bool,
}

/// How often a group has to come: so many events, the newest included, within so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// 2 to [`MAX_TIMES`](Self::MAX_TIMES).
    pub count: u32,
    pub within: Duration,
}

impl Times {
    /// Each instant of the last `count` is remembered.
    pub const MAX_TIMES: u32 = 1_000;
}

/// How many captures a rule may begin within any such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// 1 to [`MAX_COUNT`](Self::MAX_COUNT).
    pub count: u32,
    /// At most [`MAX_PER`](Self::MAX_PER).
    pub per: Duration,
}

impl Quota {
    /// The begin of each is remembered.
    pub const MAX_COUNT: u32 = 1_000;
    /// 31 days: the begins are remembered as long.
    pub const MAX_PER: Duration = Duration::from_secs(31 * 86_400);
}

/// What another event of a group does to the capture that runs for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhileRunning {
    /// The capture goes on for its whole duration from that event on, and not beyond `up_to` after its
    /// trigger.
    Extend { up_to: Duration },
    /// Nothing: the event is counted as one of the capture's.
    #[default]
    Ignore,
    /// Once the capture has ended and the cooldown is over, another one begins; the newest event of
    /// those that came meanwhile counts for it.
    Queue,
}

/// What is remembered of a group while its incident is open. Survives restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub key: GroupKey,
    pub rule: String,
    pub incident: IncidentId,
    /// The capture that the group's events belong to; absent where a rule is only tried out.
    pub capture: Option<CaptureId>,
    /// When its capture began, or would have begun.
    pub opened_at: WallTime,
    /// Until when no other capture is made, in wall time so that it means the same after a restart.
    pub cooldown_until: WallTime,
}

/// What a group waits for that is no open incident, or is not over with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// That it goes on, or comes often enough: [`Policy::hold`], [`Policy::times`].
    Hold,
    /// That its capture has ended and the cooldown is over: [`WhileRunning::Queue`].
    Queue,
}

/// A group that waits, and what begins then. Survives restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    pub wait: Wait,
    /// When its first event came.
    pub since: WallTime,
    /// Of the newest event, or of one that came shortly before it.
    pub proposal: Proposal,
}

/// One capture of a rule with `max_captures` began. Survives restarts, and the capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    pub rule: String,
    pub at: WallTime,
    /// What the rule allowed then.
    pub quota: Quota,
    /// It would have begun, and the rule was only tried out.
    pub dry_run: bool,
}
