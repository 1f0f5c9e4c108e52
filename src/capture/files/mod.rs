//! The files of captures: what they are called, what is in them, how they get to the disk, and what
//! a crash leaves of them.
//!
//! ```text
//! series -> segment -> output -> writer -> the disk   recovery: parts after a crash -> partial files
//!    \-- full --> sealing -> a whole file
//! ```
//!
//! Knows packets as blocks that are ready to be written; nothing of rings, filters and windows.
//! Invariant: under its final name a file is synced and whole, or says that it is partial.

mod aligned;
mod digest;
mod format;
mod names;
mod output;
mod recovery;
mod sealing;
mod segment;
mod series;
mod writer;

pub(super) use format::{Beginning, Described, statistics};
pub(super) use names::Names;
pub use names::segment_of;
pub use recovery::seal_leftovers;
pub(super) use series::{Ended, Put, Series, Target};
