//! The one thread that writes: it owns the connection, and every request is one transaction.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::lock::Lock;
use super::reserve::Reserve;
use super::retention::Kept;
use super::{Error, answer_to};
use crate::clock::WallTime;
use crate::model::{CaptureId, Change};
use crate::spawn;

/// Batches that wait for the disk. The run loop is the one that commits and it waits for each, so
/// this is room for a few more askers, not a buffer.
const WAITING_BATCHES: usize = 16;

/// What a commit has to say besides that it is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Captures that are kept no more: their names may be given again.
    pub freed: Vec<CaptureId>,
    /// The disk was full, and the batch is durable only because room had been held back for it. The
    /// worker has to stop now ([`Error::Full`] is the sentence): there is room for its last batches.
    pub disk_full: bool,
}

/// How many pages the log may have gathered, as reckoned by [`pages`], before they are brought into
/// the database. SQLite's own limit, which counts exactly, is twice that.
const CHECKPOINT_PAGES: usize = 1000;

/// What a batch takes in the log: a few pages of indices and the rows themselves.
const fn pages(changes: usize) -> usize {
    8 + changes / 8
}

type Answer = oneshot::Sender<Result<Committed, Error>>;

enum Request {
    Commit { changes: Vec<Change>, done: Answer },
    Expire { now: WallTime, done: Answer },
    Keep(Kept),
    Close { done: oneshot::Sender<()> },
}

/// Sends batches to the thread.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    requests: mpsc::Sender<Request>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        lock: Lock,
        reserve: Reserve,
        kept: Kept,
    ) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel(WAITING_BATCHES);
        let store = Store { connection, reserve, kept, logged_pages: 0 };
        spawn::thread("journal", move || run(store, lock, inbox))?;
        Ok(Self { requests })
    }

    pub(super) async fn commit(&self, changes: Vec<Change>) -> Result<Committed, Error> {
        self.ask(|done| Request::Commit { changes, done }).await
    }

    /// Removes what is older than it may be.
    pub(super) async fn expire(&self, now: WallTime) -> Result<Committed, Error> {
        self.ask(|done| Request::Expire { now, done }).await
    }

    /// Keeps so much history from now on.
    pub(super) async fn keep(&self, kept: Kept) -> Result<(), Error> {
        self.requests.send(Request::Keep(kept)).await.map_err(|_gone| Error::Stopped)
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<Committed, Error> {
        let (done, answer) = oneshot::channel();
        self.requests.send(request(done)).await.map_err(|_gone| Error::Stopped)?;
        answer.await.map_err(|_gone| Error::Stopped)?
    }

    /// Returns when the database and the lock are let go.
    pub(super) async fn close(&self) {
        let (done, answer) = oneshot::channel();
        if self.requests.send(Request::Close { done }).await.is_ok() {
            // An error means that the thread has ended, which is what was asked for.
            answer.await.unwrap_or_default();
        }
    }
}

/// What the thread owns.
struct Store {
    connection: Connection,
    reserve: Reserve,
    kept: Kept,
    /// Reckoned, since the last checkpoint.
    logged_pages: usize,
}

fn run(mut store: Store, lock: Lock, mut inbox: mpsc::Receiver<Request>) {
    while let Some(request) = inbox.blocking_recv() {
        let (result, done) = match request {
            Request::Commit { changes, done } => (store.commit(&changes), done),
            Request::Expire { now, done } => (store.expire(now), done),
            Request::Keep(kept) => {
                store.kept = kept;
                continue;
            }
            Request::Close { done } => {
                close(store.connection);
                drop(lock);
                answer_to(done, ());
                return;
            }
        };
        let failed = result.is_err();
        answer_to(done, result);
        if failed {
            abandon(store.connection);
            // Before the inbox: whoever sees it closed may open the directory again.
            drop(lock);
            return;
        }
        store.checkpoint();
    }
    close(store.connection);
}

impl Store {
    fn commit(&mut self, changes: &[Change]) -> Result<Committed, Error> {
        self.logged_pages += pages(changes.len());
        let batch = Batch::of(changes);
        self.transact(|to, kept| {
            batch.write(to, &kept.directories)?;
            kept.prune(to, &batch)
        })
    }

    fn expire(&mut self, now: WallTime) -> Result<Committed, Error> {
        self.transact(|from, kept| kept.expire(from, now))
    }

    /// One transaction; a second attempt at it where the disk was full and room is held back.
    fn transact(
        &mut self,
        work: impl Fn(&Connection, &Kept) -> Result<Vec<CaptureId>, Error>,
    ) -> Result<Committed, Error> {
        match self.attempt(&work) {
            Err(Error::Full) if self.reserve.release() => {
                Ok(Committed { freed: self.attempt(&work)?, disk_full: true })
            }
            first => Ok(Committed { freed: first?, disk_full: false }),
        }
    }

    fn attempt(
        &mut self,
        work: impl Fn(&Connection, &Kept) -> Result<Vec<CaptureId>, Error>,
    ) -> Result<Vec<CaptureId>, Error> {
        let immediate = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(immediate)?;
        let freed = work(&transaction, &self.kept)?;
        transaction.commit()?;
        Ok(freed)
    }

    /// Brings the log into the database if it is time. SQLite would do it within a commit, and a capture
    /// would wait for it some milliseconds; here nobody does. What fails is done again later.
    fn checkpoint(&mut self) {
        if self.logged_pages < CHECKPOINT_PAGES {
            return;
        }
        self.logged_pages = 0;
        let done = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_row| Ok(()));
        if let Err(error) = done {
            tracing::warn!(%error, "tidying the journal's log failed; nothing is lost");
        }
    }
}

/// Every row is on disk already; what can fail here is tidying up, and the next start does it.
fn close(connection: Connection) {
    if let Err((_connection, error)) = connection.close() {
        tracing::warn!(%error, "closing the journal failed; nothing is lost");
    }
}

/// After a failed write the files are left as they are for the recovery of the next start: no
/// checkpoint may carry pages whose fsync has failed into the database.
fn abandon(connection: Connection) {
    match connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        Ok(_) => drop(connection),
        // Closing would run the checkpoint. The process is about to end and takes it along.
        Err(_) => std::mem::forget(connection),
    }
}
