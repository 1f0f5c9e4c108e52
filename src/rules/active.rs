//! When a rule is active, and when a schedule is due: cron expressions in a time zone.

use std::fmt;

use crate::clock::WallTime;
use crate::clock::calendar::{Cron, Zone};

/// The seconds at which a rule is active, on the wall clock of a zone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Active {
    /// One of them is enough.
    pub(super) crons: Vec<Cron>,
    pub(super) zone: Zone,
}

impl Active {
    pub(super) fn covers(&self, at: WallTime) -> bool {
        self.crons.iter().any(|cron| cron.covers(at, &self.zone))
    }
}

impl fmt::Display for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, cron) in self.crons.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{cron}")?;
        }
        write!(f, " ({})", self.zone)
    }
}

/// When a rule makes events of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Schedule {
    pub(super) cron: Cron,
    pub(super) zone: Zone,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cron, self.zone)
    }
}
