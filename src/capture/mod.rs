//! The capture engine: recorders that hold the last seconds, and captures that read them.
//!
//! ```text
//! opener -> recorder (a thread per interface) -> log <- reader <- feed <- job (a thread per capture)
//!                                                                          |-> segment -> file
//! ```
//!
//! Packets stay in the threads of this room; what leaves it are coarse reports and files. It knows
//! nothing of rules, uploads and the journal. Invariant: every packet that passed an interface in a
//! capture's window is written, not selected, or counted as lost.

mod aligned;
mod bell;
mod device;
mod engine;
mod error;
mod feed;
mod file;
mod interface;
mod job;
mod log;
mod opener;
mod private;
mod reader;
mod recorder;
mod recovery;
mod section;
mod segment;
mod window;

use std::path::PathBuf;

pub use engine::Engine;
pub use error::Error;
pub use file::segment_of;
pub use interface::default_route_interface;
pub use recovery::seal_leftovers;

/// Settings of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where segments are written, until they are uploaded.
    pub spool: PathBuf,
    pub recorders: Vec<RecorderSettings>,
    pub private: PrivateSettings,
    /// What the rings and the buffers of all recorders and captures may take together, in bytes.
    pub memory_bytes: u64,
}

/// Settings of the ring that is made for one capture, on an interface without a recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateSettings {
    /// Size of the ring in bytes.
    pub memory_bytes: u64,
    pub promiscuous: bool,
}

/// Settings of one interface's recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderSettings {
    pub interface: String,
    /// Size of the ring in bytes.
    pub memory_bytes: u64,
    /// How much of each packet is recorded, in bytes; 0 records the whole packet.
    pub bytes_per_packet: u32,
    pub promiscuous: bool,
}
