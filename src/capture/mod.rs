//! The capture engine: recorders that hold the last seconds, and captures that read them.
//!
//! ```text
//! opener -> recorder (a thread per interface) -> log <- reader <- tap <- feed <- follow <- job
//!   |                                                              |               |    (a thread per
//!   +----> device (libpcap, also of files; a thread of its own) <--+               |     capture)
//!                                        sealing <- series (the files) <- segment <+-> output
//! ```
//!
//! Captures of one recorder that find nothing rest: a scout reads for all of them, and calls each for
//! the block that may concern it (`rest`, `scout`).
//!
//! Packets stay in the threads of this room; what leaves it are coarse reports and files. It knows
//! nothing of rules, uploads and the journal. Invariant: every packet that passed an interface in a
//! capture's window is written, not selected, or counted as lost.

mod bell;
mod budget;
mod device;
mod engine;
mod error;
mod feed;
mod files;
mod follow;
mod interface;
mod job;
mod line;
mod log;
mod memory;
mod opener;
mod packet;
mod private;
mod reader;
mod recorder;
mod rest;
mod scout;
mod section;
mod tap;
mod window;

use std::fs::File;
use std::path::PathBuf;

pub use engine::{Engine, Standby};
pub use error::Error;
pub use files::{seal_leftovers, segment_of};
pub use interface::default_route_interface;
pub use memory::check_memory;

pub use crate::ring::check_privilege;

/// Where the packets of a capture come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The interfaces that the plan names.
    Interfaces,
    /// A file of packets. All of them: the plan's window does not count.
    File(PathBuf),
}

/// Where the files of a capture go.
#[derive(Debug)]
pub enum Destination {
    /// `<capture>-<index>` in the spool, hashed, to be stored and verified.
    Spool,
    /// Under this path; later segments have their number before the extension. Until a file is
    /// whole its name ends in `.part`.
    Path(PathBuf),
    /// As the packets come: standard output, a FIFO, a device. There is no file to be sealed.
    Stream(File),
}

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

/// Settings of the ring that is made for one capture, on an interface without a recorder, or of the
/// buffers where libpcap serves the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateSettings {
    /// Size of the ring, or of the buffers together, in bytes.
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
