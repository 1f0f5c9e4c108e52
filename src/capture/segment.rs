//! One pcapng file of a capture while it is written: its own records, its packets, its limits.
//!
//! Invariant: the file never grows beyond its limit, the records at its end included.

use std::path::Path;

use crate::capture::file::{SpoolFile, file_name};
use crate::capture::interface::LINKTYPE_ETHERNET;
use crate::capture::{Error, recovery};
use crate::clock::WallTime;
use crate::model::{CaptureId, SealedFile};
use crate::pcapng::{
    Interface, PacketBlock, Section, Sink as _, Statistics, enhanced_packet, enhanced_packet_len,
    interface_description, interface_statistics, section_header,
};

/// Wireshark's bound for the length of a packet, in bytes: "whole packets".
const WHOLE_PACKETS: u32 = 262_144;

/// What one block of packets may add to the file beyond the size of the block: a record is smaller
/// than its packet in the ring, but the first may carry a drop count and one a comment.
const BURST_SLACK: usize = 64 * 1024;

/// What the file says about itself at its beginning.
#[derive(Debug)]
pub(super) struct Beginning<'a> {
    pub(super) comment: &'a str,
    /// Name and compiled filter of each interface.
    pub(super) interfaces: Vec<(&'a str, &'a str)>,
    /// 0: packets are whole.
    pub(super) bytes_per_packet: u32,
}

/// A file that takes packets.
#[derive(Debug)]
pub(super) struct Segment {
    index: u32,
    file: SpoolFile,
    /// What the packets and the records before them may take, in bytes.
    room_until: u64,
    packets: u64,
    first_packet: Option<WallTime>,
    last_packet: Option<WallTime>,
}

impl Segment {
    /// Creates the file and brings its own records to the disk. One block of the ring, `block_bytes`, may be put into it between two calls
    /// of [`make_room`](Self::make_room).
    pub(super) fn create(
        spool: &Path,
        (capture, index): (&CaptureId, u32),
        beginning: &Beginning<'_>,
        limit: u64,
        block_bytes: usize,
    ) -> Result<Self, Error> {
        let head = head(beginning);
        let tail = tail_len(beginning.interfaces.len());
        let own = bytes(head.len()) + tail;
        if own >= limit {
            return Err(Error::NoRoom { limit, own });
        }
        let burst = block_bytes.max(head.len()) + BURST_SLACK;
        let mut file = SpoolFile::create(spool.join(file_name(capture, index)), burst)?;
        file.put(&head);
        // From here on a crash leaves a file that says what it was to hold.
        if let Err(error) = file.sync() {
            file.discard();
            return Err(error);
        }
        Ok(Self {
            index,
            file,
            room_until: limit - tail,
            packets: 0,
            first_packet: None,
            last_packet: None,
        })
    }

    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of the file so far.
    pub(super) fn len(&self) -> u64 {
        self.file.len()
    }

    /// Writes what has gathered, if another block would not fit into the buffer.
    pub(super) fn make_room(&mut self) -> Result<(), Error> {
        self.file.make_room()
    }

    /// Brings everything so far to the disk.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        self.file.sync()
    }

    /// Appends a packet to the buffer, without I/O. False if it does not fit into the limit.
    pub(super) fn put(&mut self, packet: &PacketBlock<'_>) -> bool {
        if self.file.len() + bytes(enhanced_packet_len(packet)) > self.room_until {
            return false;
        }
        enhanced_packet(&mut self.file, packet);
        self.packets += 1;
        self.first_packet = Some(self.first_packet.map_or(packet.at, |at| at.min(packet.at)));
        self.last_packet = self.last_packet.max(Some(packet.at));
        true
    }

    /// Adds the statistics and publishes the file. After an error it can only be salvaged.
    pub(super) fn seal(&mut self, statistics: &[Statistics<'_>]) -> Result<SealedFile, Error> {
        self.file.make_room()?;
        for interface in statistics {
            interface_statistics(&mut self.file, interface);
        }
        let whole = self.file.seal()?;
        Ok(SealedFile {
            index: self.index,
            path: whole.path,
            size_bytes: whole.size_bytes,
            sha256: whole.sha256,
            packets: self.packets,
            first_packet: self.first_packet,
            last_packet: self.last_packet,
            partial: false,
        })
    }

    /// Gives up writing: what has reached the disk is sealed as a partial file, if anything did.
    pub(super) fn salvage(self) -> Result<Option<SealedFile>, Error> {
        let (index, whole) = (self.index, self.file.whole().to_owned());
        drop(self.file);
        recovery::seal_part(&whole, index)
    }
}

