//! What nearly every filter asks of a packet, and nothing else of it: the outline of a packet.
//!
//! The packets of one connection have few outlines, so what filters say of an outline can be kept
//! and need not be asked again for each packet. An outline is the front of the packet with all
//! bytes cleared but those of its shape: addresses, types, fragment, ports, TCP flags. A program
//! that reads only these goes the same way for all packets with that outline; one that reads
//! anything else on its way is told so, and has to see the packets themselves.
//!
//! Invariant: the shape follows from bytes that are in the outline, so that equal outlines have
//! equal shapes, and a packet that ends before its shape does has no outline.

use super::eval::{Packet, TAG_AT};

/// How much of a packet an outline can cover, in bytes: Ethernet with one tag, IPv6, and TCP up to
/// its flags.
const BYTES: usize = 72;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const SCTP: u8 = 132;

/// Ethertypes of VLAN tags.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// What stands behind the link layer and the IP header.
#[derive(Clone, Copy)]
enum Inside {
    /// No IP packet, or one whose fields are not where they mostly are.
    Other,
    /// An IP packet without ports: a later fragment, or of another protocol.
    Bare,
    /// ICMP: type and code.
    Kinds,
    /// Two ports.
    Ports,
    /// Two ports and the flags of TCP.
    Flags,
}

/// Which bytes an outline covers.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// As much as a packet must have to be of this shape.
    length: usize,
    /// All bits of what is covered.
    mask: [u8; BYTES],
}

impl Shape {
    /// With so many bytes of tags before the ethertype.
    const fn new(tags: usize, ip: u16, inside: Inside) -> Self {
        let mut shape = Self { length: 0, mask: [0; BYTES] }.and(0, TAG_AT + tags + 2);
        let transport = match ip {
            IPV4 => {
                // Version and header length, fragment, protocol, both addresses.
                shape = shape.and(14 + tags, 15 + tags).and(20 + tags, 22 + tags);
                // Not "don't fragment" nor the reserved bit: they may change within a connection.
                shape.mask[20 + tags] = 0x3f;
                shape = shape.and(23 + tags, 24 + tags).and(26 + tags, 34 + tags);
                34 + tags
            }
            IPV6 => {
                // The version without the traffic class, the next header, both addresses.
                shape = shape.and(14 + tags, 15 + tags);
                shape.mask[14 + tags] = 0xf0;
                shape = shape.and(20 + tags, 54 + tags);
                // Not the hop limit between them.
                shape.mask[21 + tags] = 0;
                54 + tags
            }
            _ => return shape,
        };
        match inside {
            Inside::Other | Inside::Bare => shape,
            Inside::Kinds => shape.and(transport, transport + 2),
            Inside::Ports => shape.and(transport, transport + 4),
            Inside::Flags => {
                shape.and(transport, transport + 4).and(transport + 13, transport + 14)
            }
        }
    }

    /// With the bytes from `start` to before `end`.
    const fn and(mut self, start: usize, end: usize) -> Self {
        let mut at = start;
        while at < end {
            self.mask[at] = 0xff;
            at += 1;
        }
        self.length = end;
        self
    }
}

/// For one kind of IP packet, by what is inside.
const fn shapes(tags: usize, ip: u16) -> [Shape; 4] {
    [
        Shape::new(tags, ip, Inside::Bare),
        Shape::new(tags, ip, Inside::Kinds),
        Shape::new(tags, ip, Inside::Ports),
        Shape::new(tags, ip, Inside::Flags),
    ]
}

static OTHER: [Shape; 2] = [Shape::new(0, 0, Inside::Other), Shape::new(4, 0, Inside::Other)];
static OF_IPV4: [[Shape; 4]; 2] = [shapes(0, IPV4), shapes(4, IPV4)];
static OF_IPV6: [[Shape; 4]; 2] = [shapes(0, IPV6), shapes(4, IPV6)];

/// What a packet is to most filters.
#[derive(Clone, Copy)]
pub struct Outline {
    bytes: [u8; BYTES],
    shape: &'static Shape,
}

impl PartialEq for Outline {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // Its shape follows from them.
        self.bytes == other.bytes
    }
}

impl Eq for Outline {}

/// Without the bytes, which belong to the users of the network.
impl std::fmt::Debug for Outline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outline").field("length", &self.shape.length).finish_non_exhaustive()
    }
}

