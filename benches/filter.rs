//! What the evaluator costs for one packet, with libpcap's own `pcap_offline_filter` beside it on
//! the same packets, in the same run. Run: `cargo bench --bench filter`.
//!
//! Three kinds of traffic for each filter: one packet that it selects, one that it refuses, and
//! a mix in random order, of which nearly all are refused.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot make its packets has failed")]
#![expect(clippy::print_stdout, reason = "what it has measured")]

use std::hint::black_box;
use std::time::Duration;

use hindsight::clock;
use hindsight::filter::{Addresses, Entry, Filter, LinkType, Packet, Ports, Protocol, compile};

/// Packets of one run; runs are repeated for as long as [`SPAN`] lasts, the fastest counts.
const PACKETS: usize = 4_096;
const SPAN: Duration = Duration::from_millis(150);

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The ends of a packet as last byte of the address and port.
type End = (u8, u16);

/// An Ethernet frame of 128 bytes with IPv4, hosts in 10.1.2.0/24.
fn v4(protocol: u8, source: End, destination: End) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
    frame.extend([0x45, 0, 0, 114, 0, 1, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend([10, 1, 2, source.0, 10, 1, 2, destination.0]);
    transport(frame, protocol, source.1, destination.1)
}

/// The same with IPv6, hosts in fd00::/64.
fn v6(protocol: u8, source: End, destination: End) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, 74, protocol, 64]);
    for host in [source.0, destination.0] {
        frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    transport(frame, protocol, source.1, destination.1)
}

fn transport(mut frame: Vec<u8>, protocol: u8, source: u16, destination: u16) -> Vec<u8> {
    frame.extend(source.to_be_bytes());
    frame.extend(destination.to_be_bytes());
    if protocol == TCP {
        frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    }
    frame.resize(128, 0);
    frame
}

fn arp() -> Vec<u8> {
    let mut frame = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06];
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 1, 2, 9, 0, 0, 0, 0, 0, 0]);
    frame.extend([10, 1, 2, 8]);
    frame.resize(60, 0);
    frame
}

/// Random numbers that are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap() % bound
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// What passes an ordinary host.
fn traffic() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let here: Vec<u8> = (11..15).collect();
    let there: Vec<u8> = (20..80).collect();
    let own_ports: Vec<u16> = (32_768..52_768).collect();
    let mut packets = Vec::new();
    for _ in 0..PACKETS {
        let here = (numbers.one_of(&here), numbers.one_of(&own_ports));
        let there = (numbers.one_of(&there), numbers.one_of(&[80, 8_080, 5_432, 123]));
        let [source, destination] = numbers.one_of(&[[here, there], [there, here]]);
        packets.push(match numbers.below(20) {
            0..12 => v4(TCP, source, destination),
            12..15 => v4(UDP, source, destination),
            15..18 => v6(TCP, source, destination),
            18 => v6(UDP, source, destination),
            _ => arp(),
        });
    }
    packets
}

fn expression(text: &str) -> Filter {
    Filter { entries: Vec::new(), expression: Some(text.to_owned()) }
}

fn entry(remote_ip: &str, remote_port: &str) -> Filter {
    let entry = Entry {
        protocol: Some(Protocol::Tcp),
        remote_ip: Addresses::parse_list("remote_ip", remote_ip).unwrap(),
        remote_port: Ports::parse_list("remote_port", remote_port).unwrap(),
        ..Entry::default()
    };
    Filter { entries: vec![entry], expression: None }
}

