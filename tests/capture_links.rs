//! Interfaces as they are: they go down, vanish and come back, carry tags and super-packets, and
//! several of them share a capture.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use hindsight::capture::RecorderSettings;
use hindsight::model::StopReason;
use hindsight::pcapng::flags;
use support::capture_file::{CaptureFile, Packet};
use support::engine::{Bench, Ended, SMALLEST_RING, filtered, from_now_on, numbered, on, recorder};
use support::namespaces::{INTERFACE, Pair};
use support::process::run;
use support::traffic::{PORT, RawSender, Sender, Traffic, frame, tagged_frame};
use support::{tshark, wait};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PATIENCE: Duration = Duration::from_secs(10);

/// Of the reception type in the flags of a packet.
const RECEPTION: u32 = 7 << 2;

/// Waits until the near end's interface is up, and lets the far end find it again.
fn wait_for_carrier(pair: &Pair) {
    wait::until("the link to be up again", PATIENCE, || {
        let state = run(pair.far.command("ip").args(["-o", "link", "show", INTERFACE]));
        state.contains("LOWER_UP").then_some(())
    });
    let hardware = Pair::NEAR_HARDWARE.map(|byte| format!("{byte:02x}")).join(":");
    let neighbour = format!("{} lladdr {hardware}", Pair::NEAR_ADDRESS);
    pair.far.ip(&format!("neigh replace {neighbour} dev {INTERFACE}"));
}

#[test]
fn an_interface_that_goes_down_and_up_keeps_its_captures_and_they_resume() {
    let Some(pair) = Pair::quiet() else { return };
    for recorded in [true, false] {
        let recorders =
            if recorded { vec![recorder(INTERFACE, SMALLEST_RING)] } else { Vec::new() };
        let mut bench = pair.near.within(|| Bench::with(recorders));
        let capture = pair.near.within(|| bench.begin_and_wait("kept", numbered(from_now_on())));
        let mut sender = Sender::new(&pair);
        for _ in 0..2 {
            (0..100).for_each(|_| sender.send());
            pair.near.ip(&format!("link set {INTERFACE} down"));
            // Longer than the recorder takes to look whether its interface is still there.
            thread::sleep(Duration::from_millis(1_200));
            pair.near.ip(&format!("link set {INTERFACE} up"));
            wait_for_carrier(&pair);
        }
        (0..100).for_each(|_| sender.send());
        let ended = bench.stop(&capture);
        assert_eq!((ended.reason, ended.lost()), (StopReason::Manual, 0), "{ended:?}");
        assert_eq!(CaptureFile::read(ended.path()).contiguous_numbers(), 0..300);
        bench.shut_down();
    }
}

#[test]
fn an_interface_that_vanishes_ends_its_captures_with_what_was_there() {
    for recorded in [true, false] {
        let Some(pair) = Pair::quiet() else { return };
        let recorders =
            if recorded { vec![recorder(INTERFACE, SMALLEST_RING)] } else { Vec::new() };
        let mut bench = pair.near.within(|| Bench::with(recorders));
        let capture = pair.near.within(|| bench.begin_and_wait("lost", from_now_on()));
        let mut sender = Sender::new(&pair);
        (0..100).for_each(|_| sender.send());
        pair.near.ip(&format!("link del {INTERFACE}"));
        let ended = bench.end(&capture);
        assert_lost(&ended, INTERFACE);
        assert_eq!(CaptureFile::read(ended.path()).contiguous_numbers(), 0..100);
        bench.shut_down();
    }
}

/// The capture ended because this interface went away, with a whole file.
fn assert_lost(ended: &Ended, interface: &str) {
    assert_eq!(ended.reason, StopReason::InterfaceLost, "{ended:?}");
    assert!(ended.error.as_ref().unwrap().contains(interface), "{ended:?}");
    assert!(!ended.file().partial);
    assert_eq!(tshark::complaints(ended.path()), [""; 0]);
}

