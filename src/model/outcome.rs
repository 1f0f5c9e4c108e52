//! What became of an event: promise P2, one recorded outcome for each rule that it concerned.

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{CaptureId, Event, EventId};

/// Why a matching event made no capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    /// The group's cooldown is not over.
    Cooldown,
    /// As many captures run as the ceiling allows.
    ConcurrentCeiling,
    /// As many captures began in the last hour as the ceiling allows.
    HourlyCeiling,
    /// What the captures may still write together would not fit into the spool.
    SpoolCeiling,
    /// What the captures may still write together would leave less free on the disk than is asked.
    DiskCeiling,
    /// The rule began as many captures as its `max_captures` allows.
    MaxCaptures,
    /// The rule is not active at this time.
    Inactive,
    /// What the rule waited for held no longer.
    Unmet,
    /// As many groups wait as are remembered.
    GroupCeiling,
    /// The event says that the alert is over.
    Resolved,
}

impl Suppression {
    /// One word, for counters and summaries.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Cooldown => "cooldown",
            Self::ConcurrentCeiling => "concurrent_ceiling",
            Self::HourlyCeiling => "hourly_ceiling",
            Self::SpoolCeiling => "spool_ceiling",
            Self::DiskCeiling => "disk_ceiling",
            Self::MaxCaptures => "max_captures",
            Self::Inactive => "inactive",
            Self::Unmet => "unmet",
            Self::GroupCeiling => "group_ceiling",
            Self::Resolved => "resolved",
        }
    }

    /// The sentence that people read.
    pub const fn sentence(&self) -> &'static str {
        match self {
            Self::Cooldown => "the group's cooldown is not over",
            Self::ConcurrentCeiling => "as many captures run as ceilings.concurrent allows",
            Self::HourlyCeiling => {
                "as many captures began in the last hour as ceilings.captures_per_hour allows"
            }
            Self::SpoolCeiling => {
                "with what the running captures may still write it would not fit into \
                 ceilings.spool"
            }
            Self::DiskCeiling => {
                "with what the running captures may still write it would leave less of the disk \
                 free than ceilings.free_disk asks"
            }
            Self::MaxCaptures => "the rule has begun as many captures as its max_captures allows",
            Self::Inactive => "the rule is not active at this time",
            Self::Unmet => "what the rule waits for does not hold any longer",
            Self::GroupCeiling => "more groups wait than the worker remembers",
            Self::Resolved => "the event says that the alert is over",
        }
    }
}

/// What an event of a rule that waits before it captures has led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// A capture begins then, if the group goes on until then.
    Until(WallTime),
    /// A capture begins once so many have come in time.
    Seen { seen: u32, of: u32 },
}

/// What was decided on one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It began a capture.
    Capture(CaptureId),
    /// It belongs to the incident of a capture that runs.
    Coalesced(CaptureId),
    /// It belongs to the incident of a capture that runs, and lets it run longer.
    Extended(CaptureId),
    /// Another capture begins after this one.
    Queued(CaptureId),
    /// Its rule waits before it captures.
    Held(Hold),
    /// It would have begun a capture, and the rule is only tried out.
    DryRun,
    Suppressed(Suppression),
    /// A rule matched, but no plan could be made of the event.
    Refused(String),
    /// A rule matched, but the event is older than its source lets pass.
    Expired {
        /// How old it was when it came, in seconds.
        age_s: u64,
    },
    /// No event: the broker of a source no longer had our session, so that events may be lost.
    UpstreamLoss,
    /// No rule matched.
    NoMatch,
    /// It is no event: see [`Rejected`](crate::model::Rejected).
    Rejected(String),
}

impl Decision {
    /// One word, for counters and tables.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Capture(_) => "capture",
            Self::Coalesced(_) => "coalesced",
            Self::Extended(_) => "extended",
            Self::Queued(_) => "queued",
            Self::Held(_) => "held",
            Self::DryRun => "dry_run",
            Self::Suppressed(_) => "suppressed",
            Self::Refused(_) => "refused",
            Self::Expired { .. } => "expired",
            Self::UpstreamLoss => "upstream_loss",
            Self::NoMatch => "no_match",
            Self::Rejected(_) => "rejected",
        }
    }

    /// Why, as people read it; empty where the word says it all.
    pub fn reason(&self) -> String {
        match self {
            Self::Capture(_) | Self::NoMatch => String::new(),
            Self::Coalesced(capture) => format!("belongs to capture {capture}"),
            Self::Extended(capture) => format!("capture {capture} runs longer for it"),
            Self::Queued(capture) => format!("another capture begins after {capture}"),
            Self::Held(Hold::Until(due)) => format!("a capture begins at {due} if it goes on"),
            Self::Held(Hold::Seen { seen, of }) => {
                format!("it came {seen} times, and {of} times within `times.within` are needed")
            }
            Self::DryRun => "the rule is only tried out: it would have captured".to_owned(),
            Self::Suppressed(why) => why.sentence().to_owned(),
            Self::Expired { age_s } => {
                format!("it came {age_s} s after it was made, and max_event_age is less")
            }
            Self::UpstreamLoss => {
                "the broker no longer had our session; what it held for us may be lost".to_owned()
            }
            Self::Refused(why) | Self::Rejected(why) => why.clone(),
        }
    }
}

/// The recorded end of one event at one rule (or at none).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub event: EventId,
    pub at: WallTime,
    pub source: String,
    /// The event's name; empty for what was rejected.
    pub name: String,
    /// The event's fingerprint; for what was rejected, the SHA-256 of the message.
    pub fingerprint: String,
    /// Absent where no rule matched.
    pub rule: Option<String>,
    pub decision: Decision,
}

impl Outcome {
    pub fn new(event: &Event, rule: Option<&str>, decision: Decision) -> Self {
        Self {
            event: event.id.clone(),
            at: event.received_at,
            source: event.source.clone(),
            name: event.name.clone(),
            fingerprint: event.fingerprint.clone(),
            rule: rule.map(str::to_owned),
            decision,
        }
    }
}

/// How often one decision was made for one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Empty where no rule matched.
    pub rule: String,
    /// [`Decision::word`].
    pub decision: String,
    pub count: u64,
}
