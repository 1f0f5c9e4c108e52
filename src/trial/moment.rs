//! Instants as a fixture writes them: absolute, or relative to the start of the test.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::clock::WallTime;
use crate::units::Span;

/// An instant, before it is known when the test starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Moment {
    At(WallTime),
    After(Duration),
    Before(Duration),
}

/// The text is no instant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAMoment(String);

impl fmt::Display for NotAMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(
            f,
            "`{text}` is no instant; write a time as in 2026-11-22T17:30:00Z, or how long after the \
             start of the test, as in 30s, or before it, as in -30s"
        )
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let not = || NotAMoment(text.chars().take(64).collect());
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let (is_before, span) = match text.strip_prefix('-') {
            Some(span) => (true, span),
            None => (false, text),
        };
        let span: Span = span.parse().map_err(|_says_less| not())?;
        Ok(if is_before { Self::Before(span.0) } else { Self::After(span.0) })
    }
}

impl TryFrom<String> for Moment {
    type Error = NotAMoment;

    fn try_from(text: String) -> Result<Self, NotAMoment> {
        text.parse()
    }
}

impl Moment {
    pub(super) fn resolve(self, start: WallTime) -> WallTime {
        match self {
            Self::At(at) => at,
            Self::After(span) => start + span,
            Self::Before(span) => start - span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_absolute_or_counts_from_the_start() {
        let start: WallTime = "2026-11-22T17:30:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-22T18:30:05+01:00", "2026-11-22T17:30:05.000000000Z"),
            ("0s", "2026-11-22T17:30:00.000000000Z"),
            ("1m30s", "2026-11-22T17:31:30.000000000Z"),
            ("-1500ms", "2026-11-22T17:29:58.500000000Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.resolve(start).to_string(), expected, "{text}");
        }
        for text in ["", "-", "yesterday", "30", "--5s", "- 5s"] {
            let error = text.parse::<Moment>().unwrap_err();
            assert!(error.to_string().contains("is no instant"), "{text}");
        }
    }
}
