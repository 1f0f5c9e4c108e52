//! One notification to one notifier, with all that it says.

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{CaptureId, InterfaceTotals, NoticeId, State, StopReason, Totals, Window};

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Every file is stored and verified.
    Completed,
    /// Stored and verified, but the capture was cut short.
    Partial,
    /// The capture ended with an error.
    Failed,
}

impl Kind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

/// How the delivery of a notice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    Waiting,
    Delivered,
    /// Refused for good, or tried until the budget was used up.
    Dead,
}

/// One file, as a notice names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub object: String,
    /// Where people find it; the path in the spool where it could not be stored.
    pub location: String,
    pub size_bytes: u64,
    pub sha256: String,
    pub packets: u64,
    pub partial: bool,
}

/// What a notice says: the `data` of the CloudEvent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Body {
    pub capture: CaptureId,
    pub name: String,
    pub rule: String,
    pub incident: String,
    pub event: String,
    pub event_name: String,
    pub host: String,
    pub state: State,
    pub stop_reason: Option<StopReason>,
    pub error: Option<String>,
    pub trigger_at: WallTime,
    /// The window that the plan asked for, and the one that was captured.
    pub asked: Window,
    pub held: Option<Window>,
    /// `packets` is said aloud also when it is 0.
    pub totals: Totals,
    pub interfaces: Vec<InterfaceTotals>,
    pub coalesced_events: u64,
    pub storage: String,
    pub files: Vec<File>,
}

/// One row of the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The idempotency key: the same at every attempt.
    pub id: NoticeId,
    /// The name of the configured notifier.
    pub notifier: String,
    pub kind: Kind,
    pub created_at: WallTime,
    pub delivery: Delivery,
    pub body: Body,
}
