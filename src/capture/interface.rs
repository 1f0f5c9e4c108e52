//! The interfaces of this host: index, link type, addresses, default route.
//!
//! Everything is asked of the kernel for the network namespace of the calling thread; /sys, which
//! shows that of the process which mounted it, is left alone.

use std::fs;
use std::net::IpAddr;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};

use crate::capture::Error;

/// Link-layer header type of Ethernet and of the loopback device (pcapng's LINKTYPE_ETHERNET).
pub(super) const LINKTYPE_ETHERNET: u16 = 1;

/// A route leads nowhere (RTF_REJECT); IPv6 keeps such a default on the loopback device.
const REJECTS: u32 = 0x200;

/// What a capture has to know about one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: i32,
    pub(super) is_loopback: bool,
    /// Addresses of this host on it.
    pub(super) addresses: Vec<IpAddr>,
}

/// Looks an interface up by its name.
pub(super) fn find(name: &str) -> Result<Interface, Error> {
    let entries: Vec<_> = getifaddrs().map_err(|error| Error::Interfaces(error.into()))?.collect();
    let mut own = entries.iter().filter(|entry| entry.interface_name == name).peekable();
    if own.peek().is_none() {
        return Err(no_interface(name, &entries));
    }
    // A tunnel has no link-layer address, so it is listed without one, or only with its others.
    let link = own.find_map(|entry| entry.address.as_ref()?.as_link_addr().copied());
    let hardware = link.map(|link| link.hatype());
    let is_loopback = hardware == Some(libc::ARPHRD_LOOPBACK);
    let index = link.and_then(|link| i32::try_from(link.ifindex()).ok());
    let Some(index) = index.filter(|_| is_loopback || hardware == Some(libc::ARPHRD_ETHER)) else {
        return Err(Error::LinkType { name: name.to_owned() });
    };
    let own = entries.iter().filter(|entry| entry.interface_name == name);
    Ok(Interface {
        name: name.to_owned(),
        index,
        is_loopback,
        addresses: own.filter_map(ip_address).collect(),
    })
}

/// The index that the name stands for, if there is such an interface.
pub(super) fn index(name: &str) -> Option<i32> {
    let index = nix::net::if_::if_nametoindex(name).ok()?;
    i32::try_from(index).ok()
}

fn no_interface(name: &str, entries: &[InterfaceAddress]) -> Error {
    let mut known: Vec<_> = entries.iter().map(|entry| entry.interface_name.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    Error::NoInterface { name: name.to_owned(), known: known.join(", ") }
}

fn ip_address(entry: &InterfaceAddress) -> Option<IpAddr> {
    let address = entry.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// The interface of the default route: that of IPv4 with the lowest metric, else that of IPv6.
pub fn default_route_interface() -> Option<String> {
    let read = |file| fs::read_to_string(format!("/proc/thread-self/net/{file}")).ok();
    let v4 = read("route").as_deref().and_then(default_of_ipv4);
    v4.or_else(|| read("ipv6_route").as_deref().and_then(default_of_ipv6))
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask ...`, numbers of routes in hexadecimal.
fn default_of_ipv4(table: &str) -> Option<String> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [name, destination, _gateway, flags, _count, _used, metric, mask, ..] = fields[..]
        else {
            return None;
        };
        let rejects = u32::from_str_radix(flags, 16).ok()? & REJECTS != 0;
        let is_default = destination == "00000000" && mask == "00000000" && !rejects;
        Some((metric.parse::<u32>().ok()?, name)).filter(|_route| is_default)
    });
    routes.min_by_key(|(metric, _name)| *metric).map(|(_metric, name)| name.to_owned())
}

/// `destination length source length next-hop metric count use flags name`, all in hexadecimal.
fn default_of_ipv6(table: &str) -> Option<String> {
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [_, length, _, _, _, metric, _, _, flags, name] = fields[..] else { return None };
        let rejects = u32::from_str_radix(flags, 16).ok()? & REJECTS != 0;
        let metric = u32::from_str_radix(metric, 16).ok()?;
        Some((metric, name)).filter(|_route| length == "00" && !rejects && name != "lo")
    });
    routes.min_by_key(|(metric, _name)| *metric).map(|(_metric, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_wins() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n";
        assert_eq!(default_of_ipv4(table).as_deref(), Some("eth0"));
        assert_eq!(default_of_ipv4("Iface\tDestination\n"), None);
    }

    #[test]
    fn the_reject_route_of_ipv6_is_no_default_route() {
        let zero = "00000000000000000000000000000000";
        let gateway = "fe800000000000000000000000000001";
        let reject =
            format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n");
        let real =
            format!("{zero} 00 {zero} 00 {gateway} 00000400 00000001 00000000 00450003     eth0\n");
        assert_eq!(default_of_ipv6(&reject), None);
        assert_eq!(default_of_ipv6(&format!("{reject}{real}")).as_deref(), Some("eth0"));
    }

    #[test]
    fn loopback_is_found_with_its_addresses() {
        let loopback = find("lo").unwrap();
        assert!(loopback.is_loopback && loopback.index > 0);
        assert_eq!(index("lo"), Some(loopback.index));
    }

    #[test]
    fn a_missing_interface_is_named_with_those_that_are_there() {
        let error = find("nowhere0").unwrap_err().to_string();
        assert!(error.contains("'nowhere0'") && error.contains("lo"), "{error}");
    }
}
