//! What an earlier run left, as a restart takes it up.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::WallTime;
use crate::model::{Begun, Capture, CaptureId, Group, GroupKey, Notice, Transfer, Unsaid, Waiting};

/// What the worker takes up again after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// Those that have not ended, and those with segments that are not yet stored and retired;
    /// oldest first.
    pub captures: Vec<Capture>,
    /// Those that wait for their delivery; oldest first.
    pub notices: Vec<Notice>,
    /// Every group whose incident is open.
    pub groups: Vec<Group>,
    /// Every group that waits.
    pub waiting: Vec<Waiting>,
    /// When the events came that count for `times`, of each group that waits.
    pub seen: BTreeMap<GroupKey, Vec<WallTime>>,
    /// Of each rule with `max_captures` the begins that may count, oldest first.
    pub begun: Vec<Begun>,
    /// When the captures of the last 60 minutes were created; oldest first.
    pub began: Vec<WallTime>,
    /// Uploads in parts that are not at their end.
    pub transfers: Vec<Transfer>,
    /// The broker sessions that we have had.
    pub sessions: BTreeSet<String>,
    /// What was counted and not yet said.
    pub unsaid: Vec<Unsaid>,
    /// The names of all captures that are kept and not deleted.
    pub names: BTreeMap<String, CaptureId>,
}
