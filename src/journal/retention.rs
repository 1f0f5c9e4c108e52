//! How much history is kept. What a restart needs is never touched.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Connection, Params, Row};

use super::Error;
use super::batch::Batch;
use crate::clock::WallTime;
use crate::model::{CaptureId, Quota};

/// How many rows of each table are kept, and for how long; the oldest go first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub outcomes: i64,
    pub rejected: i64,
    /// Of those that ended and left nothing in the spool.
    pub captures: i64,
    /// Of those that were delivered or given up.
    pub notices: i64,
    pub audit: i64,
    /// Of files in a storage, whether or not their capture is kept.
    pub files: i64,
    /// How long all of these but the files are kept at most; absent: as long as the counts allow.
    pub age: Option<Duration>,
    /// The storages whose files are remembered one by one, because retention will remove them.
    pub directories: BTreeSet<String>,
}

impl Default for Kept {
    /// A million outcomes are about 400 MB; the tallies go on counting what is removed. A rejected
    /// message is at most a few hundred bytes. 10,000 captures are a week at the highest rate that
    /// the default ceiling allows; one is a few KB, 70 KB with the largest event. A record of the
    /// audit and a file are about 200 bytes; a file that is forgotten is never removed, so that
    /// there is room for more of them than a folder should hold.
    fn default() -> Self {
        Self {
            outcomes: 1_000_000,
            rejected: 10_000,
            captures: 10_000,
            notices: 20_000,
            audit: 100_000,
            files: 1_000_000,
            age: None,
            directories: BTreeSet::new(),
        }
    }
}

impl Kept {
    /// Removes what this batch has pushed out, in the batch's own transaction. Returns the captures
    /// that are kept no more.
    pub(super) fn prune(
        &self,
        from: &Connection,
        batch: &Batch<'_>,
    ) -> Result<Vec<CaptureId>, Error> {
        // New rows get the highest number plus one and the lowest are removed first, so that the
        // numbers have no gaps and the difference is the count.
        if batch.has_outcomes() {
            let sql = "DELETE FROM outcomes WHERE seq <= (SELECT max(seq) FROM outcomes) - ?1";
            from.prepare_cached(sql)?.execute([self.outcomes])?;
        }
        if batch.has_rejected() {
            let sql = "DELETE FROM rejected WHERE seq <= (SELECT max(seq) FROM rejected) - ?1";
            from.prepare_cached(sql)?.execute([self.rejected])?;
        }
        if batch.has_audit() {
            let sql = "DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?1";
            from.prepare_cached(sql)?.execute([self.audit])?;
        }
        if batch.ends_notices() {
            from.prepare_cached(
                "DELETE FROM notices WHERE id IN (
                     SELECT id FROM notices WHERE delivery <> 'waiting'
                     ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?1)",
            )?
            .execute([self.notices])?;
        }
        if !batch.closes_captures() {
            return Ok(Vec::new());
        }
        let files = "DELETE FROM files WHERE (storage, object) IN (
                         SELECT storage, object FROM files
                         ORDER BY stored_at DESC LIMIT -1 OFFSET ?1)";
        if from.query_row("SELECT count(*) FROM files", [], |row| row.get::<_, i64>(0))?
            > self.files
        {
            from.prepare_cached(files)?.execute([self.files])?;
        }
        gone(
            from,
            "DELETE FROM captures WHERE id IN (
                 SELECT id FROM captures WHERE stage = 'closed'
                 ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?1)
             RETURNING id",
            [self.captures],
        )
    }

    /// Removes what is older than it may be. Returns the captures that are kept no more.
    pub(super) fn expire(&self, from: &Connection, now: WallTime) -> Result<Vec<CaptureId>, Error> {
        let forgotten = (now - Quota::MAX_PER).as_nanos();
        from.execute("DELETE FROM begun WHERE at < ?1", [forgotten])?;
        let Some(age) = self.age else { return Ok(Vec::new()) };
        let before = (now - age).as_nanos();
        from.execute("DELETE FROM audit WHERE at < ?1", [before])?;
        from.execute(
            "DELETE FROM notices WHERE delivery <> 'waiting' AND created_at < ?1",
            [before],
        )?;
        // Numbers go up with time, so that the newest of the old ones says how far to go.
        for (table, at) in [("outcomes", "at"), ("rejected", "received_at")] {
            from.execute(
                &format!(
                    "DELETE FROM {table} WHERE seq < coalesce(
                         (SELECT min(seq) FROM {table} WHERE json ->> '$.{at}' >= ?1),
                         (SELECT max(seq) + 1 FROM {table}))"
                ),
                [(now - age).to_string()],
            )?;
        }
        gone(
            from,
            "DELETE FROM captures WHERE stage = 'closed' AND created_at < ?1 RETURNING id",
            [before],
        )
    }
}

fn gone(from: &Connection, sql: &str, parameters: impl Params) -> Result<Vec<CaptureId>, Error> {
    let mut statement = from.prepare_cached(sql)?;
    let id = |row: &Row<'_>| row.get::<_, String>(0).map(CaptureId::from_text);
    let gone = statement.query_map(parameters, id)?.collect::<Result<_, _>>()?;
    Ok(gone)
}
