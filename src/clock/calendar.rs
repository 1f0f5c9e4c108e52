//! Calendars: when a cron expression comes round in a time zone.
//!
//! The one place that meets the crates for cron and time zones. A cron expression is about what
//! clocks on the wall show; it is followed there, as if they were never set, and only then mapped
//! to instants by the rule of [`Cron::next_after`]. Reads no clock: the time is handed in.

mod fields;
mod zone;

use std::fmt;

use chrono::{DateTime, NaiveDateTime, TimeDelta};
use cron::{Schedule, TimeUnitSpec};

use super::WallTime;
pub use zone::Zone;

/// A cron expression: seconds, minutes, hours, days of the month, months, weekdays and, if wanted,
/// years. Weekdays count from 1, Sunday; a day has to fit both the month's and the week's field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron(Schedule);

impl Cron {
    /// Reads an expression of 6 or 7 fields, or one of `@hourly`, `@daily`, `@weekly`, `@monthly`
    /// and `@yearly`.
    ///
    /// # Errors
    ///
    /// For people: which field is wrong and what it takes, or that the day never comes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let spaced = fields::check(text)?;
        let schedule: Schedule = spaced
            .parse()
            .map_err(|error| format!("'{text}' is not a cron expression: {error}"))?;
        let cron = Self(schedule);
        if cron.shown_after(DateTime::UNIX_EPOCH.naive_utc() - TimeDelta::seconds(1)).is_none() {
            return Err(format!("'{text}' never comes: no month has such a day"));
        }
        Ok(cron)
    }

    /// The first instant after `at` at which the expression comes round; none after the year 2100.
    ///
    /// Where clocks are set forward, what falls into the gap happens once, when it ends. Where they
    /// are set back, hours come twice: then it happens in the first pass only. Both is so for an
    /// expression that names hours; one for every hour goes on as time does.
    pub fn next_after(&self, at: WallTime, zone: &Zone) -> Option<WallTime> {
        let wall = zone.wall(at);
        let Some(overlap) = zone.overlap(at) else {
            return self.first(zone, self.shown_after(wall)?);
        };
        if self.names_hours() {
            let second = TimeDelta::seconds(1);
            let after = if overlap.second { overlap.to - second } else { wall };
            return self.first(zone, self.shown_after(after)?);
        }
        let mut next = self.shown_after(wall)?;
        if !overlap.second {
            if next < overlap.to {
                return self.first(zone, next);
            }
            next = self.shown_after(overlap.from - TimeDelta::seconds(1))?;
        }
        if next < overlap.to { zone.last(next) } else { self.first(zone, next) }
    }

    /// The first instant at which a clock shows `wall`, which is one of the expression's seconds, or
    /// what stands for it where no clock does.
    fn first(&self, zone: &Zone, wall: NaiveDateTime) -> Option<WallTime> {
        match zone.end_of_gap(wall) {
            Some(end) if !self.names_hours() => {
                zone.first(self.shown_after(end - TimeDelta::seconds(1))?)
            }
            Some(_) | None => zone.first(wall),
        }
    }

    /// Whether a clock in the zone shows at `at` one of the expression's seconds.
    pub fn covers(&self, at: WallTime, zone: &Zone) -> bool {
        self.0.includes(zone.wall(at).and_utc())
    }

    /// Whether the expression names hours, instead of being for each of them.
    fn names_hours(&self) -> bool {
        !self.0.hours().is_all()
    }

    /// What clocks show when it comes round next after they showed `wall`, were they never set.
    fn shown_after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        self.0.after(&wall.and_utc()).next().map(|next| next.naive_utc())
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.source())
    }
}

#[cfg(test)]
mod tests;
