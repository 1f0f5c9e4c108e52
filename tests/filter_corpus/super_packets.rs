//! Packets longer than any link carries: what segmentation and receive offload show to a capture, and
//! public captures lack.

use std::net::IpAddr;

use super::support::captures::Captured;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where the addresses and the ports come from: packets of the captures, so that the same filters
/// select these as well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ports: [u16; 2],
}

/// Super packets of 20 to 60 KB between each of the ends, both ways, untagged and behind one and two
/// tags, whole and cut short; and some of more than 64 KiB, whose IP header tells no length.
pub(crate) fn between(all: &[Ends], vlan: u16) -> Vec<Captured> {
    let mut packets = Vec::new();
    let mut add = |ends: &Ends, protocol, payload_bytes, tags: &[u16]| {
        let bytes = frame(ends, protocol, payload_bytes, tags);
        packets.push(Captured::whole(bytes));
    };
    for ends in all {
        let back = Ends {
            source: ends.destination,
            destination: ends.source,
            ports: [ends.ports[1], ends.ports[0]],
        };
        for (tags, more) in [(&[][..], 0), (&[vlan], 1), (&[vlan, 7], 2)] {
            add(ends, TCP, 20_000 + more, tags);
            add(&back, TCP, 44_880 + more, tags);
            add(ends, UDP, 60_000 + more, tags);
        }
        add(&back, TCP, 150_000, &[]);
        add(ends, TCP, 190_000, &[vlan]);
    }
    let cut = packets.iter().cloned().map(|mut packet| {
        packet.bytes.truncate(96);
        packet
    });
    let cut: Vec<_> = cut.collect();
    packets.extend(cut);
    packets
}

fn frame(ends: &Ends, protocol: u8, payload_bytes: usize, tags: &[u16]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for tag in tags {
        bytes.extend([0x81, 0]);
        bytes.extend(tag.to_be_bytes());
    }
    let segment = segment(ends, protocol, payload_bytes);
    match (ends.source, ends.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes.extend([8, 0, 0x45, 0]);
            bytes.extend(told_length(20 + segment.len()));
            bytes.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend(told_length(segment.len()));
            bytes.extend([protocol, 64]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
        }
        _ => panic!("a packet has one family"),
    }
    bytes.extend(segment);
    bytes
}

/// The length for an IP header: 0 for what 16 bits do not hold, as the kernel has it.
fn told_length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(0).to_be_bytes()
}

fn segment(ends: &Ends, protocol: u8, payload_bytes: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = ends.ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    if protocol == TCP {
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    } else {
        bytes.extend(told_length(8 + payload_bytes));
        bytes.extend([0, 0]);
    }
    bytes.resize(bytes.len() + payload_bytes, b'x');
    bytes
}
