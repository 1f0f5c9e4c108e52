//! Enhanced Packet Block: one packet, with what is known of it.
//!
//! The only block that is written often, so it goes to the sink without being put together first.

use std::fmt;

use super::block::{
    COMMENT, END_OF_OPTIONS_BYTES, ENHANCED_PACKET, Filler, Sink, option_len, padded,
    put_end_of_options, put_option, put_padding, put_text, stamp_words, text_len,
};
use crate::clock::WallTime;

/// The most of a packet that is written, in bytes; the rest is cut off, as by a snap length.
/// Wireshark refuses a file with a longer one (WTAP_MAX_PACKET_SIZE_STANDARD).
pub const MAX_PACKET_BYTES: usize = 262_144;

/// Type, length, interface, stamp, captured and original length, in bytes.
const HEAD_BYTES: usize = 28;
/// The same and the length at the end.
const AROUND_BYTES: usize = HEAD_BYTES + 4;

const FLAGS: u16 = 2;
/// The option with the flags, and the end of the options.
const FLAGS_ALONE_BYTES: usize = 12;
const DROP_COUNT: u16 = 4;

/// Bits of the flags of a packet (epb_flags).
pub mod flags {
    pub const INBOUND: u32 = 1;
    pub const OUTBOUND: u32 = 2;
    pub const UNICAST: u32 = 1 << 2;
    pub const MULTICAST: u32 = 2 << 2;
    pub const BROADCAST: u32 = 3 << 2;
    /// Addressed to another host, seen because the interface is promiscuous.
    pub const PROMISCUOUS: u32 = 4 << 2;
    pub const CHECKSUM_NOT_READY: u32 = 1 << 9;
    pub const CHECKSUM_VALID: u32 = 1 << 10;
    /// Larger than a frame on the wire: several that the system handles as one (TSO, GRO).
    pub const SEGMENTATION_OFFLOADED: u32 = 1 << 11;
}

/// One packet.
#[derive(Clone, Copy)]
pub struct PacketBlock<'a> {
    /// Place of its interface among those of the file, from 0.
    pub interface: u32,
    pub at: WallTime,
    /// The captured bytes.
    pub data: &'a [u8],
    /// Its length on the wire, in bytes.
    pub wire_len: u32,
    /// See [`flags`].
    pub flags: Option<u32>,
    /// Packets lost on this interface since its packet before.
    pub drop_count: Option<u64>,
    pub comment: Option<&'a str>,
}

impl PacketBlock<'_> {
    /// How many of its bytes are written.
    #[inline]
    pub fn captured_len(&self) -> usize {
        self.data.len().min(MAX_PACKET_BYTES)
    }

    /// Appends the bytes that are written.
    #[inline]
    pub(super) fn put_data(&self, out: &mut impl Sink) {
        out.put(&self.data[..self.captured_len()]);
    }

    /// Appends the options, for which [`options_len`](Self::options_len) made room.
    #[inline]
    fn put_options(&self, out: &mut impl Sink) {
        if let (Some(flags), None, None) = (self.flags, self.drop_count, self.comment) {
            // As nearly every packet has it.
            let mut options = [0; FLAGS_ALONE_BYTES];
            options[..2].copy_from_slice(&FLAGS.to_le_bytes());
            options[2..4].copy_from_slice(&4_u16.to_le_bytes());
            options[4..8].copy_from_slice(&flags.to_le_bytes());
            out.put(&options);
        } else if self.options_len() > 0 {
            if let Some(flags) = self.flags {
                put_option(out, FLAGS, &flags.to_le_bytes());
            }
            if let Some(drop_count) = self.drop_count {
                put_option(out, DROP_COUNT, &drop_count.to_le_bytes());
            }
            put_text(out, COMMENT, self.comment);
            put_end_of_options(out);
        }
    }

    #[inline]
    fn options_len(&self) -> usize {
        if let (Some(_), None, None) = (self.flags, self.drop_count, self.comment) {
            return FLAGS_ALONE_BYTES;
        }
        let flags = self.flags.map_or(0, |_| option_len(size_of::<u32>()));
        let drop_count = self.drop_count.map_or(0, |_| option_len(size_of::<u64>()));
        match flags + drop_count + text_len(self.comment) {
            0 => 0,
            options => options + END_OF_OPTIONS_BYTES,
        }
    }
}

/// Lengths instead of packet bytes, which belong to the users of the network.
impl fmt::Debug for PacketBlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketBlock")
            .field("interface", &self.interface)
            .field("at", &self.at)
            .field("captured_len", &self.captured_len())
            .field("wire_len", &self.wire_len)
            .finish_non_exhaustive()
    }
}

/// How many bytes [`enhanced_packet`] appends.
#[inline]
pub fn enhanced_packet_len(packet: &PacketBlock<'_>) -> usize {
    AROUND_BYTES + padded(packet.captured_len()) + packet.options_len()
}

/// Appends one packet.
#[inline]
pub fn enhanced_packet(out: &mut impl Sink, packet: &PacketBlock<'_>) {
    let length = enhanced_packet_len(packet);
    let mut slot = Filler(out.slot(length));
    let length = u32::try_from(length)
        .expect("MAX_PACKET_BYTES and an option of 16-bit length fit 32 bits")
        .to_le_bytes();
    let captured = packet.captured_len();
    let captured_len = u32::try_from(captured).expect("MAX_PACKET_BYTES fits 32 bits");
    let [stamp_high, stamp_low] = stamp_words(packet.at);
    let head: [[u8; 4]; HEAD_BYTES / 4] = [
        ENHANCED_PACKET.to_le_bytes(),
        length,
        packet.interface.to_le_bytes(),
        stamp_high,
        stamp_low,
        captured_len.to_le_bytes(),
        packet.wire_len.max(captured_len).to_le_bytes(),
    ];
    slot.put(head.as_flattened());
    packet.put_data(&mut slot);
    put_padding(&mut slot, captured);
    packet.put_options(&mut slot);
    slot.put(&length);
    debug_assert!(slot.0.is_empty(), "the length was foretold");
}