/// A second cable, whose other end is at the near end, too.
fn second_cable(pair: &Pair) -> RawSender {
    pair.near.ip("link add two0 type veth peer name two1");
    pair.near.ip("link set two0 up");
    pair.near.ip("link set two1 up");
    wait::until("the second link to be up", PATIENCE, || {
        let state = run(pair.near.command("ip").args(["-o", "link", "show", "two1"]));
        state.contains("LOWER_UP").then_some(())
    });
    RawSender::new(&pair.near, "two1")
}

#[test]
fn one_of_two_interfaces_that_vanishes_ends_the_capture_with_the_packets_of_both() {
    for recorded in [&[INTERFACE, "two0"][..], &[INTERFACE], &["two0"], &[]] {
        let Some(pair) = Pair::quiet() else { return };
        let mut raw = second_cable(&pair);
        let recorders = recorded.iter().map(|name| recorder(name, SMALLEST_RING)).collect();
        let mut bench = pair.near.within(|| Bench::with(recorders));
        let plan = on(&[INTERFACE, "two0"], numbered(from_now_on()));
        let capture = pair.near.within(|| bench.begin_and_wait("both", plan));
        let mut sender = Sender::new(&pair);
        for _ in 0..50 {
            sender.send();
            raw.send(&tagged_frame(5)[..]);
            raw.send(&frame([2, 0, 0, 0, 0, 9], &[]));
        }
        pair.near.ip("link del two0");
        let ended = bench.end(&capture);
        assert_lost(&ended, "two0");
        let file = CaptureFile::read(ended.path());
        assert_eq!(file.interfaces, [INTERFACE, "two0"]);
        // tcpdump's words without `vlan` select no packet with a tag.
        let count = |number| file.packets.iter().filter(|it| it.interface == number).count();
        assert_eq!((count(0), count(1)), (50, 50), "{recorded:?}");
        assert_eq!(ended.interfaces.iter().map(|it| it.written).collect::<Vec<_>>(), [50, 50]);
        bench.shut_down();
    }
}

#[test]
fn an_interface_that_is_moved_to_another_namespace_is_lost_and_recorded_again_when_it_is_back() {
    let Some(pair) = Pair::quiet() else { return };
    let mut raw = second_cable(&pair);
    let mut bench = pair.near.within(|| Bench::with(vec![recorder("two0", SMALLEST_RING)]));
    let plan = on(&["two0"], from_now_on());
    let capture = pair.near.within(|| bench.begin_and_wait("moved", plan.clone()));
    (0..10).for_each(|_| raw.send(&tagged_frame(5)));
    Pair::move_interface("two0", &pair.near, &pair.far);
    let ended = bench.end(&capture);
    assert_lost(&ended, "two0");
    assert_eq!(ended.file().packets, 10);
    Pair::move_interface("two0", &pair.far, &pair.near);
    pair.near.ip("link set two0 up");
    wait::until("the recorder to find it again", PATIENCE, || {
        (bench.engine.recorders()[0].state == "recording").then_some(())
    });
    let capture = pair.near.within(|| bench.begin_and_wait("back", plan));
    let before = bench.engine.recorders()[0].received;
    wait::until("a packet to pass", PATIENCE, || {
        raw.send(&tagged_frame(5));
        (bench.engine.recorders()[0].received > before).then_some(())
    });
    assert!(bench.stop(&capture).file().packets > 0);
    bench.shut_down();
}

#[test]
fn several_interfaces_share_one_file_and_loopback_packets_come_once() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let plan = on(&[INTERFACE, "lo"], numbered(from_now_on()));
    let capture = pair.near.within(|| bench.begin_and_wait("both", plan));
    let mut sender = Sender::new(&pair);
    let local = pair.near.within(|| UdpSocket::bind("127.0.0.1:0")).unwrap();
    local.connect(("127.0.0.1", PORT)).unwrap();
    for _ in 0..30 {
        sender.send();
        local.send(&[0; 100]).unwrap();
    }
    let ended = bench.stop(&capture);
    let names = tshark::fields(ended.path(), "frame", &["frame.interface_name"]);
    let count = |name| names.iter().filter(|row| *row == &[name]).count();
    assert_eq!((count(INTERFACE), count("lo")), (30, 30));
    let file = CaptureFile::read(ended.path());
    assert_eq!(file.statistics.iter().map(|it| it.written).collect::<Vec<_>>(), [30, 30]);
    bench.shut_down();
}

