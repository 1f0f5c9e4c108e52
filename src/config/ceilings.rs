//! What nothing passes, and how long what was stored is kept.

use std::time::Duration;

use super::notes::{Notes, or_default};
use super::{Retention, raw};
use crate::session;
use crate::units::Bytes;
use crate::yaml::Placed;

/// The most captures at one time: each has threads and open files.
const MAX_CONCURRENT: u32 = 1_000;

/// The most captures an hour: beyond it a ceiling is none.
const MAX_CAPTURES_PER_HOUR: u32 = 1_000_000;

/// The least that a spool may hold, in bytes: below it hardly one capture can be begun.
const MIN_SPOOL_BYTES: u64 = 1 << 20;

pub(super) fn read(
    notes: &mut Notes,
    given: &raw::Ceilings,
    default: &raw::Ceilings,
) -> session::Ceilings {
    let duration = or_default(given.duration.as_ref(), default.duration.as_ref());
    let bytes = or_default(given.bytes.as_ref(), default.bytes.as_ref());
    let concurrent = or_default(given.concurrent.as_ref(), default.concurrent.as_ref());
    let hourly = or_default(given.captures_per_hour.as_ref(), default.captures_per_hour.as_ref());
    let spool = or_default(given.spool.as_ref(), default.spool.as_ref());
    let free = or_default(given.free_disk.as_ref(), default.free_disk.as_ref());
    if duration.value.0.is_zero() || bytes.value.0 == 0 {
        let place = if duration.value.0.is_zero() { duration.place } else { bytes.place };
        notes.note(place, "with this ceiling nothing can be captured", "give more");
    }
    if spool.value.0 < MIN_SPOOL_BYTES {
        let message = format!("a spool of {} holds no capture", spool.value);
        notes.note(spool.place, message, format!("give it at least {}", Bytes(MIN_SPOOL_BYTES)));
    }
    session::Ceilings {
        duration: duration.value.0,
        bytes: bytes.value.0,
        concurrent: count(notes, &concurrent, MAX_CONCURRENT),
        captures_per_hour: count(notes, &hourly, MAX_CAPTURES_PER_HOUR),
        spool_bytes: spool.value.0,
        free_disk: free.value.0,
    }
}

fn count(notes: &mut Notes, count: &Placed<u32>, most: u32) -> usize {
    if !(1..=most).contains(&count.value) {
        let message = format!("expected a whole number from 1 to {most}, found {}", count.value);
        notes.note(count.place, message, None);
    }
    usize::try_from(count.value).unwrap_or(usize::MAX)
}

/// 0 stands for no limit.
pub(super) fn retention(given: &raw::Retention, default: &raw::Retention) -> Retention {
    let age = given.age.or(default.age).map(|age| age.0);
    let size = given.size.or(default.size).map(|size| size.0);
    Retention {
        age: age.filter(|age| *age > Duration::ZERO),
        size_bytes: size.filter(|size| *size > 0),
    }
}
