//! The packets of one block. Every offset and length in it was written by the kernel, and each is
//! checked against the block all the same: a wrong one ends the iteration, it never leads outside.
//!
//! Layout (linux/if_packet.h): a 48-byte block descriptor, then for each packet a 48-byte
//! `tpacket3_hdr`, a `sockaddr_ll`, and the bytes of the packet at `tp_mac`.
//!
//! Most packets are looked at only to be refused by a filter. So a header is checked once, as a
//! whole, what the filter needs is read from it at fixed places, and the rest is left encoded.

use crate::clock::WallTime;
use crate::ring::sys;

/// Size of `struct tpacket_block_desc` in bytes.
const DESCRIPTOR_BYTES: usize = 48;

/// Size of `struct tpacket3_hdr` and the `struct sockaddr_ll` after it, in bytes. The kernel puts
/// no packet nearer to the start of its header (`TPACKET3_HDRLEN`).
const HEADER_BYTES: usize = 48 + 20;

/// Where `sll_pkttype` stands after the start of a packet's header.
const PACKET_TYPE: usize = 48 + 10;

/// The EtherType of a VLAN tag whose own was not recorded (IEEE 802.1Q).
const VLAN_ETHERTYPE: u16 = 0x8100;

/// How many packets ahead memory is asked for: about what is read while it comes. Over a window of
/// 64 MiB it takes packets of 1,028 bytes from 27 to 12 ns each, of 60 bytes from 27 to 20 ns.
const PACKETS_AHEAD: usize = 8;

/// `TP_STATUS_GSO_TCP` (linux/if_packet.h, since Linux 6.3; libc does not name it).
const GSO_TCP: u32 = 1 << 8;

/// What the kernel says about one closed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub sequence: u64,
    pub packets: u32,
    /// Bytes of the block that are used, headers included.
    pub used_bytes: u32,
    /// When the block was opened: at its first packet or before.
    pub opened_at: WallTime,
    /// The stamp of its last packet.
    pub last_at: WallTime,
    /// Packets were dropped since the drop counters were read before this block was closed.
    pub losing: bool,
}

impl Header {
    /// Reads the descriptor at the start of a block.
    pub fn read(block: &[u8]) -> Option<Self> {
        let descriptor: &[u8; DESCRIPTOR_BYTES] = block.first_chunk()?;
        Some(Self {
            losing: u32_at(descriptor, 8) & libc::TP_STATUS_LOSING != 0,
            packets: u32_at(descriptor, 12),
            used_bytes: u32_at(descriptor, 20),
            sequence: u64_at(descriptor, 24),
            opened_at: stamp(u32_at(descriptor, 32), u32_at(descriptor, 36)),
            last_at: stamp(u32_at(descriptor, 40), u32_at(descriptor, 44)),
        })
    }
}

/// Which way a packet went, and how it was addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received, addressed to this host.
    Host,
    /// Received as a link-layer broadcast.
    Broadcast,
    /// Received as a link-layer multicast.
    Multicast,
    /// Received though addressed to somebody else (promiscuous mode).
    OtherHost,
    /// Sent by this host.
    Outgoing,
    Unknown,
}

/// One packet as the ring holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub at: WallTime,
    /// The bytes that were recorded, from the link layer on, without the tag in `vlan`.
    pub data: &'a [u8],
    /// The length on the wire in bytes, without the tag in `vlan`.
    pub wire_len: u32,
    /// The tag that the kernel took out, as it stood at byte 12: EtherType, then tag control.
    pub vlan: Option<[u8; 4]>,
    /// `TP_STATUS_*` bits.
    status: u32,
    /// `PACKET_*` of linux/if_packet.h.
    packet_type: u8,
}

impl Frame<'_> {
    pub const fn direction(&self) -> Direction {
        match self.packet_type {
            libc::PACKET_HOST => Direction::Host,
            libc::PACKET_BROADCAST => Direction::Broadcast,
            libc::PACKET_MULTICAST => Direction::Multicast,
            libc::PACKET_OTHERHOST => Direction::OtherHost,
            libc::PACKET_OUTGOING => Direction::Outgoing,
            _ => Direction::Unknown,
        }
    }

    /// The network card, or nobody, is going to fill in the transport checksum.
    pub const fn checksum_not_ready(&self) -> bool {
        self.status & libc::TP_STATUS_CSUMNOTREADY != 0
    }

    /// The transport checksum was found right.
    pub const fn checksum_valid(&self) -> bool {
        self.status & libc::TP_STATUS_CSUM_VALID != 0
    }

    /// Several TCP segments in one: not yet cut up on their way out, or already joined on their
    /// way in. Kernels before 6.3 do not tell.
    pub const fn is_coalesced(&self) -> bool {
        self.status & GSO_TCP != 0
    }
}

