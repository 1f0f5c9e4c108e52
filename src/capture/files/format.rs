//! What a file holds beside its packets, in each of the formats: the head, and the counts at its end.

use crate::clock::WallTime;
use crate::model::FileFormat;
use crate::pcapng::{
    Interface, PacketBlock, Section, Sink, Statistics, classic_header, classic_packet,
    classic_packet_len, enhanced_packet, enhanced_packet_len, interface_description,
    interface_statistics, section_header,
};

/// Wireshark's bound for the length of a packet, in bytes: "whole packets".
const WHOLE_PACKETS: u32 = 262_144;

/// What a file says about itself at its beginning.
#[derive(Clone, Debug)]
pub(in crate::capture) struct Beginning {
    pub(in crate::capture) format: FileFormat,
    /// For the section; only pcapng has room for it.
    pub(in crate::capture) comment: String,
    pub(in crate::capture) interfaces: Vec<Described>,
    /// 0: packets are whole.
    pub(in crate::capture) bytes_per_packet: u32,
}

/// One interface of a file.
#[derive(Clone, Debug)]
pub(in crate::capture) struct Described {
    pub(in crate::capture) name: String,
    /// As it was compiled, in tcpdump's language.
    pub(in crate::capture) filter: String,
    /// LINKTYPE_ value.
    pub(in crate::capture) link_type: u16,
}

impl Beginning {
    /// The records that stand before the packets.
    pub(in crate::capture) fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        let snap_len = match self.bytes_per_packet {
            0 => WHOLE_PACKETS,
            bytes => bytes,
        };
        if self.format == FileFormat::Pcap {
            let link_type = self.interfaces.first().map_or(0, |interface| interface.link_type);
            classic_header(&mut head, link_type, snap_len);
            return head;
        }
        let section = Section {
            comment: Some(&self.comment),
            hardware: None,
            os: Some(std::env::consts::OS),
            application: Some(concat!("hindsight ", env!("CARGO_PKG_VERSION"))),
        };
        section_header(&mut head, &section);
        for Described { name, filter, link_type } in &self.interfaces {
            let interface = Interface {
                name: Some(name),
                description: None,
                filter: Some(filter.as_str()).filter(|filter| !filter.is_empty()),
                link_type: *link_type,
                snap_len,
            };
            interface_description(&mut head, &interface);
        }
        head
    }

    /// The records that stand after the packets.
    pub(in crate::capture) fn tail(&self, statistics: &[Statistics<'_>]) -> Vec<u8> {
        let mut tail = Vec::new();
        if self.format == FileFormat::Pcapng {
            statistics.iter().for_each(|one| interface_statistics(&mut tail, one));
        }
        tail
    }

    /// What the tail takes, in bytes: all its fields are of fixed size.
    pub(in crate::capture) fn tail_len(&self) -> usize {
        let at = WallTime::from_nanos(0);
        self.tail(&[statistics(0, at, (at, at), [0; 4])]).len() * self.interfaces.len()
    }
}

/// How many bytes [`put_packet`] appends.
#[inline]
pub(in crate::capture) fn packet_len(format: FileFormat, packet: &PacketBlock<'_>) -> usize {
    match format {
        FileFormat::Pcapng => enhanced_packet_len(packet),
        FileFormat::Pcap => classic_packet_len(packet),
    }
}

#[inline]
pub(in crate::capture) fn put_packet(
    format: FileFormat,
    out: &mut impl Sink,
    packet: &PacketBlock<'_>,
) {
    match format {
        FileFormat::Pcapng => enhanced_packet(out, packet),
        FileFormat::Pcap => classic_packet(out, packet),
    }
}

/// The record at the end of the file. The counts: received, dropped by the kernel, overrun, written.
pub(in crate::capture) const fn statistics(
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