impl Outline {
    /// The outline of a packet; none for one that ends within it.
    #[inline]
    pub fn of(packet: &Packet<'_>) -> Option<Self> {
        let (bytes, captured) = front(packet)?;
        let shape = shape_of(&bytes);
        if captured < shape.length {
            return None;
        }
        Some(Self { bytes: masked(&bytes, &shape.mask), shape })
    }

    /// A number that differs for most outlines, and is the same for equal ones.
    #[inline]
    pub fn hash(&self) -> u64 {
        // Each word by an odd number of its own, so that the products do not wait for each other.
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let words = (1_u64..).zip(self.bytes.as_chunks::<8>().0);
        let sum = words.fold(0_u64, |sum, (place, word)| {
            let word = u64::from_ne_bytes(*word);
            let mixed = word.wrapping_mul(ODD.wrapping_mul(2 * place + 1));
            sum ^ mixed.rotate_left(29) ^ (mixed >> 32)
        });
        (sum ^ (sum >> 29)).wrapping_mul(ODD)
    }

    /// What it covers of a packet; all else is zero.
    pub(super) fn data(&self) -> &[u8] {
        &self.bytes[..self.shape.length]
    }

    /// Whether it covers these bits of the four bytes at an offset.
    pub(super) fn covers(&self, at: usize, mask: u32) -> bool {
        let word = self.shape.mask[..self.shape.length].get(at..).and_then(<[u8]>::first_chunk);
        word.is_some_and(|covered| u32::from_be_bytes(*covered) & mask == mask)
    }
}

/// The front of a packet with its tag in place, and how much of it was captured, tag included.
#[inline]
fn front(packet: &Packet<'_>) -> Option<([u8; BYTES], usize)> {
    let data = packet.data;
    if packet.vlan.is_some() {
        return with_tag(packet);
    }
    // Of a known length for most packets, which is no call.
    let bytes = data.first_chunk::<BYTES>().copied().unwrap_or_else(|| {
        let mut bytes = [0; BYTES];
        bytes[..data.len()].copy_from_slice(data);
        bytes
    });
    Some((bytes, data.len()))
}

#[inline(never)]
fn with_tag(packet: &Packet<'_>) -> Option<([u8; BYTES], usize)> {
    let (addresses, rest) = packet.data.split_at_checked(TAG_AT)?;
    let tag = packet.vlan.unwrap_or_default();
    let mut bytes = [0; BYTES];
    let behind = TAG_AT + tag.len();
    let length = rest.len().min(BYTES - behind);
    bytes[..TAG_AT].copy_from_slice(addresses);
    bytes[TAG_AT..behind].copy_from_slice(&tag);
    bytes[behind..behind + length].copy_from_slice(&rest[..length]);
    Some((bytes, packet.data.len() + tag.len()))
}

/// Reads only what is in every outline of the shape that it finds.
#[inline]
fn shape_of(bytes: &[u8; BYTES]) -> &'static Shape {
    let is_tagged = TAGS.contains(&half(bytes, TAG_AT));
    let (tagged, at) = if is_tagged { (1, TAG_AT + 4) } else { (0, TAG_AT) };
    match half(bytes, at) {
        IPV4 => {
            // Options move the transport header.
            let is_usual = bytes[at + 2] == 0x45 && half(bytes, at + 8) & 0x1fff == 0;
            let protocol = if is_usual { bytes[at + 11] } else { 0 };
            &OF_IPV4[tagged][inside(protocol)]
        }
        IPV6 => &OF_IPV6[tagged][inside(bytes[at + 8])],
        _ => &OTHER[tagged],
    }
}

/// The place of a shape among those of one kind of IP packet.
#[inline]
const fn inside(protocol: u8) -> usize {
    match protocol {
        TCP => 3,
        UDP | SCTP => 2,
        ICMP | ICMP6 => 1,
        _ => 0,
    }
}

#[inline]
const fn half(bytes: &[u8; BYTES], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline]
fn masked(bytes: &[u8; BYTES], mask: &[u8; BYTES]) -> [u8; BYTES] {
    let mut kept = [0; BYTES];
    let words = bytes.as_chunks::<8>().0.iter().zip(mask.as_chunks::<8>().0);
    for (kept, (word, mask)) in kept.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *kept = (u64::from_ne_bytes(*word) & u64::from_ne_bytes(*mask)).to_ne_bytes();
    }
    kept
}

const _: () = assert!(BYTES.is_multiple_of(8), "an outline is masked by words of eight bytes");
