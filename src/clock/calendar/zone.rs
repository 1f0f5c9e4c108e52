//! Time zones: instants to wall clock and back.

use std::fmt;

use chrono::{NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};

use super::super::WallTime;
use crate::nearest::nearest;

/// A time zone of the IANA database that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

/// Wall clock that a zone goes through twice, because its clocks were set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The first second that comes twice.
    pub(super) from: NaiveDateTime,
    /// The first second after those that come twice.
    pub(super) to: NaiveDateTime,
    /// Whether the instant that was asked about lies in the second pass.
    pub(super) second: bool,
}

impl Zone {
    pub const UTC: Self = Self(Tz::UTC);

    /// Reads a name of the IANA database: `Europe/Berlin`, `UTC`.
    ///
    /// # Errors
    ///
    /// The name is not known; the text names the nearest one.
    pub fn parse(name: &str) -> Result<Self, String> {
        name.parse().map(Self).map_err(|_unhelpful| {
            let hint = similar(name).map_or_else(
                || "write a name of the IANA database as in Europe/Berlin, or UTC".to_owned(),
                |nearest| format!("did you mean `{nearest}`?"),
            );
            format!("'{name}' is not a time zone: {hint}")
        })
    }

    /// What a clock in the zone shows, in whole seconds.
    pub(super) fn wall(self, at: WallTime) -> NaiveDateTime {
        let shown = at.to_chrono().with_timezone(&self.0).naive_local();
        shown.with_nanosecond(0).unwrap_or(shown)
    }

    /// The first instant at which a clock shows `wall`, or else the end of the gap that it is in.
    pub(super) fn first(self, wall: NaiveDateTime) -> Option<WallTime> {
        if let Some(shown) = self.0.from_local_datetime(&wall).earliest() {
            return in_utc(shown.naive_utc());
        }
        // A gap begins with the instant that it ends with: the one at which the clocks are set.
        let (begin, before) = GapInfo::new(&wall, &self.0)?.begin?;
        in_utc(begin - before.fix())
    }

    /// What clocks show at the end of the gap that `wall` is in.
    pub(super) fn end_of_gap(self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        GapInfo::new(&wall, &self.0)?.end.map(|end| end.naive_local())
    }

    /// The last instant at which a clock shows `wall`.
    pub(super) fn last(self, wall: NaiveDateTime) -> Option<WallTime> {
        in_utc(self.0.from_local_datetime(&wall).latest()?.naive_utc())
    }

    /// The overlap that an instant lies in.
    pub(super) fn overlap(self, at: WallTime) -> Option<Overlap> {
        let wall = self.wall(at);
        let chrono::LocalResult::Ambiguous(a, b) = self.0.from_local_datetime(&wall) else {
            return None;
        };
        let (early, late) = (a.naive_utc().min(b.naive_utc()), a.naive_utc().max(b.naive_utc()));
        let offset_at = |utc: NaiveDateTime| self.0.offset_from_utc_datetime(&utc).fix();
        let (before, after) = (offset_at(early), offset_at(late));
        // The clocks are set after `early`, and at the latest at `late`.
        let (mut shown_before, mut shown_after) = (early, late);
        while shown_after - shown_before > TimeDelta::seconds(1) {
            let seconds = (shown_after - shown_before).num_seconds();
            let middle = shown_before + TimeDelta::seconds(seconds / 2);
            if offset_at(middle) == before {
                shown_before = middle;
            } else {
                shown_after = middle;
            }
        }
        let second = at.to_chrono().naive_utc() >= shown_after;
        Some(Overlap { from: shown_after + after, to: shown_after + before, second })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

fn in_utc(time: NaiveDateTime) -> Option<WallTime> {
    time.and_utc().timestamp_nanos_opt().map(WallTime::from_nanos)
}

/// The zone that somebody may have meant, also by its city alone.
fn similar(name: &str) -> Option<&'static str> {
    let word = name.trim().replace(' ', "_");
    let names: Vec<&'static str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    let cities: Vec<&'static str> =
        names.iter().map(|name| name.rsplit('/').next().unwrap_or(name)).collect();
    nearest(&word, &names).or_else(|| {
        let city = nearest(word.rsplit('/').next()?, &cities)?;
        names.iter().zip(&cities).find(|(_, known)| **known == city).map(|(name, _)| *name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_known_by_its_name_and_a_near_miss_finds_it() {
        assert_eq!(Zone::parse("Europe/Berlin").unwrap().to_string(), "Europe/Berlin");
        assert_eq!(Zone::parse("UTC").unwrap(), Zone::UTC);
        for (typed, meant) in [
            ("Europe/Berln", "Europe/Berlin"),
            ("europe/berlin", "Europe/Berlin"),
            ("Berlin", "Europe/Berlin"),
            ("new york", "America/New_York"),
            ("utc", "UTC"),
        ] {
            let error = Zone::parse(typed).unwrap_err();
            assert!(error.ends_with(&format!("did you mean `{meant}`?")), "{error}");
        }
        let error = Zone::parse("+02:00").unwrap_err();
        assert!(error.contains("as in Europe/Berlin, or UTC"), "{error}");
    }

    #[test]
    fn an_overlap_is_found_to_the_second() {
        let zone = Zone::parse("Australia/Lord_Howe").unwrap();
        let lies = |at: &str| {
            let at: WallTime = at.parse().unwrap();
            zone.overlap(at).map(|o| (o.from.to_string(), o.to.to_string(), o.second))
        };
        let overlap =
            |second| Some(("2026-04-05 01:30:00".into(), "2026-04-05 02:00:00".into(), second));
        assert_eq!(lies("2026-04-04T14:29:59.999Z"), None);
        assert_eq!(lies("2026-04-04T14:30:00Z"), overlap(false));
        assert_eq!(lies("2026-04-04T14:59:59.999Z"), overlap(false));
        assert_eq!(lies("2026-04-04T15:00:00Z"), overlap(true));
        assert_eq!(lies("2026-04-04T15:29:59.999Z"), overlap(true));
        assert_eq!(lies("2026-04-04T15:30:00Z"), None);
    }
}
