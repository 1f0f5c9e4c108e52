//! One notification to one notifier, with all that it says.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{CaptureId, InterfaceTotals, NoticeId, State, StopReason, Totals, Window};

/// What a notice is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Every file is stored and verified.
    Completed,
    /// Stored and verified, but the capture was cut short.
    Partial,
    /// The capture ended with an error.
    Failed,
    /// The capture takes packets.
    Started,
    /// Events that matched a rule made no capture; summed up.
    Suppressed,
    /// A broker no longer has our session: what it held for us may be lost.
    UpstreamLoss,
}

impl Kind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Started => "started",
            Self::Suppressed => "suppressed",
            Self::UpstreamLoss => "upstream_loss",
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
    /// An address that opens without an account for a while, where the storage can make one. Made at
    /// each attempt; never kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// What a notice says: the `data` of the CloudEvent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Body {
    /// Of `Started`, `Completed`, `Partial` and `Failed`.
    Capture(Box<AboutCapture>),
    /// Of `Suppressed` and `UpstreamLoss`.
    Summary(Summary),
}

impl Body {
    /// What it says of a capture, where it is about one.
    pub const fn capture(&self) -> Option<&AboutCapture> {
        match self {
            Self::Capture(about) => Some(about),
            Self::Summary(_) => None,
        }
    }

    /// The host that says it.
    pub fn host(&self) -> &str {
        match self {
            Self::Capture(about) => &about.host,
            Self::Summary(summary) => &summary.host,
        }
    }

    /// What people call what it is about: the capture's name, the rule or the source.
    pub fn subject(&self) -> &str {
        match self {
            Self::Capture(about) => &about.name,
            Self::Summary(summary) => &summary.subject,
        }
    }
}

/// What happened between two instants, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The name of the rule or of the source.
    pub subject: String,
    pub host: String,
    pub from: WallTime,
    pub until: WallTime,
    /// A sentence for people.
    pub text: String,
    /// How many events, by the reason.
    pub counts: Vec<Counted>,
}

/// What was counted since the last summary of one rule or source, and has not been said yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsaid {
    /// `Suppressed` or `UpstreamLoss`.
    pub kind: Kind,
    /// The name of the rule or of the source.
    pub subject: String,
    /// When the first and the last of it came.
    pub since: WallTime,
    pub until: WallTime,
    /// The names of the notifiers that shall know.
    pub notify: BTreeSet<String>,
    /// How many events, by the reason.
    pub counts: BTreeMap<String, u64>,
}

/// How many events met one end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub reason: String,
    pub events: u64,
}

/// What a notice says of one capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AboutCapture {
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
    /// What its rule asks for and the event could not fill in, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
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
