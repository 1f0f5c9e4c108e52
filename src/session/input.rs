//! What the machine is told.

use std::time::Duration;

use crate::model::{
    CaptureId, Event, NoticeId, Receipt, Rejected, Report, SealedFile, Status, StopReason,
    Transfer, Verdict,
};

/// One piece of news.
#[derive(Debug)]
pub enum Input {
    /// An event, with what the rules say of it; no verdict means that no rule matched.
    Event { event: Event, verdicts: Vec<Verdict> },
    /// An event that is older than its source lets pass, with what the rules would have said of it.
    Expired { event: Event, verdicts: Vec<Verdict>, age: Duration },
    /// A source is connected again. `key` names its session at its broker, and `present` is the
    /// broker's word on whether it still has it.
    Session { source: String, key: String, present: bool },
    /// A message that is no event.
    Rejected(Rejected),
    /// News from the capture engine.
    Engine(Report),
    /// What a crash had left of a capture, sealed; answers [`SealLeftovers`]. `error` says what could
    /// not be sealed, where something could not.
    ///
    /// [`SealLeftovers`]: crate::session::Action::SealLeftovers
    Leftovers { capture: CaptureId, files: Vec<SealedFile>, error: Option<String> },
    /// An upload in parts has come so far: its storage has verified every part that it names.
    Transfer(Transfer),
    /// One attempt at an upload ended; answers [`Upload`](crate::session::Action::Upload).
    Uploaded { capture: CaptureId, index: u32, result: Result<Receipt, Failure> },
    /// A local copy is gone, or could not be removed; answers [`Remove`].
    ///
    /// [`Remove`]: crate::session::Action::Remove
    Removed { capture: CaptureId, index: u32, result: Result<(), Failure> },
    /// One attempt at a notice ended; answers [`Send`](crate::session::Action::Send).
    Notified { notice: NoticeId, result: Result<(), Failure> },
    /// Somebody wants this capture to end.
    Stop { capture: CaptureId, reason: StopReason },
    /// The file system of the spool as it is now; every second or two, and once before the first
    /// event.
    Space(Space),
    /// These captures are kept no more, so that their names may be given again: what the journal says
    /// of its history.
    Freed(Vec<CaptureId>),
    /// The worker is stopping: no event comes any more, nothing new leaves.
    Shutdown,
}

impl Input {
    /// An event with the rules' word on it, and whether it is older than its source lets pass. The end
    /// of an alert never is: it ends captures, and begins none.
    pub fn judged(event: Event, verdicts: Vec<Verdict>, max_age: Option<Duration>) -> Self {
        let age = event.starts_at.map(|starts_at| event.received_at.since(starts_at));
        match (age, max_age) {
            (Some(age), Some(allowed)) if age > allowed && event.status == Status::Firing => {
                Self::Expired { event, verdicts, age }
            }
            _ => Self::Event { event, verdicts },
        }
    }
}

/// How full the file system of the spool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this user may still write.
    pub free_bytes: u64,
    pub total_bytes: u64,
    /// What the files of the spool hold.
    pub spool_bytes: u64,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Worth trying again as it is.
    pub transient: bool,
    /// A sentence without credentials.
    pub message: String,
}
