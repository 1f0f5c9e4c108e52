//! What the capture engine says about its work. Packets never pass this way.

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{CaptureId, SealedFile, StopReason, Totals};

/// News of one capture.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Its first file is open; `held_from` is the oldest instant that its recorders held, and
    /// `interfaces` has the filters as they were compiled, with what was counted so far.
    Started { capture: CaptureId, held_from: WallTime, interfaces: Vec<InterfaceTotals> },
    /// How far it is, about once a second.
    Progress { capture: CaptureId, totals: Totals },
    /// A file is whole: synced, hashed, under its final name.
    Sealed { capture: CaptureId, file: SealedFile },
    /// It takes no more packets, and its last segment was reported. `error` says what went wrong,
    /// where something did.
    Ended {
        capture: CaptureId,
        reason: StopReason,
        error: Option<String>,
        totals: Totals,
        interfaces: Vec<InterfaceTotals>,
    },
}

impl Report {
    /// The end of a capture that never began.
    pub fn refused(capture: CaptureId, why: String) -> Self {
        Self::Ended {
            capture,
            reason: StopReason::Error,
            error: Some(why),
            totals: Totals::default(),
            interfaces: Vec::new(),
        }
    }

    pub const fn capture(&self) -> &CaptureId {
        match self {
            Self::Started { capture, .. }
            | Self::Progress { capture, .. }
            | Self::Sealed { capture, .. }
            | Self::Ended { capture, .. } => capture,
        }
    }
}

/// What a capture took from one interface: received = written + not matched + lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceTotals {
    pub interface: String,
    /// Packets of the window that the ring held.
    pub received: u64,
    /// Of those, how many the filter selected and the file holds.
    pub written: u64,
    pub dropped_by_kernel: u64,
    pub overrun: u64,
    /// Packets in the file that are longer than what was kept of them.
    #[serde(default)]
    pub truncated: u64,
    /// The filter as it was compiled, in tcpdump's language; empty selects everything.
    pub filter: String,
}

/// What one recorder holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderStatus {
    pub interface: String,
    /// `recording`, or what is wrong with it.
    pub state: String,
    /// Size of the ring in bytes.
    pub memory_bytes: u64,
    /// Time from the oldest held packet to now, in milliseconds.
    pub window_ms: u64,
    pub held_packets: u64,
    pub held_bytes: u64,
    /// Packets that passed since the recorder began.
    pub received: u64,
    /// Of those, how many the kernel could not put into the ring.
    pub dropped: u64,
    /// Captures that read it.
    pub readers: u32,
}
