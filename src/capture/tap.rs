//! Where the packets of one interface come from: a recorder's ring, or libpcap.

use std::time::Duration;

use crate::capture::device::{Device, LARGEST_CHUNK_BYTES};
use crate::capture::reader::{Loss, Reader};
use crate::capture::recorder::Recorder;
use crate::clock::WallTime;
use crate::filter::LinkType;

/// A source of blocks of packets.
#[derive(Debug)]
pub(super) enum Tap {
    Ring {
        reader: Reader,
        /// The recorder that runs for this capture alone.
        private: Option<Recorder>,
    },
    Device(Device),
}

impl Tap {
    pub(super) const fn link_type(&self) -> LinkType {
        match self {
            Self::Ring { .. } => LinkType::Ethernet,
            Self::Device(device) => device.link_type(),
        }
    }

    /// From here on every packet was held when the capture began.
    pub(super) const fn held_from(&self) -> WallTime {
        match self {
            Self::Ring { reader, .. } => reader.held_from(),
            Self::Device(device) => device.held_from(),
        }
    }

    /// When the next block was opened; none while there is none.
    pub(super) fn next_opened_at(&self) -> Option<WallTime> {
        match self {
            Self::Ring { reader, .. } => reader.next_opened_at(),
            Self::Device(device) => device.next_opened_at(),
        }
    }

    /// The most that one block takes, in bytes.
    pub(super) fn block_bytes(&self) -> usize {
        match self {
            Self::Ring { reader, .. } => {
                let bytes = reader.log().ring().geometry().block_bytes;
                usize::try_from(bytes).unwrap_or(usize::MAX)
            }
            Self::Device(_) => LARGEST_CHUNK_BYTES,
        }
    }

    /// What was lost after the last block that was taken.
    pub(super) fn last_loss(&mut self) -> Loss {
        match self {
            Self::Ring { reader, .. } => reader.last_loss(),
            Self::Device(device) => device.last_loss(),
        }
    }

    /// Whether every packet that arrived before this instant was taken.
    pub(super) fn is_past(&self, at: WallTime) -> bool {
        match self {
            Self::Ring { reader, .. } => reader.is_past(at),
            Self::Device(device) => device.is_past(at),
        }
    }

    /// How long after an instant [`is_past`](Self::is_past) may become true, while all is well.
    pub(super) fn settle_time(&self) -> Duration {
        match self {
            Self::Ring { reader, .. } => reader.log().ring().geometry().retire() * 2,
            Self::Device(_) => Device::settle_time(),
        }
    }

    /// Why nothing more comes, if that is not how it should be.
    pub(super) fn lost(&self) -> Option<String> {
        match self {
            Self::Ring { reader, .. } => reader.log().lost(),
            Self::Device(device) => device.lost(),
        }
    }

    /// Whether it is a file, which is read whole, whenever its packets were.
    pub(super) const fn is_file(&self) -> bool {
        matches!(self, Self::Device(device) if device.is_file())
    }

    /// Whether nothing more comes and all was taken. A ring never says so.
    pub(super) fn is_exhausted(&self) -> bool {
        matches!(self, Self::Device(device) if device.is_exhausted())
    }

    /// The latest stamp of what was taken of a device or file.
    pub(super) const fn last_at(&self) -> Option<WallTime> {
        match self {
            Self::Ring { .. } => None,
            Self::Device(device) => device.last_at(),
        }
    }

    /// Ends what runs for this capture alone.
    pub(super) fn stop(self) {
        match self {
            Self::Ring { private, .. } => private.iter().for_each(Recorder::stop),
            Self::Device(device) => device.stop(),
        }
    }
}
