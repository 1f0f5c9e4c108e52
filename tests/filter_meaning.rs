//! What a filter selects, against two oracles over the same capture: `tcpdump -r FILE FILTER` for
//! every filter, and for structured entries a model that is written from their definition alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its capture has failed")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hindsight::filter::{Entry, Filter, LinkType, Mac, Packet, Program, compile};
use support::captures::{Captured, Made};
use support::five_tuple::{ICMP, ICMP6, Ip, SCTP, TCP, UDP, entry, selects};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

/// A frame of the capture, with its tags in place.
struct Frame {
    packet: Captured,
    /// Absent for what is no IP packet or is cut short.
    ip: Option<Ip>,
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()
}

/// Where frames go that carry no IP packet, and where they come from.
const MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 2]), Mac([2, 0, 0, 0, 0, 1])];

/// Each address has an Ethernet address of its own, which ends as it does.
fn macs(source: IpAddr, destination: IpAddr) -> [Mac; 2] {
    let last = |address| match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    [destination, source].map(|address| Mac([2, 0, 0, 0, 0, last(address)]))
}

fn ethernet(macs: [Mac; 2], tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = macs.map(|mac| mac.0).concat();
    for tag in tags {
        bytes.extend([0x81, 0]);
        bytes.extend(tag.to_be_bytes());
    }
    bytes.extend(ether_type.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Transport header and a little payload; the ports are ignored where there are none.
fn transport(protocol: u8, (source, destination): (u16, u16)) -> Vec<u8> {
    let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    match protocol {
        TCP => {
            let flags = [0x02, 0x12, 0x10, 0x04][usize::from(source % 4)];
            [&ports, &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0][..], b"data"].concat()
        }
        UDP => [&ports, &[0, 12, 0, 0][..], b"data"].concat(),
        SCTP => [&ports, &[0; 8][..]].concat(),
        _ => [&[8, 0, 0, 0, 0, 1, 0, 1][..], b"ping"].concat(),
    }
}

/// The IP header for a payload; `fragment` is the field with the flags and the offset.
fn ip_packet(ip: &Ip, fragment: u16, payload: &[u8]) -> (u16, Vec<u8>) {
    let length = u16::try_from(payload.len()).unwrap();
    match (ip.source, ip.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut bytes = vec![0x45, 0];
            bytes.extend((20 + length).to_be_bytes());
            bytes.extend([0, 1]);
            bytes.extend(fragment.to_be_bytes());
            bytes.extend([64, ip.protocol, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend(payload);
            (0x0800, bytes)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut bytes = vec![0x60, 0, 0, 0];
            bytes.extend(length.to_be_bytes());
            bytes.extend([ip.protocol, 64]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend(payload);
            (0x86dd, bytes)
        }
        _ => panic!("a packet has one family"),
    }
}

fn frame(ip: &Ip, fragment: u16) -> Frame {
    let payload = transport(ip.protocol, ip.ports.unwrap_or((0, 0)));
    let (ether_type, packet) = ip_packet(ip, fragment, &payload);
    let macs = ip.macs.unwrap_or_else(|| macs(ip.source, ip.destination));
    let bytes = ethernet(macs, &[7, 9][..ip.tags], ether_type, &packet);
    let later_fragment = fragment & 0x1fff != 0;
    let ports = ip.ports.filter(|_| !later_fragment);
    let ip = Ip { ports, macs: Some(macs), ..ip.clone() };
    Frame { packet: Captured::whole(bytes), ip: Some(ip) }
}

fn other(bytes: Vec<u8>) -> Frame {
    Frame { packet: Captured::whole(bytes), ip: None }
}

/// The capture: 10.0.0.1, 10.0.0.2 and fd00::1 are the host's own addresses.
fn capture() -> Vec<Frame> {
    let ends = [
        (v4(1), v4(9)),
        (v4(9), v4(1)),
        (v4(1), v4(2)),
        (v4(9), v4(200)),
        (v4(9), v4(255)),
        (v6(1), v6(9)),
        (v6(9), v6(1)),
        (v6(9), v6(0x200)),
        (v6(9), "ff02::fb".parse().unwrap()),
    ];
    let ports = [(443, 50_000), (50_001, 443), (53, 53), (8_000, 8_999), (8_999, 9_000)];
    let mut frames = Vec::new();
    for (source, destination) in ends {
        for tags in 0..=2 {
            for (protocol, ports) in
                [TCP, UDP, SCTP].into_iter().flat_map(|p| ports.map(|q| (p, q)))
            {
                let ip = Ip { source, destination, protocol, ports: Some(ports), tags, macs: None };
                frames.push(frame(&ip, 0));
            }
            let protocol = if source.is_ipv4() { ICMP } else { ICMP6 };
            frames.push(frame(
                &Ip { source, destination, protocol, ports: None, tags, macs: None },
                0,
            ));
        }
    }
    for (protocol, fragment) in [(TCP, 0x2000), (TCP, 0x2001), (UDP, 0x0010), (UDP, 0x4000)] {
        let ports = Some((443, 50_000));
        let ip = Ip { source: v4(1), destination: v4(9), protocol, ports, tags: 0, macs: None };
        frames.push(frame(&ip, fragment));
    }
    let everybody = Ipv4Addr::BROADCAST.into();
    let mdns = Ipv4Addr::new(224, 0, 0, 251).into();
    for (to, source, destination, ports) in [
        ([0xff; 6], Ipv4Addr::UNSPECIFIED.into(), everybody, (68, 67)),
        ([1, 0, 0x5e, 0, 0, 0xfb], v4(9), mdns, (5_353, 5_353)),
    ] {
        let macs = Some([Mac(to), Mac([2, 0, 0, 0, 0, 1])]);
        let ip = Ip { source, destination, protocol: UDP, ports: Some(ports), tags: 0, macs };
        frames.push(frame(&ip, 0));
    }
    let arp =
        [&[0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1][..], &[0; 6], &[10, 0, 0, 9]];
    frames.push(other(ethernet(MACS, &[], 0x0806, &arp.concat())));
    frames.push(other(ethernet(MACS, &[7], 0x0806, &arp.concat())));
    frames.push(other(ethernet(MACS, &[], 0x8847, &[0, 1, 0x01, 64, 0x45])));
    frames.push(other(ethernet(MACS, &[], 0x0026, &[0xe0, 0xe0, 3, 0, 0, 0])));
    let ip = Ip {
        source: v4(1),
        destination: v4(9),
        protocol: TCP,
        ports: Some((443, 1)),
        tags: 1,
        macs: None,
    };
    let whole = frame(&ip, 0);
    for length in 0..=whole.packet.bytes.len() {
        let mut cut = other(whole.packet.bytes[..length].to_vec());
        cut.packet.wire_len = 1_500;
        frames.push(cut);
    }
    frames
}

/// The frames as a file for tcpdump, under their numbers.
fn write(frames: &[Frame]) -> Made {
    let packets = frames.iter().map(|frame| frame.packet.clone());
    Made::of(LinkType::Ethernet, packets.collect())
}

fn selected(program: &Program, frames: &[Frame]) -> BTreeSet<usize> {
    let mut numbers = BTreeSet::new();
    for (number, Frame { packet: frame, .. }) in frames.iter().enumerate() {
        let whole = Packet { data: &frame.bytes, vlan: None, wire_len: frame.wire_len };
        let passes = program.selects(&whole);
        if passes {
            numbers.insert(number);
        }
        // The same frame as the kernel hands it over, with its outer tag beside it.
        if frame.bytes.len() >= 16 && frame.bytes[12..14] == [0x81, 0] {
            let data = [&frame.bytes[..12], &frame.bytes[16..]].concat();
            let vlan = frame.bytes[12..16].try_into().ok();
            let stripped = Packet { data: &data, vlan, wire_len: frame.wire_len };
            assert_eq!(program.selects(&stripped), passes, "frame {number}, {}", program.text());
        }
    }
    numbers
}

const EXPRESSIONS: [&str; 72] = [
    "",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "arp",
    "ip",
    "ip6",
    "ip or ip6",
    "not ip",
    "vlan",
    "vlan 7",
    "vlan 8",
    "vlan 7 and tcp",
    "vlan and vlan",
    "vlan 7 and vlan 9 and udp port 53",
    "vlan and host 10.0.0.9",
    "not vlan",
    "tcp port 443",
    "udp port 53",
    "port 443",
    "src port 443",
    "dst port 443",
    "tcp portrange 8000-8999",
    "portrange 8999-9000",
    "port domain",
    "port https",
    "not port 443",
    "host 10.0.0.1",
    "src host 10.0.0.1",
    "dst host 10.0.0.1",
    "host fd00::1",
    "src host fd00::9 and dst host ff02::fb",
    "net 10.0.0.0/24",
    "net 10",
    "src net 10.0.0.0/29",
    "net fd00::/64",
    "dst net 10.0.0.192/26",
    "net 10.0.0.0 mask 255.255.255.0",
    "ether host 02:00:00:00:00:01",
    "ether src 2:0:0:0:0:1 and udp",
    "ether proto 0x0806",
    "ether proto \\ip6",
    "ether multicast",
    "ether broadcast",
    "ip multicast",
    "ip6 multicast",
    "ip broadcast",
    "ip proto \\tcp",
    "ip proto 17",
    "ip6 proto 6",
    "proto 132",
    "ip[8] = 64",
    "ip[6:2] & 0x1fff != 0",
    "ip[6:2] & 0x2000 != 0 and tcp",
    "tcp[tcpflags] & tcp-syn != 0",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn|tcp-ack",
    "tcp[tcpflags] & tcp-rst != 0",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x64617461",
    "ip[2:2] - ((ip[0]&0xf)<<2) - 20 > 0",
    "icmp[icmptype] = icmp-echo",
    "ether[12:2] = 0x8100",
    "ether[11:4] != 0",
    "ether[14:4] > 0x70000",
    "less 60",
    "greater 1000",
    "len % 7 = 3",
    "len * 3 / 2 ^ 5 > 90 or ether[0] << 3 = 16",
    "(tcp or udp) and not (port 443 or host 10.0.0.9)",
    "mpls",
    "stp or llc",
];

/// Entries as protocol, local_ip, remote_ip, local_port, remote_port, mac.
const ENTRIES: [[&str; 6]; 38] = [
    ["any", "", "", "", "", ""],
    ["tcp", "", "", "", "", ""],
    ["udp", "", "", "", "", ""],
    ["icmp", "", "", "", "", ""],
    ["", "10.0.0.1", "", "", "", ""],
    ["", "10.0.0.9", "", "", "", ""],
    ["", "fd00::1;10.0.0.1", "", "", "", ""],
    ["", "", "10.0.0.9", "", "", ""],
    ["", "", "10.0.0.1", "", "", ""],
    ["", "", "fd00::/64", "", "", ""],
    ["", "10.0.0.1", "10.0.0.9", "", "", ""],
    ["", "10.0.0.1", "10.0.0.2", "", "", ""],
    ["", "10.0.0.2", "10.0.0.1", "", "", ""],
    ["tcp", "10.0.0.1", "", "443", "", ""],
    ["tcp", "10.0.0.1", "", "", "443", ""],
    ["tcp", "", "10.0.0.9", "", "443", ""],
    ["udp", "", "10.0.0.9", "443", "", ""],
    ["", "", "10.0.0.0/24", "443", "", ""],
    ["", "", "10.0.0.0/24", "", "443", ""],
    ["", "", "", "443", "", ""],
    ["", "", "", "", "443", ""],
    ["udp", "", "", "53", "53", ""],
    ["", "", "", "8000-8999", "", ""],
    ["", "", "", "", "8000-8999;53", ""],
    ["tcp", "", "", "443;8000-8500", "8999;50000-51000", ""],
    ["", "10.0.0.1-10.0.0.8", "", "", "", ""],
    ["", "", "10.0.0.2-10.0.0.199;fd00::2-fd00::1ff", "", "", ""],
    ["", "", "10.0.0.128/25;10.0.0.9", "", "443", ""],
    ["icmp", "", "10.0.0.9;fd00::9", "", "", ""],
    ["", "0.0.0.0/0", "", "", "", ""],
    ["", "", "::/0", "", "53", ""],
    ["udp", "", "", "5353", "", ""],
    ["tcp", "192.0.2.1", "", "", "", ""],
    ["", "", "", "", "", "02:00:00:00:00:09"],
    ["", "", "", "", "", "0200.0000.0002;02:00:00:00:00:c8"],
    ["tcp", "", "", "", "", "02-00-00-00-00-01"],
    ["udp", "", "10.0.0.0/24", "", "53", "02:00:00:00:00:01"],
    ["", "10.0.0.1", "", "", "", "ff:ff:ff:ff:ff:ff"],
];

fn own_addresses() -> [Vec<IpAddr>; 3] {
    [Vec::new(), vec![v4(1)], vec![v4(1), v4(2), v6(1), v6(1)]]
}

/// Compares with tcpdump; returns what is selected.
fn compare(filter: &Filter, own: &[IpAddr], frames: &[Frame], file: &Made) -> BTreeSet<usize> {
    let program = compile(filter, own, LinkType::Ethernet).unwrap();
    let text = filter.expression_for(own);
    assert_eq!(program.text(), text);
    let selected = selected(&program, frames);
    assert_eq!(Ok(&selected), file.tcpdump(&text).as_ref(), "{text}");
    selected
}

#[test]
fn expressions_select_what_tcpdump_selects() {
    let frames = capture();
    let file = write(&frames);
    let mut barren = Vec::new();
    for expression in EXPRESSIONS {
        let filter = Filter { entries: Vec::new(), expression: Some(expression.to_owned()) };
        if compare(&filter, &[], &frames, &file).is_empty() {
            barren.push(expression);
        }
    }
    assert_eq!(barren, ["vlan 8"], "these prove little");
}

#[test]
fn entries_select_what_their_definition_says_and_tcpdump_with_their_text() {
    let frames = capture();
    let file = write(&frames);
    for own in own_addresses() {
        for fields in ENTRIES {
            let entry = entry(fields);
            let filter = Filter { entries: vec![entry.clone()], expression: None };
            let selected = compare(&filter, &own, &frames, &file);
            for (number, frame) in frames.iter().enumerate() {
                // What is cut short is left to tcpdump.
                let Some(ip) = &frame.ip else { continue };
                let expected = entry == Entry::default() || selects(&entry, &own, ip);
                let told = selected.contains(&number);
                assert_eq!(
                    told,
                    expected,
                    "{fields:?} with {own:?}: {ip:?}\n{}",
                    filter.expression_for(&own)
                );
            }
        }
    }
}

#[test]
fn an_ethernet_address_alone_selects_all_frames_of_it() {
    let frames = capture();
    let file = write(&frames);
    let mac = vec![MACS[1]];
    let filter = Filter { entries: vec![Entry { mac, ..Entry::default() }], expression: None };
    let selected = compare(&filter, &[], &frames, &file);
    let of_it = |bytes: &[u8]| [bytes.get(..6), bytes.get(6..12)].contains(&Some(&MACS[1].0));
    for (number, frame) in frames.iter().enumerate() {
        let bytes = &frame.packet.bytes;
        assert_eq!(selected.contains(&number), bytes.len() >= 12 && of_it(bytes), "{number}");
    }
    let others = frames.iter().enumerate().filter(|(_, frame)| frame.ip.is_none());
    assert!(others.filter(|(number, _)| selected.contains(number)).count() > 4);
}

#[test]
fn entries_are_alternatives_and_an_expression_holds_besides() {
    let frames = capture();
    let file = write(&frames);
    let own = vec![v4(1)];
    let entries = [["tcp", "", "10.0.0.9", "", "", ""], ["udp", "", "", "53", "", ""]].map(entry);
    let numbers = |entries: &[Entry], expression: Option<&str>| {
        let filter =
            Filter { entries: entries.to_vec(), expression: expression.map(str::to_owned) };
        compare(&filter, &own, &frames, &file)
    };
    let both = numbers(&entries, None);
    assert_eq!(both, &numbers(&entries[..1], None) | &numbers(&entries[1..], None));
    let port = numbers(&entries, Some("port 443 or icmp"));
    assert_eq!(port, &both & &numbers(&[], Some("port 443 or icmp")));
    assert!(!port.is_empty());
    // A VLAN in the expression moves what the entries look at behind its tag.
    let tagged: BTreeSet<_> = numbers(&entries, Some("vlan 7"));
    let expected = both
        .iter()
        .copied()
        .filter(|number| frames[*number].ip.as_ref().is_some_and(|ip| ip.tags == 1));
    let modelled = tagged.iter().copied().filter(|number| frames[*number].ip.is_some());
    assert_eq!(modelled.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}
