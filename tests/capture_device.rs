//! Captures of what no ring serves: a tunnel in a network namespace with tcpdump beside it, all
//! interfaces at once, and files, which come out as tcpdump writes them.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hindsight::capture::{
    Destination, Engine, Origin, PrivateSettings, RecorderSettings, Settings,
};
use hindsight::clock::{self, WallTime};
use hindsight::filter::{Entry, Filter, Ports, Protocol};
use hindsight::model::{
    CaptureId, CapturePlan, InterfaceTotals, Report, SealedFile, SegmentLimits, StopReason,
};
use hindsight::pcapng::{self, Interface, PacketBlock, Section};
use support::engine;
use support::namespaces::Pair;
use support::place::Place;
use support::process::Process;
use support::tshark;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const SECOND: Duration = Duration::from_secs(1);

const TUNNEL: &str = "tun0";

/// Where the packets go that are sent into the tunnel.
const FAR_END: &str = "10.99.0.2:9";

/// Holds the far end of a tunnel, and drops what comes out of it: TUNSETIFF with IFF_TUN | IFF_NO_PI
/// of linux/if_tun.h.
const HOLD: &str = "
import fcntl, struct
tunnel = open('/dev/net/tun', 'r+b', 0)
fcntl.ioctl(tunnel, 0x400454ca, struct.pack('16sH', b'tun0', 0x1001))
while tunnel.read(65536): pass
";

/// An engine without a recorder.
struct Bench {
    engine: Engine,
    reports: mpsc::Receiver<Report>,
    folder: TempDir,
}

/// How a capture ended.
#[derive(Debug)]
struct Ended {
    files: Vec<SealedFile>,
    reason: StopReason,
    error: Option<String>,
    interfaces: Vec<InterfaceTotals>,
}

impl Bench {
    fn start() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (sender, reports) = mpsc::channel(1024);
        let engine = Engine::start(settings(folder.path(), Vec::new()), sender).unwrap();
        Self { engine, reports, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn next(&mut self) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let report = runtime.block_on(async { timeout(30 * SECOND, self.reports.recv()).await });
        report.unwrap().unwrap()
    }

    fn wait_until_started(&mut self) {
        while !matches!(self.next(), Report::Started { .. }) {}
    }

    fn end(&mut self) -> Ended {
        let mut files = Vec::new();
        loop {
            match self.next() {
                Report::Sealed { file, .. } => files.push(file),
                Report::Ended { reason, error, interfaces, .. } => {
                    return Ended { files, reason, error, interfaces };
                }
                Report::Started { .. } | Report::Progress { .. } => {}
            }
        }
    }

    /// Reads a file of packets through a capture.
    fn read(&mut self, path: &Path, plan: CapturePlan) -> Ended {
        let (origin, destination) = (Origin::File(path.to_owned()), Destination::Spool);
        let id = CaptureId::from_text("file");
        self.engine.stand_by(id, "file".to_owned(), plan, origin, destination).unwrap().begin();
        self.end()
    }

    fn shut_down(self) {
        drop(self.reports);
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(Arc::new(self.engine).shutdown());
    }
}

fn settings(spool: &Path, recorders: Vec<RecorderSettings>) -> Settings {
    let private = PrivateSettings { memory_bytes: 16 << 20, promiscuous: true };
    Settings { spool: spool.to_owned(), recorders, private, memory_bytes: 1 << 30 }
}

fn plan(interface: &str, filter: Filter) -> CapturePlan {
    let plan = engine::plan(SECOND, 60 * SECOND);
    CapturePlan { interfaces: vec![interface.to_owned()], filter, ..plan }
}

fn expression(text: &str) -> Filter {
    Filter { entries: Vec::new(), expression: Some(text.to_owned()) }
}

/// A tunnel that is up, with somebody at its far end.
struct Tunnel {
    place: Place,
    _holder: Process,
}

impl Tunnel {
    fn new(pair: &Pair, log: &Path) -> Self {
        let place = pair.near.clone();
        place.ip(&format!("tuntap add dev {TUNNEL} mode tun"));
        place.ip(&format!("address add 10.99.0.1/24 dev {TUNNEL}"));
        place.ip(&format!("link set {TUNNEL} up"));
        let holder = Process::start(
            "tunnel",
            place.command("python3").args(["-c", HOLD]),
            &log.join("hold"),
        );
        let show = ["-o", "link", "show", TUNNEL];
        support::wait::until("the tunnel to be held", 10 * SECOND, || {
            let shown = place.command("ip").args(show).output().unwrap().stdout;
            String::from_utf8(shown).unwrap().contains("LOWER_UP").then_some(())
        });
        Self { place, _holder: holder }
    }

