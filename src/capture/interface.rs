//! The interfaces of this host: how each is served, addresses, default route.
//!
//! Everything is asked of the kernel for the network namespace of the calling thread; /sys, which
//! shows that of the process which mounted it, is left alone.

use std::fs;
use std::net::IpAddr;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::LinkAddr;

use crate::capture::Error;
use crate::libpcap;

/// A route leads nowhere (RTF_REJECT); IPv6 keeps such a default on the loopback device.
const REJECTS: u32 = 0x200;

/// What a capture has to know about one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) service: Service,
    /// Addresses of this host on it; all of the host's where it stands for all interfaces.
    pub(super) addresses: Vec<IpAddr>,
}

/// How the packets of an interface are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// From a ring of the kernel: Ethernet, and the loopback device, which has Ethernet headers too.
    Ring { index: i32, is_loopback: bool },
    /// From libpcap: all else that it can open.
    Device,
}

/// Looks an interface, or another device of libpcap, up by its name.
pub(super) fn find(name: &str) -> Result<Interface, Error> {
    let entries: Vec<_> = getifaddrs().map_err(|error| Error::Interfaces(error.into()))?.collect();
    let own = || entries.iter().filter(|entry| entry.interface_name == name);
    let service = if own().next().is_some() {
        service(own().find_map(|entry| entry.address.as_ref()?.as_link_addr()))
    } else if libpcap::knows(name) {
        Service::Device
    } else {
        return Err(no_interface(name, &entries));
    };
    let addresses = if libpcap::is_any_device(name) {
        entries.iter().filter_map(ip_address).collect()
    } else {
        own().filter_map(ip_address).collect()
    };
    Ok(Interface { name: name.to_owned(), service, addresses })
}

/// A tunnel has no link-layer address, so it is listed without one, or only with its others.
fn service(link: Option<&LinkAddr>) -> Service {
    let Some(link) = link else { return Service::Device };
    let is_loopback = link.hatype() == libc::ARPHRD_LOOPBACK;
    match i32::try_from(link.ifindex()) {
        Ok(index) if is_loopback || link.hatype() == libc::ARPHRD_ETHER => {
            Service::Ring { index, is_loopback }
        }
        Ok(_) | Err(_) => Service::Device,
    }
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
        let index = index("lo").unwrap();
        assert_eq!(loopback.service, Service::Ring { index, is_loopback: true });
    }

    #[test]
    fn what_is_no_interface_but_a_device_of_libpcap_is_served_by_it() {
        let any = find("any").unwrap();
        assert_eq!(any.service, Service::Device);
        let loopback = find("lo").unwrap().addresses;
        assert!(loopback.iter().all(|address| any.addresses.contains(address)));
    }

    #[test]
    fn a_missing_interface_is_named_with_those_that_are_there() {
        let error = find("nowhere0").unwrap_err().to_string();
        assert!(error.contains("'nowhere0'") && error.contains("lo"), "{error}");
    }
}