/// A name, the filter, a packet that it selects and one that it refuses.
fn cases() -> Vec<(&'static str, Filter, Vec<u8>, Vec<u8>)> {
    let web = v4(TCP, (11, 40_000), (80, 80));
    let tls = v4(TCP, (3, 443), (11, 40_000));
    let mut reset = web.clone();
    reset[47] = 0x14;
    let mut outside = web.clone();
    outside[26] = 172;
    outside[30] = 172;
    let hosts: Vec<_> = (100..132).map(|host| format!("10.1.2.{}", host * 2 - 180)).collect();
    vec![
        ("(empty)", Filter::default(), web.clone(), arp()),
        ("udp port 9999", expression("udp port 9999"), v4(UDP, (3, 53), (9, 9_999)), web.clone()),
        (
            "tcp and host 10.1.2.3 and port 443",
            expression("tcp and host 10.1.2.3 and port 443"),
            tls.clone(),
            web.clone(),
        ),
        ("net 10.0.0.0/8", expression("net 10.0.0.0/8"), web.clone(), outside),
        (
            "tcp[tcpflags] & tcp-rst != 0",
            expression("tcp[tcpflags] & tcp-rst != 0"),
            reset,
            web.clone(),
        ),
        (
            "not arp and not port 22",
            expression("not arp and not port 22"),
            web.clone(),
            v4(TCP, (11, 22), (12, 50_000)),
        ),
        (
            "tcp payload is 'GET '",
            expression("tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420"),
            {
                let mut get = web.clone();
                get[54..58].copy_from_slice(b"GET ");
                get
            },
            web.clone(),
        ),
        ("entry: host, port", entry("10.1.2.3", "443"), tls.clone(), web.clone()),
        (
            "entry: 3 hosts, 2 ports",
            entry("10.1.2.3;10.1.2.5;fd00::3", "443;8443"),
            tls,
            web.clone(),
        ),
        (
            "entry: 32 hosts, port range",
            entry(&hosts.join(";"), "8000-9000"),
            v4(TCP, (40, 8_100), (11, 40_000)),
            web,
        ),
    ]
}

/// Nanoseconds for each packet, in the fastest run of each of two. They take turns, so that both
/// see the same machine, and the order changes, so that no branch predictor learns it.
fn nanos_each(
    packets: &[Vec<u8>],
    ours: impl Fn(&[u8]) -> bool,
    peer: impl Fn(&[u8]) -> bool,
) -> [f64; 2] {
    let mut packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    let mut numbers = Numbers(7);
    let start = clock::boot_time();
    let mut fastest = [Duration::MAX; 2];
    while clock::boot_time().since(start) < SPAN {
        for last in (1..packets.len()).rev() {
            packets.swap(last, numbers.below(last + 1));
        }
        // One behind another, as they are in a ring.
        let block = packets.concat();
        let mut rest = block.as_slice();
        let cut = |packet: &&[u8]| rest.split_off(..packet.len()).unwrap();
        let frames: Vec<&[u8]> = packets.iter().map(cut).collect();
        fastest[0] = fastest[0].min(run(&frames, &ours));
        fastest[1] = fastest[1].min(run(&frames, &peer));
    }
    let count = f64::from(u32::try_from(packets.len()).unwrap());
    fastest.map(|time| time.as_secs_f64() * 1e9 / count)
}

fn run(packets: &[&[u8]], selects: impl Fn(&[u8]) -> bool) -> Duration {
    let start = clock::boot_time();
    let selected = packets.iter().filter(|packet| selects(black_box(packet))).count();
    black_box(selected);
    clock::boot_time().since(start)
}

fn main() {
    let traffic = traffic();
    println!("ns for each packet: hindsight, libpcap, ratio");
    println!("{:36}{:^24}{:^24}{:^24}", "filter", "selected", "refused", "mixed traffic");
    for (name, filter, accepted, refused) in cases() {
        let program = compile(&filter, &[], LinkType::Ethernet).unwrap();
        let dead = pcap::Capture::dead(pcap::Linktype(1)).unwrap();
        let peer = dead.compile(program.text(), true).unwrap();
        let ours = |data: &[u8]| {
            let wire_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
            program.selects(&Packet { data, vlan: None, wire_len })
        };
        assert!(ours(&accepted) && (!ours(&refused) || name == "(empty)"), "{name}");
        assert!(traffic.iter().all(|packet| ours(packet) == peer.filter(packet)), "{name}");
        print!("{name:36}");
        for packets in [&vec![accepted; PACKETS], &vec![refused; PACKETS], &traffic] {
            let [ours, peer] = nanos_each(packets, ours, |packet| peer.filter(packet));
            print!("{ours:8.1}{peer:8.1}{:8.2}", ours / peer);
        }
        println!();
    }
}