    /// Sends numbered packets into it.
    fn send(&self, numbers: std::ops::Range<u64>) {
        let socket = self.place.within(|| UdpSocket::bind("10.99.0.1:0")).unwrap();
        for number in numbers {
            let mut payload = number.to_be_bytes().to_vec();
            payload.resize(700, 0);
            assert_eq!(socket.send_to(&payload, FAR_END).unwrap(), 700);
        }
    }
}

/// What of a packet has to be the same in both files, with its stamp in nanoseconds.
fn packets(path: &Path) -> Vec<(i64, i64, u32, Vec<u8>)> {
    let nanos = pcap::Precision::Nano;
    let mut file = pcap::Capture::from_file_with_precision(path, nanos).unwrap();
    let mut packets = Vec::new();
    while let Ok(packet) = file.next_packet() {
        let header = packet.header;
        packets.push((header.ts.tv_sec, header.ts.tv_usec, header.len, packet.data.to_vec()));
    }
    packets
}

fn link_type(path: &Path) -> i32 {
    pcap::Capture::from_file(path).unwrap().get_datalink().0
}

#[test]
fn a_tunnel_is_captured_as_tcpdump_captures_it() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = Bench::start();
    let tunnel = Tunnel::new(&pair, bench.folder.path());
    let theirs = bench.path("tcpdump.pcap");
    let log = bench.path("tcpdump.log");
    let filter = "udp dst port 9";
    let mut tcpdump = tunnel.place.command("tcpdump");
    tcpdump
        .args(["-i", TUNNEL, "--nano", "-B", "16384", "-Z", "root", "-c", "3000", "-w"])
        .arg(&theirs)
        .arg(filter);
    let mut tcpdump = Process::start("tcpdump", &mut tcpdump, &log);
    support::wait::until("tcpdump to listen", 10 * SECOND, || {
        fs::read_to_string(&log).unwrap().contains("listening").then_some(())
    });
    let capture = CaptureId::from_text("tunnel");
    let begin = || {
        let plan = plan(TUNNEL, expression(filter));
        bench.engine.begin(capture.clone(), "tunnel".to_owned(), plan).unwrap();
    };
    tunnel.place.within(begin);
    bench.wait_until_started();
    tunnel.send(0..3_000);
    let stopped_at = clock::boot_time();
    bench.engine.stop(&capture, StopReason::Manual);
    let ended = bench.end();
    let took = clock::boot_time().since(stopped_at);
    assert!(took < SECOND / 2, "{took:?}");
    assert_eq!((ended.reason, &ended.error), (StopReason::Manual, &None));
    let totals = &ended.interfaces[0];
    assert_eq!((totals.written, totals.dropped_by_kernel, totals.overrun), (3_000, 0, 0));
    assert_eq!(totals.interface, TUNNEL);

    let ours = &ended.files[0].path;
    assert!(tshark::complaints(ours).is_empty());
    assert!(tshark::numbers(ours).into_iter().eq(0..3_000));
    assert_eq!(link_type(ours), 12, "raw IP");
    // A signal would end it before it has read its last block.
    support::wait::until("tcpdump to have all packets", 10 * SECOND, || {
        (!tcpdump.is_running()).then_some(())
    });
    let bytes = |path| packets(path).into_iter().map(|packet| packet.3).collect::<Vec<_>>();
    assert!(bytes(ours) == bytes(&theirs), "the packets differ");
    let drift = |(ours, theirs): (&WallTime, &WallTime)| {
        ours.since(*theirs).max(theirs.since(*ours)) < Duration::from_millis(100)
    };
    let (our_stamps, their_stamps) = (tshark::stamps(ours, "udp"), tshark::stamps(&theirs, "udp"));
    assert!(our_stamps.iter().zip(&their_stamps).all(drift));
    bench.shut_down();
}

#[test]
fn structured_entries_and_limits_hold_on_a_tunnel_too() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = Bench::start();
    let tunnel = Tunnel::new(&pair, bench.folder.path());
    let remote_port = vec![Ports { first: 9, last: 9 }];
    let entry = Entry { protocol: Some(Protocol::Udp), remote_port, ..Entry::default() };
    let filter = Filter { entries: vec![entry], expression: None };
    let mut plan = plan(TUNNEL, filter);
    plan.limits.packets = Some(50);
    plan.limits.bytes_per_packet = 36;
    let begin = || bench.engine.begin(CaptureId::from_text("c"), "c".to_owned(), plan).unwrap();
    tunnel.place.within(begin);
    bench.wait_until_started();
    tunnel.send(0..100);
    let ended = bench.end();
    assert_eq!(ended.reason, StopReason::PacketsExceeded);
    let packets = packets(&ended.files[0].path);
    assert_eq!(packets.len(), 50);
    // An IPv4 header, a UDP header, and the number.
    assert!(packets.iter().all(|packet| (packet.2, packet.3.len()) == (728, 36)));
    bench.shut_down();
}

