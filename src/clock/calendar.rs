//! Cron expressions on the wall clock of a time zone, as the crate reads them.
use super::WallTime;
use chrono::TimeZone;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq)]
pub struct Zone(chrono_tz::Tz);
impl Zone {
    pub fn parse(text: &str) -> Result<Self, String> {
        chrono_tz::Tz::from_str(text).map(Self).map_err(|e| e.to_string())
    }
}
#[derive(Clone, Debug, PartialEq)]
pub struct Cron(cron::Schedule);
impl Cron {
    pub fn parse(text: &str) -> Result<Self, String> {
        cron::Schedule::from_str(text).map(Self).map_err(|e| e.to_string())
    }
    pub fn next_after(&self, at: WallTime, zone: &Zone) -> Option<WallTime> {
        let at = zone.0.timestamp_nanos(at.as_nanos());
        self.0.after(&at).next()?.timestamp_nanos_opt().map(WallTime::from_nanos)
    }
    pub fn covers(&self, at: WallTime, zone: &Zone) -> bool {
        self.0.includes(zone.0.timestamp_nanos(at.as_nanos() / 1_000_000_000 * 1_000_000_000))
    }
}
