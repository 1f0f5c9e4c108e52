//! What the machine is told.

use crate::model::{
    CaptureId, Event, NoticeId, Receipt, Rejected, Report, SealedFile, StopReason, Verdict,
};

/// One piece of news.
#[derive(Debug)]
pub enum Input {
    /// An event, with what the rules say of it; no verdict means that no rule matched.
    Event { event: Event, verdicts: Vec<Verdict> },
    /// A message that is no event.
    Rejected(Rejected),
    /// News from the capture engine.
    Engine(Report),
    /// What a crash had left of a capture, sealed; answers [`SealLeftovers`]. `error` says what could
    /// not be sealed, where something could not.
    ///
    /// [`SealLeftovers`]: crate::session::Action::SealLeftovers
    Leftovers { capture: CaptureId, files: Vec<SealedFile>, error: Option<String> },
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
    /// The worker is stopping: no event comes any more, nothing new leaves.
    Shutdown,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Worth trying again as it is.
    pub transient: bool,
    /// A sentence without credentials.
    pub message: String,
}
