//! A piece of the stream: some packets, copied out of libpcap's buffer, in the order they came.

use crate::capture::reader::Loss;
use crate::clock::WallTime;
use crate::libpcap::{LinkType, MAX_PACKET_BYTES, Packet};
use crate::ring::Frame;

/// A chunk is full when it takes as much, in bytes: small enough to be soon in the file, large
/// enough that the hand-over costs nothing.
const FULL_BYTES: usize = 128 * 1024;

/// What is reckoned for a packet beside its own bytes: more than its record here, and than what a
/// file adds to it.
const RECORD_BYTES: usize = 96;

/// The most that a chunk can take: it was not yet full, and then the longest packet came.
pub(in crate::capture) const LARGEST_CHUNK_BYTES: usize =
    FULL_BYTES + RECORD_BYTES + MAX_PACKET_BYTES;

/// Link types with Linux cooked headers (tcpdump.org/linktypes.html), and the byte in which each
/// says which way a packet went.
const COOKED: [(u16, usize); 2] = [(113, 1), (276, 10)];

/// No packet type of the kernel.
const UNKNOWN_TYPE: u8 = u8::MAX;

/// Whether frames of this link have a Linux cooked header.
pub(super) fn is_cooked(link: LinkType) -> bool {
    direction_byte(link).is_some()
}

fn direction_byte(link: LinkType) -> Option<usize> {
    let cooked = COOKED.iter().find(|(number, _byte)| *number == link.in_files());
    cooked.map(|(_number, byte)| *byte)
}

/// Some packets.
#[derive(Debug)]
pub(in crate::capture) struct Chunk {
    direction_byte: Option<usize>,
    bytes: Vec<u8>,
    records: Vec<Record>,
    lost_before: Loss,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    at: WallTime,
    /// Where its bytes end; they begin where those of the one before it end.
    end: usize,
    wire_len: u32,
}

impl Chunk {
    pub(super) fn new(link: LinkType) -> Self {
        Self {
            direction_byte: direction_byte(link),
            bytes: Vec::new(),
            records: Vec::new(),
            lost_before: Loss::default(),
        }
    }

    pub(super) fn push(&mut self, packet: &Packet<'_>) {
        self.bytes.extend_from_slice(packet.data);
        let (at, wire_len) = (packet.at, packet.wire_len);
        self.records.push(Record { at, end: self.bytes.len(), wire_len });
    }

    /// What it takes, in bytes, reckoned high.
    pub(super) const fn cost(&self) -> usize {
        self.bytes.len() + self.records.len() * RECORD_BYTES
    }

    pub(super) const fn is_full(&self) -> bool {
        self.cost() >= FULL_BYTES
    }

    pub(super) const fn packets(&self) -> usize {
        self.records.len()
    }

    /// The stamp of its first packet.
    pub(super) fn opened_at(&self) -> Option<WallTime> {
        self.records.first().map(|record| record.at)
    }

    /// The latest stamp of its packets.
    pub(super) fn last_at(&self) -> Option<WallTime> {
        self.records.iter().map(|record| record.at).max()
    }

    /// All that was lost before it, since the source was opened.
    pub(super) const fn lost_before(&self) -> Loss {
        self.lost_before
    }

    pub(super) const fn set_lost_before(&mut self, lost: Loss) {
        self.lost_before = lost;
    }

    /// Its packets, in the order in which they came.
    pub(in crate::capture) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut start = 0;
        self.records.iter().map(move |record| {
            let data = &self.bytes[start..record.end];
            start = record.end;
            Frame::elsewhere(record.at, data, record.wire_len, self.packet_type(data))
        })
    }

    /// What the header says, which is numbered as the kernel numbers it.
    fn packet_type(&self, data: &[u8]) -> u8 {
        let told = self.direction_byte.and_then(|at| data.get(at));
        told.copied().unwrap_or(UNKNOWN_TYPE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Direction;

    fn chunk(link: u16, packets: &[&[u8]]) -> Chunk {
        let mut chunk = Chunk::new(LinkType::of_files(link));
        for (at, data) in (1..).zip(packets) {
            chunk.push(&Packet { at: WallTime::from_nanos(at), data, wire_len: 100 });
        }
        chunk
    }

    #[test]
    fn packets_come_out_as_they_went_in() {
        let chunk = chunk(101, &[b"first", b"", b"third"]);
        let frames: Vec<_> = chunk.frames().collect();
        let data: Vec<_> = frames.iter().map(|frame| frame.data).collect();
        assert_eq!(data, [b"first".as_slice(), b"", b"third"]);
        assert_eq!(frames[2].at, WallTime::from_nanos(3));
        assert_eq!((frames[0].wire_len, frames[0].direction()), (100, Direction::Unknown));
        assert_eq!(chunk.opened_at(), Some(WallTime::from_nanos(1)));
    }

    #[test]
    fn a_cooked_header_says_which_way_a_packet_went() {
        let mut first_kind = [0; 20];
        first_kind[1] = 4;
        let mut second_kind = [0; 24];
        second_kind[10] = 2;
        let direction = |chunk: Chunk| chunk.frames().next().unwrap().direction();
        assert_eq!(direction(chunk(113, &[&first_kind])), Direction::Outgoing);
        assert_eq!(direction(chunk(276, &[&second_kind])), Direction::Multicast);
        assert_eq!(direction(chunk(113, &[&[0]])), Direction::Unknown);
    }

    #[test]
    fn no_chunk_takes_more_than_the_most_that_is_promised() {
        let longest = vec![0; MAX_PACKET_BYTES];
        let mut chunk = chunk(1, &[]);
        for data in [&longest[..1], &longest] {
            while !chunk.is_full() {
                let at = WallTime::from_nanos(0);
                chunk.push(&Packet { at, data, wire_len: 1 });
                if chunk.cost() + 1 + RECORD_BYTES >= FULL_BYTES {
                    break;
                }
            }
        }
        assert!(chunk.is_full() && chunk.cost() <= LARGEST_CHUNK_BYTES);
        assert!(chunk.cost() + 2 * RECORD_BYTES > LARGEST_CHUNK_BYTES, "the bound is close");
    }
}
