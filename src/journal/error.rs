//! What can go wrong with the journal.

use std::io;
use std::path::PathBuf;

use super::reserve::is_full;

/// A failure of the journal. The message names the place and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing} {}: {source}", path.display())]
    Directory { doing: &'static str, path: PathBuf, source: io::Error },

    #[error(
        "the state directory {} belongs to another worker{owner}; stop that one, or give this one \
         a directory of its own (state: in the configuration)",
        directory.display()
    )]
    Owned {
        directory: PathBuf,
        /// ` (process 1234)`, where the lock file says so; empty otherwise.
        owner: String,
    },

    #[error(
        "{} is a database, but no journal of hindsight; move it away, or choose another state \
         directory",
        path.display()
    )]
    Foreign { path: PathBuf },

    #[error(
        "the journal {} has format {found}; this version of hindsight reads up to {known}; install \
         the version that wrote it, or a later one",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },

    #[error(
        "opening the journal {}: {source}; if the file is damaged, move it away together with its \
         -wal file and start again",
        path.display()
    )]
    Open { path: PathBuf, source: rusqlite::Error },

    #[error("turning a change into JSON for the journal: {source}")]
    Encode { source: serde_json::Error },

    #[error(
        "writing to the journal: {source}; the worker has to stop now, because what an fsync has \
         failed on cannot be trusted by trying again; look at the disk, then start it again"
    )]
    Commit { source: rusqlite::Error },

    #[error(
        "the disk of the journal is full; the worker stops before it takes what it cannot keep; \
         make room on the file system of the state directory, then start it again"
    )]
    Full,

    #[error("reading {what} from the journal: {source}")]
    Read { what: &'static str, source: rusqlite::Error },

    #[error(
        "row '{key}' of {table} in the journal cannot be read: {source}; remove it with \
         sqlite3(1) after a look at its json column"
    )]
    Row { table: &'static str, key: String, source: serde_json::Error },

    #[error("the journal is closed; an earlier error says why, or the worker is stopping")]
    Stopped,
}

/// An error of a statement that writes. One for which there was no room is told apart: it has changed
/// nothing, and the remedy is another one.
impl From<rusqlite::Error> for Error {
    fn from(source: rusqlite::Error) -> Self {
        if is_full(&source) { Self::Full } else { Self::Commit { source } }
    }
}

impl Error {
    /// Whether the worker has to end. Only questions to the journal may fail without that.
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::Read { .. } | Self::Row { .. } => false,
            Self::Directory { .. }
            | Self::Owned { .. }
            | Self::Foreign { .. }
            | Self::Newer { .. }
            | Self::Open { .. }
            | Self::Encode { .. }
            | Self::Commit { .. }
            | Self::Full
            | Self::Stopped => true,
        }
    }
}
