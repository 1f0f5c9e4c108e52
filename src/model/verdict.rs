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
    /// The rule matched, but no plan can be made of this event; the reason names the field.
    Refused { rule: String, reason: String },
}

impl Verdict {
    pub fn rule(&self) -> &str {
        match self {
            Self::Capture(proposal) => &proposal.plan.rule,
            Self::Resolved { rule, .. } | Self::Refused { rule, .. } => rule,
        }
    }
}

/// A plan, with what admission needs to know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub group: GroupKey,
    /// How long after a capture began the same group makes no other one.
    pub cooldown: Duration,
    pub plan: CapturePlan,
}

/// What is remembered of a group while its incident is open. Survives restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub key: GroupKey,
    pub rule: String,
    pub incident: IncidentId,
    /// The capture that the group's events belong to.
    pub capture: CaptureId,
    /// When its capture began.
    pub opened_at: WallTime,
    /// Until when no other capture is made, in wall time so that it means the same after a restart.
    pub cooldown_until: WallTime,
}