#[test]
fn a_tunnel_that_goes_away_ends_its_capture_with_what_was_there() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = Bench::start();
    let tunnel = Tunnel::new(&pair, bench.folder.path());
    let plan = plan(TUNNEL, expression("udp dst port 9"));
    let begin = || bench.engine.begin(CaptureId::from_text("c"), "c".to_owned(), plan).unwrap();
    tunnel.place.within(begin);
    bench.wait_until_started();
    tunnel.send(0..100);
    tunnel.place.ip(&format!("link del {TUNNEL}"));
    let ended = bench.end();
    assert_eq!(ended.reason, StopReason::InterfaceLost);
    assert!(ended.error.unwrap().starts_with("interface 'tun0' is away: "));
    assert!(tshark::numbers(&ended.files[0].path).into_iter().eq(0..100));
    bench.shut_down();
}

#[test]
fn all_interfaces_at_once_are_captured_with_the_name_of_the_way() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = Bench::start();
    let tunnel = Tunnel::new(&pair, bench.folder.path());
    let plan = plan("any", expression("udp dst port 9"));
    let capture = CaptureId::from_text("any");
    let begin = || bench.engine.begin(capture.clone(), "any".to_owned(), plan).unwrap();
    tunnel.place.within(begin);
    bench.wait_until_started();
    tunnel.send(0..100);
    bench.engine.stop(&capture, StopReason::Manual);
    let ended = bench.end();
    let file = &ended.files[0].path;
    assert!(tshark::complaints(file).is_empty());
    assert!(tshark::numbers(file).into_iter().eq(0..100));
    let rows = tshark::fields(file, "udp", &["sll.pkttype", "frame.packet_flags_direction"]);
    assert!(rows.iter().all(|row| row[0] == "4"), "sent by this host: {:?}", rows[0]);
    assert!(rows.iter().all(|row| row[1].ends_with('2')), "outbound: {:?}", rows[0]);
    bench.shut_down();
}

#[test]
fn a_recorder_takes_only_what_a_ring_serves() {
    let Some(pair) = Pair::quiet() else { return };
    pair.near.ip("tuntap add dev tun9 mode tun");
    let folder = tempfile::tempdir().unwrap();
    let recorder = RecorderSettings {
        interface: "tun9".to_owned(),
        memory_bytes: 1 << 20,
        bytes_per_packet: 0,
        promiscuous: false,
    };
    let settings = settings(folder.path(), vec![recorder]);
    let error = pair.near.within(|| Engine::start(settings, mpsc::channel(1).0).unwrap_err());
    let expected = "interface 'tun9' is neither Ethernet nor loopback; only these can be recorded";
    assert_eq!(error.to_string(), expected);
}

/// IPv4 or IPv6 packets of three protocols and some ports.
fn ip_packets() -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for (number, port) in (0_u8..).zip([9, 53, 80, 443, 8_080].repeat(12)) {
        let port: u16 = port;
        let protocol = [6, 17, 132][usize::from(number) % 3];
        let ports = [port.to_be_bytes(), 50_000_u16.to_be_bytes()].concat();
        let rest = vec![0; 16 + usize::from(number)];
        let payload = [ports, rest].concat();
        let length = u16::try_from(payload.len()).unwrap();
        let packet = if number % 2 == 0 {
            let mut header = vec![0x45, 0, 0, 0, 0, number, 0, 0, 64, protocol, 0, 0];
            header[2..4].copy_from_slice(&(length + 20).to_be_bytes());
            header.extend([10, 0, 0, 1, 10, 0, 0, number]);
            [header, payload].concat()
        } else {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            header[4..6].copy_from_slice(&length.to_be_bytes());
            header.extend([0xfd; 32]);
            [header, payload].concat()
        };
        packets.push(packet);
    }
    packets
}

/// The same with what the link puts before them; Ethernet has tags as well.
fn framed(link: u16, number: usize, packet: &[u8]) -> Vec<u8> {
    let kind: [u8; 2] = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    let tag: &[u8] = if number.is_multiple_of(7) { &[0x81, 0x00, 0x00, 0x07] } else { &[] };
    match link {
        1 => [&[2; 12], tag, &kind, packet].concat(),
        113 => [&[0, 4, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0], &kind[..], packet].concat(),
        276 => {
            [&kind[..], &[0; 2], &[0, 0, 0, 5, 0, 1, 4, 6, 2, 2, 2, 2, 2, 2, 0, 0], packet].concat()
        }
        _ => packet.to_vec(),
    }
}

