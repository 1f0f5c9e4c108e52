//! One batch of changes, folded before it is written.
//!
//! A storm changes the same capture and counts the same decision hundreds of times in a batch. Only
//! the last state of each row is written, and each tally once, with the sum.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};
use serde::Serialize;

use super::Error;
use super::saved::Stage;
use crate::clock::WallTime;
use crate::model::{
    Audit, Begun, Capture, CaptureId, Change, Decision, Delivery, Group, GroupKey, Kind, Notice,
    NoticeId, Outcome, Quota, Rejected, SegmentState, Transfer, Unsaid, Waiting,
};

/// What one transaction writes. `None` stands for a row that goes.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    outcomes: Vec<&'a Outcome>,
    rejected: Vec<&'a Rejected>,
    captures: BTreeMap<&'a CaptureId, Option<&'a Capture>>,
    notices: BTreeMap<&'a NoticeId, &'a Notice>,
    groups: BTreeMap<&'a GroupKey, Option<&'a Group>>,
    waiting: BTreeMap<&'a GroupKey, Option<&'a Waiting>>,
    seen: BTreeMap<&'a GroupKey, Option<&'a [WallTime]>>,
    begun: Vec<&'a Begun>,
    /// The last decision of each rule.
    last: BTreeMap<&'a str, (WallTime, &'a Decision)>,
    transfers: BTreeMap<(&'a CaptureId, u32), Option<&'a Transfer>>,
    sessions: Vec<&'a str>,
    unsaid: BTreeMap<(Kind, &'a str), Option<&'a Unsaid>>,
    audit: Vec<&'a Audit>,
    /// Files that were removed from their storage.
    files_gone: Vec<(&'a str, &'a str)>,
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
                    batch.decided(rule, outcome.at, &outcome.decision);
                    batch.outcomes.push(outcome);
                }
                Change::Rejected(rejected) => batch.rejected.push(rejected),
                Change::Capture(capture) => {
                    batch.captures.insert(&capture.id, Some(capture));
                }
                Change::CaptureGone(id) => {
                    batch.captures.insert(id, None);
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
                Change::Waiting(waiting) => {
                    batch.waiting.insert(&waiting.proposal.group, Some(waiting));
                }
                Change::Seen { group, at } => {
                    batch.seen.insert(group, Some(at));
                }
                Change::WaitingGone(group) => {
                    batch.waiting.insert(group, None);
                    batch.seen.insert(group, None);
                }
                Change::CameDue { rule, at, decision } => batch.decided(rule, *at, decision),
                Change::Begun(begun) => batch.begun.push(begun),
                Change::Transfer(transfer) => {
                    let key = (&transfer.capture, transfer.index);
                    batch.transfers.insert(key, Some(transfer));
                }
                Change::TransferGone { capture, index } => {
                    batch.transfers.insert((capture, *index), None);
                }
                Change::BrokerSession(key) => batch.sessions.push(key),
                Change::Unsaid(unsaid) => {
                    batch.unsaid.insert((unsaid.kind, &unsaid.subject), Some(unsaid));
                }
                Change::Said { kind, subject } => {
                    batch.unsaid.insert((*kind, subject), None);
                }
                Change::Audit(audit) => batch.audit.push(audit),
                Change::FileGone { storage, object } => batch.files_gone.push((storage, object)),
            }
        }
        batch
    }

    fn decided(&mut self, rule: &'a str, at: WallTime, decision: &'a Decision) {
        *self.tallies.entry((rule, decision.word())).or_default() += 1;
        if !rule.is_empty() {
            self.last.insert(rule, (at, decision));
        }
    }

    pub(super) fn has_outcomes(&self) -> bool {
        !self.outcomes.is_empty()
    }

    pub(super) fn has_rejected(&self) -> bool {
        !self.rejected.is_empty()
    }

    pub(super) fn has_audit(&self) -> bool {
        !self.audit.is_empty()
    }

    pub(super) fn closes_captures(&self) -> bool {
        self.captures.values().flatten().any(|capture| Stage::of(capture) == Stage::Closed)
    }

    pub(super) fn ends_notices(&self) -> bool {
        self.notices.values().any(|notice| notice.delivery != Delivery::Waiting)
    }

    /// Writes all of it; the transaction is the caller's. Files are remembered of the storages in
    /// `directories`.
    pub(super) fn write(
        &self,
        to: &Connection,
        directories: &BTreeSet<String>,
    ) -> Result<(), Error> {
        self.write_outcomes(to)?;
        self.write_captures(to)?;
        self.write_files(to, directories)?;
        self.write_notices(to)?;
        self.write_groups(to)?;
        self.write_waiting(to)?;
        self.write_begun(to)?;
        self.write_transfers(to)?;
        self.write_unsaid(to)?;
        self.write_audit(to)
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
        let mut say = to.prepare_cached(
            "INSERT INTO rules (rule, at, json) VALUES (?1, ?2, ?3)
             ON CONFLICT (rule) DO UPDATE SET at = excluded.at, json = excluded.json",
        )?;
        for (rule, (at, decision)) in &self.last {
            say.execute(params![rule, at.as_nanos(), json(decision)?])?;
        }
        let mut insert = to.prepare_cached("INSERT INTO rejected (event, json) VALUES (?1, ?2)")?;
        for rejected in &self.rejected {
            insert.execute(params![rejected.id.as_str(), json(rejected)?])?;
        }
        Ok(())
    }

    fn write_captures(&self, to: &Connection) -> Result<(), Error> {
        let mut upsert = to.prepare_cached(
            "INSERT INTO captures (id, name, state, stage, created_at, deleted, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (id) DO UPDATE SET
                 name = excluded.name, state = excluded.state, stage = excluded.stage,
                 created_at = excluded.created_at, deleted = excluded.deleted,
                 json = excluded.json",
        )?;
        let mut forget = to.prepare_cached("DELETE FROM captures WHERE id = ?1")?;
        let mut forget_transfers = to.prepare_cached("DELETE FROM transfers WHERE capture = ?1")?;
        let gone = self.captures.iter().filter(|(_, capture)| capture.is_none());
        for (id, _) in gone {
            forget.execute([id.as_str()])?;
            forget_transfers.execute([id.as_str()])?;
        }
        // Names that are free again first: another capture of this batch may have one of them.
        let kept = || self.captures.values().flatten();
        let (deleted, shown) = (kept().filter(|c| c.deleted), kept().filter(|c| !c.deleted));
        for capture in deleted.chain(shown) {
            upsert.execute(params![
                capture.id.as_str(),
                capture.name,
                capture.state.to_string(),
                Stage::of(capture).word(),
                capture.created_at.as_nanos(),
                capture.deleted,
                json(capture)?
            ])?;
        }
        Ok(())
    }

    /// Remembers the files that this batch says are stored. Their local copies go in a later batch,
    /// so each is seen here once at least.
    fn write_files(&self, to: &Connection, directories: &BTreeSet<String>) -> Result<(), Error> {
        let mut insert = to.prepare_cached(
            "INSERT INTO files (storage, object, capture, segment, size_bytes, sha256, stored_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (storage, object) DO NOTHING",
        )?;
        let segments = self.captures.values().flatten().flat_map(|capture| &capture.segments);
        for segment in segments.filter(|segment| segment.state == SegmentState::Stored) {
            let Some(receipt) = &segment.receipt else { continue };
            if directories.contains(&receipt.storage) {
                insert.execute(params![
                    receipt.storage,
                    receipt.object,
                    segment.capture.as_str(),
                    segment.file.index,
                    i64::try_from(receipt.size_bytes).unwrap_or(i64::MAX),
                    receipt.sha256,
                    receipt.verified_at.as_nanos()
                ])?;
            }
        }
        let mut forget =
            to.prepare_cached("DELETE FROM files WHERE storage = ?1 AND object = ?2")?;
        for (storage, object) in &self.files_gone {
            forget.execute([storage, object])?;
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

    fn write_waiting(&self, to: &Connection) -> Result<(), Error> {
        let mut upsert = to.prepare_cached(
            "INSERT INTO waiting (key, json) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET json = excluded.json",
        )?;
        let mut forget = to.prepare_cached("DELETE FROM waiting WHERE key = ?1")?;
        for (key, waiting) in &self.waiting {
            match waiting {
                Some(waiting) => upsert.execute(params![key.as_str(), json(waiting)?])?,
                None => forget.execute([key.as_str()])?,
            };
        }
        let mut upsert = to.prepare_cached(
            "INSERT INTO seen (key, json) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET json = excluded.json",
        )?;
        let mut forget = to.prepare_cached("DELETE FROM seen WHERE key = ?1")?;
        for (key, at) in &self.seen {
            match at {
                Some(at) => upsert.execute(params![key.as_str(), json(at)?])?,
                None => forget.execute([key.as_str()])?,
            };
        }
        Ok(())
    }

    /// Remembers the begins that may count, and of each rule no more than can.
    fn write_begun(&self, to: &Connection) -> Result<(), Error> {
        let mut insert = to.prepare_cached(
            "INSERT INTO begun (rule, at, count, per_s, dry_run) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let mut forget = to.prepare_cached(
            "DELETE FROM begun WHERE rule = ?1 AND seq <= (
                 SELECT seq FROM begun WHERE rule = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        )?;
        for Begun { rule, at, quota, dry_run } in &self.begun {
            let per_s = i64::try_from(quota.per.as_secs()).unwrap_or(i64::MAX);
            insert.execute(params![rule, at.as_nanos(), quota.count, per_s, dry_run])?;
            forget.execute(params![rule, Quota::MAX_COUNT])?;
        }
        Ok(())
    }

    fn write_transfers(&self, to: &Connection) -> Result<(), Error> {
        let mut upsert = to.prepare_cached(
            "INSERT INTO transfers (capture, segment, json) VALUES (?1, ?2, ?3)
             ON CONFLICT (capture, segment) DO UPDATE SET json = excluded.json",
        )?;
        let mut forget =
            to.prepare_cached("DELETE FROM transfers WHERE capture = ?1 AND segment = ?2")?;
        for ((capture, index), transfer) in &self.transfers {
            match transfer {
                Some(transfer) => {
                    upsert.execute(params![capture.as_str(), index, json(transfer)?])?
                }
                None => forget.execute(params![capture.as_str(), index])?,
            };
        }
        Ok(())
    }

    fn write_unsaid(&self, to: &Connection) -> Result<(), Error> {
        let mut upsert = to.prepare_cached(
            "INSERT INTO unsaid (kind, subject, json) VALUES (?1, ?2, ?3)
             ON CONFLICT (kind, subject) DO UPDATE SET json = excluded.json",
        )?;
        let mut forget =
            to.prepare_cached("DELETE FROM unsaid WHERE kind = ?1 AND subject = ?2")?;
        for ((kind, subject), unsaid) in &self.unsaid {
            match unsaid {
                Some(unsaid) => upsert.execute(params![kind.word(), subject, json(unsaid)?])?,
                None => forget.execute(params![kind.word(), subject])?,
            };
        }
        let mut insert =
            to.prepare_cached("INSERT INTO sessions (key) VALUES (?1) ON CONFLICT DO NOTHING")?;
        for key in &self.sessions {
            insert.execute([key])?;
        }
        Ok(())
    }

    fn write_audit(&self, to: &Connection) -> Result<(), Error> {
        let mut insert = to.prepare_cached(
            "INSERT INTO audit (at, who, action, subject, result) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for Audit { at, who, action, subject, result } in &self.audit {
            insert.execute(params![at.as_nanos(), who, action, subject, result])?;
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
        assert_eq!(batch.captures.values().flatten().map(|c| c.coalesced).collect::<Vec<_>>(), [3]);
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
