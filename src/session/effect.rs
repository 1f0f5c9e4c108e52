//! What the machine wants done.

use std::path::PathBuf;

use crate::model::{Capture, CaptureId, Change, Notice, Segment, StopReason};

/// One thing to do. The order within a batch is the order to do them in, persisting first.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make this durable before anything else of the batch happens.
    Persist(Change),
    /// Start the engine on this capture. Comes back as [`Report`](crate::model::Report)s.
    Begin(Box<Capture>),
    /// End this capture. Comes back as `Report::Ended`; harmless where it has ended.
    StopCapture { capture: CaptureId, reason: StopReason },
    /// Close what a crash left of this capture, but for the files that are recorded already.
    SealLeftovers { capture: CaptureId, recorded: Vec<u32> },
    /// One attempt to store this segment.
    Upload { storage: String, segment: Box<Segment> },
    /// Remove the local copy of a stored segment.
    Remove { capture: CaptureId, index: u32, path: PathBuf },
    /// One attempt to deliver this notice.
    Send(Box<Notice>),
}
