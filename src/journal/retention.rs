//! How many rows of history are kept. What a restart needs is never touched.

use rusqlite::Connection;

use super::Error;
use super::batch::Batch;

/// How many rows of each table are kept; the oldest go first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) outcomes: i64,
    pub(super) rejected: i64,
    /// Of those that ended and left nothing in the spool.
    pub(super) captures: i64,
    /// Of those that were delivered or given up.
    pub(super) notices: i64,
}

impl Kept {
    /// A million outcomes are about 400 MB; the tallies go on counting what is removed. A rejected
    /// message is at most a few hundred bytes. 10,000 captures are a week at the highest rate that
    /// the default ceiling allows; one is a few KB, 70 KB with the largest event.
    pub(super) const DEFAULT: Self =
        Self { outcomes: 1_000_000, rejected: 10_000, captures: 10_000, notices: 20_000 };

    /// Removes what this batch has pushed out, in the batch's own transaction.
    pub(super) fn prune(&self, from: &Connection, batch: &Batch<'_>) -> Result<(), Error> {
        // New rows get the highest number plus one and only the lowest are removed, so the numbers
        // have no gaps and the difference is the count.
        if batch.has_outcomes() {
            from.prepare_cached(
                "DELETE FROM outcomes WHERE seq <= (SELECT max(seq) FROM outcomes) - ?1",
            )?
            .execute([self.outcomes])?;
        }
        if batch.has_rejected() {
            from.prepare_cached(
                "DELETE FROM rejected WHERE seq <= (SELECT max(seq) FROM rejected) - ?1",
            )?
            .execute([self.rejected])?;
        }
        if batch.closes_captures() {
            from.prepare_cached(
                "DELETE FROM captures WHERE id IN (
                     SELECT id FROM captures WHERE stage = 'closed'
                     ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?1)",
            )?
            .execute([self.captures])?;
        }
        if batch.ends_notices() {
            from.prepare_cached(
                "DELETE FROM notices WHERE id IN (
                     SELECT id FROM notices WHERE delivery <> 'waiting'
                     ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?1)",
            )?
            .execute([self.notices])?;
        }
        Ok(())
    }
}
