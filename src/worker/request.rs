//! What passes between the outside and the run loop: typed requests, each with a way back.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::clock::WallTime;
use crate::filter::Filter;
use crate::model::{
    Audit, Capture, CaptureId, FileForm, Health, Limits, Outcome, Placing, RecorderStatus, State,
    Tally,
};
use crate::source::Delivery;

use super::explain::{ExplainAnswer, ExplainRequest, NotExplained};
use super::standing::RuleView;
use super::stored::StoredFile;

/// What the outside asks of the run loop.
#[derive(Debug)]
pub enum Request {
    /// An event by hand; answered like every delivery, after the commit.
    Deliver(Delivery),
    /// The newest captures, newest first.
    Captures {
        limit: usize,
        reply: oneshot::Sender<Vec<Capture>>,
    },
    /// The capture with this name or id.
    Capture {
        key: String,
        reply: oneshot::Sender<Option<Box<Capture>>>,
    },
    /// A capture by hand. Answered once it is recorded.
    Create {
        request: Box<CreateRequest>,
        reply: oneshot::Sender<Result<Box<Capture>, NotCreated>>,
    },
    /// End this capture as `Manual`. Answered when the stop is on its way.
    Stop {
        key: String,
        reply: oneshot::Sender<Option<StopAnswer>>,
    },
    /// Take this capture off the list, after ending it if it runs. Answered once it is recorded.
    Delete {
        key: String,
        reply: oneshot::Sender<Option<DeleteAnswer>>,
    },
    /// Try again what was given up: stranded segments and dead notices. Answered once it is recorded.
    DriveAgain {
        key: String,
        reply: oneshot::Sender<Option<RedriveAnswer>>,
    },
    /// Find one file of a capture, wherever it is now.
    File {
        key: String,
        index: u32,
        reply: oneshot::Sender<Option<StoredFile>>,
    },
    /// The newest outcomes, newest first.
    Outcomes {
        limit: usize,
        reply: oneshot::Sender<Vec<Outcome>>,
    },
    Recorders {
        reply: oneshot::Sender<Vec<RecorderStatus>>,
    },
    /// How each rule stands, in the order of the rule files.
    Rules {
        reply: oneshot::Sender<Vec<RuleView>>,
    },
    /// What the rules and the state would make of a payload. No event: nothing is recorded of it.
    Explain {
        request: Box<ExplainRequest>,
        reply: oneshot::Sender<Result<ExplainAnswer, NotExplained>>,
    },
    /// Ask every storage whether it can be reached.
    StoragesCheck {
        reply: oneshot::Sender<Vec<StorageCheck>>,
    },
    /// Read the configuration and the rules again.
    Reload {
        reply: oneshot::Sender<Result<ReloadAnswer, Vec<String>>>,
    },
    /// Keep a record of a call that changed something. Answered once it is recorded.
    Audit {
        audit: Audit,
        reply: oneshot::Sender<()>,
    },
    /// The newest records of such calls, newest first.
    Audits {
        limit: usize,
        reply: oneshot::Sender<Vec<Audit>>,
    },
    Status {
        reply: oneshot::Sender<Box<Status>>,
    },
}

/// A capture by hand, as somebody asks for it. What is wrong with it is told as [`NotCreated`].
#[derive(Clone, Debug, PartialEq)]
pub struct CreateRequest {
    /// 1 to 80 letters, digits, `.`, `_` and `-`, the first a letter or a digit.
    pub name: String,
    /// Names of interfaces; empty stands for all that are recorded.
    pub interfaces: Vec<String>,
    pub look_back: Duration,
    /// Not yet compiled: a filter that cannot be is refused.
    pub filter: Filter,
    /// Within the ceilings of the configuration.
    pub limits: Limits,
    pub defaulted: Defaulted,
    pub file: FileForm,
    /// The name of a storage. Absent: the local file alone where `placing` names one, else the
    /// storage that rules use by default.
    pub storage: Option<String>,
    /// Names of notifiers; empty tells nobody.
    pub notify: Vec<String>,
    pub placing: Placing,
}

/// Which limits nobody has asked for: these give way to the ceilings of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaulted {
    pub duration: bool,
    pub bytes: bool,
}

/// Why a capture by hand was not begun. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCreated {
    /// A capture of that name is kept.
    NameTaken,
    /// A field has no meaning: its name as in [`CreateRequest`] with dots between the levels
    /// (`limits.duration`), the value as it was given, and what it has to be.
    Invalid { field: String, value: String, message: String },
    /// A ceiling is reached, which the sentence names.
    Refused(String),
}

/// The answer to a stop. Stopping what has ended is fine, and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopAnswer {
    pub capture: CaptureId,
    pub name: String,
    /// The state at the time of the answer.
    pub state: State,
}

/// The answer to a delete. What is stored, and a local file, stay where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteAnswer {
    pub capture: CaptureId,
    /// The name that is free again.
    pub name: String,
    /// The state before.
    pub state: State,
}

/// What is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedriveAnswer {
    pub capture: CaptureId,
    pub name: String,
    /// Segments that were given up, and are on their way again.
    pub segments: usize,
    /// Notices that were given up, and are on their way again.
    pub notices: usize,
}

/// How one storage answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageCheck {
    pub name: String,
    /// `directory`, `azure`, `s3`, `http`.
    pub kind: String,
    /// Why it cannot be used; absent where it can. Holds no credential.
    pub error: Option<String>,
    /// How long the answer took.
    pub millis: u64,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// How many rules are loaded.
    pub rules: usize,
    /// The parts that have changed and act from now on: `rules`, `sources.plant`, `ceilings`.
    pub changed: Vec<String>,
    /// The keys that have changed and act only after a restart.
    pub needs_restart: Vec<String>,
}

/// How the whole worker is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub host: String,
    pub started_at: WallTime,
    /// It takes events: every part is up, and it is not stopping.
    pub ready: bool,
    pub configuration: ConfigurationStatus,
    /// Every remote party, and the journal.
    pub sources: Vec<Health>,
    pub storages: Vec<Health>,
    pub notifiers: Vec<Health>,
    pub recorders: Vec<RecorderStatus>,
    /// How many rules are loaded.
    pub rules: usize,
    /// What was decided since the journal began.
    pub decisions: Vec<Tally>,
    /// Captures that have not reached their end, by state.
    pub captures_open: Vec<(State, usize)>,
    /// Segments that are sealed and not yet verified in their storage.
    pub segments_waiting: usize,
    /// Segments that are stored, and whose local copy is still to be removed.
    pub removals_waiting: usize,
    pub notices_waiting: usize,
    /// Files that stood in the spool at the start and that no capture names; the log names them.
    pub unexplained_files: usize,
    pub spool: SpoolStatus,
    /// How often a broker no longer had our session, since the journal began.
    pub upstream_losses: u64,
}

/// The configuration that acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// The file it was read from; absent for the built-in one.
    pub file: Option<String>,
    /// When the set that acts was loaded.
    pub loaded_at: WallTime,
    /// Why the last attempt to load it again failed; the set before it acts on.
    pub error: Option<String>,
    /// Keys that have changed since the start and act only after a restart.
    pub needs_restart: Vec<String>,
}

/// The folder of what is not yet stored, and its file system; bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolStatus {
    pub bytes: u64,
    /// What it may hold.
    pub ceiling: u64,
    /// Free for the worker on its file system.
    pub free_bytes: u64,
    /// The size of the file system.
    pub total_bytes: u64,
}
