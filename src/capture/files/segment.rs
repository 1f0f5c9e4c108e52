//! One file of a capture while it is written: its own records, its packets, its limit.
//!
//! Invariant: the file never grows beyond its limit, the records at its end included.

use std::path::PathBuf;

use crate::capture::Error;
use crate::capture::files::format::{Beginning, packet_len, put_packet};
use crate::capture::files::output::{Output, Written};
use crate::clock::WallTime;
use crate::model::FileFormat;
use crate::pcapng::{PacketBlock, Sink as _, Statistics};

/// What one block of packets may add to the file beyond the size of the block: a record is smaller
/// than its packet in the ring, but the first may carry a drop count and one a comment.
const BURST_SLACK: usize = 64 * 1024;

/// The most that is put into a file between two looks for room, in bytes.
pub(in crate::capture) fn burst(head: &[u8], block_bytes: usize) -> usize {
    block_bytes.max(head.len()) + BURST_SLACK
}

/// A file that takes packets.
#[derive(Debug)]
pub(in crate::capture) struct Segment {
    output: Output,
    format: FileFormat,
    /// What the packets and the records before them may take, in bytes.
    room_until: u64,
    packets: u64,
    first_packet: Option<WallTime>,
    last_packet: Option<WallTime>,
}

/// A file that takes no more packets, and what is in it.
#[derive(Debug)]
pub(in crate::capture) struct Closed {
    pub(in crate::capture) written: Written,
    pub(in crate::capture) packets: u64,
    pub(in crate::capture) first_packet: Option<WallTime>,
    pub(in crate::capture) last_packet: Option<WallTime>,
}

impl Segment {
    /// Begins a file of at most `limit` bytes with its own records.
    pub(in crate::capture) fn begin(
        output: Output,
        beginning: &Beginning,
        limit: u64,
    ) -> Result<Self, Error> {
        let mut segment = Self {
            output,
            format: beginning.format,
            room_until: 0,
            packets: 0,
            first_packet: None,
            last_packet: None,
        };
        segment.put_head(beginning, limit)?;
        Ok(segment)
    }

    /// Begins the next file, after [`close`](Self::close).
    pub(in crate::capture) fn turn_to(
        &mut self,
        path: PathBuf,
        beginning: &Beginning,
        limit: u64,
    ) -> Result<(), Error> {
        self.output.turn_to(path)?;
        self.packets = 0;
        (self.first_packet, self.last_packet) = (None, None);
        self.put_head(beginning, limit)
    }

    fn put_head(&mut self, beginning: &Beginning, limit: u64) -> Result<(), Error> {
        let head = beginning.head();
        let tail = bytes(beginning.tail_len());
        let own = bytes(head.len()) + tail;
        if own >= limit {
            return Err(Error::NoRoom { limit, own });
        }
        self.output.put(&head);
        self.room_until = limit - tail;
        Ok(())
    }

    pub(in crate::capture) const fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of the file so far.
    pub(in crate::capture) fn len(&self) -> u64 {
        self.output.len()
    }

    pub(in crate::capture) const fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Appends a packet to the buffer, without I/O. False if it does not fit into the limit.
    #[inline]
    pub(in crate::capture) fn put(&mut self, packet: &PacketBlock<'_>) -> bool {
        if self.output.len() + bytes(packet_len(self.format, packet)) > self.room_until {
            return false;
        }
        put_packet(self.format, &mut self.output, packet);
        self.packets += 1;
        self.first_packet = Some(self.first_packet.map_or(packet.at, |at| at.min(packet.at)));
        self.last_packet = Some(self.last_packet.map_or(packet.at, |at| at.max(packet.at)));
        true
    }

    /// Adds the statistics and writes all that is left.
    pub(in crate::capture) fn close(
        &mut self,
        beginning: &Beginning,
        statistics: &[Statistics<'_>],
    ) -> Result<Closed, Error> {
        self.output.make_room()?;
        self.output.put(&beginning.tail(statistics));
        let written = self.output.finish()?;
        Ok(Closed {
            written,
            packets: self.packets,
            first_packet: self.first_packet,
            last_packet: self.last_packet,
        })
    }
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