/// Iterates over the packets of a block.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    /// The used bytes of the block.
    block: &'a [u8],
    /// Where the next packet's header stands, as the kernel says: not yet checked.
    offset: usize,
    /// The first byte that no packet so far lies in.
    free: usize,
    left: u32,
}

impl<'a> Frames<'a> {
    /// Over the packets of `block`, which starts with its descriptor.
    pub fn new(block: &'a [u8]) -> Self {
        let Some(descriptor) = block.first_chunk::<DESCRIPTOR_BYTES>() else {
            return Self { block: &[], offset: 0, free: 0, left: 0 };
        };
        let place = |at| usize::try_from(u32_at(descriptor, at)).unwrap_or(usize::MAX);
        Self {
            // `blk_len` is what the kernel has used; it never exceeds the block.
            block: block.get(..place(20)).unwrap_or(block),
            offset: place(16),
            free: DESCRIPTOR_BYTES,
            left: u32_at(descriptor, 12),
        }
    }

    /// How many packets the block promises beyond those that came so far. Not zero at the end if
    /// an offset was wrong: then so many packets cannot be read.
    pub const fn left(&self) -> u32 {
        self.left
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    // One call for each packet of each reader.
    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        // The last packet names no next one (0), and a step back or on the spot would never end.
        // Checked here, not where the step is read: so the address of the next header depends on
        // one load and one addition, while branches, which are foreseen, wait for the rest.
        if self.left == 0 || self.offset < self.free {
            return None;
        }
        // Where this returns early, nothing has changed: it will do so for ever.
        let record = self.block.get(self.offset..)?;
        let header: &[u8; HEADER_BYTES] = record.first_chunk()?;
        let start = usize::from(u16_at(header, 24));
        let end = start.checked_add(usize::try_from(u32_at(header, 12)).ok()?)?;
        if start < HEADER_BYTES {
            return None;
        }
        let data = record.get(start..end)?;
        let step = usize::try_from(u32_at(header, 0)).ok()?;
        // No overflow: the packet lies inside the block.
        self.free = self.offset + end;
        // Each header tells only where the next one is, so memory would be waited for packet by
        // packet. Packets come in runs of one length: this is mostly where a later one stands.
        sys::prefetch(self.block, self.offset.wrapping_add(step.wrapping_mul(PACKETS_AHEAD)));
        // An overflow leads below `free`.
        self.offset = self.offset.wrapping_add(step);
        self.left -= 1;
        let status = u32_at(header, 20);
        Some(Frame {
            at: stamp(u32_at(header, 4), u32_at(header, 8)),
            data,
            // What was recorded was on the wire.
            wire_len: u32_at(header, 16).max(u32_at(header, 12)),
            vlan: vlan(header, status),
            status,
            packet_type: header[PACKET_TYPE],
        })
    }
}

#[inline]
fn vlan(header: &[u8; HEADER_BYTES], status: u32) -> Option<[u8; 4]> {
    if status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let ethertype = match status & libc::TP_STATUS_VLAN_TPID_VALID {
        0 => VLAN_ETHERTYPE,
        _valid => u16_at(header, 36),
    };
    let [type_high, type_low] = ethertype.to_be_bytes();
    // The kernel keeps the 16 bits of the tag in a word of 32.
    let [_, _, control_high, control_low] = u32_at(header, 32).to_be_bytes();
    Some([type_high, type_low, control_high, control_low])
}

#[inline]
fn stamp(seconds: u32, nanos: u32) -> WallTime {
    WallTime::from_nanos(i64::from(seconds) * 1_000_000_000 + i64::from(nanos))
}

// The offsets are constants inside the header, so that no check is left of these.

#[inline]
fn u16_at<const N: usize>(header: &[u8; N], at: usize) -> u16 {
    u16::from_ne_bytes([header[at], header[at + 1]])
}

