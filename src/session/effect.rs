//! What the machine wants kept, and what it wants done.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Capture, CaptureId, Change, Notice, Segment, StopReason, Transfer};

/// The outcome of a batch of inputs.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be made durable, all of them, before any action is carried out.
    pub changes: Vec<Change>,
    /// To be carried out in this order.
    pub actions: Vec<Action>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start the engine on this capture. Comes back as [`Report`](crate::model::Report)s.
    Begin(Box<Capture>),
    /// End this capture. Comes back as `Report::Ended`; harmless where it has ended.
    Stop { capture: CaptureId, reason: StopReason },
    /// Let this capture's time end so long after its trigger, if that is later than it would;
    /// harmless where it has ended.
    Extend { capture: CaptureId, duration: Duration },
    /// Close what a crash left of this capture, but for the files that are recorded already.
    SealLeftovers { capture: CaptureId, recorded: Vec<u32> },
    /// One attempt to store this segment, and to copy it to the local file where one is asked for.
    Upload {
        /// Empty where the local file is all that is asked for.
        storage: String,
        segment: Box<Segment>,
        /// How far an earlier attempt came.
        transfer: Option<Box<Transfer>>,
        local_file: Option<PathBuf>,
    },
    /// Remove the local copy of a stored segment.
    Remove { capture: CaptureId, index: u32, path: PathBuf },
    /// One attempt to deliver this notice.
    Send(Box<Notice>),
    /// Tell whoever runs the worker how this capture ended.
    Ended(Box<Capture>),
    /// Tell them that this notice will not be tried again.
    GivenUp(Box<Notice>),
}
