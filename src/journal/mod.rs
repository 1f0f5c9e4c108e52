//! The embedded durable store: every outcome, capture, notice and group, in one SQLite file.
//!
//! The rest of the worker hands in [`Change`]s and gets nouns back; no other room knows SQL, and
//! this one knows nothing of what the changes mean. **Invariant: when [`Journal::commit`] returns,
//! the batch is on the disk, whole; when it fails, the worker ends.** An fsync that failed once may
//! succeed at the next try without having written anything (PostgreSQL learned it in 2018), so
//! nothing is tried twice: the process stops, and the next start reads what the disk really holds.
//!
//! # On disk
//!
//! ```text
//! <state>/                0700 where we make it
//!   journal.db            0600; SQLite, STRICT tables, application_id "Hind"
//!   journal.db-wal, -shm  the write-ahead log: part of the journal while they are there
//!   journal.lock          flock(2) of the worker that owns the directory, with its process id
//!   reserve               1 MiB that is given up for the last batches when the disk is full
//! ```
//!
//! | table | one row is | kept |
//! |---|---|---|
//! | `captures` | a capture with its segments, by `id` and by unique `name` | while it is open or has files in the spool; then the newest 10,000 |
//! | `notices` | one notice to one notifier: the outbox | while it waits; then the newest 20,000 |
//! | `groups` | a group whose incident is open | until it is closed |
//! | `waiting` | a group that waits, with the proposal that begins then | until it waits no longer |
//! | `seen` | when the events came that count for `times` of a group that waits | as long |
//! | `begun` | the begin of a capture of a rule with `max_captures` | of each rule the newest 1,000, for 31 days |
//! | `rules` | what was decided last for a rule | for ever |
//! | `outcomes` | the end of one event at one rule (or at none), in order of arrival | the newest 1,000,000 |
//! | `rejected` | a message that was no event | the newest 10,000 |
//! | `transfers` | how far the upload of a segment in parts is | until its end |
//! | `sessions` | a session that we have had at a broker | for ever |
//! | `unsaid` | what the next summary of a rule or a source will say | until it is said |
//! | `audit` | a call that changed something, or was refused it | the newest 100,000 |
//! | `files` | a verified file in a storage that retention looks after | until it is removed |
//! | `tallies` | how often a rule came to a decision, also on what came due, exactly, whatever was removed | for ever |
//! | `meta` | `written_by`: the last version that wrote | for ever |
//!
//! A setting ([`Kept`]) bounds history by age as well. Each noun is kept as the JSON of its type in `model/`, beside the columns that are searched by.
//! So a new optional field needs no migration, and `sqlite3 journal.db "select json from captures"`
//! shows all there is. Times in columns are nanoseconds since 1970 in UTC.
//!
//! # Writing
//!
//! One named thread owns the connection that writes: WAL, `synchronous=FULL`, one transaction for
//! each batch, so that group commit is the size of the batch that the run loop hands in. A batch is
//! folded first: of a row that it changes often only the last state is written. A second thread
//! answers questions on a read-only connection, so a long list delays no commit.
//!
//! # Recovery
//!
//! SQLite rolls the write-ahead log forward by itself. [`Journal::open`] then brings an earlier
//! format to the known one, refuses a newer one, and reads [`Saved`].

mod batch;
mod error;
mod lock;
mod reader;
mod reserve;
mod retention;
mod saved;
mod schema;
mod writer;

#[cfg(test)]
mod samples;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use tokio::sync::oneshot;

pub use error::Error;
pub use reader::{MAX_ROWS, Stored};
pub use retention::Kept;
pub use writer::Committed;

use crate::clock;
use crate::durable;
use crate::model::{
    Audit, Capture, CaptureId, Change, LastDecision, Notice, Outcome, Saved, Tally,
};
use lock::Lock;
use reader::Reader;
use reserve::Reserve;
use writer::Writer;

const FILE: &str = "journal.db";

/// A handle to the journal; clones speak to the same one.
#[derive(Clone, Debug)]
pub struct Journal {
    writer: Writer,
    reader: Reader,
}

impl Journal {
    /// Opens the journal in `directory`, or makes it, and reads what a restart needs. Keeps as much
    /// history as [`Kept::default`] says. Blocks on the disk.
    ///
    /// # Errors
    /// Another worker owns the directory; the directory cannot be made or written; the file is no
    /// journal, damaged, or of a newer version; a row that a restart needs cannot be read.
    pub fn open(directory: &Path) -> Result<(Self, Saved), Error> {
        Self::open_keeping(directory, Kept::default())
    }

