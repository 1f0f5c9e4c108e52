//! The types of placeholders: what each reads, and what comes out.
//!
//! Reading is strict and repairs nothing: what a network card, a kernel or libpcap would take more
//! freely (numbers in octal, signs, zones, names) is not read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::filter::{Addresses, Mac, Ports};
use crate::units::Span;

/// The longest interface name in bytes. Source: IFNAMSIZ in linux/if.h, less the end byte.
const MAX_INTERFACE_BYTES: usize = 15;

/// The longest text that is any of the types in a usual form, in bytes: no longer one is looked at.
const MAX_TEXT_BYTES: usize = 128;

/// Devices of libpcap that are no interfaces of the network, with a `*` for any end: USB, Bluetooth
/// and message buses. A rule may name them, an event may not.
const NO_NETWORK: [&str; 7] =
    ["any", "nflog", "nfqueue", "usbmon*", "bluetooth*", "dbus-system", "dbus-session"];

/// The types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) enum Type {
    Ip,
    Cidr,
    Port,
    Mac,
    Iface,
    Duration,
}

impl Type {
    #[cfg(test)]
    pub(in crate::rules) const ALL: [Self; 6] =
        [Self::Ip, Self::Cidr, Self::Port, Self::Mac, Self::Iface, Self::Duration];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Cidr => "cidr",
            Self::Port => "port",
            Self::Mac => "mac",
            Self::Iface => "iface",
            Self::Duration => "duration",
        }
    }

    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Ip => "an IP address, alone or with a port",
            Self::Cidr => "a network such as 192.0.2.0/24",
            Self::Port => "a port from 1 to 65535, alone or behind an IP address",
            Self::Mac => "an Ethernet address such as 02:00:5e:10:00:01",
            Self::Iface => "the name of a network interface",
            Self::Duration => "a duration such as 30s or 5m",
        }
    }

    /// The value that a text stands for.
    pub(super) fn read(self, text: &str) -> Option<Value> {
        if text.len() > MAX_TEXT_BYTES {
            return None;
        }
        match self {
            Self::Ip => {
                let plain = || text.parse::<IpAddr>().ok();
                let address = plain().or_else(|| endpoint(text).map(|(address, _)| address))?;
                // An IPv4 address in IPv6 clothes is on no wire.
                Some(Value::Addresses(Addresses::One(address.to_canonical())))
            }
            Self::Cidr => {
                let (address, prefix) = text.split_once('/')?;
                let address: IpAddr = address.parse().ok()?;
                let most = if address.is_ipv4() { 32 } else { 128 };
                let bits = read_number(prefix).and_then(|bits| u8::try_from(bits).ok())?;
                (bits <= most).then(|| Value::Addresses(network(address, bits)))
            }
            Self::Port => {
                let port = read_number(text).or_else(|| endpoint(text).map(|(_, port)| port))?;
                (port > 0).then_some(Value::Ports(Ports { first: port, last: port }))
            }
            Self::Mac => Mac::parse(text).map(Value::Mac),
            Self::Iface => (is_interface(text) && is_of_network(text))
                .then(|| Value::Interface(text.to_owned())),
            Self::Duration => text.parse::<Span>().ok().map(|span| Value::Duration(span.0)),
        }
    }

    /// A value of the type, to check at load what an event would fill in.
    pub(super) fn sample(self) -> Value {
        let documentation = |last| IpAddr::from([192, 0, 2, last]);
        match self {
            Self::Ip => Value::Addresses(Addresses::One(documentation(1))),
            Self::Cidr => Value::Addresses(network(documentation(0), 24)),
            Self::Port => Value::Ports(Ports { first: 1, last: 1 }),
            Self::Mac => Value::Mac(Mac([2, 0, 0, 0, 0, 1])),
            Self::Iface => Value::Interface("lo".to_owned()),
            Self::Duration => Value::Duration(Duration::from_secs(1)),
        }
    }
}

/// A label's value as a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) enum Value {
    Addresses(Addresses),
    Ports(Ports),
    Mac(Mac),
    /// Letters, digits, `.`, `_` and `-`, at most 15, beginning with a letter or digit.
    Interface(String),
    Duration(Duration),
}

/// What a place takes out of a value.
pub(in crate::rules) trait Typed: Sized {
    /// `None` where the value is of another type.
    fn of(value: Value) -> Option<Self>;
}

impl Typed for Addresses {
    fn of(value: Value) -> Option<Self> {
        if let Value::Addresses(addresses) = value { Some(addresses) } else { None }
    }
}

impl Typed for Ports {
    fn of(value: Value) -> Option<Self> {
        if let Value::Ports(ports) = value { Some(ports) } else { None }
    }
}

impl Typed for Mac {
    fn of(value: Value) -> Option<Self> {
        if let Value::Mac(mac) = value { Some(mac) } else { None }
    }
}

/// The name of an interface.
impl Typed for String {
    fn of(value: Value) -> Option<Self> {
        if let Value::Interface(name) = value { Some(name) } else { None }
    }
}

impl Typed for Duration {
    fn of(value: Value) -> Option<Self> {
        if let Value::Duration(duration) = value { Some(duration) } else { None }
    }
}

/// `10.0.0.7:9100` or `[2001:db8::1]:80`: what targets of monitoring are named by.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (_, port) = text.rsplit_once(':')?;
    let port = read_number(port)?;
    let address: SocketAddr = text.parse().ok()?;
    // A zone names an interface of the host that wrote it.
    (!text.contains('%')).then_some((address.ip(), port))
}

/// A network with the bits behind its prefix cleared, as filters have them.
fn network(address: IpAddr, bits: u8) -> Addresses {
    let cleared = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::from((v4.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::from((v6.to_bits() & mask).to_be_bytes())
        }
    };
    Addresses::Network(cleared, bits)
}

/// Plain digits: the standard parser would take a sign, and zeros in front hide a typing error.
fn read_number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Whether a text can name an interface and do no harm anywhere else.
pub(in crate::rules) fn is_interface(text: &str) -> bool {
    text.len() <= MAX_INTERFACE_BYTES
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_of_network(name: &str) -> bool {
    !NO_NETWORK.iter().any(|device| match device.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == *device,
    })
}
