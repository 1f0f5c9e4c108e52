//! The capture engine: recorders that hold the last seconds, and captures that read them.

use std::path::PathBuf;

/// Settings of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where segments are written, until they are uploaded.
    pub spool: PathBuf,
    pub recorders: Vec<RecorderSettings>,
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