    /// As [`open`](Self::open), but keeps as much history as `kept` says.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_keeping(directory: &Path, kept: Kept) -> Result<(Self, Saved), Error> {
        let failed = |doing| {
            let path = directory.to_owned();
            move |source| Error::Directory { doing, path, source }
        };
        make_directory(directory).map_err(failed("making the state directory"))?;
        let lock = Lock::take(directory)?;
        let reserve = Reserve::hold(directory);
        let path = directory.join(FILE);
        make_private(&path).map_err(failed("making journal.db in"))?;
        let connection = schema::open(&path, env!("CARGO_PKG_VERSION"))?;
        durable::sync_directory_of(&path).map_err(failed("syncing"))?;
        let now = clock::wall_time();
        let saved = reader::rows_to_resume(&connection, now)?.into_saved(now)?;
        let reader = Reader::start(schema::open_for_reading(&path)?)
            .map_err(failed("starting the journal's threads for"))?;
        let writer = Writer::start(connection, lock, reserve, kept)
            .map_err(failed("starting the journal's threads for"))?;
        Ok((Self { writer, reader }, saved))
    }

    /// Makes all of `changes` durable, or none of them. A dropped future still commits.
    ///
    /// # Errors
    /// Every error is fatal to the worker (see the module's invariant): the journal is closed after
    /// it, and every later call gives [`Error::Stopped`].
    pub async fn commit(&self, changes: Vec<Change>) -> Result<Committed, Error> {
        if changes.is_empty() {
            return Ok(Committed::default());
        }
        self.writer.commit(changes).await
    }

    /// Keeps as much history as `kept` says from now on.
    ///
    /// # Errors
    /// The journal is closed.
    pub async fn keep(&self, kept: Kept) -> Result<(), Error> {
        self.writer.keep(kept).await
    }

    /// Removes history that is older than [`Kept::age`]; for a call every hour or so.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub async fn expire(&self) -> Result<Committed, Error> {
        self.writer.expire(clock::wall_time()).await
    }

    /// The newest captures that nobody has deleted, newest first; at most `limit` and never more than [`MAX_ROWS`].
    ///
    /// # Errors
    /// The rows cannot be read, or the journal is closed.
    pub async fn captures(&self, limit: usize) -> Result<Vec<Capture>, Error> {
        self.reader.ask(move |from| reader::captures(from, limit.min(MAX_ROWS))).await
    }

    /// The capture with this id or name, if nobody has deleted it.
    ///
    /// # Errors
    /// The row cannot be read, or the journal is closed.
    pub async fn capture(&self, key: &str) -> Result<Option<Capture>, Error> {
        let key = key.to_owned();
        self.reader.ask(move |from| reader::capture(from, &key)).await
    }

    /// The capture with this id, also one that is deleted and on which work is left.
    ///
    /// # Errors
    /// The row cannot be read, or the journal is closed.
    pub async fn kept_capture(&self, id: &CaptureId) -> Result<Option<Capture>, Error> {
        let id = id.clone();
        self.reader.ask(move |from| reader::kept_capture(from, &id)).await
    }

    /// The notices of this capture that were given up, oldest first.
    ///
    /// # Errors
    /// The rows cannot be read, or the journal is closed.
    pub async fn dead_notices(&self, capture: &CaptureId) -> Result<Vec<Notice>, Error> {
        let capture = capture.clone();
        self.reader.ask(move |from| reader::dead_notices(from, &capture)).await
    }

    /// The newest records of the audit, newest first; at most `limit` and never more than
    /// [`MAX_ROWS`].
    ///
    /// # Errors
    /// The rows cannot be read, or the journal is closed.
    pub async fn audit(&self, limit: usize) -> Result<Vec<Audit>, Error> {
        self.reader.ask(move |from| reader::audit(from, limit.min(MAX_ROWS))).await
    }

    /// What a storage of [`Kept::directories`] holds of ours, with at most `limit` of its oldest
    /// files and never more than [`MAX_ROWS`]. Every file that it names was verified there.
    ///
    /// # Errors
    /// The rows cannot be read, or the journal is closed.
    pub async fn stored_files(&self, storage: &str, limit: usize) -> Result<Stored, Error> {
        let storage = storage.to_owned();
        self.reader.ask(move |from| reader::stored(from, &storage, limit.min(MAX_ROWS))).await
    }

    /// The newest outcomes, newest first; at most `limit` and never more than [`MAX_ROWS`].
    ///
    /// # Errors
    /// The rows cannot be read, or the journal is closed.
    pub async fn outcomes(&self, limit: usize) -> Result<Vec<Outcome>, Error> {
        self.reader.ask(move |from| reader::outcomes(from, limit.min(MAX_ROWS))).await
    }

    /// How often each rule came to each decision, since the journal was made.
    ///
    /// # Errors
    /// The rows cannot be read, or the journal is closed.
    pub async fn tallies(&self) -> Result<Vec<Tally>, Error> {
        self.reader.ask(reader::tallies).await
    }

    /// What was decided last for each rule, by its name; also of rules that are no more.
    ///
    /// # Errors
    /// The rows cannot be read, or the journal is closed.
    pub async fn last_decisions(&self) -> Result<Vec<LastDecision>, Error> {
        self.reader.ask(reader::last_decisions).await
    }

    /// Ends both threads and lets the directory go, after the batches that wait. Clones then answer
    /// [`Error::Stopped`].
    pub async fn close(self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Makes the state directory for its owner alone; one that is there keeps its mode.
fn make_directory(directory: &Path) -> io::Result<()> {
    if fs::metadata(directory).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    durable::sync_directory_of(directory)
}

/// SQLite gives its side files the mode of the database, and would make that readable for all.
fn make_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// Answers whoever asked; one that has gone needs no answer.
fn answer_to<T>(asker: oneshot::Sender<T>, answer: T) {
    drop(asker.send(answer));
}

#[cfg(test)]
mod tests;
