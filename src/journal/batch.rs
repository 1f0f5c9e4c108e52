//! One batch of changes, folded before it is written.
//!
//! A storm changes the same capture and counts the same decision hundreds of times in a batch. Only
//! the last state of each row is written, and each tally once, with the sum.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::Error;
use super::saved::Stage;
use crate::model::{
    Capture, CaptureId, Change, Delivery, Group, GroupKey, Notice, NoticeId, Outcome, Rejected,
};

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    outcomes: Vec<&'a Outcome>,
    rejected: Vec<&'a Rejected>,
    captures: BTreeMap<&'a CaptureId, &'a Capture>,
    notices: BTreeMap<&'a NoticeId, &'a Notice>,
    /// `None`: closed.
    groups: BTreeMap<&'a GroupKey, Option<&'a Group>>,
    /// By rule and decision.
    tallies: BTreeMap<(&'a str, &'static str), i64>,
}

impl<'a> Batch<'a> {
    pub(super) fn of(changes: &'a [Change]) -> Self {
        let mut batch = Self::default();
        for change in changes {
            match change {
                Change::Outcome(outcome) => {
                    let rule = outcome.rule.as_deref().unwrap_or_default();
                    *batch.tallies.entry((rule, outcome.decision.word())).or_default() += 1;
                    batch.outcomes.push(outcome);
                }
                Change::Rejected(rejected) => batch.rejected.push(rejected),
                Change::Capture(capture) => {
                    batch.captures.insert(&capture.id, capture);
                }
                Change::Notice(notice) => {
                    batch.notices.insert(&notice.id, notice);
                }
                Change::Group(group) => {
                    batch.groups.insert(&group.key, Some(group));
                }
                Change::GroupClosed(key) => {
                    batch.groups.insert(key, None);
                }
            }
        }
        batch
    }

    pub(super) fn has_outcomes(&self) -> bool {
        !self.outcomes.is_empty()
    }

    pub(super) fn has_rejected(&self) -> bool {
        !self.rejected.is_empty()
    }

    pub(super) fn closes_captures(&self) -> bool {
        self.captures.values().any(|capture| Stage::of(capture) == Stage::Closed)
    }

    pub(super) fn ends_notices(&self) -> bool {
        self.notices.values().any(|notice| notice.delivery != Delivery::Waiting)
    }

    /// Writes all of it; the transaction is the caller's.
    pub(super) fn write(&self, to: &Connection) -> Result<(), Error> {
        self.write_outcomes(to)?;
        self.write_captures(to)?;
        self.write_notices(to)?;
        self.write_groups(to)
    }

    fn write_outcomes(&self, to: &Connection) -> Result<(), Error> {
        let mut insert = to.prepare_cached(
            "INSERT INTO outcomes (event, rule, decision, json) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for outcome in &self.outcomes {
            insert.execute(params![
                outcome.event.as_str(),
                outcome.rule,
                outcome.decision.word(),
                json(outcome)?
            ])?;
        }
        let mut count = to.prepare_cached(
            "INSERT INTO tallies (rule, decision, count) VALUES (?1, ?2, ?3)
             ON CONFLICT (rule, decision) DO UPDATE SET count = count + excluded.count",
        )?;
        for ((rule, decision), more) in &self.tallies {
            count.execute(params![rule, decision, more])?;
        }
        let mut insert = to.prepare_cached("INSERT INTO rejected (event, json) VALUES (?1, ?2)")?;
        for rejected in &self.rejected {
            insert.execute(params![rejected.id.as_str(), json(rejected)?])?;
        }
        Ok(())
    }

    fn write_captures(&self, to: &Connection) -> Result<(), Error> {
        let mut upsert = to.prepare_cached(
            "INSERT INTO captures (id, name, state, stage, created_at, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET
                 name = excluded.name, state = excluded.state, stage = excluded.stage,
                 created_at = excluded.created_at, json = excluded.json",
        )?;
        for capture in self.captures.values() {
            upsert.execute(params![
                capture.id.as_str(),
                capture.name,
                capture.state.to_string(),
                Stage::of(capture).word(),
                capture.created_at.as_nanos(),
                json(capture)?
            ])?;
        }
        Ok(())
    }

    fn write_notices(&self, to: &Connection) -> Result<(), Error> {
        let mut upsert = to.prepare_cached(
            "INSERT INTO notices (id, capture, notifier, delivery, created_at, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET delivery = excluded.delivery, json = excluded.json",
        )?;
        for notice in self.notices.values() {
            upsert.execute(params![
                notice.id.as_str(),
                notice.body.capture().map_or("", |about| about.capture.as_str()),
                notice.notifier,
                delivery_word(notice.delivery),
                notice.created_at.as_nanos(),
                json(notice)?
            ])?;
        }
        Ok(())
    }

    fn write_groups(&self, to: &Connection) -> Result<(), Error> {
        let mut upsert = to.prepare_cached(
            "INSERT INTO groups (key, json) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET json = excluded.json",
        )?;
        let mut close = to.prepare_cached("DELETE FROM groups WHERE key = ?1")?;
        for (key, group) in &self.groups {
            match group {
                Some(group) => upsert.execute(params![key.as_str(), json(group)?])?,
                None => close.execute(params![key.as_str()])?,
            };
        }
        Ok(())
    }
}

const fn delivery_word(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Waiting => "waiting",
        Delivery::Delivered => "delivered",
        Delivery::Dead => "dead",
    }
}

fn json(noun: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(noun).map_err(|source| Error::Encode { source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::samples;
    use crate::model::Decision;

    #[test]
    fn only_the_last_state_of_a_row_is_written_and_every_outcome_counts() {
        let (mut first, group) = (samples::capture(1), samples::group(1));
        let mut changes = vec![Change::Group(group.clone())];
        for coalesced in 1..=3 {
            first.coalesced = coalesced;
            changes.push(Change::Capture(Box::new(first.clone())));
            let decision = Decision::Coalesced(first.id.clone());
            changes.push(Change::Outcome(samples::outcome(coalesced, Some("web"), decision)));
        }
        changes.push(Change::GroupClosed(group.key.clone()));
        let batch = Batch::of(&changes);
        assert_eq!(batch.captures.values().map(|c| c.coalesced).collect::<Vec<_>>(), [3]);
        assert_eq!(batch.groups.values().collect::<Vec<_>>(), [&None]);
        assert_eq!(batch.outcomes.len(), 3);
        assert_eq!(batch.tallies, BTreeMap::from([(("web", "coalesced"), 3)]));
    }

    #[test]
    fn a_group_that_opens_again_in_the_same_batch_is_open() {
        let group = samples::group(1);
        let changes = [Change::GroupClosed(group.key.clone()), Change::Group(group.clone())];
        assert_eq!(Batch::of(&changes).groups.values().collect::<Vec<_>>(), [&Some(&group)]);
    }
}
