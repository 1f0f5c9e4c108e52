//! What can go wrong on the way to a storage.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A failure of a storage. No message and no field holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("storage '{storage}': {problem}")]
    Settings { storage: String, problem: String },

    #[error("storage '{storage}': reading {key} {}: {source}", path.display())]
    Secret { storage: String, key: &'static str, path: PathBuf, source: io::Error },

    #[error("there is no storage '{0}' in the configuration; add it under storages:")]
    Unknown(String),

    #[error("'{object}' is no name for an object: {problem}")]
    Name { object: String, problem: &'static str },

    #[error(
        "the file {} is gone, and storage '{storage}' does not hold it as '{object}' either",
        path.display()
    )]
    LocalMissing { storage: String, object: String, path: PathBuf },

    #[error(
        "the file {} is not what was sealed: it was {sealed} and is {found}; it was not uploaded",
        path.display()
    )]
    LocalChanged { path: PathBuf, sealed: Content, found: Content },

    #[error("reading {}: {source}", path.display())]
    Local { path: PathBuf, source: io::Error },

    #[error("{0}")]
    Conflict(Box<Conflict>),

    #[error(
        "storage '{storage}' holds {found} as '{object}', where {recorded} was stored; it stays"
    )]
    NotOurs { storage: String, object: String, recorded: Content, found: Content },

    #[error("storage '{storage}' refused {doing}: {reason}; look at its credential and its rights")]
    Denied { storage: String, doing: &'static str, reason: String },

    #[error("storage '{storage}' cannot do {doing}: {reason}")]
    Unsupported { storage: String, doing: &'static str, reason: String },

    #[error("storage '{storage}', {doing}: {reason}")]
    Unavailable { storage: String, doing: &'static str, reason: String },

    #[error("storage '{storage}', {doing}: no end after {seconds} s")]
    Deadline { storage: String, doing: &'static str, seconds: u64 },
}

impl Error {
    /// Whether a later attempt with the same file and settings may succeed. Rights and credentials
    /// count: they are put right at the storage while files wait, and giving up would strand the
    /// captures of a whole night for one expired token.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::Deadline { .. }
            | Self::Denied { .. }
            | Self::Local { .. } => true,
            Self::Settings { .. }
            | Self::Secret { .. }
            | Self::Unknown(_)
            | Self::Name { .. }
            | Self::LocalMissing { .. }
            | Self::LocalChanged { .. }
            | Self::Conflict(_)
            | Self::NotOurs { .. }
            | Self::Unsupported { .. } => false,
        }
    }
}

/// Another object stands under the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub storage: String,
    pub object: String,
    /// The file in the spool.
    pub path: PathBuf,
    pub sealed: Content,
    pub found: Content,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { storage, object, path, sealed, found } = self;
        write!(
            f,
            "storage '{storage}' holds another file as '{object}': {} is {sealed}, the stored one \
             is {found}; neither was touched; move the stored one away to have this one uploaded",
            path.display()
        )
    }
}

/// Length and hash of a file or an object, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub size_bytes: u64,
    /// Absent where the length told enough.
    pub sha256: Option<String>,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.size_bytes)?;
        match &self.sha256 {
            Some(sha256) => write!(f, " with SHA-256 {sha256}"),
            None => Ok(()),
        }
    }
}
