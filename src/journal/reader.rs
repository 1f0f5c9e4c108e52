//! The thread that answers questions, on a connection of its own that can only read.
//!
//! In WAL mode readers and the writer do not wait for each other, so a long list delays no commit.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::{mpsc, oneshot};

use super::saved::{HOUR, Row, Rows, nouns};
use super::{Error, answer_to};
use crate::clock::WallTime;
use crate::model::{
    Audit, Begun, Capture, CaptureId, Decision, LastDecision, Notice, Outcome, Quota, StoredFile,
    Tally,
};
use crate::spawn;

/// Questions that wait for an answer.
const WAITING_QUESTIONS: usize = 64;

/// The most rows that one answer holds, whatever was asked for.
pub const MAX_ROWS: usize = 10_000;

type Question = Box<dyn FnOnce(&Connection) + Send>;

enum Request {
    Ask(Question),
    Close { done: oneshot::Sender<()> },
}

/// Sends questions to the thread.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    requests: mpsc::Sender<Request>,
}

impl Reader {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (requests, mut inbox) = mpsc::channel(WAITING_QUESTIONS);
        spawn::thread("journal-read", move || {
            while let Some(request) = inbox.blocking_recv() {
                match request {
                    Request::Ask(question) => question(&connection),
                    Request::Close { done } => {
                        drop(connection);
                        answer_to(done, ());
                        return;
                    }
                }
            }
        })?;
        Ok(Self { requests })
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, answer) = oneshot::channel();
        let question: Question = Box::new(move |connection| answer_to(done, question(connection)));
        self.requests.send(Request::Ask(question)).await.map_err(|_gone| Error::Stopped)?;
        answer.await.map_err(|_gone| Error::Stopped)?
    }

    /// Returns when the connection is closed.
    pub(super) async fn close(&self) {
        let (done, answer) = oneshot::channel();
        if self.requests.send(Request::Close { done }).await.is_ok() {
            // An error means that the thread has ended, which is what was asked for.
            answer.await.unwrap_or_default();
        }
    }
}

/// What a restart at `now` needs.
pub(super) fn rows_to_resume(from: &Connection, now: WallTime) -> Result<Rows, Error> {
    let began = from
        .prepare("SELECT created_at FROM captures WHERE created_at >= ?1 ORDER BY created_at")
        .and_then(|mut statement| {
            statement
                .query_map([(now - HOUR).as_nanos()], |row| row.get(0).map(WallTime::from_nanos))?
                .collect()
        })
        .map_err(reading("captures"))?;
    // No limit: the session's ceilings bound what is open, and leaving out a row would strand it.
    let all = |what, sql| rows(from, what, sql, usize::MAX);
    Ok(Rows {
        captures: all(
            "captures",
            "SELECT id, json FROM captures WHERE stage = 'open' ORDER BY created_at, id LIMIT ?1",
        )?,
        notices: all(
            "notices",
            "SELECT id, json FROM notices WHERE delivery = 'waiting'
             ORDER BY created_at, id LIMIT ?1",
        )?,
        groups: all("groups", "SELECT key, json FROM groups ORDER BY key LIMIT ?1")?,
        waiting: all("waiting", "SELECT key, json FROM waiting ORDER BY key LIMIT ?1")?,
        seen: all("seen", "SELECT key, json FROM seen ORDER BY key LIMIT ?1")?,
        begun: begun(from, now)?,
        began,
        transfers: all(
            "transfers",
            "SELECT capture || '-' || segment, json FROM transfers
             ORDER BY capture, segment LIMIT ?1",
        )?,
        unsaid: all("unsaid", "SELECT subject, json FROM unsaid ORDER BY kind, subject LIMIT ?1")?,
        sessions: collected(from, "sessions", "SELECT key FROM sessions", [], |row| row.get(0))?,
        names: collected(
            from,
            "captures",
            "SELECT name, id FROM captures WHERE deleted = 0",
            [],
            |row| Ok((row.get(0)?, CaptureId::from_text(row.get::<_, String>(1)?))),
        )?,
    })
}

/// The begins of rules with `max_captures` that may still count, oldest first.
fn begun(from: &Connection, now: WallTime) -> Result<Vec<Begun>, Error> {
    let sql = "SELECT rule, at, count, per_s, dry_run FROM begun WHERE at >= ?1 ORDER BY seq";
    collected(from, "begun", sql, [(now - Quota::MAX_PER).as_nanos()], |row| {
        let per = Duration::from_secs(u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0));
        Ok(Begun {
            rule: row.get(0)?,
            at: WallTime::from_nanos(row.get(1)?),
            quota: Quota { count: row.get(2)?, per },
            dry_run: row.get(4)?,
        })
    })
}

/// The newest captures that are not deleted, newest first.
pub(super) fn captures(from: &Connection, limit: usize) -> Result<Vec<Capture>, Error> {
    let sql = "SELECT id, json FROM captures WHERE deleted = 0
               ORDER BY created_at DESC, id DESC LIMIT ?1";
    nouns("captures", rows(from, "captures", sql, limit)?)
}

/// The capture with this id or, failing that, this name, if it is not deleted.
pub(super) fn capture(from: &Connection, key: &str) -> Result<Option<Capture>, Error> {
    let sql = "SELECT id, json FROM captures WHERE (id = ?1 OR name = ?1) AND deleted = 0
               ORDER BY id = ?1 DESC LIMIT 1";
    one_capture(from, sql, key)
}

