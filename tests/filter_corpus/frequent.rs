//! What occurs most often in the captures: filters are made of it, so that they select something.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hindsight::filter::LinkType;

use super::support::captures::Captured;
use super::support::five_tuple::Ip;

/// How often each value occurs, by its kind: the words of the placeholders.
#[derive(Debug, Default)]
struct Counts(BTreeMap<&'static str, BTreeMap<String, usize>>);

impl Counts {
    fn add(&mut self, kind: &'static str, value: impl ToString) {
        *self.0.entry(kind).or_default().entry(value.to_string()).or_default() += 1;
    }

    fn add_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => {
                self.add("v4", v4);
                let network = Ipv4Addr::from_bits(v4.to_bits() & !0xff);
                self.add("net4", format!("{network}/24"));
            }
            IpAddr::V6(v6) => {
                self.add("v6", v6);
                let network = Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64);
                self.add("net6", format!("{network}/64"));
            }
        }
    }

    fn add_frame(&mut self, frame: &[u8]) {
        for address in [frame.get(..6), frame.get(6..12)].into_iter().flatten() {
            let octets: Vec<_> = address.iter().map(|octet| format!("{octet:02x}")).collect();
            self.add("mac", octets.join(":"));
        }
        if let Some(&[0x81, 0, high, low]) = frame.get(12..16) {
            self.add("vlan", u16::from_be_bytes([high, low]) & 0x0fff);
        }
        let Some(ip) = Ip::read(LinkType::Ethernet, frame) else { return };
        self.add_address(ip.source);
        self.add_address(ip.destination);
        if let Some((source, destination)) = ip.ports {
            self.add("port", source);
            self.add("port", destination);
        }
    }
}

/// The values of each kind, the most frequent first; equally frequent ones in alphabetical order.
#[derive(Debug)]
pub(crate) struct Frequent(BTreeMap<&'static str, Vec<String>>);

impl Frequent {
    /// Among Ethernet frames.
    pub(crate) fn among(packets: &[Captured]) -> Self {
        let mut counts = Counts::default();
        for packet in packets {
            counts.add_frame(&packet.bytes);
        }
        let ranked = counts.0.into_iter().map(|(kind, values)| {
            let mut values: Vec<_> = values.into_iter().collect();
            values.sort_by_key(|(_, count)| Reverse(*count));
            (kind, values.into_iter().map(|(value, _)| value).collect())
        });
        Self(ranked.collect())
    }

    /// The value of a placeholder without its braces, as in `v4-1`.
    fn value(&self, placeholder: &str) -> &str {
        let value = placeholder.split_once('-').and_then(|(kind, place)| {
            let place: usize = place.parse().ok()?;
            self.0.get(kind)?.get(place.checked_sub(1)?)
        });
        value.unwrap_or_else(|| panic!("the captures have nothing for '{{{placeholder}}}'"))
    }

    /// The text with values for its placeholders.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (placeholder, behind) = after.split_once('}').expect("a brace is closed");
            filled.push_str(before);
            filled.push_str(self.value(placeholder));
            rest = behind;
        }
        filled + rest
    }

    /// The addresses of the placeholders.
    pub(crate) fn addresses(&self, placeholders: &[&str]) -> Vec<IpAddr> {
        let address = |placeholder: &&str| self.value(placeholder).parse();
        let addresses: Result<_, _> = placeholders.iter().map(address).collect();
        addresses.expect("these placeholders are for addresses")
    }
}
