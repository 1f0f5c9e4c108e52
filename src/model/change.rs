//! What the journal is asked to keep: all that a restart needs, as one value for each change.

use crate::clock::WallTime;
use crate::model::{
    Audit, Begun, Capture, CaptureId, Decision, Group, GroupKey, Kind, Notice, Outcome, Rejected,
    Transfer, Unsaid, Waiting,
};

/// One change of the durable state. A batch of them is one transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An event reached its outcome at a rule; also counts it.
    Outcome(Outcome),
    /// A message was not an event; its outcome is a change of its own.
    Rejected(Rejected),
    /// The capture, with its segments, is as given.
    Capture(Box<Capture>),
    /// The capture is kept no more. Its stored files stay known.
    CaptureGone(CaptureId),
    /// The notice is as given.
    Notice(Box<Notice>),
    /// The group is as given.
    Group(Group),
    /// The group's incident is closed.
    GroupClosed(GroupKey),
    /// The group waits, as given.
    Waiting(Box<Waiting>),
    /// The events that count for `times` of a group that waits came then; all of them.
    Seen { group: GroupKey, at: Vec<WallTime> },
    /// The group waits no longer.
    WaitingGone(GroupKey),
    /// What a group of this rule waited for came, and this was decided then. No event's outcome.
    CameDue { rule: String, at: WallTime, decision: Decision },
    /// A capture of a rule with `max_captures` began.
    Begun(Begun),
    /// The upload of a segment in parts is as given.
    Transfer(Box<Transfer>),
    /// No upload of this segment in parts is under way.
    TransferGone { capture: CaptureId, index: u32 },
    /// A broker holds a session of ours under this key.
    BrokerSession(String),
    /// What a summary will say is as given.
    Unsaid(Box<Unsaid>),
    /// The summary is on its way: its notices are changes of the same batch.
    Said { kind: Kind, subject: String },
    /// A call that changes something was made.
    Audit(Audit),
    /// The object of a storage was removed because it was kept long enough.
    FileGone { storage: String, object: String },
}

impl Change {
    /// The outcome that it records, if it records one.
    pub const fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Outcome(outcome) => Some(outcome),
            Self::Rejected(_)
            | Self::Capture(_)
            | Self::CaptureGone(_)
            | Self::Notice(_)
            | Self::Group(_)
            | Self::GroupClosed(_)
            | Self::Waiting(_)
            | Self::Seen { .. }
            | Self::WaitingGone(_)
            | Self::CameDue { .. }
            | Self::Begun(_)
            | Self::Transfer(_)
            | Self::TransferGone { .. }
            | Self::BrokerSession(_)
            | Self::Unsaid(_)
            | Self::Said { .. }
            | Self::Audit(_)
            | Self::FileGone { .. } => None,
        }
    }
}
