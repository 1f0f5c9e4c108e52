//! What a rule says of its limits, over what it inherits.

use std::fmt;
use std::time::Duration;

use crate::model::{Limits, SegmentLimits};
use crate::rules::segments::{SegmentsKey, SegmentsMistake, segments};
use crate::rules::{Defaults, Known, raw};
use crate::units::{Bytes, Span};
use crate::yaml::{Place, Placed};

/// How many times its duration an extended capture goes on, where nothing else is said.
const EXTENSION: u32 = 5;

/// Something wrong with a limit.
pub(super) struct Mistake {
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) hint: String,
}

/// The limits of a rule, with the inherited duration where an event gives it. `whole` says that nothing was left out of it, as a mistake noted before.
pub(super) fn read(
    raw: &raw::Limits,
    defaults: &Defaults,
    known: &Known,
    whole: bool,
    mistakes: &mut Vec<Mistake>,
) -> Limits {
    let mut duration = defaults.duration;
    if let Some(Placed { value: raw::OpenSpan::Given(given), place, .. }) = &raw.duration {
        duration = given.0;
        mistakes.extend(check(["duration"; 2], *place, *given, Span(known.duration)));
    }
    let mut bytes = defaults.bytes;
    if let Some(given) = &raw.bytes {
        bytes = given.value.0;
        mistakes.extend(check(["bytes"; 2], given.place, given.value, Bytes(known.bytes)));
    }
    if let Some(packets) = &raw.packets
        && packets.value == 0
    {
        mistakes.push(Mistake {
            place: packets.place,
            message: "a capture of no packets makes no sense".to_owned(),
            hint: "give at least 1, or remove the limit".to_owned(),
        });
    }
    let bytes = bytes.min(known.bytes);
    let is_well = whole && mistakes.is_empty();
    let segments = divide(raw, defaults, bytes).unwrap_or_else(|mistake| {
        mistakes.extend(mistake.filter(|_| is_well));
        None
    });
    Limits {
        duration: duration.min(known.duration),
        bytes,
        packets: raw.packets.as_ref().map(|packets| packets.value),
        bytes_per_packet: raw.bytes_per_packet.unwrap_or(0),
        segments,
    }
}

/// How far events may extend a capture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extension {
    /// After the trigger; absent: a multiple of the capture's duration.
    most: Option<Duration>,
    ceiling: Duration,
}

impl Extension {
    /// How long after its trigger a capture of `duration` may go on.
    pub(super) fn of(self, duration: Duration) -> Duration {
        let most = self.most.unwrap_or(duration.saturating_mul(EXTENSION));
        // One that is inherited, or given for another duration, never shortens a capture.
        most.max(duration).min(self.ceiling)
    }
}

/// How far events may extend a rule's captures. Their own duration is `least`, where it is known.
pub(super) fn extension(
    raw: &raw::Limits,
    least: Option<Duration>,
    defaults: &Defaults,
    known: &Known,
    mistakes: &mut Vec<Mistake>,
) -> Extension {
    let mut most = defaults.max_duration;
    if let Some(given) = &raw.max_duration {
        most = Some(given.value.0);
        let names = ["max_duration", "duration"];
        let mistake = check(names, given.place, given.value, Span(known.duration));
        let is_well = mistake.is_none();
        mistakes.extend(mistake);
        if let Some(least) = least.filter(|least| is_well && given.value.0 < *least) {
            let (most, least) = (given.value, Span(least));
            mistakes.push(Mistake {
                place: given.place,
                message: format!("limits.max_duration {most} is below limits.duration {least}"),
                hint: "raise it, or lower limits.duration".to_owned(),
            });
        }
    }
    Extension { most, ceiling: known.duration }
}

/// `names` are those of the limit and of its ceiling.
fn check<T: fmt::Display + Ord + Copy + Default>(
    [name, ceiling_name]: [&str; 2],
    place: Place,
    given: T,
    ceiling: T,
) -> Option<Mistake> {
    let (message, hint) = if given == T::default() {
        (
            format!("a capture of {given} makes no sense"),
            "give more, or remove the limit to inherit the default",
        )
    } else if given > ceiling {
        (
            format!("limits.{name} {given} is above ceilings.{ceiling_name} {ceiling}"),
            "lower it here, or raise the ceiling in the configuration",
        )
    } else {
        return None;
    };
    Some(Mistake { place, message, hint: hint.to_owned() })
}

/// How a capture of `bytes` is divided into files; each key is inherited by itself.
///
/// What is wrong is told where the rule says one of the keys that it follows from. Where it says none
/// of them it inherits all, and the configuration is what has to be mended.
fn divide(
    raw: &raw::Limits,
    defaults: &Defaults,
    bytes: u64,
) -> Result<Option<SegmentLimits>, Option<Mistake>> {
    let inherited = defaults.segments;
    let segment_bytes = match (&raw.segment_bytes, inherited) {
        (Some(given), _) => given.value.0,
        // A smaller capture is one file without a word, but a ring could never turn.
        (None, Some(inherited)) if keep(raw, defaults) == 0 => inherited.bytes.min(bytes),
        (None, inherited) => inherited.map_or(0, |segments| segments.bytes),
    };
    // One file, though others are a ring: the rule says so by `segment_bytes: 0` alone.
    let keep = match (&raw.keep_segments, segment_bytes) {
        (None, 0) => 0,
        _ => keep(raw, defaults),
    };
    segments(bytes, segment_bytes, keep).map_err(|SegmentsMistake { key, message, hint }| {
        let bytes = raw.bytes.as_ref().map(|given| given.place);
        let segment = raw.segment_bytes.as_ref().map(|given| given.place);
        let keep = raw.keep_segments.as_ref().map(|given| given.place);
        let place = match key {
            SegmentsKey::Bytes => segment.or(keep),
            SegmentsKey::Keep => keep.or(segment),
        };
        place.or(bytes).map(|place| Mistake { place, message, hint })
    })
}

fn keep(raw: &raw::Limits, defaults: &Defaults) -> u32 {
    match (&raw.keep_segments, defaults.segments) {
        (Some(given), _) => given.value,
        (None, Some(inherited)) => inherited.keep.unwrap_or(0),
        (None, None) => 0,
    }
}