#[inline]
fn u32_at<const N: usize>(header: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

#[inline]
fn u64_at<const N: usize>(header: &[u8; N], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|byte| header[at + byte]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where the kernel puts an Ethernet packet after its header.
    const MAC_OFFSET: u16 = 82;

    /// A block as the kernel makes it.
    fn block(packets: &[(&[u8], u32)]) -> Vec<u8> {
        let mut block = vec![0; DESCRIPTOR_BYTES];
        for (position, (data, status)) in packets.iter().enumerate() {
            let start = block.len();
            let length = u32::try_from(data.len()).unwrap();
            let size = (usize::from(MAC_OFFSET) + data.len()).next_multiple_of(8);
            block.resize(start + size, 0);
            let last = position + 1 == packets.len();
            let next = if last { 0 } else { u32::try_from(size).unwrap() };
            let mut put = |offset: usize, bytes: &[u8]| {
                block[start + offset..][..bytes.len()].copy_from_slice(bytes);
            };
            put(0, &next.to_ne_bytes());
            put(4, &1_000_u32.to_ne_bytes());
            put(8, &u32::try_from(position).unwrap().to_ne_bytes());
            put(12, &length.to_ne_bytes());
            put(16, &(length + 10).to_ne_bytes());
            put(20, &status.to_ne_bytes());
            put(24, &MAC_OFFSET.to_ne_bytes());
            put(32, &0x2064_u32.to_ne_bytes());
            put(36, &0x88a8_u16.to_ne_bytes());
            put(PACKET_TYPE, &[libc::PACKET_OUTGOING]);
            put(MAC_OFFSET.into(), data);
        }
        let used = u32::try_from(block.len()).unwrap();
        block[12..16].copy_from_slice(&u32::try_from(packets.len()).unwrap().to_ne_bytes());
        block[16..20].copy_from_slice(&48_u32.to_ne_bytes());
        block[20..24].copy_from_slice(&used.to_ne_bytes());
        block
    }

    #[test]
    fn packets_come_out_in_order_with_stamp_direction_and_wire_length() {
        let block = block(&[(b"first packet", 0), (b"second", 0)]);
        let frames: Vec<_> = Frames::new(&block).collect();
        assert_eq!(
            frames.iter().map(|frame| frame.data).collect::<Vec<_>>(),
            [b"first packet".as_slice(), b"second"]
        );
        assert_eq!(frames[1].at, WallTime::from_nanos(1_000_000_000_001));
        assert_eq!(frames[1].wire_len, 16);
        assert_eq!(frames[1].direction(), Direction::Outgoing);
        assert_eq!(frames[1].vlan, None);
    }

    #[test]
    fn a_vlan_tag_keeps_its_type_where_the_kernel_recorded_it() {
        let plain = libc::TP_STATUS_VLAN_VALID;
        let typed = plain | libc::TP_STATUS_VLAN_TPID_VALID;
        let block = block(&[(b"x", plain), (b"y", typed)]);
        let tags: Vec<_> = Frames::new(&block).map(|frame| frame.vlan.unwrap()).collect();
        assert_eq!(tags, [[0x81, 0x00, 0x20, 0x64], [0x88, 0xa8, 0x20, 0x64]]);
    }

    #[test]
    fn what_the_kernel_knows_of_checksum_and_segments_is_told() {
        let block = block(&[
            (b"a", libc::TP_STATUS_CSUMNOTREADY | 1 << 8),
            (b"b", libc::TP_STATUS_CSUM_VALID),
        ]);
        let told: Vec<_> = Frames::new(&block)
            .map(|frame| (frame.checksum_not_ready(), frame.checksum_valid(), frame.is_coalesced()))
            .collect();
        assert_eq!(told, [(true, false, true), (false, true, false)]);
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let mut block = block(&[(b"first", 0), (b"second", 0), (b"third", 0)]);
        // The second packet claims to start outside the block.
        let second = 48 + 88;
        block[second + 24..second + 26].copy_from_slice(&u16::MAX.to_ne_bytes());
        let mut frames = Frames::new(&block);
        assert_eq!(frames.by_ref().count(), 1);
        assert_eq!(frames.left(), 2);
    }

    /// A field at its extremes, around what matters in a block of so many bytes, and anywhere.
    fn field(size: u32) -> impl Strategy<Value = u32> {
        let near = prop::sample::select(vec![0, 8, 48, 68, 72, 82, 128, size / 2, size]);
        prop_oneof![
            4 => (near, -1_i64..=8).prop_map(|(near, off)| {
                u32::try_from(i64::from(near) + off).unwrap_or_default()
            }),
            1 => (0_u32..=8).prop_map(|below| u32::MAX - below),
            1 => (0_u32..=1).prop_map(|over| i32::MAX.cast_unsigned() + over),
            1 => 0..size,
            1 => any::<u32>(),
        ]
    }

    /// Size of the blocks with hostile fields: four records of 128 bytes fit.
    const HOSTILE_BYTES: u32 = 48 + 4 * 128;

    prop_compose! {
        /// A packet's header: `tp_next_offset`, `tp_snaplen`, `tp_len`, `tp_status`, `tp_mac`.
        /// Mostly sound, so that iteration comes as far as the field that is not.
        fn record()(
            next in prop_oneof![3 => Just(128), 1 => field(HOSTILE_BYTES)],
            snapped in prop_oneof![3 => 0_u32..=46, 1 => field(HOSTILE_BYTES)],
            length in field(HOSTILE_BYTES),
            status in any::<u32>(),
            start in prop_oneof![3 => Just(82), 1 => field(HOSTILE_BYTES)],
        ) -> [u32; 5] {
            [next, snapped, length, status, start & 0xffff]
        }
    }

    prop_compose! {
        /// A block of fields, each of any value.
        fn hostile_block()(
            packets in prop_oneof![0_u32..=6, field(HOSTILE_BYTES)],
            first in prop_oneof![3 => Just(48), 1 => field(HOSTILE_BYTES)],
            used in prop_oneof![3 => Just(HOSTILE_BYTES), 1 => field(HOSTILE_BYTES)],
            records in prop::collection::vec(record(), 4),
            size in prop_oneof![3 => Just(HOSTILE_BYTES), 1 => 0..HOSTILE_BYTES],
        ) -> Vec<u8> {
            let mut block = vec![0xa5; usize::try_from(HOSTILE_BYTES).unwrap()];
            let mut put = |offset: usize, value: u32| {
                block[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
            };
            for (offset, value) in [(12, packets), (16, first), (20, used)] {
                put(offset, value);
            }
            for (position, fields) in records.into_iter().enumerate() {
                for (offset, value) in [0, 12, 16, 20, 24].into_iter().zip(fields) {
                    put(48 + 128 * position + offset, value);
                }
            }
            block.truncate(usize::try_from(size).unwrap());
            block
        }
    }

    /// Where the packets of a block lie, and how many cannot be read, by the letter of the layout.
    fn by_the_letter(block: &[u8]) -> (Vec<std::ops::Range<u64>>, u32) {
        let word = |at: u64| -> u64 {
            let at = usize::try_from(at).unwrap();
            u32::from_ne_bytes(block[at..at + 4].try_into().unwrap()).into()
        };
        let (mut packets, size) = (Vec::new(), u64::try_from(block.len()).unwrap());
        if size < 48 {
            return (packets, 0);
        }
        let (promised, mut at, used) = (word(12), word(16), word(20).min(size));
        let mut end_of_last = 48;
        while u64::try_from(packets.len()).unwrap() < promised {
            if at < end_of_last || at + 68 > used {
                break;
            }
            let start = at + (word(at + 24) & 0xffff);
            let end = start + word(at + 12);
            if start < at + 68 || end > used {
                break;
            }
            packets.push(start..end);
            end_of_last = end;
            at += word(at);
        }
        let left = promised - u64::try_from(packets.len()).unwrap();
        (packets, u32::try_from(left).unwrap())
    }

    /// Where a packet lies in its block.
    fn place(block: &[u8], data: &[u8]) -> std::ops::Range<u64> {
        let start = data.as_ptr().addr().checked_sub(block.as_ptr().addr()).unwrap();
        let start = u64::try_from(start).unwrap();
        start..start + u64::try_from(data.len()).unwrap()
    }

    proptest! {
        #[test]
        fn hostile_bytes_neither_panic_nor_run_on(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let frames = Frames::new(&bytes);
            prop_assert!(frames.take(100).count() <= bytes.len() / HEADER_BYTES);
            let _header = Header::read(&bytes);
        }

        #[test]
        fn fields_of_any_value_give_the_packets_that_lie_in_the_block_and_count_the_rest(
            block in hostile_block()
        ) {
            let (expected, left) = by_the_letter(&block);
            let mut frames = Frames::new(&block);
            let mut found = Vec::new();
            // A bound of its own: a broken step must fail, not run for ever.
            for frame in frames.by_ref().take(block.len()) {
                found.push(place(&block, frame.data));
                prop_assert!(usize::try_from(frame.wire_len).unwrap() >= frame.data.len());
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(frames.left(), left);
            prop_assert_eq!(frames.next(), None);
            prop_assert_eq!(frames.left(), left);
            prop_assert_eq!(Header::read(&block).is_some(), block.len() >= 48);
        }

        #[test]
        fn a_good_block_with_flipped_bytes_stays_inside_itself(
            flips in prop::collection::vec((0_usize..400, any::<u8>()), 1..12)
        ) {
            let mut block = block(&[(b"0123456789", 0x50), (b"abc", 0), (&[7; 60], 0x10)]);
            for (at, value) in flips {
                let at = at % block.len();
                block[at] = value;
            }
            let range = block.as_ptr_range();
            for frame in Frames::new(&block).take(100) {
                let data = frame.data.as_ptr_range();
                prop_assert!(data.start >= range.start && data.end <= range.end);
            }
        }
    }
}
