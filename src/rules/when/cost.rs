//! What evaluating an expression can cost at most, over the largest event.
//!
//! A step is about what the evaluator does in 100 ns where it is optimised. The weights are measured:
//! the worst conditions that are taken last 1 to 5 ms (`the_worst_conditions_are_done_soon`).

use crate::rules::when::kind::Kind;

/// The most labels of an event, and the most annotations. Source: what the formats of events take.
pub(super) const MAX_ENTRIES: u64 = 128;

/// The longest text of an event, in bytes: the unit in which the sizes of texts are counted.
pub(super) const TEXT_BYTES: usize = 4_096;

/// The most steps of a condition: 4 ms.
pub(super) const MAX_STEPS: u64 = 40_000;

/// How deep macros may nest: the third level multiplies the cost by the number of labels again.
pub(super) const MAX_MACROS: usize = 2;

/// How deep an expression may nest once it is read. Evaluating takes some hundred bytes of stack
/// for a level, dropping it less.
pub(super) const MAX_DEPTH: usize = 48;

/// Going through a unit of text: comparing, measuring, converting.
pub(super) const READ: u64 = 2;

/// Copying a unit of text.
pub(super) const COPY: u64 = 4;

/// Looking for one text in another, for each unit.
pub(super) const FIND: u64 = 40;

/// Matching a regular expression, for each unit.
pub(super) const MATCH: u64 = 100;

/// What each round of a macro costs beside what stands in it.
pub(super) const ROUND: u64 = 6;

/// What is known of an expression before it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) kind: Kind,
    /// What its elements are, where it is a list.
    pub(super) item: Kind,
    pub(super) steps: u64,
    /// How much the value holds, in units of text; a number is one.
    pub(super) size: u64,
    /// How many elements it has, where it is a list.
    pub(super) len: u64,
}

impl Bound {
    /// A value that is at hand.
    pub(super) fn value(kind: Kind) -> Self {
        Self { kind, item: Kind::Any, steps: 1, size: 1, len: 0 }
    }

    /// A value that took so many steps.
    pub(super) fn after(kind: Kind, steps: u64) -> Self {
        Self { steps: steps.saturating_add(1), ..Self::value(kind) }
    }
}
