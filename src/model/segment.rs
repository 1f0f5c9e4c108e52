//! One file of a capture, and the proof that it arrived.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{CaptureId, FileForm};

/// Where a segment stands.
///
/// ```text
/// Sealed --verified upload--> Stored --local copy removed--> Retired
///    \--attempts used up--> Stranded (the local copy stays)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentState {
    /// In the spool under its final name, synced, hashed.
    Sealed,
    /// In its storage, verified; the local copy may still be there.
    Stored,
    /// In its storage, verified; the local copy is gone.
    Retired,
    /// The storage refuses it for good; the local copy stays in the spool.
    Stranded,
}

/// A file of packets as the engine sealed it: synced, under its final name, never written again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFile {
    /// Counts from 0 within the capture.
    pub index: u32,
    /// Where it is in the spool.
    pub path: PathBuf,
    pub size_bytes: u64,
    /// Of the whole file, in hexadecimal. Empty for a capture in the foreground, whose file nobody
    /// stores and verifies.
    pub sha256: String,
    pub packets: u64,
    /// Stamps of its first and last packet.
    pub first_packet: Option<WallTime>,
    pub last_packet: Option<WallTime>,
    /// It was cut by a crash and closed afterwards.
    pub partial: bool,
}

impl SealedFile {
    /// What its name ends in, behind the first dot. The file's own word: one that was cut short may
    /// not have been packed as its plan says.
    pub fn extension(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.split_once('.')
            .map_or_else(|| FileForm::default().extension(), |(_, extension)| extension)
    }
}

/// One file of a capture, on its way to the storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub capture: CaptureId,
    pub file: SealedFile,
    pub state: SegmentState,
    /// The name it has, or will have, in its storage.
    pub object: String,
    pub receipt: Option<Receipt>,
}

/// The proof of a verified upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The name of the storage.
    pub storage: String,
    /// The object's name in it.
    pub object: String,
    /// Where people find it: a URL, or a path for a local directory. Holds no credential.
    pub location: String,
    pub size_bytes: u64,
    pub sha256: String,
    pub verified_at: WallTime,
}

/// How far the upload of a large segment in parts is: all that another process needs to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub capture: CaptureId,
    /// The index of the segment.
    pub index: u32,
    /// The storage and the object that it goes to; with another one it means nothing.
    pub storage: String,
    pub object: String,
    /// What the storage calls the upload.
    pub upload: String,
    /// The size of each part but the last.
    pub part_bytes: u64,
    /// What the storage calls each part that it has, in order from the first.
    pub parts: Vec<String>,
}

/// One file in a storage, verified: what retention goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// The name of the storage.
    pub storage: String,
    /// The object's name in it.
    pub object: String,
    /// The capture that it is of, which may be kept no more, and its index in it.
    pub capture: CaptureId,
    pub index: u32,
    pub size_bytes: u64,
    pub sha256: String,
    /// When it was verified.
    pub stored_at: WallTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_is_that_of_the_file_itself() {
        for (path, extension) in [
            ("/var/lib/hindsight.d/spool/c1-0.pcapng", "pcapng"),
            ("/spool/c1-12.pcap.zst", "pcap.zst"),
            ("/spool.zst/c1-0", "pcapng"),
        ] {
            let file = SealedFile {
                index: 0,
                path: path.into(),
                size_bytes: 0,
                sha256: String::new(),
                packets: 0,
                first_packet: None,
                last_packet: None,
                partial: false,
            };
            assert_eq!(file.extension(), extension, "{path}");
        }
    }
}
