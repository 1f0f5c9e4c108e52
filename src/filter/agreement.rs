//! The steps against the interpreter: whatever the program and the packet, they must agree, and
//! the steps alone must do for the filters that people write.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::{
    Addresses, Entry, Filter, Instruction, LinkType, Mac, Outline, Packet, Ports, Program, Protocol,
};
use super::{MAX_INSTRUCTIONS, compile};

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// A code, what its two jumps are taken from, and what its constant is taken from.
type Raw = (u16, u8, u8, u32);

fn raw() -> impl Strategy<Value = Raw> {
    // What compiled programs consist of, then all there is.
    let usual =
        vec![0x20_u16, 0x28, 0x30, 0x48, 0x50, 0xb1, 0x15, 0x15, 0x15, 0x25, 0x35, 0x45, 0x54];
    let all = super::operation::tests::CODES.to_vec();
    let code = prop_oneof![
        6 => prop::sample::select(usual),
        2 => prop::sample::select(all),
        1 => Just(0x06),
    ];
    let k = prop_oneof![
        6 => 0u32..24,
        2 => prop::sample::select(vec![0, 0xff, 0xff00, 0x0102, 0x0101_0101, 0xffff_ff00, 60, 64, 65_535]),
        1 => any::<u32>(),
    ];
    (code, any::<u8>(), any::<u8>(), k)
}

/// A program that passes the check: jumps end within it, memory is written before it is read.
fn valid(raw: &[Raw]) -> Vec<Instruction> {
    let mut program = vec![op(0x02, 0, 0, 0), op(0x03, 0, 0, 1)];
    let end = raw.len();
    for (at, &(code, jt, jf, k)) in raw.iter().enumerate() {
        let left = u32::try_from(end - at).unwrap();
        let jump = |by: u8| u8::try_from(u32::from(by % 8) % left).unwrap();
        let k = match code {
            0x05 => k % left,
            0x60 | 0x61 | 0x02 | 0x03 => k % 2,
            0x34 | 0x94 => k.max(1),
            0x64 | 0x74 => k % 32,
            _ if code & 0x07 <= 1 => k & i32::MAX.unsigned_abs(),
            _ => k,
        };
        program.push(op(code, jump(jt), jump(jf), k));
    }
    program.push(op(0x16, 0, 0, 0));
    program.extend([op(0x06, 0, 0, 1)]);
    program
}

/// Few values, so that random tests hold now and then.
fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    let few = |byte: u8| match byte {
        0..160 => byte % 4,
        160..224 => byte % 24,
        _ => byte,
    };
    prop::collection::vec(any::<u8>(), length)
        .prop_map(move |bytes| bytes.into_iter().map(few).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_program_means_the_same_as_steps(
        raw in prop::collection::vec(raw(), 1..30),
        packets in prop::collection::vec((bytes(0..72), any::<Option<[u8; 4]>>(), 0u32..96), 1..6),
    ) {
        let program = Program::new(valid(&raw), String::new()).unwrap();
        for (data, vlan, wire_len) in &packets {
            let packet = Packet { data, vlan: *vlan, wire_len: *wire_len };
            if let Some(selects) = program.by_steps(&packet) {
                prop_assert_eq!(selects, program.by_interpreter(&packet), "{:?}", packet.data);
            }
        }
    }

    #[test]
    fn a_chain_of_tests_on_one_field_means_the_same(
        tests in prop::collection::vec((prop::sample::select(vec![0x15_u16, 0x25, 0x35, 0x45]),
            0u8..12, 0u8..12, 0u32..40), 1..60),
        load in prop::sample::select(vec![op(0x30, 0, 0, 0), op(0x30, 0, 0, 9), op(0x28, 0, 0, 1),
            op(0x80, 0, 0, 0), op(0x50, 0, 0, 2)]),
        arithmetic in prop::sample::select(vec![op(0x05, 0, 0, 0), op(0x54, 0, 0, 0x1d),
            op(0x74, 0, 0, 2), op(0x04, 0, 0, 0)]),
    ) {
        let count = tests.len();
        let mut program = vec![op(0xb1, 0, 0, 1), load, arithmetic];
        for (at, &(code, jt, jf, k)) in tests.iter().enumerate() {
            let left = u8::try_from(count - at).unwrap();
            program.push(op(code, jt % left, jf % left, k));
        }
        program.extend([op(0x06, 0, 0, 0), op(0x06, 0, 0, 1)]);
        let program = Program::new(program, String::new()).unwrap();
        for value in 0..=255_u8 {
            let data = [value, 1, 0, value / 2, 0, 0, value, 0, 0, value];
            let packet = Packet { data: &data, vlan: None, wire_len: value.into() };
            let selects = program.by_interpreter(&packet);
            prop_assert_eq!(program.by_steps(&packet).unwrap_or(selects), selects);
        }
    }
}

