//! One capture session.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{CaptureId, CapturePlan, InterfaceTotals, Segment, SegmentState};

/// Where a capture stands. `Done`, `Partial` and `Failed` are ends.
///
/// ```text
/// Pending --engine started--> Capturing --last segment sealed--> Sealed --upload begins--> Uploading
///    |                            |                                                         |
///    |                            |                        all segments verified, whole ----+--> Done
///    |                            |                        all segments verified, cut ------+--> Partial
///    +--could not start--> Failed <--nothing could be sealed, or a storage refused for good-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Recorded; the engine was asked.
    Pending,
    /// Packets are being written.
    Capturing,
    /// Every segment is sealed; none is being uploaded.
    Sealed,
    /// Segments are on their way to the storage.
    Uploading,
    /// Every segment is stored and verified.
    Done,
    /// Stored and verified, but a crash or an error cut it short.
    Partial,
    /// Ended with an error.
    Failed,
}

impl State {
    pub const fn is_end(self) -> bool {
        match self {
            Self::Done | Self::Partial | Self::Failed => true,
            Self::Pending | Self::Capturing | Self::Sealed | Self::Uploading => false,
        }
    }

    /// One word, as in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Capturing => "capturing",
            Self::Sealed => "sealed",
            Self::Uploading => "uploading",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Why a capture stopped taking packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    TimeExceeded,
    BytesExceeded,
    PacketsExceeded,
    Manual,
    AlertResolved,
    InterfaceLost,
    NoSpace,
    /// The packets came from a file, and all of it was read.
    EndOfFile,
    AgentStopped,
    /// The worker died; what had reached the disk was sealed afterwards.
    Interrupted,
    Error,
}

impl StopReason {
    /// Whether the capture took all that its plan asked for.
    pub const fn is_whole(self) -> bool {
        match self {
            Self::TimeExceeded
            | Self::BytesExceeded
            | Self::PacketsExceeded
            | Self::Manual
            | Self::AlertResolved
            | Self::EndOfFile => true,
            Self::InterfaceLost
            | Self::NoSpace
            | Self::AgentStopped
            | Self::Interrupted
            | Self::Error => false,
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub from: WallTime,
    pub until: WallTime,
}

/// What a capture took, over all its interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Packets written.
    pub packets: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Packets that the kernel could not put into the ring, before any filter.
    pub dropped_by_kernel: u64,
    /// Packets that were overwritten before the capture had read them, before any filter.
    pub overrun: u64,
}

/// One capture session, from the decision to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    pub id: CaptureId,
    /// What people call it: `<rule>-<time>`; unique among those that are kept.
    pub name: String,
    pub plan: CapturePlan,
    pub state: State,
    pub created_at: WallTime,
    /// What the ring held of the window asked for, once the engine has started.
    pub held_from: Option<WallTime>,
    pub stopped_at: Option<WallTime>,
    pub stop_reason: Option<StopReason>,
    /// What went wrong, in a sentence.
    pub error: Option<String>,
    pub totals: Totals,
    pub interfaces: Vec<InterfaceTotals>,
    pub segments: Vec<Segment>,
    /// Later events of its incident.
    pub coalesced: u64,
    /// Somebody deleted it: it is shown no more and its name is free again, but work on it is left.
    #[serde(default)]
    pub deleted: bool,
}

impl Capture {
    /// A capture that was decided on and has not begun.
    pub fn pending(id: CaptureId, name: String, plan: CapturePlan, created_at: WallTime) -> Self {
        Self {
            id,
            name,
            plan,
            state: State::Pending,
            created_at,
            held_from: None,
            stopped_at: None,
            stop_reason: None,
            error: None,
            totals: Totals::default(),
            interfaces: Vec::new(),
            segments: Vec::new(),
            coalesced: 0,
            deleted: false,
        }
    }

    /// Hides it, and frees its name: what is left of it is kept as `<name>~<id>`. A name that was
    /// given never holds a `~`.
    pub fn delete(&mut self) {
        if !self.deleted {
            self.deleted = true;
            self.name = format!("{}~{}", self.name, self.id);
        }
    }

    /// The name that it was given, also once it is deleted.
    pub fn given_name(&self) -> &str {
        let suffix = self.name.strip_suffix(self.id.as_str());
        match suffix.and_then(|name| name.strip_suffix('~')) {
            Some(name) if self.deleted => name,
            Some(_) | None => &self.name,
        }
    }

    /// Whether the spool holds a file of it that no storage took: only its row explains that file.
    pub fn has_stranded(&self) -> bool {
        self.segments.iter().any(|segment| segment.state == SegmentState::Stranded)
    }

    /// Whether work on it is left, now or after a restart: it has not ended, or a segment is not yet
    /// stored or still has its local copy. A stranded segment stays as it is.
    pub fn has_work(&self) -> bool {
        let is_left = |segment: &Segment| match segment.state {
            SegmentState::Sealed | SegmentState::Stored => true,
            SegmentState::Retired | SegmentState::Stranded => false,
        };
        !self.state.is_end() || self.segments.iter().any(is_left)
    }
}