/// The capture with this id, also a deleted one.
pub(super) fn kept_capture(from: &Connection, id: &CaptureId) -> Result<Option<Capture>, Error> {
    one_capture(from, "SELECT id, json FROM captures WHERE id = ?1", id.as_str())
}

fn one_capture(from: &Connection, sql: &str, key: &str) -> Result<Option<Capture>, Error> {
    let row = from
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement.query_row(params![key], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(reading("captures"))?;
    Ok(nouns("captures", row.into_iter().collect())?.pop())
}

/// The notices of a capture that were given up, oldest first.
pub(super) fn dead_notices(from: &Connection, capture: &CaptureId) -> Result<Vec<Notice>, Error> {
    let sql = "SELECT id, json FROM notices WHERE capture = ?1 AND delivery = 'dead'
               ORDER BY created_at, id";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    nouns("notices", collected(from, "notices", sql, [capture.as_str()], row)?)
}

/// The newest records of the audit, newest first.
pub(super) fn audit(from: &Connection, limit: usize) -> Result<Vec<Audit>, Error> {
    let sql = "SELECT at, who, action, subject, result FROM audit ORDER BY seq DESC LIMIT ?1";
    collected(from, "audit", sql, [i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(Audit {
            at: WallTime::from_nanos(row.get(0)?),
            who: row.get(1)?,
            action: row.get(2)?,
            subject: row.get(3)?,
            result: row.get(4)?,
        })
    })
}

/// What a storage holds of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// All files together, in bytes.
    pub bytes: u64,
    pub files: u64,
    /// Those that are stored longest, oldest first.
    pub oldest: Vec<StoredFile>,
}

/// What this storage holds, with at most `limit` of its oldest files.
pub(super) fn stored(from: &Connection, storage: &str, limit: usize) -> Result<Stored, Error> {
    let (files, bytes): (i64, i64) = from
        .prepare_cached(
            "SELECT count(*), coalesce(sum(size_bytes), 0) FROM files WHERE storage = ?1",
        )
        .and_then(|mut statement| {
            statement.query_row([storage], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .map_err(reading("files"))?;
    let sql = "SELECT storage, object, capture, segment, size_bytes, sha256, stored_at FROM files
               WHERE storage = ?1 ORDER BY stored_at, object LIMIT ?2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let oldest = collected(from, "files", sql, params![storage, limit], |row| {
        Ok(StoredFile {
            storage: row.get(0)?,
            object: row.get(1)?,
            capture: CaptureId::from_text(row.get::<_, String>(2)?),
            index: row.get(3)?,
            size_bytes: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
            sha256: row.get(5)?,
            stored_at: WallTime::from_nanos(row.get(6)?),
        })
    })?;
    let whole = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Stored { bytes: whole(bytes), files: whole(files), oldest })
}

/// The newest outcomes, newest first.
pub(super) fn outcomes(from: &Connection, limit: usize) -> Result<Vec<Outcome>, Error> {
    let sql = "SELECT CAST(seq AS TEXT), json FROM outcomes ORDER BY outcomes.seq DESC LIMIT ?1";
    nouns("outcomes", rows(from, "outcomes", sql, limit)?)
}

/// Every tally, by rule and decision.
pub(super) fn tallies(from: &Connection) -> Result<Vec<Tally>, Error> {
    from.prepare_cached("SELECT rule, decision, count FROM tallies ORDER BY rule, decision")
        .and_then(|mut statement| {
            statement
                .query_map([], |row| {
                    let count: i64 = row.get(2)?;
                    Ok(Tally {
                        rule: row.get(0)?,
                        decision: row.get(1)?,
                        count: u64::try_from(count).unwrap_or(0),
                    })
                })?
                .collect()
        })
        .map_err(reading("tallies"))
}

/// The last decision of each rule, by rule.
pub(super) fn last_decisions(from: &Connection) -> Result<Vec<LastDecision>, Error> {
    let sql = "SELECT rule, at, json FROM rules ORDER BY rule";
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(String, WallTime, String)> {
        Ok((row.get(0)?, WallTime::from_nanos(row.get(1)?), row.get(2)?))
    };
    let rows: Vec<_> = collected(from, "rules", sql, [], read)?;
    let mut last = Vec::with_capacity(rows.len());
    for (rule, at, json) in rows {
        let decision = nouns::<Decision>("rules", vec![(rule.clone(), json)])?;
        last.extend(decision.into_iter().map(|decision| LastDecision {
            rule: rule.clone(),
            at,
            decision: decision.word().to_owned(),
            reason: decision.reason(),
        }));
    }
    Ok(last)
}

/// Runs a query and collects what `read` makes of each row.
fn collected<T, C: FromIterator<T>>(
    from: &Connection,
    what: &'static str,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<C, Error> {
    from.prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(parameters, read)?.collect())
        .map_err(reading(what))
}

/// Runs a query whose one parameter is the most rows that it may give.
fn rows(from: &Connection, what: &'static str, sql: &str, limit: usize) -> Result<Vec<Row>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    from.prepare_cached(sql)
        .and_then(|mut statement| {
            statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .map_err(reading(what))
}

fn reading(what: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::Read { what, source }
}