#[test]
fn two_interfaces_under_load_lose_nothing_and_each_is_in_order() {
    let Some(pair) = Pair::quiet() else { return };
    let mut raw = second_cable(&pair);
    let recorders = vec![recorder(INTERFACE, 4 << 20), recorder("two0", 4 << 20)];
    let mut bench = pair.near.within(|| Bench::with(recorders));
    let plan = on(&[INTERFACE, "two0"], from_now_on());
    let capture = pair.near.within(|| bench.begin_and_wait("both", plan));
    let traffic = Traffic::start(&pair, 5_000);
    let mut sent_raw = 0_u64;
    while traffic.sent() < 5_000 {
        let mut numbered = frame([2, 0, 0, 0, 0, 9], &[]);
        numbered.truncate(42);
        numbered.extend(sent_raw.to_be_bytes());
        raw.send(&numbered);
        sent_raw += 1;
        thread::sleep(Duration::from_micros(200));
    }
    let sent = traffic.stop();
    let ended = bench.stop(&capture);
    let file = CaptureFile::read(ended.path());
    let numbers = |wanted| {
        let both = file.packets.iter().zip(file.numbers());
        let own = both.filter(|(packet, _)| packet.interface == wanted);
        own.map(|(_, number)| number).collect::<Vec<_>>()
    };
    assert!(numbers(0).into_iter().eq(0..sent) && numbers(1).into_iter().eq(0..sent_raw));
    assert_eq!(ended.lost(), 0);
    bench.shut_down();
}

#[test]
fn an_interface_is_recorded_from_when_it_comes_through_down_and_up_and_again_when_it_came_back() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::with(vec![recorder("late0", SMALLEST_RING)]));
    assert!(bench.engine.recorders()[0].state.contains("there is no interface 'late0'"));
    let wait_for_state = |bench: &Bench, is_recording| {
        wait::until("the recorder to notice", PATIENCE, || {
            let state = &bench.engine.recorders()[0].state;
            ((state == "recording") == is_recording).then_some(())
        });
    };
    for round in 0..2 {
        pair.near.ip("link add late0 type veth peer name late1");
        pair.near.ip("link set late1 up");
        // It is down, and the recorder waits on it all the same.
        wait_for_state(&bench, true);
        let id = format!("late{round}");
        let plan = on(&["late0"], from_now_on());
        let capture = pair.near.within(|| bench.begin_and_wait(&id, plan));
        let mut raw = RawSender::new(&pair.near, "late1");
        for _ in 0..2 {
            pair.near.ip("link set late0 up");
            let before = bench.engine.recorders()[0].received;
            // The kernel takes a while to notice that the cable is plugged in.
            wait::until("a packet to pass", PATIENCE, || {
                raw.send(&tagged_frame(5));
                (bench.engine.recorders()[0].received > before).then_some(())
            });
            pair.near.ip("link set late0 down");
        }
        let ended = bench.stop(&capture);
        let received = bench.engine.recorders()[0].received;
        assert_eq!((ended.reason, ended.file().packets), (StopReason::Manual, received));
        pair.near.ip("link del late0");
        wait_for_state(&bench, false);
    }
    bench.shut_down();
}

