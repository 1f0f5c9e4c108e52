//! A test as it is told: what comes when, and what has to become of it.

use std::time::Duration;

use crate::clock::WallTime;
use crate::yaml::Place;

use super::event::Incoming;
use super::wanted::{Wanted, WantedEnd};

#[derive(Debug)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) start: WallTime,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) place: Place,
    /// Since the start.
    pub(super) at: Duration,
    pub(super) events: Vec<Incoming>,
    pub(super) expect: Vec<Wanted>,
    /// What begins by itself, since the step before.
    pub(super) captures: Vec<Wanted>,
    /// Absent: not looked at.
    pub(super) ended: Option<Vec<WantedEnd>>,
}
