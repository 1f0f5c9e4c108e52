//! Durations and sizes as users write them: `30s`, `1h30m`, `250ms`; `96`, `64KiB`, `200MiB`.
//!
//! A duration always has a unit, because bare numbers are the classic mistake of rule files.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The units of a duration, longest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The units of a size, largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

/// Why a text is no duration or size; the message holds the right form.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("'{0}' is not a duration; write a number with a unit, as in 250ms, 30s, 5m or 1h30m")]
    NotADuration(String),
    #[error(
        "'{0}' is not a size; write bytes, or a number with a unit, as in 1500, 64KiB or 200MiB"
    )]
    NotASize(String),
}

/// A length of time, at least a millisecond fine; written as `1h30m`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(into = "String", try_from = "String")]
#[schemars(extend("pattern" = "^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$", "minLength" = 2))]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_span(text).map(Self).ok_or_else(|| Error::NotADuration(clip(text)))
    }
}

fn parse_span(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total_ms: u64 = 0;
    let mut last_unit_ms = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit_length = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        let (_, unit_ms) = *DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        // Each unit once, longest first, so that "5m1h" and "5s5s" are typing errors.
        if unit_ms >= last_unit_ms {
            return None;
        }
        last_unit_ms = unit_ms;
        total_ms = total_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(unit_ms)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(Duration::from_millis(total_ms))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest_ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest_ms == 0 {
            return f.write_str("0s");
        }
        for (unit, unit_ms) in DURATION_UNITS.into_iter().filter(|(unit, _)| *unit != "w") {
            if rest_ms >= unit_ms {
                write!(f, "{}{unit}", rest_ms / unit_ms)?;
                rest_ms %= unit_ms;
            }
        }
        Ok(())
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl TryFrom<String> for Span {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

/// A number of bytes; written with the largest binary unit that divides it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(into = "String", try_from = "String")]
#[schemars(extend("type" = ["string", "integer"], "pattern" = "^[0-9]+(B|KiB|MiB|GiB|TiB|KB|MB|GB)?$"))]
pub struct Bytes(pub u64);

impl Bytes {
    /// For people: at most one decimal, as in `1.5 MiB`.
    pub fn rounded(self) -> String {
        let unit = SIZE_UNITS.into_iter().take(4).find(|(_, size)| self.0 >= *size);
        let Some((unit, size)) = unit else {
            return format!("{} B", self.0);
        };
        let tenths = u128::from(self.0) * 10 / u128::from(size);
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

impl FromStr for Bytes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_bytes(text).map(Self).ok_or_else(|| Error::NotASize(clip(text)))
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "B" => 1,
        unit => SIZE_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZE_UNITS
            .into_iter()
            .take(4)
            .find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size));
        match whole {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.to_string()
    }
}

impl TryFrom<String> for Bytes {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let milliseconds = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis()).ok();
        assert_eq!(milliseconds("30s"), Some(30_000));
        assert_eq!(milliseconds("1h30m"), Some(5_400_000));
        assert_eq!(milliseconds("250ms"), Some(250));
        assert_eq!(milliseconds("0s"), Some(0));
        for wrong in ["", "30", "s", "5m1h", "5s5s", "-1s", "1.5h", "30 s", "99999999999999999w"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        let bytes = |text: &str| text.parse::<Bytes>().map(|size| size.0).ok();
        assert_eq!(bytes("1500"), Some(1_500));
        assert_eq!(bytes("200MiB"), Some(209_715_200));
        assert_eq!(bytes("1GB"), Some(1_000_000_000));
        for wrong in ["", "MiB", "1.5GiB", "-1", "5 MiB", "5mib", "99999999999TiB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_for_people_have_one_decimal() {
        assert_eq!(Bytes(1_572_864).rounded(), "1.5 MiB");
        assert_eq!(Bytes(900).rounded(), "900 B");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(milliseconds in 0u64..u64::MAX / 2, size: u64) {
            let span = Span(Duration::from_millis(milliseconds));
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
            prop_assert_eq!(Bytes(size).to_string().parse::<Bytes>().unwrap(), Bytes(size));
        }
    }
}
