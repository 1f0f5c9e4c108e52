//! A filter in tcpdump's language. The module doc of `filter` says what an entry means.

use std::net::IpAddr;

use super::error::Error;
use super::networks::covering;
use super::parse::{check_count, masked};
use super::words;
use super::{Addresses, Entry, Filter, LinkType, Mac, Ports, Protocol};

/// The ends of a packet as tcpdump names them.
#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

impl End {
    const fn word(self) -> &'static str {
        match self {
            Self::Source => "src",
            Self::Destination => "dst",
        }
    }
}

/// The user's own expression; none where it is blank.
pub(super) fn own(filter: &Filter) -> Option<&str> {
    filter.expression.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// The whole filter; the empty text selects everything.
pub(super) fn of(filter: &Filter, local: &[IpAddr], link: LinkType) -> String {
    let local = canonical(local);
    let entries: Vec<_> = filter.entries.iter().map(|entry| entry_text(entry, &local)).collect();
    let own = own(filter);
    // An entry that constrains nothing makes all entries constrain nothing.
    let entries = if entries.iter().any(String::is_empty) { String::new() } else { any(entries) };
    let moves_offsets = own.is_some_and(words::moves_offsets);
    let entries = match link {
        LinkType::Ethernet if !entries.is_empty() && !moves_offsets => {
            format!("({entries} or (vlan and {entries}))")
        }
        LinkType::Ethernet | LinkType::RawIp | LinkType::Other(_) => entries,
    };
    match own {
        None => entries,
        Some(own) if entries.is_empty() => own.to_owned(),
        Some(own) => format!("({own}) and {entries}"),
    }
}

/// The most addresses, networks and ports of a filter together. Each becomes up to four terms, and
/// libpcap needs 3 s for 512 IPv4 addresses and 20 s for twice as many (measured on 1.10.3).
const MAX_TERMS: usize = 512;

/// Checks what the types of the entries alone do not hold.
pub(super) fn check_entries(filter: &Filter) -> Result<(), Error> {
    check_count("filters", filter.entries.len())?;
    let mut terms = 0;
    for entry in &filter.entries {
        for (field, list) in [("local_ip", &entry.local_ip), ("remote_ip", &entry.remote_ip)] {
            check_count(field, list.len())?;
            list.iter().try_for_each(|addresses| addresses.check(field))?;
            terms += list.iter().map(|addresses| networks(addresses).len()).sum::<usize>();
        }
        let ports = [("local_port", &entry.local_port), ("remote_port", &entry.remote_port)];
        for (field, list) in ports {
            check_count(field, list.len())?;
            list.iter().try_for_each(|ports| ports.check(field))?;
            if entry.protocol == Some(Protocol::Icmp) && !list.is_empty() {
                return Err(Error::PortsOfIcmp);
            }
            terms += list.len();
        }
        check_count("mac", entry.mac.len())?;
        terms += entry.mac.len();
        if terms > MAX_TERMS {
            return Err(Error::TooManyTerms { terms, most: MAX_TERMS });
        }
    }
    Ok(())
}

/// Each address once, as it is on the wire.
fn canonical(local: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses: Vec<_> = local.iter().map(IpAddr::to_canonical).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn entry_text(entry: &Entry, local: &[IpAddr]) -> String {
    let protocol = match entry.protocol {
        None => String::new(),
        Some(Protocol::Tcp) => "tcp".to_owned(),
        Some(Protocol::Udp) => "udp".to_owned(),
        Some(Protocol::Icmp) => "(icmp or icmp6)".to_owned(),
    };
    let ways = [(End::Source, End::Destination), (End::Destination, End::Source)]
        .map(|(local_end, remote_end)| way_text(entry, local, local_end, remote_end));
    let ways = if ways.iter().any(String::is_empty) { String::new() } else { any(ways.into()) };
    all(vec![protocol, ways, macs_text(&entry.mac)])
}

/// Whether ports are given and nothing that tells whose they are.
pub(super) const fn asks_for_local(entry: &Entry) -> bool {
    let has_local_port = !entry.local_port.is_empty();
    let has_remote_port = !entry.remote_port.is_empty();
    entry.local_ip.is_empty() && (has_local_port || (has_remote_port && entry.remote_ip.is_empty()))
}

/// What holds for a packet whose ends are these; empty where nothing has to.
fn way_text(entry: &Entry, local: &[IpAddr], local_end: End, remote_end: End) -> String {
    let mut terms = vec![
        addresses_text(local_end, &entry.local_ip),
        addresses_text(remote_end, &entry.remote_ip),
        ports_text(local_end, &entry.local_port),
        ports_text(remote_end, &entry.remote_port),
    ];
    if terms.iter().all(String::is_empty) {
        return String::new();
    }
    if asks_for_local(entry) && !local.is_empty() {
        let own: Vec<_> = local.iter().copied().map(Addresses::One).collect();
        let (here, there) = (addresses_text(local_end, &own), addresses_text(remote_end, &own));
        terms.push(format!("({here} or not {there})"));
    }
    all(terms)
}

fn addresses_text(end: End, list: &[Addresses]) -> String {
    let networks = list.iter().flat_map(networks);
    any(networks.map(|(address, prefix)| network_text(end, address, prefix)).collect())
}

/// The networks that hold these addresses and no other.
fn networks(addresses: &Addresses) -> Vec<(IpAddr, u8)> {
    match *addresses {
        Addresses::One(IpAddr::V4(address)) => vec![(address.into(), 32)],
        Addresses::One(IpAddr::V6(address)) => vec![(address.into(), 128)],
        Addresses::Range(first, last) => covering(first, last),
        Addresses::Network(address, prefix) => vec![(masked(address, prefix), prefix)],
    }
}

fn network_text(end: End, address: IpAddr, prefix: u8) -> String {
    let (family, width) = match address {
        IpAddr::V4(_) => ("ip", 32),
        IpAddr::V6(_) => ("ip6", 128),
    };
    let end = end.word();
    match prefix {
        0 => family.to_owned(),
        prefix if prefix == width => format!("{family} {end} host {address}"),
        prefix => format!("{family} {end} net {address}/{prefix}"),
    }
}

fn ports_text(end: End, list: &[Ports]) -> String {
    let word = end.word();
    let terms = list.iter().map(|ports| {
        let kind = if ports.first == ports.last { "port" } else { "portrange" };
        format!("{word} {kind} {ports}")
    });
    any(terms.collect())
}

/// The one thing that is asked of the frame, and so the same behind a tag.
fn macs_text(list: &[Mac]) -> String {
    any(list.iter().map(|mac| format!("ether host {mac}")).collect())
}

/// Terms of which all hold; those that are empty hold anyway.
fn all(terms: Vec<String>) -> String {
    joined(terms, " and ")
}

/// Terms of which one holds.
fn any(terms: Vec<String>) -> String {
    joined(terms, " or ")
}

fn joined(mut terms: Vec<String>, word: &str) -> String {
    terms.retain(|term| !term.is_empty());
    if terms.len() > 1 { format!("({})", terms.join(word)) } else { terms.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(local_ip: &str, remote_ip: &str, local_port: &str, remote_port: &str) -> Entry {
        Entry {
            protocol: None,
            local_ip: Addresses::parse_list("local_ip", local_ip).unwrap(),
            remote_ip: Addresses::parse_list("remote_ip", remote_ip).unwrap(),
            local_port: Ports::parse_list("local_port", local_port).unwrap(),
            remote_port: Ports::parse_list("remote_port", remote_port).unwrap(),
            mac: Vec::new(),
        }
    }

    fn text(entry: &Entry) -> String {
        entry_text(entry, &["10.0.0.1".parse().unwrap()])
    }

    #[test]
    fn nothing_given_selects_everything() {
        assert_eq!(Filter::default().expression_for(&[]), "");
        let anything = Filter {
            entries: vec![entry("10.0.0.1", "", "", ""), Entry::default()],
            expression: Some(" \n".to_owned()),
        };
        assert_eq!(anything.expression_for(&[]), "");
    }

    #[test]
    fn an_entry_holds_in_both_directions() {
        assert_eq!(
            text(&entry("10.0.0.1", "10.0.0.2", "", "443")),
            "((ip src host 10.0.0.1 and ip dst host 10.0.0.2 and dst port 443) or \
             (ip dst host 10.0.0.1 and ip src host 10.0.0.2 and src port 443))"
        );
        assert_eq!(
            text(&Entry { protocol: Some(Protocol::Icmp), ..entry("", "2001:db8::/32", "", "") }),
            "((icmp or icmp6) and (ip6 dst net 2001:db8::/32 or ip6 src net 2001:db8::/32))"
        );
    }

    #[test]
    fn ports_alone_are_told_apart_by_the_addresses_of_the_interface() {
        let expected = "((src port 443 and (ip src host 10.0.0.1 or not ip dst host 10.0.0.1)) or \
             (dst port 443 and (ip dst host 10.0.0.1 or not ip src host 10.0.0.1)))";
        assert_eq!(text(&entry("", "", "443", "")), expected);
        assert_eq!(
            entry_text(&entry("", "", "443", ""), &[]),
            "(src port 443 or dst port 443)",
            "no address is known"
        );
    }

    #[test]
    fn only_a_filter_of_ports_asks_for_the_addresses_of_the_interface() {
        let own = ["10.0.0.1".parse().unwrap()];
        let given = |present: bool, text: &'static str| if present { text } else { "" };
        for fields in 0_u8..16 {
            let [a, b, c, d] = [1, 2, 4, 8].map(|bit| fields & bit != 0);
            let entry = entry(
                given(a, "10.0.0.1"),
                given(b, "10.0.0.2"),
                given(c, "443"),
                given(d, "8000"),
            );
            let filter = Filter { entries: vec![entry], expression: None };
            let makes_a_difference = filter.expression_for(&own) != filter.expression_for(&[]);
            assert_eq!(filter.asks_for_local_addresses(), makes_a_difference, "{filter:?}");
        }
    }

    #[test]
    fn lists_and_ranges_are_alternatives() {
        assert_eq!(
            addresses_text(
                End::Source,
                &entry("10.0.0.1-10.0.0.2;::1;0.0.0.0/0", "", "", "").local_ip
            ),
            "(ip src host 10.0.0.1 or ip src host 10.0.0.2 or ip6 src host ::1 or ip)"
        );
        assert_eq!(
            ports_text(End::Destination, &entry("", "", "443;8000-8999", "").local_port),
            "(dst port 443 or dst portrange 8000-8999)"
        );
    }

    #[test]
    fn an_ethernet_address_holds_at_either_end_of_the_frame() {
        let mac = Mac::parse_list("mac", "02:00:00:00:00:01;0200.0000.0002").unwrap();
        let either = "(ether host 02:00:00:00:00:01 or ether host 02:00:00:00:00:02)";
        assert_eq!(text(&Entry { mac: mac.clone(), ..Entry::default() }), either);
        let tcp = Entry { protocol: Some(Protocol::Tcp), mac, ..Entry::default() };
        assert_eq!(text(&tcp), format!("(tcp and {either})"));
    }

    #[test]
    fn an_expression_stands_before_the_entries_in_parentheses() {
        let filter = |expression: &str| Filter {
            entries: vec![entry("10.0.0.1", "", "", "")],
            expression: Some(expression.to_owned()),
        };
        let host = "(ip src host 10.0.0.1 or ip dst host 10.0.0.1)";
        assert_eq!(
            filter("tcp or udp").expression_for(&[]),
            format!("(tcp or udp) and ({host} or (vlan and {host}))")
        );
        assert_eq!(filter("vlan 7").expression_for(&[]), format!("(vlan 7) and {host}"));
        let raw = of(&filter("tcp"), &[], LinkType::RawIp);
        assert_eq!(raw, format!("(tcp) and {host}"), "a link without VLANs");
    }

    #[test]
    fn what_the_types_cannot_hold_is_refused_with_its_field() {
        let ten = "10.0.0.10".parse().unwrap();
        let one = "10.0.0.1".parse().unwrap();
        let six = "::1".parse().unwrap();
        let all_but_two = "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe";
        for (bad, field) in [
            (Entry { local_ip: vec![Addresses::Range(ten, one)], ..Entry::default() }, "local_ip"),
            (
                Entry { remote_ip: vec![Addresses::Range(one, six)], ..Entry::default() },
                "remote_ip",
            ),
            (
                Entry { remote_ip: vec![Addresses::Network(one, 33)], ..Entry::default() },
                "remote_ip",
            ),
            (
                Entry { local_port: vec![Ports { first: 9, last: 1 }], ..Entry::default() },
                "local_port",
            ),
            (Entry { protocol: Some(Protocol::Icmp), ..entry("", "", "", "7") }, "remote_port"),
            (
                entry(all_but_two, all_but_two, "", "1;2;3;4;5"),
                "come to 513 addresses, networks and ports, and at most 512",
            ),
        ] {
            let filter = Filter { entries: vec![bad], expression: None };
            let message = check_entries(&filter).unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }
}
