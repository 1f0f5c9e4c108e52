//! The files that we write, in the eyes of others and in our own after a crash.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::clock::WallTime;

const AT: WallTime = WallTime::from_nanos(1_795_368_600_123_456_789);

/// An Ethernet frame with an IPv4 UDP packet of five bytes from 192.0.2.1:5000 to 192.0.2.2:53.
const FRAME: &[u8] = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0\
    \x45\0\0\x21\0\x01\0\0\x40\x11\xf6\xc7\xc0\0\x02\x01\xc0\0\x02\x02\
    \x13\x88\x00\x35\0\x0d\0\0hello";

fn packet(interface: u32) -> PacketBlock<'static> {
    PacketBlock {
        interface,
        at: AT,
        data: FRAME,
        wire_len: 47,
        flags: None,
        drop_count: None,
        comment: None,
    }
}

fn write_file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::with_suffix(".pcapng").unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn recover_bytes(bytes: &[u8]) -> Recovered {
    let mut file = write_file(bytes).into_file();
    file.rewind().unwrap();
    recover(&mut file).unwrap()
}

/// The output of a program that must succeed and have nothing to complain of.
fn output(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(file).output().unwrap();
    let complaints: Vec<_> = str::from_utf8(&output.stderr)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("Running as user"))
        .collect();
    assert!(output.status.success() && complaints.is_empty(), "{program}: {complaints:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn full_file() -> Vec<u8> {
    let mut out = Vec::new();
    let section = Section {
        comment: Some("{\"alert\": \"späť\"}"),
        hardware: Some("x86_64"),
        os: Some("Linux 6.18"),
        application: Some("hindsight 0.1.0"),
    };
    section_header(&mut out, &section);
    let interface = Interface {
        name: Some("eth0"),
        description: Some("uplink"),
        filter: Some("udp port 53"),
        link_type: 1,
        snap_len: 96,
    };
    interface_description(&mut out, &interface);
    interface_description(
        &mut out,
        &Interface { name: Some("eth1"), link_type: 1, ..Interface::default() },
    );
    enhanced_packet(&mut out, &packet(0));
    let tagged = PacketBlock {
        at: WallTime::from_nanos(AT.as_nanos() + 1),
        data: &[&FRAME[..12], &[0x81, 0, 0, 7], &FRAME[12..]].concat(),
        wire_len: 1000,
        flags: Some(flags::OUTBOUND | flags::CHECKSUM_NOT_READY),
        drop_count: Some(3),
        comment: Some("the alert arrived here"),
        ..packet(1)
    };
    enhanced_packet(&mut out, &tagged);
    let statistics = Statistics {
        interface: 0,
        at: AT,
        start: AT,
        end: WallTime::from_nanos(AT.as_nanos() + 1_000_000_000),
        received: Some(12),
        kernel_dropped: Some(4),
        filter_accepted: Some(8),
        os_dropped: Some(2),
        delivered: Some(6),
        comment: Some("closed"),
    };
    interface_statistics(&mut out, &statistics);
    interface_statistics(&mut out, &Statistics { interface: 1, ..statistics });
    out
}

#[test]
fn a_tiny_file_has_the_bytes_of_the_specification() {
    let mut out = Vec::new();
    section_header(&mut out, &Section::default());
    interface_description(&mut out, &Interface { link_type: 1, ..Interface::default() });
    let data = [0xaa, 0xbb, 0xcc, 0xdd, 0xee];
    let at = WallTime::from_nanos(0x0000_0001_0000_0002);
    let flags = Some(flags::INBOUND);
    let tiny = PacketBlock { at, data: &data, wire_len: 64, flags, ..packet(0) };
    enhanced_packet(&mut out, &tiny);
    #[rustfmt::skip]
    let expected = [
        // Section header: magic, version 1.0, length unknown, end of options.
        0x0a, 0x0d, 0x0d, 0x0a, 32, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 32, 0, 0, 0,
        // Interface: Ethernet, no snap length, resolution 10^-9, end of options.
        1, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
        9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0,
        // Packet: interface 0, stamp, 5 of 64 bytes, padding, flags inbound, end of options.
        6, 0, 0, 0, 52, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 64, 0, 0, 0,
        0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0, 0, 0, 2, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0,
    ];
    assert_eq!(out, expected);
}

#[test]
fn tshark_reads_every_field_that_we_write() {
    let file = write_file(&full_file());
    let fields = [
        "frame.number",
        "frame.time_epoch",
        "frame.interface_name",
        "frame.len",
        "frame.cap_len",
        "frame.packet_flags",
        "frame.packet_flags_direction",
        "frame.drop_count",
        "frame.comment",
        "vlan.id",
        "udp.dstport",
    ];
    let mut arguments = vec!["-T", "fields", "-E", "separator=|"];
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    let shown = output("tshark", &[arguments.as_slice(), &["-r"]].concat(), file.path());
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(
        lines,
        [
            "1|1795368600.123456789|eth0|47|47||||||53",
            "2|1795368600.123456790|eth1|1000|51|0x00000202|0x00000002|3|the alert arrived here|7|53",
        ]
    );
}

#[test]
fn capinfos_shows_the_comment_the_interfaces_and_the_counters() {
    let file = write_file(&full_file());
    let shown = output("capinfos", &[], file.path());
    for expected in [
        "Number of packets:   2",
        "{\"alert\": \"späť\"}",
        "Capture hardware:    x86_64",
        "Capture oper-sys:    Linux 6.18",
        "Capture application: hindsight 0.1.0",
        "Name = eth0",
        "Description = uplink",
        "Filter string = udp port 53",
        "Capture length = 96",
        "Time resolution = 0x09",
        "Number of stat entries = 1",
    ] {
        assert!(shown.contains(expected), "{expected} is not in:\n{shown}");
    }
}