fn head(beginning: &Beginning<'_>) -> Vec<u8> {
    let mut head = Vec::new();
    let section = Section {
        comment: Some(beginning.comment),
        hardware: None,
        os: Some(std::env::consts::OS),
        application: Some(concat!("hindsight ", env!("CARGO_PKG_VERSION"))),
    };
    section_header(&mut head, &section);
    for (name, filter) in &beginning.interfaces {
        let snap_len = match beginning.bytes_per_packet {
            0 => WHOLE_PACKETS,
            bytes => bytes,
        };
        let interface = Interface {
            name: Some(name),
            description: None,
            filter: Some(*filter).filter(|filter| !filter.is_empty()),
            link_type: LINKTYPE_ETHERNET,
            snap_len,
        };
        interface_description(&mut head, &interface);
    }
    head
}

/// What the statistics at the end take, in bytes: all their fields are of fixed size.
fn tail_len(interfaces: usize) -> u64 {
    let at = WallTime::from_nanos(0);
    let mut tail = Vec::new();
    interface_statistics(&mut tail, &statistics(0, at, (at, at), [0; 4]));
    bytes(tail.len() * interfaces)
}

/// The record at the end of the file. The counts: received, dropped by the kernel, overrun, written.
pub(super) const fn statistics(
    interface: u32,
    at: WallTime,
    (start, end): (WallTime, WallTime),
    [received, dropped_by_kernel, overrun, written]: [u64; 4],
) -> Statistics<'static> {
    Statistics {
        interface,
        at,
        start,
        end,
        received: Some(received),
        kernel_dropped: Some(dropped_by_kernel),
        filter_accepted: Some(written),
        os_dropped: Some(overrun),
        delivered: Some(written),
        comment: None,
    }
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn segment(folder: &Path, limit: u64) -> Result<Segment, Error> {
        let beginning =
            Beginning { comment: "{}", interfaces: vec![("eth0", "tcp")], bytes_per_packet: 0 };
        Segment::create(folder, (&CaptureId::from_text("c1"), 0), &beginning, limit, 1 << 17)
    }

    fn packet(at: i64) -> PacketBlock<'static> {
        PacketBlock {
            interface: 0,
            at: WallTime::from_nanos(at),
            parts: [&[1; 12], &[2; 4], &[3; 71]],
            wire_len: 100,
            flags: Some(1),
            drop_count: None,
            comment: None,
        }
    }

    #[test]
    fn the_limit_holds_for_the_whole_file_with_the_statistics_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        for limit in [700, 1_000, 1_001, 1_002, 1_003, 5_000] {
            let mut segment = segment(folder.path(), limit).unwrap();
            while segment.put(&packet(7)) {}
            let packets = segment.packets();
            let at = WallTime::from_nanos(0);
            let sealed = segment.seal(&[statistics(0, at, (at, at), [9; 4])]).unwrap();
            assert!(sealed.size_bytes <= limit && sealed.size_bytes + 140 > limit, "{sealed:?}");
            let found = crate::pcapng::recover(&mut File::open(&sealed.path).unwrap()).unwrap();
            assert_eq!((found.whole_bytes, found.packets), (sealed.size_bytes, packets));
        }
    }

    #[test]
    fn a_limit_below_the_files_own_records_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = segment(folder.path(), 100).unwrap_err().to_string();
        assert!(error.contains("100 bytes"), "{error}");
    }

    #[test]
    fn first_and_last_are_by_time_not_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let mut segment = segment(folder.path(), 10_000).unwrap();
        assert!([5, 3, 9, 7].into_iter().all(|at| segment.put(&packet(at))));
        let sealed = segment.seal(&[]).unwrap();
        let at = |nanos| Some(WallTime::from_nanos(nanos));
        assert_eq!((sealed.first_packet, sealed.last_packet), (at(3), at(9)));
    }
}