#[test]
fn an_unrecorded_interface_gets_a_ring_for_the_capture_with_the_filter_in_the_kernel() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::with(Vec::new()));
    let capture = pair.near.within(|| bench.begin_and_wait("private", numbered(from_now_on())));
    let mut sender = Sender::new(&pair);
    let mut other = Sender::to_port(&pair, 10);
    for _ in 0..200 {
        sender.send();
        other.send();
    }
    let ended = bench.stop(&capture);
    assert_eq!(CaptureFile::read(ended.path()).contiguous_numbers(), 0..200);
    // The others never reached the ring.
    assert_eq!(ended.interfaces[0].received, 200);
    bench.shut_down();
}

/// Tags as frames carry them, outermost first.
const TAGS: [&[(u16, u16)]; 8] = [
    &[],
    &[(0x8100, 5)],
    &[(0x8100, 0)],
    &[(0x8100, 0xe000 | 4094)],
    &[(0x88a8, 7)],
    &[(0x88a8, 100), (0x8100, 5)],
    &[(0x8100, 3), (0x8100, 4)],
    &[(0x88a8, 1), (0x88a8, 2), (0x8100, 3)],
];

#[test]
fn vlan_tags_are_put_back_to_the_byte_in_both_directions() {
    let Some(pair) = Pair::quiet() else { return };
    for recorded in [true, false] {
        let recorders =
            if recorded { vec![recorder(INTERFACE, SMALLEST_RING)] } else { Vec::new() };
        let mut bench = pair.near.within(|| Bench::with(recorders));
        let capture = pair.near.within(|| bench.begin_and_wait("tags", from_now_on()));
        let (mut inward, mut outward) =
            (RawSender::new(&pair.far, INTERFACE), RawSender::new(&pair.near, INTERFACE));
        for tags in TAGS {
            inward.send(&frame(Pair::NEAR_HARDWARE, tags));
            outward.send(&frame(Pair::FAR_HARDWARE, tags));
        }
        let ended = bench.stop(&capture);
        let file = CaptureFile::read(ended.path());
        assert_eq!(file.packets.len(), 2 * TAGS.len());
        for (pair, tags) in file.packets.chunks(2).zip(TAGS) {
            let directions = [Pair::NEAR_HARDWARE, Pair::FAR_HARDWARE];
            for (packet, to) in pair.iter().zip(directions) {
                assert_eq!(file.data(packet), frame(to, tags), "{tags:?}");
                assert_eq!(packet.original, u32::try_from(file.data(packet).len()).unwrap());
            }
        }
        assert_eq!(ended.interfaces[0].truncated, 0);
        assert_eq!(tshark::complaints(ended.path()), [""; 0]);
        bench.shut_down();
    }
}

#[test]
fn a_filter_sees_the_tags_as_tcpdump_sees_them_in_the_file() {
    let Some(pair) = Pair::quiet() else { return };
    let filters = [
        "vlan 5 and udp dst port 4242",
        "vlan and vlan 5",
        "udp dst port 4242",
        "not vlan",
        "ether[12:2] = 0x88a8",
    ];
    for recorded in [true, false] {
        let recorders =
            if recorded { vec![recorder(INTERFACE, SMALLEST_RING)] } else { Vec::new() };
        let mut bench = pair.near.within(|| Bench::with(recorders));
        let all = pair.near.within(|| bench.begin_and_wait("all", from_now_on()));
        let captures = filters.map(|filter| {
            let id = format!("f{}", filter.len());
            pair.near.within(|| bench.begin_and_wait(&id, filtered(filter, from_now_on())))
        });
        let mut raw = RawSender::new(&pair.far, INTERFACE);
        for _ in 0..10 {
            TAGS.iter().for_each(|tags| raw.send(&frame(Pair::NEAR_HARDWARE, tags)));
        }
        let all = bench.stop(&all);
        for (filter, capture) in filters.iter().zip(&captures) {
            let ended = bench.stop(capture);
            let file = CaptureFile::read(ended.path());
            let selected = tcpdump_count(&all, filter);
            assert!(selected > 0 && file.packets.len() == selected, "{filter}: {selected}");
        }
        bench.shut_down();
    }
}

