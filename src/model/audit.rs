//! Who changed what: one record for each call that changes something.

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;

/// One call that changed something, or that was refused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub at: WallTime,
    /// Who called: `uid 1000`, the name of a token, the subject of a certificate.
    pub who: String,
    /// What was asked for: `capture.create`, `capture.delete`, `reload`.
    pub action: String,
    /// What it was asked of: the name of a capture; empty where the action says it all.
    pub subject: String,
    /// `ok`, or why not.
    pub result: String,
}
