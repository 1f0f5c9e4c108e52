//! When a rule is active, and when a schedule is due: cron expressions in a time zone.

use crate::clock::WallTime;
use crate::clock::calendar::{Cron, Zone};

/// The seconds at which a rule is active, on the wall clock of a zone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Active {
    /// One of them is enough.
    pub(super) crons: Vec<Cron>,
    pub(super) zone: Zone,
    /// As people read it.
    pub(super) text: String,
}

impl Active {
    pub(super) fn covers(&self, at: WallTime) -> bool {
        self.crons.iter().any(|cron| cron.covers(at, &self.zone))
    }
}

/// When a rule makes events of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Schedule {
    pub(super) cron: Cron,
    pub(super) zone: Zone,
    /// As people read it.
    pub(super) text: String,
}

/// A cron expression or several of them, with their zone, as people read it.
pub(super) fn text_of<'a>(crons: impl IntoIterator<Item = &'a str>, zone: &str) -> String {
    let crons: Vec<&str> = crons.into_iter().collect();
    format!("{} ({zone})", crons.join("; "))
}
