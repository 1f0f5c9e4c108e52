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

/// Where a program begins: with what is no IP packet, and for each protocol in IPv4 and in IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Front<T> {
    begins: [[T; 256]; 3],
}

impl Front<Target> {
    /// Asks for each kind of packet where a program begins that knows so much of it.
    pub(super) fn new(mut begin: impl FnMut(&[Fact]) -> Target) -> Self {
        let mut protocols = |kind: Option<Kind>| {
            let mut protocol = 0;
            [(); 256].map(|()| {
                let known = kind.map(|kind| kind.facts(protocol));
                let target = begin(known.as_ref().map_or(&[], |known| known));
                protocol = protocol.wrapping_add(1);
                target
            })
        };
        Self { begins: [None, Some(IPV4), Some(IPV6)].map(&mut protocols) }
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = Target> {
        self.begins.iter().flatten().copied()
    }

    /// The same with other names for the targets; `None` if one has none.
    pub(super) fn named<T: Copy>(&self, name: impl Fn(Target) -> Option<T>) -> Option<Front<T>> {
        let names = |targets: &[Target; 256]| {
            let names: Option<Vec<T>> = targets.iter().map(|target| name(*target)).collect();
            names?.try_into().ok()
        };
        let [others, ipv4, ipv6] = &self.begins;
        Some(Front { begins: [names(others)?, names(ipv4)?, names(ipv6)?] })
    }
}

impl<T: Copy> Front<T> {
    /// Where to begin with a packet. Without a branch: which kind comes next, nobody can predict.
    #[inline]
    pub(super) fn begin(&self, packet: &[u8; BYTES]) -> T {
        let ether_type = u16::from_be_bytes([packet[12], packet[13]]);
        let is_ipv4 = ether_type == IPV4.ether_type;
        let is_ipv6 = ether_type == IPV6.ether_type;
        let protocol = packet[if is_ipv6 { 20 } else { 23 }];
        let kind = usize::from(is_ipv4) + 2 * usize::from(is_ipv6);
        self.begins[kind % 3][usize::from(protocol)]
    }
}