/// How many packets of the file tcpdump selects.
fn tcpdump_count(ended: &Ended, filter: &str) -> usize {
    let mut command = Command::new("tcpdump");
    command.args(["-n", "-t", "-r"]).arg(ended.path()).arg(filter);
    run(&mut command).lines().filter(|line| !line.starts_with(char::is_whitespace)).count()
}

#[test]
fn a_snap_length_that_ends_in_a_tag_keeps_what_the_wire_had_up_to_there() {
    let Some(pair) = Pair::quiet() else { return };
    let tagged = frame(Pair::NEAR_HARDWARE, &[(0x88a8, 0x2009), (0x8100, 9)]);
    let mut raw = RawSender::new(&pair.far, INTERFACE);
    // The kernel has taken the outer tag out: what it cuts is cut without the tag.
    for (recorded, asked) in
        [(0, 12), (0, 13), (0, 15), (0, 16), (0, 17), (0, 21), (40, 0), (16, 0), (12, 0)]
    {
        let settings =
            RecorderSettings { bytes_per_packet: recorded, ..recorder(INTERFACE, SMALLEST_RING) };
        let mut bench = pair.near.within(|| Bench::with(vec![settings]));
        let mut plan = from_now_on();
        plan.limits.bytes_per_packet = asked;
        let capture = pair.near.within(|| bench.begin_and_wait("cut", plan));
        raw.send(&tagged);
        let ended = bench.stop(&capture);
        let file = CaptureFile::read(ended.path());
        let [packet] = &file.packets[..] else { panic!("{ended:?}") };
        let kept = if asked > 0 { asked } else { recorded + 4 };
        assert_eq!(file.data(packet), &tagged[..usize::try_from(kept).unwrap()]);
        assert_eq!(packet.original, u32::try_from(tagged.len()).unwrap());
        assert_eq!(ended.interfaces[0].truncated, 1);
        bench.shut_down();
    }
}

#[test]
fn super_packets_of_a_stream_are_whole_and_flagged_as_what_they_are() {
    /// The longest frame without offload: 1,500 bytes behind the Ethernet header.
    const LONGEST: u32 = 1_514;
    let Some(pair) = Pair::quiet() else { return };
    // In blocks that hold every super-packet, and in such that hold none of the large ones.
    for memory_bytes in [16 << 20, SMALLEST_RING] {
        let mut bench = pair.near.within(|| Bench::start(memory_bytes));
        let capture = pair.near.within(|| bench.begin_and_wait("stream", from_now_on()));
        let sent = stream(&pair);
        let ended = bench.stop(&capture);
        let file = CaptureFile::read(ended.path());
        let (mut payload, mut large, mut cut) = (0, 0, 0);
        for packet in &file.packets {
            let (data, length) = (file.data(packet), packet.original);
            // What the IP header says is what the frame is: the true length, cut or not.
            let total = u32::from(u16::from_be_bytes([data[16], data[17]])) + 14;
            assert!(length == total || length == 60, "{length} is not {total}");
            let is_super = length > LONGEST;
            let flagged = packet.flags & flags::SEGMENTATION_OFFLOADED != 0;
            assert_eq!(flagged, is_super, "{length} bytes, flags {:#x}", packet.flags);
            assert!(!is_super || packet.flags & flags::CHECKSUM_NOT_READY != 0);
            let headers = 14 + 20 + u32::from(data[46] >> 4) * 4;
            let inbound = packet.flags & 3 == flags::INBOUND;
            payload += if inbound { u64::from(total - headers) } else { 0 };
            large += u32::from(length > 16 * 1024);
            cut += u64::from(data.len() < usize::try_from(length).unwrap());
        }
        assert!(large > 0, "no super-packet came");
        let is_small = memory_bytes == SMALLEST_RING;
        assert_eq!((cut, cut > 0), (ended.interfaces[0].truncated, is_small));
        // The small ring is too small for the stream as well.
        assert!(payload == sent || (is_small && ended.lost() > 0), "{payload}: {ended:?}");
        assert_eq!(tshark::figures(ended.path()).packets, ended.totals.packets);
        bench.shut_down();
    }
}

