//! What the journal is asked to keep: all that a restart needs, as one value for each change.

use crate::model::{Capture, Group, GroupKey, Notice, Outcome, Rejected};

/// One change of the durable state. A batch of them is one transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An event reached its outcome at a rule; also counts it.
    Outcome(Outcome),
    /// A message was not an event; its outcome is a change of its own.
    Rejected(Rejected),
    /// The capture, with its segments, is as given.
    Capture(Box<Capture>),
    /// The notice is as given.
    Notice(Box<Notice>),
    /// The group is as given.
    Group(Group),
    /// The group's incident is closed.
    GroupClosed(GroupKey),
}

impl Change {
    /// The outcome that it records, if it records one.
    pub const fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Outcome(outcome) => Some(outcome),
            Self::Rejected(_)
            | Self::Capture(_)
            | Self::Notice(_)
            | Self::Group(_)
            | Self::GroupClosed(_) => None,
        }
    }
}
