//! The only reader of time.
//!
//! Two clocks that are never mixed: [`BootTime`] (CLOCK_BOOTTIME: monotonic, counts suspend) for
//! deadlines and durations, [`WallTime`] (CLOCK_REALTIME) for names, labels and packet stamps.
//! Decisions get a [`Now`] handed in, so that a test can be at any time it likes.

pub mod calendar;

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Nanoseconds in a second.
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub boot: BootTime,
    pub wall: WallTime,
}

/// Reads both clocks.
pub fn now() -> Now {
    Now { boot: boot_time(), wall: wall_time() }
}

/// Reads CLOCK_BOOTTIME.
pub fn boot_time() -> BootTime {
    BootTime(read(ClockId::CLOCK_BOOTTIME))
}

/// Reads CLOCK_REALTIME.
pub fn wall_time() -> WallTime {
    let since_epoch = read(ClockId::CLOCK_REALTIME);
    WallTime::from_nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock)
        .map(Duration::from)
        .expect("clock_gettime(2) fails only for a clock or a pointer that is not valid")
}

/// Time since boot, suspend included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(Duration);

impl BootTime {
    pub const fn from_duration(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// How long `self` is after `earlier`; zero where it is not.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z; written as RFC 3339 with nanoseconds in UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct WallTime(i64);

impl WallTime {
    pub const fn from_nanos(since_epoch: i64) -> Self {
        Self(since_epoch)
    }

    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// How long `self` is after `earlier`; zero where it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Year, month and day in UTC, for object names: `("2026", "11", "22")`.
    pub fn date(self) -> (String, String, String) {
        let time = self.to_chrono();
        let part = |format| time.format(format).to_string();
        (part("%Y"), part("%m"), part("%d"))
    }

    /// To the second in UTC without punctuation, for names: `20261122t173000`.
    pub fn compact(self) -> String {
        self.to_chrono().format("%Y%m%dt%H%M%S").to_string()
    }

    /// To the second in UTC, cut, for people: `2026-11-22T17:30:00Z`.
    pub fn second(self) -> String {
        self.to_chrono().format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0)
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for WallTime {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_chrono().to_rfc3339_opts(SecondsFormat::Nanos, true))
    }
}

impl From<WallTime> for String {
    fn from(time: WallTime) -> Self {
        time.to_string()
    }
}

/// The text is not an RFC 3339 time between 1677 and 2262.
#[derive(Debug, thiserror::Error)]
#[error("'{text}' is not a time as in 2026-11-22T17:30:00Z (RFC 3339, years 1678 to 2261)")]
pub struct NotATime {
    text: String,
}

impl FromStr for WallTime {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let not_a_time = || NotATime { text: text.chars().take(64).collect() };
        let time = DateTime::parse_from_rfc3339(text).map_err(|_unhelpful| not_a_time())?;
        // Go's zero time, which Alertmanager writes for "not set", lies outside: years 1678 to 2261 fit.
        let seconds = time.timestamp().checked_mul(NANOS_PER_SECOND).ok_or_else(not_a_time)?;
        let nanos = seconds.checked_add(i64::from(time.timestamp_subsec_nanos()));
        Ok(Self(nanos.ok_or_else(not_a_time)?))
    }
}

impl TryFrom<String> for WallTime {
    type Error = NotATime;

    fn try_from(text: String) -> Result<Self, NotATime> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_survives_its_own_text_to_the_nanosecond() {
        let time = WallTime::from_nanos(1_795_368_600_123_456_789);
        assert_eq!(time.to_string(), "2026-11-22T17:30:00.123456789Z");
        assert_eq!(time.to_string().parse::<WallTime>().unwrap(), time);
    }

    #[test]
    fn an_offset_is_turned_into_utc() {
        let time: WallTime = "2026-11-22T18:30:00+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-22T17:30:00.000000000Z");
    }

    #[test]
    fn the_zero_time_of_go_is_refused() {
        let error = "0001-01-01T00:00:00Z".parse::<WallTime>().unwrap_err();
        assert!(error.to_string().contains("0001-01-01"), "{error}");
    }

    #[test]
    fn boot_time_goes_forward() {
        let earlier = boot_time();
        assert!(boot_time() >= earlier);
    }
}
