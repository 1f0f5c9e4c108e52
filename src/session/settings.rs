//! What the machine is told about its bounds and whom to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::Kind;

/// All that the configuration decides about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub ceilings: Ceilings,
    /// The name of this host, for summaries.
    pub host: String,
    /// Who is told of what belongs to no rule.
    pub default_notify: Vec<String>,
    /// Which kinds of notices each notifier gets; one that is not named gets [`usual_kinds`].
    pub notifier_kinds: BTreeMap<String, BTreeSet<Kind>>,
    /// The rules by name, each with a number that is another one once the rule has changed. Absent:
    /// nothing is known of them, and all that waits goes on waiting.
    pub rules: Option<BTreeMap<String, u64>>,
    /// A segment that no storage has taken for so long, and that often in this run, is stranded.
    pub upload_budget: Duration,
}

/// A day: longer than a storage is away for repairs, shorter than a spool takes to fill.
pub const UPLOAD_BUDGET: Duration = Duration::from_secs(24 * 3600);

/// All kinds but `Started`, which most people do not want to be called for.
pub fn usual_kinds() -> BTreeSet<Kind> {
    BTreeSet::from([
        Kind::Completed,
        Kind::Partial,
        Kind::Failed,
        Kind::Suppressed,
        Kind::UpstreamLoss,
    ])
}

impl Settings {
    /// With these ceilings, the usual budget and nobody to tell.
    pub fn new(ceilings: Ceilings) -> Self {
        Self {
            ceilings,
            host: String::new(),
            default_notify: Vec::new(),
            notifier_kinds: BTreeMap::new(),
            rules: None,
            upload_budget: UPLOAD_BUDGET,
        }
    }

    /// Whether this notifier gets notices of this kind.
    pub(super) fn wants(&self, notifier: &str, kind: Kind) -> bool {
        match self.notifier_kinds.get(notifier) {
            Some(kinds) => kinds.contains(&kind),
            None => kind != Kind::Started,
        }
    }
}

/// The ceilings that no rule and no person passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// The longest that a capture goes on after its trigger.
    pub duration: Duration,
    /// The most that one capture's files hold.
    pub bytes: u64,
    /// Captures at one time.
    pub concurrent: usize,
    /// Captures that begin within any 60 minutes.
    pub captures_per_hour: usize,
    /// The most that the files of the spool hold together, in bytes.
    pub spool_bytes: u64,
    /// What stays free on the file system of the spool.
    pub free_disk: FreeDisk,
}

/// How much of a file system stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeDisk {
    /// Of its size; 0 to 100.
    Percent(u8),
    Bytes(u64),
}

impl FreeDisk {
    /// In bytes, of a file system of this size.
    pub fn of(self, total_bytes: u64) -> u64 {
        match self {
            // Divided first: the product may not fit, and 99 bytes are no matter.
            Self::Percent(percent) => (total_bytes / 100).saturating_mul(u64::from(percent)),
            Self::Bytes(bytes) => bytes,
        }
    }
}
