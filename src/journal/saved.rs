//! What a restart needs, made from the rows of the journal. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Error;
use crate::clock::WallTime;
use crate::model::{Begun, Capture, CaptureId, GroupKey, Saved};

/// How far back the hourly ceiling looks.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// How long the row of a capture is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A restart has work to do on it.
    Open,
    /// Nothing to do, but the spool holds files that only this row explains.
    Stranded,
    /// History.
    Closed,
}

impl Stage {
    pub(super) fn of(capture: &Capture) -> Self {
        if capture.has_work() {
            Self::Open
        } else if capture.has_stranded() {
            Self::Stranded
        } else {
            Self::Closed
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Stranded => "stranded",
            Self::Closed => "closed",
        }
    }
}

/// A row as it is kept: its key and its JSON.
pub(super) type Row = (String, String);

/// What was read, each in the order in which it is handed out.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Of the stage `open`.
    pub(super) captures: Vec<Row>,
    /// Waiting ones.
    pub(super) notices: Vec<Row>,
    pub(super) groups: Vec<Row>,
    pub(super) waiting: Vec<Row>,
    pub(super) seen: Vec<Row>,
    pub(super) begun: Vec<Begun>,
    pub(super) transfers: Vec<Row>,
    pub(super) unsaid: Vec<Row>,
    pub(super) sessions: BTreeSet<String>,
    /// Of captures that are not deleted.
    pub(super) names: BTreeMap<String, CaptureId>,
    /// Creation times since an hour ago, or since longer.
    pub(super) began: Vec<WallTime>,
}

impl Rows {
    /// Makes nouns of the rows.
    ///
    /// # Errors
    /// [`Error::Row`] names the first row that cannot be read: going on without it would break a
    /// promise silently.
    pub(super) fn into_saved(self, now: WallTime) -> Result<Saved, Error> {
        let hour_ago = now - HOUR;
        let mut began = self.began;
        began.retain(|at| (hour_ago..=now).contains(at));
        let key = |(key, _): &Row| GroupKey::from_text(key.clone());
        let seen_of: Vec<GroupKey> = self.seen.iter().map(key).collect();
        Ok(Saved {
            captures: nouns("captures", self.captures)?,
            notices: nouns("notices", self.notices)?,
            groups: nouns("groups", self.groups)?,
            waiting: nouns("waiting", self.waiting)?,
            seen: seen_of.into_iter().zip(nouns("seen", self.seen)?).collect(),
            begun: self.begun,
            began,
            transfers: nouns("transfers", self.transfers)?,
            sessions: self.sessions,
            unsaid: nouns("unsaid", self.unsaid)?,
            names: self.names,
        })
    }
}

/// Reads rows of one table back.
///
/// # Errors
/// [`Error::Row`] names the first row that cannot be read.
pub(super) fn nouns<T: DeserializeOwned>(
    table: &'static str,
    rows: Vec<Row>,
) -> Result<Vec<T>, Error> {
    rows.into_iter()
        .map(|(key, json)| {
            serde_json::from_str(&json).map_err(|source| Error::Row { table, key, source })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::samples;
    use crate::model::{SegmentState, State};

    #[test]
    fn a_capture_is_open_until_its_end_and_the_retirement_of_every_segment() {
        let mut capture = samples::capture(1);
        assert_eq!(Stage::of(&capture), Stage::Open);
        capture.state = State::Done;
        assert_eq!(Stage::of(&capture), Stage::Closed);
        for (state, stage) in [
            (SegmentState::Sealed, Stage::Open),
            (SegmentState::Stored, Stage::Open),
            (SegmentState::Stranded, Stage::Stranded),
            (SegmentState::Retired, Stage::Closed),
        ] {
            capture.segments = vec![samples::segment(&capture, SegmentState::Retired)];
            capture.segments.push(samples::segment(&capture, state));
            assert_eq!(Stage::of(&capture), stage, "{state:?}");
        }
    }

    #[test]
    fn only_the_last_hour_counts_towards_the_hourly_ceiling() {
        let now = WallTime::from_nanos(10_000_000_000_000_000);
        let (just, over) = (now - HOUR, now - HOUR - Duration::from_nanos(1));
        let future = now + Duration::from_secs(1);
        let rows = Rows { began: vec![over, just, now, future], ..Rows::default() };
        assert_eq!(rows.into_saved(now).unwrap().began, [just, now]);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        let rows =
            Rows { groups: vec![("web|eth0".to_owned(), "{}".to_owned())], ..Rows::default() };
        let text = rows.into_saved(WallTime::default()).unwrap_err().to_string();
        assert!(text.contains("'web|eth0' of groups"), "{text}");
    }
}
