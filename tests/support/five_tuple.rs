//! What an entry of a filter means, by the words of its definition alone: the second judge beside
//! tcpdump, which judges only how the text for an entry is evaluated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hindsight::filter::{Addresses, Entry, LinkType, Mac, Ports, Protocol};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMP6: u8 = 58;
pub(crate) const SCTP: u8 = 132;

/// The next header of an IPv6 packet that is a fragment.
const FRAGMENT: u8 = 44;

/// What the model knows of an IP packet.
#[derive(Clone, Debug)]
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ports: Option<(u16, u16)>,
    /// How many VLAN tags stand before it.
    pub(crate) tags: usize,
    /// Of the frame around it: where it goes and where it comes from.
    pub(crate) macs: Option<[Mac; 2]>,
}

impl Ip {
    /// Takes a packet apart; `None` for what is no IP packet or is cut short.
    pub(crate) fn read(link: LinkType, bytes: &[u8]) -> Option<Self> {
        if link == LinkType::RawIp {
            return match bytes.first()? >> 4 {
                4 => version_4(bytes, 0, None),
                6 => version_6(bytes, 0, None),
                _ => None,
            };
        }
        let (mut at, mut tags) = (12, 0);
        while matches!(half(bytes, at)?, 0x8100 | 0x88a8 | 0x9100) {
            (at, tags) = (at + 4, tags + 1);
        }
        let packet = bytes.get(at + 2..)?;
        let mac = |at: usize| Some(Mac(*bytes.get(at..)?.first_chunk()?));
        let macs = Some([mac(0)?, mac(6)?]);
        match half(bytes, at)? {
            0x0800 => version_4(packet, tags, macs),
            0x86dd => version_6(packet, tags, macs),
            _ => None,
        }
    }
}

fn version_4(packet: &[u8], tags: usize, macs: Option<[Mac; 2]>) -> Option<Ip> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let protocol = header[9];
    let later = half(packet, 6)? & 0x1fff != 0;
    let at = usize::from(header[0] & 0x0f) * 4;
    let address = |at: usize| Some(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?).into());
    Some(Ip {
        source: address(12)?,
        destination: address(16)?,
        protocol,
        ports: if later || !has_ports(protocol) { None } else { Some(ports(packet, at)?) },
        tags,
        macs,
    })
}

fn version_6(packet: &[u8], tags: usize, macs: Option<[Mac; 2]>) -> Option<Ip> {
    let address = |at: usize| Some(Ipv6Addr::from(*packet.get(at..)?.first_chunk::<16>()?).into());
    let (source, destination) = (address(8)?, address(24)?);
    let next = *packet.get(6)?;
    Some(Ip {
        source,
        destination,
        protocol: if next == FRAGMENT { *packet.get(40)? } else { next },
        ports: if has_ports(next) { Some(ports(packet, 40)?) } else { None },
        tags,
        macs,
    })
}

fn has_ports(protocol: u8) -> bool {
    [TCP, UDP, SCTP].contains(&protocol)
}

fn ports(packet: &[u8], at: usize) -> Option<(u16, u16)> {
    Some((half(packet, at)?, half(packet, at + 2)?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Whether an entry selects a packet at a host with these addresses.
pub(crate) fn selects(entry: &Entry, own: &[IpAddr], ip: &Ip) -> bool {
    let protocol = match entry.protocol {
        None => true,
        Some(Protocol::Tcp) => ip.protocol == TCP,
        Some(Protocol::Udp) => ip.protocol == UDP,
        Some(Protocol::Icmp) => ip.protocol == if ip.source.is_ipv4() { ICMP } else { ICMP6 },
    };
    let within = |list: &[Addresses], address: IpAddr| {
        list.is_empty() || list.iter().any(|one| holds(one, address))
    };
    let port_within = |list: &[Ports], port: Option<u16>| {
        let among = |port| list.iter().any(|ports| (ports.first..=ports.last).contains(&port));
        list.is_empty() || port.is_some_and(among)
    };
    let (source_port, destination_port) = ip.ports.unzip();
    let (source, destination) = ((ip.source, source_port), (ip.destination, destination_port));
    let ways = [(source, destination), (destination, source)];
    let either = ways.into_iter().any(|((here, here_port), (there, there_port))| {
        let only_remote = !entry.remote_ip.is_empty() && entry.local_port.is_empty();
        let told = !entry.local_ip.is_empty() || only_remote;
        // If exactly one end is the host's own, that is the local one.
        let may_be_local =
            told || own.contains(&here) == own.contains(&there) || own.contains(&here);
        may_be_local
            && within(&entry.local_ip, here)
            && within(&entry.remote_ip, there)
            && port_within(&entry.local_port, here_port)
            && port_within(&entry.remote_port, there_port)
    });
    let of_frame = |macs: [Mac; 2]| entry.mac.iter().any(|mac| macs.contains(mac));
    let alone = Entry { mac: Vec::new(), ..entry.clone() } == Entry::default();
    let mac = entry.mac.is_empty() || ip.macs.is_some_and(of_frame);
    // What is asked of the frame alone holds behind any number of tags.
    mac && (alone || protocol && either && ip.tags <= 1)
}

fn holds(addresses: &Addresses, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (32, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (128, v6.to_bits()),
    };
    let (width, value) = bits(address);
    match *addresses {
        Addresses::One(one) => one == address,
        Addresses::Range(first, last) => {
            bits(first).0 == width && (bits(first).1..=bits(last).1).contains(&value)
        }
        Addresses::Network(network, prefix) => {
            let host = |bits: u128| bits.checked_shr(width - u32::from(prefix)).unwrap_or(0);
            bits(network).0 == width && host(value) == host(bits(network).1)
        }
    }
}

/// An entry from its fields: protocol, local_ip, remote_ip, local_port, remote_port, mac.
pub(crate) fn entry(fields: [&str; 6]) -> Entry {
    let [protocol, local_ip, remote_ip, local_port, remote_port, mac] = fields;
    let addresses = |field, text| {
        Addresses::parse_list(field, text).unwrap_or_else(|error| panic!("{fields:?}: {error}"))
    };
    let ports = |field, text| {
        Ports::parse_list(field, text).unwrap_or_else(|error| panic!("{fields:?}: {error}"))
    };
    Entry {
        protocol: Protocol::parse("protocol", protocol).expect("the name of a protocol"),
        local_ip: addresses("local_ip", local_ip),
        remote_ip: addresses("remote_ip", remote_ip),
        local_port: ports("local_port", local_port),
        remote_port: ports("remote_port", remote_port),
        mac: Mac::parse_list("mac", mac).unwrap_or_else(|error| panic!("{fields:?}: {error}")),
    }
}
