//! Why a rule acts on an event, or does not.

use serde::{Deserialize, Serialize};

use crate::model::Verdict;

/// One rule's word on one event, with all that it asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub rule: String,
    /// In the order in which they decide.
    pub steps: Vec<Step>,
    /// The first of the steps that did not hold.
    pub failed: Option<usize>,
    /// As the rules tell it of the event; absent where the rule says nothing.
    pub verdict: Option<Verdict>,
}

/// One condition of a rule, asked of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was asked, as the rule has it: `match severity = "critical"`.
    pub condition: String,
    /// Absent where it is not asked of such an event.
    pub held: Option<bool>,
    /// What the event has there, or why it was not asked. The event's text is escaped and cut.
    pub saw: String,
}
