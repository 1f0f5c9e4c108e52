//! How a remote party, or a part of the worker, is doing.

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;

/// The state of one source, storage or notifier, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub name: String,
    /// `mqtt`, `webhook`, `directory`, `azure`, `s3`.
    pub kind: String,
    pub ok: bool,
    /// In a few words: `connected`, `retrying`, `idle`.
    pub state: String,
    pub since: WallTime,
    /// The last error, while it is not ok. Holds no credential.
    pub error: Option<String>,
    /// Failures in a row.
    pub failures: u32,
}