/// Sends a stream from the far end to the near one, and returns how many bytes.
fn stream(pair: &Pair) -> u64 {
    const BYTES: usize = 2_000_000;
    let listener = pair.near.within(|| TcpListener::bind((Pair::NEAR_ADDRESS, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| std::io::copy(&mut listener.accept()?.0, &mut std::io::sink()));
        let mut writer = pair.far.within(|| TcpStream::connect(address)).unwrap();
        writer.write_all(&vec![7; BYTES]).unwrap();
        drop(writer);
        reader.join().unwrap().unwrap()
    })
}

#[test]
fn flags_tell_the_direction_and_to_whom_a_packet_was() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let capture = pair.near.within(|| bench.begin_and_wait("flags", from_now_on()));
    let mut raw = RawSender::new(&pair.far, INTERFACE);
    let cases = [
        (Pair::NEAR_HARDWARE, flags::UNICAST),
        ([0xff; 6], flags::BROADCAST),
        ([1, 0, 0x5e, 0, 0, 1], flags::MULTICAST),
        ([2, 0, 0, 0, 0, 0x99], flags::PROMISCUOUS),
    ];
    cases.iter().for_each(|(to, _)| raw.send(&frame(*to, &[])));
    RawSender::new(&pair.near, INTERFACE).send(&frame(Pair::FAR_HARDWARE, &[]));
    let ended = bench.stop(&capture);
    let file = CaptureFile::read(ended.path());
    let (outward, inward) = file.packets.split_last().unwrap();
    for (packet, (to, reception)) in inward.iter().zip(cases) {
        assert_eq!(packet.flags & (3 | RECEPTION), flags::INBOUND | reception, "{to:?}");
    }
    assert_eq!((inward.len(), outward.flags & 3), (cases.len(), flags::OUTBOUND));
    bench.shut_down();
}

#[test]
fn a_packet_to_somebody_else_is_seen_only_by_a_promiscuous_recorder() {
    let Some(pair) = Pair::quiet() else { return };
    // A bridge hands up what is for somebody else only while it is promiscuous, as a network card.
    pair.near.ip("link add bridge0 type bridge mcast_snooping 0");
    pair.near.ip("link set bridge0 address 02:00:00:00:00:42");
    pair.near.ip(&format!("link set {INTERFACE} master bridge0"));
    pair.near.ip("link set bridge0 up");
    let mut raw = RawSender::new(&pair.far, INTERFACE);
    let promiscuity = || run(pair.near.command("ip").args(["-d", "link", "show", "bridge0"]));
    for promiscuous in [false, true] {
        let settings = RecorderSettings { promiscuous, ..recorder("bridge0", SMALLEST_RING) };
        let mut bench = pair.near.within(|| Bench::with(vec![settings]));
        let plan = on(&["bridge0"], numbered(from_now_on()));
        let capture = pair.near.within(|| bench.begin_and_wait("promiscuous", plan));
        for _ in 0..10 {
            raw.send(&frame([2, 0, 0, 0, 0, 0x42], &[]));
            raw.send(&frame([2, 0, 0, 0, 0, 0x99], &[]));
        }
        assert_eq!(promiscuity().contains("promiscuity 1"), promiscuous, "{}", promiscuity());
        let ended = bench.stop(&capture);
        let file = CaptureFile::read(ended.path());
        let is_foreign = |packet: &&Packet| packet.flags & RECEPTION == flags::PROMISCUOUS;
        let foreign = file.packets.iter().filter(is_foreign).count();
        assert_eq!((file.packets.len() - foreign, foreign), (10, if promiscuous { 10 } else { 0 }));
        bench.shut_down();
        drop(bench);
        assert!(promiscuity().contains("promiscuity 0"), "it is asked for as long as it is used");
    }
}
