//! The one thread that writes: it owns the connection, and every request is one transaction.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::lock::Lock;
use super::retention::Kept;
use super::{Error, answer_to};
use crate::model::Change;
use crate::spawn;

/// Batches that wait for the disk. The run loop is the one that commits and it waits for each, so
/// this is room for a few more askers, not a buffer.
const WAITING_BATCHES: usize = 16;

enum Request {
    Commit { changes: Vec<Change>, done: oneshot::Sender<Result<(), Error>> },
    Close { done: oneshot::Sender<()> },
}

/// Sends batches to the thread.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    requests: mpsc::Sender<Request>,
}

impl Writer {
    pub(super) fn start(connection: Connection, lock: Lock, kept: Kept) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel(WAITING_BATCHES);
        spawn::thread("journal", move || run(connection, lock, kept, inbox))?;
        Ok(Self { requests })
    }

    pub(super) async fn commit(&self, changes: Vec<Change>) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.requests
            .send(Request::Commit { changes, done })
            .await
            .map_err(|_gone| Error::Stopped)?;
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

fn run(mut connection: Connection, lock: Lock, kept: Kept, mut inbox: mpsc::Receiver<Request>) {
    while let Some(request) = inbox.blocking_recv() {
        match request {
            Request::Commit { changes, done } => {
                let result = commit(&mut connection, &changes, kept);
                let failed = result.is_err();
                answer_to(done, result);
                if failed {
                    abandon(connection);
                    // Before the inbox: whoever sees it closed may open the directory again.
                    drop(lock);
                    return;
                }
            }
            Request::Close { done } => {
                close(connection);
                drop(lock);
                answer_to(done, ());
                return;
            }
        }
    }
    close(connection);
}

fn commit(connection: &mut Connection, changes: &[Change], kept: Kept) -> Result<(), Error> {
    let batch = Batch::of(changes);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    batch.write(&transaction)?;
    kept.prune(&transaction, &batch)?;
    transaction.commit()?;
    Ok(())
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