const EXPRESSIONS: [&str; 34] = [
    "",
    "udp port 9999",
    "port 53",
    "tcp and host 10.1.2.3 and port 443",
    "tcp and (host 10.1.2.3 or host 10.1.2.4 or host 10.1.2.5) and (port 443 or port 8443)",
    "net 10.0.0.0/8",
    "src net 10.1.2.0/29 and not dst net 10.0.0.0/8",
    "tcp[tcpflags] & tcp-rst != 0",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and tcp[13] & 0xf0 >= 16",
    "not arp and not port 22",
    "portrange 440-450 or portrange 8000-9000",
    "host 10.1.2.3 or host fd00::3",
    "net fd00::/64 and udp",
    "vlan 7",
    "vlan and (tcp or udp) and port 53",
    "vlan 7 and vlan 9 or arp",
    "ether host 02:00:00:00:00:01",
    "ether multicast or ether broadcast",
    "ether proto 0x0806",
    "icmp or icmp6",
    "icmp[icmptype] = icmp-echo",
    "ip proto 132",
    "ip[8] < 5",
    "ip[6:2] & 0x1fff != 0",
    "ip[6] >> 5 = 1 or ip[8] / 4 = 3",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)",
    "less 60",
    "greater 64 and tcp",
    "len % 7 = 3",
    "mpls 5",
    "ip broadcast or ip multicast or ip6 multicast",
    "ip src 10.1.2.3 and tcp dst port 443 and greater 50 and less 90",
];

/// Those for which the arithmetic of the interpreter is needed.
const WITH_ARITHMETIC: [&str; 4] = ["/ 4", ">> 2)", ">>2)", "% 7"];

const ENTRIES: [[&str; 5]; 9] = [
    ["tcp", "", "", "", ""],
    ["", "10.1.2.3", "", "", ""],
    ["icmp", "", "10.1.2.3;fd00::3", "", ""],
    ["tcp", "", "10.1.2.3", "", "443"],
    ["tcp", "", "10.1.2.3;10.1.2.5;fd00::3", "", "443;8443"],
    ["udp", "10.1.2.1-10.1.2.6", "", "53", "40000-50000"],
    ["", "", "10.1.2.0/29", "443", ""],
    ["", "", "", "", "53;80;443;8443;8000-8100;9000;9100;9200;9300"],
    [
        "tcp",
        "",
        "10.1.2.1;10.1.2.3;10.1.2.5;10.1.2.7;10.1.2.9;10.1.2.11;10.1.2.13;fd00::1;fd00::3",
        "",
        "443",
    ],
];

fn entry([protocol, local_ip, remote_ip, local_port, remote_port]: [&str; 5]) -> Filter {
    let entry = Entry {
        protocol: Protocol::parse("protocol", protocol).unwrap_or(None),
        local_ip: Addresses::parse_list("local_ip", local_ip).unwrap(),
        remote_ip: Addresses::parse_list("remote_ip", remote_ip).unwrap(),
        local_port: Ports::parse_list("local_port", local_port).unwrap(),
        remote_port: Ports::parse_list("remote_port", remote_port).unwrap(),
        mac: Vec::new(),
    };
    Filter { entries: vec![entry], expression: None }
}