#[test]
fn tcpdump_reads_our_files_too() {
    let mut out = Vec::new();
    section_header(&mut out, &Section { comment: Some("c"), ..Section::default() });
    interface_description(&mut out, &Interface { link_type: 1, ..Interface::default() });
    enhanced_packet(&mut out, &packet(0));
    let file = write_file(&out);
    let command = Command::new("tcpdump").args(["-nn", "-r"]).arg(file.path()).output().unwrap();
    let shown = String::from_utf8(command.stdout).unwrap();
    assert!(command.status.success() && shown.contains("192.0.2.1.5000 > 192.0.2.2.53"), "{shown}");
}

#[test]
fn the_longest_packet_and_the_longest_texts_still_read() {
    let text = "é".repeat(100_000);
    let data = vec![0; MAX_PACKET_BYTES];
    let long = PacketBlock {
        data: &[FRAME, &data].concat(),
        wire_len: 600_000,
        comment: Some(&text),
        ..packet(0)
    };
    let mut out = Vec::new();
    section_header(
        &mut out,
        &Section { comment: Some(&text), os: Some(&text), ..Section::default() },
    );
    let interface = Interface { filter: Some(&text), link_type: 1, ..Interface::default() };
    interface_description(&mut out, &interface);
    enhanced_packet(&mut out, &long);
    interface_statistics(&mut out, &Statistics { comment: Some(&text), ..Statistics::default() });
    assert_eq!(recover_bytes(&out).whole_bytes, out.len() as u64);
    let file = write_file(&out);
    let arguments = ["-T", "fields", "-e", "frame.cap_len", "-e", "frame.len", "-r"];
    assert_eq!(output("tshark", &arguments, file.path()), "262144\t600000\n");
}

#[test]
fn a_whole_file_recovers_to_itself() {
    let bytes = full_file();
    let expected = Recovered {
        whole_bytes: bytes.len() as u64,
        packets: 2,
        first_packet: Some(AT),
        last_packet: Some(WallTime::from_nanos(AT.as_nanos() + 1)),
        interfaces: 2,
    };
    assert_eq!(recover_bytes(&bytes), expected);
}

#[test]
fn what_is_not_a_whole_file_of_ours_recovers_to_nothing() {
    let mut foreign = full_file();
    foreign[8..12].reverse();
    for bytes in [&[][..], b"short", &[0; 4096], &[0xff; 4096], FRAME, &foreign, &full_file()[32..]]
    {
        assert_eq!(recover_bytes(bytes), Recovered::default());
    }
}

#[test]
fn a_packet_of_an_unknown_interface_or_beyond_its_block_is_bad() {
    let mut start = Vec::new();
    section_header(&mut start, &Section::default());
    interface_description(&mut start, &Interface::default());
    let mut unknown = start.clone();
    enhanced_packet(&mut unknown, &packet(1));
    assert_eq!(recover_bytes(&unknown).whole_bytes, start.len() as u64);

    let mut beyond = start.clone();
    enhanced_packet(&mut beyond, &packet(0));
    beyond[start.len() + 20] = 200;
    beyond[start.len() + 24] = 200;
    assert_eq!(recover_bytes(&beyond).whole_bytes, start.len() as u64);
}

#[test]
fn recovery_reads_only() {
    let bytes = full_file();
    let named = write_file(&bytes);
    recover(&mut File::open(named.path()).unwrap()).unwrap();
    assert_eq!(std::fs::read(named.path()).unwrap(), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_cut_anywhere_recovers_to_its_last_whole_block(
        packets in prop::collection::vec((
            prop::collection::vec(any::<u8>(), 0..200), 0u32..2, any::<Option<u32>>(),
            any::<Option<u64>>(), any::<Option<String>>(),
        ), 0..12),
        cut in any::<prop::sample::Index>(),
        tail in prop_oneof![Just(vec![]), Just(vec![0; 8192])],
    ) {
        let mut out = Vec::new();
        let mut ends = vec![0];
        section_header(&mut out, &Section { comment: Some("event"), ..Section::default() });
        ends.push(out.len());
        for name in ["eth0", "eth1"] {
            interface_description(&mut out, &Interface { name: Some(name), ..Interface::default() });
            ends.push(out.len());
        }
        for (data, interface, flags, drop_count, comment) in &packets {
            let comment = comment.as_deref();
            let (flags, drop_count) = (*flags, *drop_count);
            let block = PacketBlock { interface: *interface, at: AT, data, wire_len: 9, flags, drop_count, comment };
            enhanced_packet(&mut out, &block);
            prop_assert_eq!(out.len() - ends.last().unwrap(), enhanced_packet_len(&block));
            ends.push(out.len());
        }
        interface_statistics(&mut out, &Statistics { received: Some(1), ..Statistics::default() });
        ends.push(out.len());

        let cut = cut.index(out.len() + 1);
        let whole = ends.iter().copied().filter(|end| *end <= cut).max().unwrap();
        let recovered = recover_bytes(&[&out[..cut], &tail].concat());
        // The last byte of a length is zero, so zeros behind the cut may complete a block again.
        let allowed = if tail.is_empty() { cut } else { cut + 3 };
        let most = ends.iter().copied().filter(|end| *end <= allowed).max().unwrap();
        prop_assert!(recovered.whole_bytes == whole as u64 || recovered.whole_bytes == most as u64);
        let packet_ends = &ends[4..ends.len() - 1];
        let expected = packet_ends.iter().filter(|end| **end as u64 <= recovered.whole_bytes).count();
        prop_assert_eq!(recovered.packets, expected as u64);
    }
}
