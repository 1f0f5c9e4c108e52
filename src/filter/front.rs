//! What nearly every program asks first, as one look into a table: the type of the frame and the
//! protocol of the IP packet in it.
//!
//! Only where to begin: the fields are ordinary facts about bytes, so it is right for a link
//! without Ethernet as well, and of no use there.

use super::decision::{Fact, Place, Source, Target};

/// How much of a packet it reads, in bytes.
pub(super) const BYTES: usize = 24;

/// The type of an Ethernet frame without a tag.
const ETHER_TYPE: Source = Source { place: Place::Fixed(10), mask: 0xffff };

/// A kind of frame, and the field that tells its protocol.
#[derive(Clone, Copy)]
struct Kind {
    ether_type: u16,
    protocol: Source,
}

const IPV4: Kind =
    Kind { ether_type: 0x0800, protocol: Source { place: Place::Fixed(20), mask: 0xff } };
const IPV6: Kind =
    Kind { ether_type: 0x86dd, protocol: Source { place: Place::Fixed(17), mask: 0xff } };

impl Kind {
    fn facts(self, protocol: u8) -> [Fact; 2] {
        let is = |source, value| Fact { source, low: value, high: value };
        [is(ETHER_TYPE, self.ether_type.into()), is(self.protocol, protocol.into())]
    }
}

/// Where a program begins for each protocol in IPv4 and in IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Front<T> {
    ipv4: [T; 256],
    ipv6: [T; 256],
}

impl Front<Target> {
    /// Asks for each kind of packet where a program begins that knows so much of it.
    pub(super) fn new(mut begin: impl FnMut(&[Fact]) -> Target) -> Self {
        let mut protocols = |kind: Kind| {
            let mut protocol = 0;
            [(); 256].map(|()| {
                let target = begin(&kind.facts(protocol));
                protocol = protocol.wrapping_add(1);
                target
            })
        };
        Self { ipv4: protocols(IPV4), ipv6: protocols(IPV6) }
    }

    /// The same with other names for the targets; `None` if one has none.
    pub(super) fn named<T: Copy>(&self, name: impl Fn(Target) -> Option<T>) -> Option<Front<T>> {
        let names = |targets: &[Target; 256]| {
            let names: Option<Vec<T>> = targets.iter().map(|target| name(*target)).collect();
            names?.try_into().ok()
        };
        Some(Front { ipv4: names(&self.ipv4)?, ipv6: names(&self.ipv6)? })
    }
}

impl<T: Copy> Front<T> {
    /// Where to begin with a packet; `None` for one that is neither IPv4 nor IPv6.
    #[inline]
    pub(super) fn begin(&self, packet: &[u8; BYTES]) -> Option<T> {
        match [packet[12], packet[13]] {
            [0x08, 0x00] => Some(self.ipv4[usize::from(packet[23])]),
            [0x86, 0xdd] => Some(self.ipv6[usize::from(packet[20])]),
            _ => None,
        }
    }
}