/// Every filter for both kinds of link.
static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| {
    let own =
        EXPRESSIONS.map(|text| Filter { entries: Vec::new(), expression: Some(text.to_owned()) });
    let mut filters: Vec<_> = own.into_iter().chain(ENTRIES.map(entry)).collect();
    let mac = vec![Mac([2, 0, 0, 0, 0, 1])];
    filters.push(Filter { entries: vec![Entry { mac, ..Entry::default() }], expression: None });
    let local = ["10.1.2.4".parse().unwrap(), "fd00::4".parse().unwrap()];
    let mut programs = Vec::new();
    for filter in &filters {
        programs.push(compile(filter, &[], LinkType::Ethernet).unwrap());
        programs.push(compile(filter, &local, LinkType::Ethernet).unwrap());
        // Some speak of Ethernet, which is not there.
        programs.extend(compile(filter, &[], LinkType::RawIp));
    }
    programs
});

/// The headers of a packet, as they are on a network.
#[derive(Clone, Debug)]
struct Headers {
    tags: Vec<[u8; 4]>,
    ether_type: u16,
    protocol: u8,
    /// The length of an IPv4 header, in words.
    words: u8,
    fragment: u16,
    /// Host and port; the network is told by `is_far`.
    source: (u8, u16),
    destination: (u8, u16),
    is_far: bool,
    /// For a link that has no Ethernet.
    is_raw: bool,
}

impl Headers {
    fn packet(&self, tail: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        if !self.is_raw {
            data.extend([2, 0, 0, 0, 0, self.destination.0, 2, 0, 0, 0, 0, self.source.0]);
            data.extend(self.tags.concat());
            data.extend(self.ether_type.to_be_bytes());
        }
        let far = u8::from(self.is_far);
        let (source, destination) = (self.source.0, self.destination.0);
        if self.ether_type == 0x86dd {
            data.extend([0x60, 0, 0, 0, 0, 60, self.protocol, 64]);
            data.extend([&[0xfd, far][..], &[0; 13], &[source]].concat());
            data.extend([&[0xfd, far][..], &[0; 13], &[destination]].concat());
        } else {
            data.extend([0x40 | self.words, 0, 0, 80, 0, 1]);
            data.extend(self.fragment.to_be_bytes());
            data.extend([tail[1], self.protocol, 0, 0]);
            data.extend([10, 1 + far, 2, source, 10, 1, 2, destination]);
            data.extend(vec![0; 4 * usize::from(self.words - 5)]);
        }
        data.extend(self.source.1.to_be_bytes());
        data.extend(self.destination.1.to_be_bytes());
        data.extend(tail);
        data
    }
}

fn headers() -> impl Strategy<Value = Headers> {
    let ports = vec![22_u16, 53, 80, 443, 445, 8_000, 8_443, 9_200, 9_999, 45_000];
    let end = (0u8..8, prop::sample::select(ports));
    let ether_types = vec![0x0800_u16, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x8847, 0x26];
    (
        prop::collection::vec(tag(), 0..3),
        prop::sample::select(ether_types),
        prop::sample::select(vec![6_u8, 6, 17, 1, 58, 132, 44]),
        5u8..8,
        prop::sample::select(vec![0_u16, 0, 0, 0x4000, 0x2000, 0x2001, 0x0010]),
        (end.clone(), end),
        any::<(bool, bool)>(),
    )
        .prop_map(|(tags, ether_type, protocol, words, fragment, ends, (is_far, is_raw))| {
            let (source, destination) = ends;
            Headers {
                tags,
                ether_type,
                protocol,
                words,
                fragment,
                source,
                destination,
                is_far,
                is_raw,
            }
        })
}