/// A file of such frames, older than everything, each a little later than the one before.
fn file(path: &Path, link: u16, rounds: usize) {
    let mut out = Vec::new();
    pcapng::section_header(&mut out, &Section::default());
    let interface = Interface { link_type: link, snap_len: 262_144, ..Interface::default() };
    pcapng::interface_description(&mut out, &interface);
    let packets = ip_packets();
    for (number, packet) in packets.iter().cycle().take(rounds * packets.len()).enumerate() {
        let data = framed(link, number, packet);
        let wire_len = u32::try_from(data.len()).unwrap() + 4 * u32::from(number % 5 == 0);
        let nanos = 1_000_000_000_000_000_001 + 1_000_003 * i64::try_from(number).unwrap();
        let block = PacketBlock {
            interface: 0,
            at: WallTime::from_nanos(nanos),
            data: &data,
            wire_len,
            flags: None,
            drop_count: None,
            comment: None,
        };
        pcapng::enhanced_packet(&mut out, &block);
    }
    fs::write(path, out).unwrap();
}

fn tcpdump_keeps(from: &Path, to: &Path, filter: &str) {
    let mut command = Command::new("tcpdump");
    command.args(["--nano", "-r"]).arg(from).arg("-w").arg(to).arg(filter);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn of_a_file_the_same_packets_are_kept_as_tcpdump_keeps() {
    let mut bench = Bench::start();
    let (from, to) = (bench.path("from.pcapng"), bench.path("to.pcap"));
    let udp = Entry { protocol: Some(Protocol::Udp), ..Entry::default() };
    for link in [1, 101, 113, 276] {
        file(&from, link, 5);
        let mut filters: Vec<_> = [
            "",
            "tcp port 443",
            "not udp",
            "ip6",
            "less 70",
            "src net 10.0.0.0/24",
            "port 53 or sctp",
        ]
        .map(expression)
        .into();
        filters.push(Filter { entries: vec![udp.clone()], expression: None });
        if link == 1 {
            filters.extend(["vlan 7", "vlan and tcp"].map(expression));
            tcpdump_keeps(
                &from,
                &to,
                &Filter { entries: vec![udp.clone()], expression: None }.expression_for(&[]),
            );
        }
        for filter in filters {
            let text = match (&filter.expression, link) {
                (Some(text), _) => text.clone(),
                (None, 1) => filter.expression_for(&[]),
                (None, _) => "udp".to_owned(),
            };
            tcpdump_keeps(&from, &to, &text);
            let ended = bench.read(&from, plan("from.pcapng", filter));
            assert_eq!((ended.reason, &ended.error), (StopReason::EndOfFile, &None));
            let (ours, theirs) = (packets(&ended.files[0].path), packets(&to));
            assert!(ours == theirs, "'{text}' on link {link}: {}, {}", ours.len(), theirs.len());
            assert!(!ours.is_empty(), "'{text}' on link {link}");
            assert_eq!(link_type(&ended.files[0].path), link_type(&from));
            assert_eq!((ended.interfaces[0].received, ended.interfaces[0].overrun), (300, 0));
        }
    }
    bench.shut_down();
}

#[test]
fn a_long_file_loses_nothing_however_it_is_divided() {
    let mut bench = Bench::start();
    let from = bench.path("from.pcapng");
    file(&from, 1, 1_000);
    let mut plan = plan("from.pcapng", Filter::default());
    plan.limits.segments = Some(SegmentLimits { bytes: 1 << 20, keep: None });
    let ended = bench.read(&from, plan);
    assert_eq!((ended.reason, &ended.error), (StopReason::EndOfFile, &None));
    assert!(ended.files.len() > 5, "{}", ended.files.len());
    assert!(tshark::complaints(&ended.files[0].path).is_empty());
    let ours: Vec<_> = ended.files.iter().flat_map(|file| packets(&file.path)).collect();
    assert!(ours == packets(&from));
    bench.shut_down();
}

#[test]
fn a_file_that_is_cut_is_told_and_its_whole_packets_are_kept() {
    let mut bench = Bench::start();
    let from = bench.path("from.pcapng");
    file(&from, 101, 1);
    let whole = fs::read(&from).unwrap();
    fs::write(&from, &whole[..whole.len() - 10]).unwrap();
    let ended = bench.read(&from, plan("from.pcapng", Filter::default()));
    assert_eq!(ended.reason, StopReason::Error);
    let error = ended.error.unwrap();
    assert!(error.starts_with("'from.pcapng' was not read to its end: "), "{error}");
    assert_eq!(ended.files[0].packets, 59);
    assert_eq!(packets(&ended.files[0].path), packets(&from));
    bench.shut_down();
}

#[test]
fn a_file_that_cannot_be_read_ends_its_capture_with_the_reason() {
    let mut bench = Bench::start();
    let from = bench.path("nowhere.pcapng");
    let ended = bench.read(&from, plan("nowhere.pcapng", Filter::default()));
    assert_eq!((ended.reason, ended.files.len()), (StopReason::Error, 0));
    let error = ended.error.unwrap();
    assert!(error.contains("nowhere.pcapng") && error.contains("No such file"), "{error}");
    bench.shut_down();
}
