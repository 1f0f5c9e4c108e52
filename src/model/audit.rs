//! A record of one call that changed something.

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;

/// Who did what to which part of the worker, and what came of it. Holds no credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub at: WallTime,
    /// A user of this host (`uid 1000`), the name of a token, or the subject of a certificate.
    pub who: String,
    /// `capture.create`, `capture.stop`, `reload`.
    pub action: String,
    /// The name of what it was done to.
    pub subject: String,
    /// `ok`, or why not.
    pub result: String,
}