fn tag() -> impl Strategy<Value = [u8; 4]> {
    prop::sample::select(vec![[0x81, 0, 0, 7], [0x81, 0, 0, 9], [0x88, 0xa8, 0x20, 7]])
}

/// A packet, whole or cut short, and a tag beside it or not.
fn packet() -> impl Strategy<Value = (Vec<u8>, Option<[u8; 4]>)> {
    let cut = prop_oneof![4 => Just(usize::MAX), 1 => 0usize..90];
    (headers(), bytes(40..60), cut, prop::option::of(tag())).prop_map(
        |(headers, tail, cut, tag)| {
            let mut data = headers.packet(&tail);
            data.truncate(cut);
            (data, tag)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn compiled_filters_mean_the_same_as_steps((data, vlan) in packet(), more in 0u32..40) {
        let wire_len = u32::try_from(data.len()).unwrap() + more;
        let packet = Packet { data: &data, vlan, wire_len };
        for program in PROGRAMS.iter() {
            let selects = program.by_interpreter(&packet);
            let by_steps = program.by_steps(&packet);
            prop_assert_eq!(by_steps.unwrap_or(selects), selects, "{} {:x?}", program.text(), data);
            let is_simple = WITH_ARITHMETIC.iter().all(|text| !program.text().contains(text));
            // A packet that is cut short is left to the interpreter.
            prop_assert!(by_steps.is_some() || !is_simple || data.len() < 90, "{}", program.text());
        }
    }

    #[test]
    fn what_an_outline_decides_holds_for_every_packet_with_that_outline(
        (data, vlan) in packet(),
        other in bytes(140..141),
        cut in prop_oneof![2 => Just(usize::MAX), 1 => 0usize..90],
    ) {
        let wire_len = u32::try_from(data.len()).unwrap();
        let packet = Packet { data: &data, vlan, wire_len };
        let Some(outline) = Outline::of(&packet) else { return Ok(()) };
        for twin in twins(&packet, &other, cut) {
            let twin = Packet { data: &twin, vlan, wire_len: wire_len / 2 };
            if Outline::of(&twin) != Some(outline) {
                continue;
            }
            prop_assert_eq!(Outline::of(&twin).unwrap().hash(), outline.hash());
            for program in PROGRAMS.iter() {
                let selects = program.by_interpreter(&twin);
                let decided = program.decide(&outline).unwrap_or(selects);
                prop_assert_eq!(decided, selects, "{} {:x?}", program.text(), twin.data);
            }
        }
    }

    #[test]
    fn whatever_a_program_reads_an_outline_decides_only_what_it_covers(
        raw in prop::collection::vec(raw(), 1..30),
        (data, vlan) in packet(),
        other in bytes(140..141),
    ) {
        let program = Program::new(valid(&raw), String::new()).unwrap();
        let packet = Packet { data: &data, vlan, wire_len: 64 };
        let Some(outline) = Outline::of(&packet) else { return Ok(()) };
        let Some(decided) = program.decide(&outline) else { return Ok(()) };
        for twin in twins(&packet, &other, usize::MAX) {
            let twin = Packet { data: &twin, vlan, wire_len: 96 };
            if Outline::of(&twin) == Some(outline) {
                prop_assert_eq!(decided, program.by_interpreter(&twin), "{:x?}", twin.data);
            }
        }
    }
}

/// Packets that differ from one at single places, or all behind one; most have its outline.
fn twins(packet: &Packet<'_>, other: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let changed = |places: std::ops::Range<usize>| {
        let mut data = packet.data.to_vec();
        data.iter_mut()
            .zip(other)
            .enumerate()
            .filter(|(at, _)| places.contains(at))
            .for_each(|(_, (byte, other))| *byte ^= other);
        data
    };
    let length = packet.data.len();
    let mut twins: Vec<_> = (0..length).map(|at| changed(at..at + 1)).collect();
    twins.extend((20..length).step_by(4).map(|at| changed(at..length)));
    twins.push(packet.data[..cut.min(length)].to_vec());
    twins.push([packet.data, other].concat());
    twins
}

/// So many of [`EXPRESSIONS`] ask for nothing in which the packets of one connection differ. One of
/// them moves the offsets of what stands behind it to places that no outline has.
const OF_CONNECTIONS: usize = 23;
const MOVED: &str = "vlan 7 and vlan 9 or arp";

/// Places of some that do.
const OF_PACKETS: [usize; 3] = [23, 28, 30];

#[test]
fn the_usual_filters_are_decided_by_the_outline_and_others_are_not() {
    let program = |filter| compile(&filter, &[], LinkType::Ethernet).unwrap();
    let of_text =
        |text: &str| program(Filter { entries: Vec::new(), expression: Some(text.to_owned()) });
    let usual = EXPRESSIONS[..OF_CONNECTIONS].iter();
    let usual = usual.filter(|text| **text != MOVED).map(|text| of_text(text));
    let usual: Vec<_> = usual.chain(ENTRIES.map(entry).map(program)).collect();
    for (tags, ether_type, protocol) in [
        (0, 0x0800, 6),
        (0, 0x0800, 17),
        (0, 0x0800, 1),
        (0, 0x86dd, 6),
        (0, 0x86dd, 17),
        (0, 0x86dd, 58),
        (1, 0x0800, 6),
        (1, 0x86dd, 17),
    ] {
        let headers = Headers {
            tags: vec![[0x81, 0, 0, 7]; tags],
            ether_type,
            protocol,
            words: 5,
            fragment: 0x4000,
            source: (3, 45_000),
            destination: (4, 443),
            is_far: false,
            is_raw: false,
        };
        let data = headers.packet(&[0; 40]);
        let outline = Outline::of(&Packet { data: &data, vlan: None, wire_len: 90 }).unwrap();
        for program in &usual {
            assert!(program.decide(&outline).is_some(), "{}: {headers:?}", program.text());
        }
        for text in OF_PACKETS.map(|place| EXPRESSIONS[place]) {
            let needs_more = ether_type == 0x0800 && tags == 0 || !text.starts_with("ip");
            assert!(!needs_more || of_text(text).decide(&outline).is_none(), "{text}");
        }
    }
}

#[test]
fn a_program_with_more_ways_than_can_be_followed_is_left_to_the_interpreter() {
    // Each branch doubles what X may be, and all of it is asked for at the end.
    let mut program = Vec::new();
    for bit in 0..31 {
        program.extend([op(0x30, 0, 0, bit), op(0x15, 0, 3, 1), op(0x87, 0, 0, 0)]);
        program.extend([op(0x04, 0, 0, 1 << bit), op(0x07, 0, 0, 0)]);
    }
    program.extend([op(0x87, 0, 0, 0), op(0x16, 0, 0, 0)]);
    let program = Program::new(program, String::new()).unwrap();
    let mut data = [0; 64];
    for bit in [None, Some(3), Some(30)] {
        if let Some(bit) = bit {
            data[bit] = 1;
        }
        let packet = Packet { data: &data, vlan: None, wire_len: 64 };
        assert_eq!(program.selects(&packet), bit.is_some());
    }
}

#[test]
fn the_longest_programs_are_taken() {
    for code in [0x15_u16, 0x25, 0x45] {
        let mut program = vec![op(0x20, 0, 0, 4)];
        let tests = u32::try_from(MAX_INSTRUCTIONS - 3).unwrap();
        program.extend((0..tests).map(|k| op(code, 0, 0, k * 3)));
        program.extend([op(0x06, 0, 0, 1), op(0x06, 0, 0, 0)]);
        let program = Program::new(program, String::new()).unwrap();
        let packet = Packet { data: &[9; 12], vlan: None, wire_len: 64 };
        assert!(program.selects(&packet));
    }
}
