//! The capture engine against real interfaces: numbered packets over a cable between two network
//! namespaces, and Wireshark's tools as readers of what comes out.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hindsight::capture::{Engine, PrivateSettings, RecorderSettings, Settings, seal_leftovers};
use hindsight::clock::{self, WallTime};
use hindsight::filter::Filter;
use hindsight::model::{
    CaptureId, CapturePlan, EventId, FileForm, IncidentId, InterfaceTotals, Limits, Report,
    SealedFile, StopReason, Totals,
};
use nix::sched::{CloneFlags, unshare};
use support::namespaces::{INTERFACE, Pair};
use support::traffic::{PORT, Sender, Traffic, tagged_frame};
use support::tshark;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const SECOND: Duration = Duration::from_secs(1);

/// Numbered packets a second.
const RATE: u32 = 4_000;

/// An engine with one recorder, inside the near namespace.
struct Bench {
    engine: Engine,
    reports: mpsc::Receiver<Report>,
    spool: TempDir,
}

/// How a capture ended.
#[derive(Debug)]
struct Ended {
    file: SealedFile,
    reason: StopReason,
    totals: Totals,
    interfaces: Vec<InterfaceTotals>,
    error: Option<String>,
    /// None if the start was taken before.
    held_from: Option<WallTime>,
}

fn settings(spool: &Path, recorders: Vec<RecorderSettings>) -> Settings {
    let private = PrivateSettings { memory_bytes: 16 << 20, promiscuous: false };
    Settings { spool: spool.to_owned(), recorders, private, memory_bytes: 1 << 30 }
}

impl Bench {
    fn start(memory_bytes: u64, recorded: &[&str]) -> Self {
        let spool = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let recorder = |interface: &&str| RecorderSettings {
            interface: (*interface).to_owned(),
            memory_bytes,
            bytes_per_packet: 0,
            promiscuous: false,
        };
        let recorders = recorded.iter().map(recorder).collect();
        let (sender, reports) = mpsc::channel(1024);
        let settings = settings(spool.path(), recorders);
        Self { engine: Engine::start(settings, sender).unwrap(), reports, spool }
    }

    fn begin(&self, id: &str, plan: CapturePlan) -> CaptureId {
        let capture = CaptureId::from_text(id);
        self.engine.begin(capture.clone(), format!("test-{id}"), plan).unwrap();
        capture
    }

    /// Waits for the end of one capture.
    fn end(&mut self) -> Ended {
        ends(&mut self.reports, 1).remove(0).1
    }

    fn wait_until_started(&mut self) {
        while !matches!(next(&mut self.reports), Report::Started { .. }) {}
    }

    fn shut_down(self) {
        drop(self.reports);
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(Arc::new(self.engine).shutdown());
    }
}

/// Waits for the next report, but not for ever.
fn next(reports: &mut mpsc::Receiver<Report>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let report = runtime.block_on(async { timeout(30 * SECOND, reports.recv()).await });
    report.unwrap().unwrap()
}

/// Waits for the end of as many captures.
fn ends(reports: &mut mpsc::Receiver<Report>, count: usize) -> Vec<(CaptureId, Ended)> {
    let mut started = BTreeMap::new();
    let mut files = BTreeMap::new();
    let mut ends = Vec::new();
    while ends.len() < count {
        match next(reports) {
            Report::Started { capture, held_from } => {
                started.insert(capture, held_from);
            }
            Report::Progress { .. } => {}
            Report::Sealed { capture, file } => {
                files.insert(capture, file);
            }
            Report::Ended { capture, reason, error, totals, interfaces } => {
                let file = files.remove(&capture).unwrap();
                let held_from = started.get(&capture).copied();
                ends.push((capture, Ended { file, reason, error, totals, interfaces, held_from }));
            }
        }
    }
    ends
}

fn plan(look_back: Duration, duration: Duration) -> CapturePlan {
    CapturePlan {
        rule: "test".to_owned(),
        incident: IncidentId::from_text("0123456789abcdef"),
        event: EventId::from_text("event-1"),
        event_name: "TestAlert".to_owned(),
        event_json: r#"{"name":"TestAlert"}"#.to_owned(),
        host: "bench".to_owned(),
        interfaces: vec![INTERFACE.to_owned()],
        trigger_at: clock::wall_time(),
        look_back,
        filter: Filter::default(),
        limits: Limits {
            duration,
            bytes: 1 << 30,
            packets: None,
            bytes_per_packet: 0,
            segments: None,
        },
        file: FileForm::default(),
        storage: "local".to_owned(),
        notify: Vec::new(),
    }
}

fn filtered(expression: &str, plan: CapturePlan) -> CapturePlan {
    let expression = Some(expression.to_owned());
    CapturePlan { filter: Filter { entries: Vec::new(), expression }, ..plan }
}

/// Only packets with numbers, as the [`Sender`] sends them.
fn numbered(plan: CapturePlan) -> CapturePlan {
    filtered(&format!("udp dst port {PORT}"), plan)
}

/// The numbers in a file, which must not miss one.
fn contiguous_numbers(path: &Path) -> Vec<u64> {
    let numbers = tshark::numbers(path);
    for pair in numbers.windows(2) {
        assert_eq!(pair[0] + 1, pair[1], "after {} came {}", pair[0], pair[1]);
    }
    numbers
}

/// Runs `body` at the near end while numbered packets arrive.
fn under_traffic(body: impl FnOnce(&Traffic) + Send) {
    let Some(pair) = Pair::quiet() else { return };
    let traffic = Traffic::start(&pair, RATE);
    pair.near.within(|| body(&traffic));
}

#[test]
fn captures_reach_from_the_past_into_the_present_without_a_seam_at_every_phase() {
    under_traffic(|traffic| {
        let mut bench = Bench::start(64 << 20, &[INTERFACE]);
        traffic.wait_for_more(4_000);
        let mut plans = BTreeMap::new();
        for phase in 0..8_u64 {
            let plan = plan(SECOND / 2, SECOND / 2);
            let id = bench.begin(&format!("phase{phase}"), plan.clone());
            plans.insert(id, plan);
            // Against the retire time of 100 ms: another phase each time.
            thread::sleep(Duration::from_millis(137));
        }
        for (id, ended) in ends(&mut bench.reports, plans.len()) {
            let plan = &plans[&id];
            assert_eq!(ended.reason, StopReason::TimeExceeded);
            let numbers = contiguous_numbers(&ended.file.path);
            let stamps = tshark::stamps(&ended.file.path, "udp.payload");
            assert_eq!(ended.totals.packets, u64::try_from(numbers.len()).unwrap());
            assert_eq!(tshark::figures(&ended.file.path).packets, ended.totals.packets);
            let (first, last) = (stamps[0], stamps[stamps.len() - 1]);
            assert!(first >= plan.from() && last < plan.until());
            // The window is full: nothing is missing at its ends, within a few scheduler hiccups.
            assert!(first.since(plan.from()) < SECOND / 10, "{}", plan.from());
            assert!(plan.until().since(last) < SECOND / 10, "{}", plan.until());
            assert_eq!(ended.held_from, Some(plan.from()));
            assert_marked_at_the_trigger(&ended.file.path, plan);
        }
        bench.shut_down();
    });
}

fn assert_marked_at_the_trigger(path: &Path, plan: &CapturePlan) {
    let marked = tshark::stamps(path, "frame.comment matches \"^trigger: \"");
    let [at] = marked[..] else { panic!("marked: {marked:?}") };
    assert!(at >= plan.trigger_at && at.since(plan.trigger_at) < SECOND / 10);
}

#[test]
fn sixteen_captures_on_one_recorder_all_see_everything() {
    under_traffic(|traffic| {
        let mut bench = Bench::start(16 << 20, &[INTERFACE]);
        traffic.wait_for_more(2_000);
        let plan = numbered(plan(SECOND / 4, SECOND / 2));
        for id in 0..16 {
            bench.begin(&format!("one{id}"), plan.clone());
        }
        let ends = ends(&mut bench.reports, 16);
        let expected = contiguous_numbers(&ends[0].1.file.path);
        for (_, ended) in &ends {
            assert_eq!(ended.totals.packets, u64::try_from(expected.len()).unwrap());
            assert_eq!((ended.totals.dropped_by_kernel, ended.totals.overrun), (0, 0));
        }
        bench.shut_down();
    });
}

#[test]
fn what_is_captured_and_what_is_counted_as_lost_is_what_was_sent() {
    let Some(pair) = Pair::quiet() else { return };
    // The smallest ring there is, at the speed of the machine.
    let mut bench = pair.near.within(|| Bench::start(0, &[INTERFACE]));
    let capture = pair.near.within(|| bench.begin("flood", plan(SECOND, 60 * SECOND)));
    bench.wait_until_started();
    let mut sender = Sender::new(&pair);
    sender.size = 1_000;
    thread::scope(|scope| {
        scope.spawn(|| (0..150_000).for_each(|_| sender.send()));
    });
    bench.engine.stop(&capture, StopReason::Manual);
    let Ended { file, totals, interfaces, .. } = bench.end();
    assert_eq!(totals.packets + totals.dropped_by_kernel + totals.overrun, sender.next);
    assert_eq!(tshark::figures(&file.path).packets, totals.packets);
    // The file itself tells as much: drop counts at packets, and the statistics.
    let counts = tshark::fields(&file.path, "frame.drop_count", &["frame.drop_count"]);
    let told: u64 = counts.iter().map(|row| row[0].parse::<u64>().unwrap()).sum();
    let lost = totals.dropped_by_kernel + totals.overrun;
    assert!(told <= lost, "{told} of {lost}");
    assert_eq!(interfaces[0].received + interfaces[0].dropped_by_kernel, sender.next);
    bench.shut_down();
}

#[test]
fn a_stop_is_prompt_and_keeps_every_packet_from_before_it() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20, &[INTERFACE]));
    let mut sender = Sender::new(&pair);
    for round in 0..5 {
        let plan = plan(Duration::ZERO, 60 * SECOND);
        let capture = pair.near.within(|| bench.begin(&format!("round{round}"), plan));
        bench.wait_until_started();
        for _ in 0..500 {
            sender.send();
        }
        bench.engine.stop(&capture, StopReason::Manual);
        let stopped_at = clock::boot_time();
        let file = bench.end().file;
        assert!(clock::boot_time().since(stopped_at) < SECOND);
        assert_eq!(file.packets, 500);
        contiguous_numbers(&file.path);
    }
    bench.shut_down();
}

#[test]
fn a_stop_on_an_idle_interface_ends_at_once() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20, &[INTERFACE]));
    let capture = pair.near.within(|| bench.begin("idle", plan(SECOND, 60 * SECOND)));
    bench.wait_until_started();
    let stopped_at = clock::boot_time();
    bench.engine.stop(&capture, StopReason::Manual);
    let file = bench.end().file;
    let took = clock::boot_time().since(stopped_at);
    assert!(took < SECOND / 5, "{took:?}");
    assert_eq!((file.packets, tshark::figures(&file.path).packets), (0, 0));
    bench.shut_down();
}

#[test]
fn a_full_disk_ends_a_capture_and_leaves_a_readable_partial_file() {
    let Some(pair) = Pair::quiet() else { return };
    let mut sender = Sender::new(&pair);
    sender.size = 1_000;
    pair.near.within(|| {
        let mut bench = Bench::start(16 << 20, &[INTERFACE]);
        mount_small_disk(bench.spool.path(), "1800k");
        bench.begin("full", plan(SECOND, 60 * SECOND));
        bench.wait_until_started();
        (0..5_000).for_each(|_| sender.send());
        let ended = bench.end();
        assert_eq!(ended.reason, StopReason::NoSpace);
        assert!(ended.error.unwrap().contains("No space left"));
        assert!(ended.file.partial && ended.file.packets > 500);
        assert_eq!(tshark::figures(&ended.file.path).packets, ended.file.packets);
        contiguous_numbers(&ended.file.path);
        bench.shut_down();
    });
}

#[test]
fn a_disk_that_is_full_only_at_the_end_leaves_a_readable_partial_file_too() {
    let Some(pair) = Pair::quiet() else { return };
    let mut sender = Sender::new(&pair);
    sender.size = 1_000;
    pair.near.within(|| {
        let mut bench = Bench::start(16 << 20, &[INTERFACE]);
        mount_small_disk(bench.spool.path(), "200k");
        let capture = bench.begin("full", plan(SECOND, 60 * SECOND));
        // The next sync is a second away, so that the disk is found full at the seal.
        while !matches!(next(&mut bench.reports), Report::Progress { .. }) {}
        (0..300).for_each(|_| sender.send());
        bench.engine.stop(&capture, StopReason::Manual);
        let ended = bench.end();
        assert_eq!(ended.reason, StopReason::NoSpace);
        assert!(ended.error.unwrap().contains("No space left"));
        assert!(ended.file.partial && ended.file.packets > 100);
        assert_eq!(tshark::figures(&ended.file.path).packets, ended.file.packets);
        contiguous_numbers(&ended.file.path);
        bench.shut_down();
    });
}

#[test]
fn a_capture_that_finds_the_disk_full_says_so_and_leaves_nothing() {
    let Some(pair) = Pair::quiet() else { return };
    pair.near.within(|| {
        let mut bench = Bench::start(0, &[INTERFACE]);
        mount_small_disk(bench.spool.path(), "64k");
        let filler = bench.spool.path().join("filler");
        std::fs::write(&filler, vec![0; 100_000]).unwrap_err();
        bench.begin("full", plan(SECOND, SECOND));
        let report = next(&mut bench.reports);
        let Report::Ended { reason: StopReason::NoSpace, error: Some(error), .. } = report else {
            panic!("{report:?}");
        };
        assert!(error.contains("No space left"), "{error}");
        assert_eq!(std::fs::read_dir(bench.spool.path()).unwrap().count(), 1);
        bench.shut_down();
    });
}

/// Mounts a disk of this size over the folder, for the calling thread and those that it starts.
fn mount_small_disk(folder: &Path, size: &str) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).status();
        assert!(status.unwrap().success(), "mount {arguments:?}");
    };
    mount(&["--make-rprivate", "/"]);
    let folder = folder.to_str().unwrap();
    mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", folder]);
}

#[test]
fn a_crash_right_after_the_start_leaves_a_partial_file_without_packets() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(0, &[INTERFACE]));
    let capture = pair.near.within(|| bench.begin("crash", plan(SECOND, 60 * SECOND)));
    bench.wait_until_started();
    // What the disk holds at this instant, as a kill would leave it.
    let spool = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let part = PathBuf::from("crash-0.pcapng.part");
    std::fs::copy(bench.spool.path().join(&part), spool.path().join(&part)).unwrap();
    let recovered = seal_leftovers(spool.path(), &capture, &[]);
    let [file] = &recovered[..] else { panic!("{recovered:?}") };
    assert!(file.partial);
    assert_eq!((file.packets, tshark::figures(&file.path).packets), (0, 0));
    bench.shut_down();
}

#[test]
fn a_look_back_to_before_the_recorder_began_reports_what_it_holds() {
    let Some(pair) = Pair::quiet() else { return };
    let before = clock::wall_time();
    let mut bench = pair.near.within(|| Bench::start(16 << 20, &[INTERFACE]));
    let began = clock::wall_time();
    pair.near.within(|| bench.begin("early", plan(60 * SECOND, Duration::ZERO)));
    let held_from = bench.end().held_from.unwrap();
    assert!(before <= held_from && held_from <= began, "{held_from}");
    bench.shut_down();
}

#[test]
fn a_missing_privilege_is_named_with_the_command_that_grants_it() {
    let own = std::env::current_exe().unwrap();
    let inner = ["--exact", "without_the_privilege", "--ignored"];
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-net_raw", "--inh-caps", "-net_raw"])
        .arg(own)
        .args(inner)
        .output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by another test, without CAP_NET_RAW"]
fn without_the_privilege() {
    let spool = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let recorder = RecorderSettings {
        interface: "lo".to_owned(),
        memory_bytes: 0,
        bytes_per_packet: 0,
        promiscuous: false,
    };
    let settings = settings(spool.path(), vec![recorder]);
    let error = Engine::start(settings, mpsc::channel(1).0).unwrap_err().sentence();
    assert!(error.starts_with("recording on 'lo': "), "{error}");
    assert!(error.contains("setcap cap_net_raw+ep"), "{error}");
}

#[test]
fn limits_end_a_capture_and_are_never_exceeded() {
    under_traffic(|_traffic| {
        let mut bench = Bench::start(16 << 20, &[INTERFACE]);
        let base = plan(Duration::ZERO, 60 * SECOND);
        let limited = |limits| CapturePlan { limits, ..base.clone() };
        bench.begin("packets", limited(Limits { packets: Some(777), ..base.limits }));
        let ended = bench.end();
        assert_eq!((ended.reason, ended.file.packets), (StopReason::PacketsExceeded, 777));
        contiguous_numbers(&ended.file.path);

        bench.begin("bytes", limited(Limits { bytes: 100_000, ..base.limits }));
        let ended = bench.end();
        assert_eq!(ended.reason, StopReason::BytesExceeded);
        assert!((99_800..=100_000).contains(&ended.file.size_bytes), "{ended:?}");
        assert_eq!(tshark::figures(&ended.file.path).packets, ended.totals.packets);

        let limits = Limits { packets: Some(10), bytes_per_packet: 60, ..base.limits };
        bench.begin("cut", limited(limits));
        let ended = bench.end();
        let lengths = tshark::fields(&ended.file.path, "frame", &["frame.cap_len", "frame.len"]);
        assert!(lengths.iter().all(|row| *row == ["60", "142"]), "{lengths:?}");
        bench.shut_down();
    });
}

#[test]
fn a_file_that_a_crash_has_cut_is_sealed_as_partial_with_all_but_its_last_second() {
    under_traffic(|traffic| {
        let mut bench = Bench::start(16 << 20, &[INTERFACE]);
        let capture = bench.begin("crash", plan(Duration::ZERO, 60 * SECOND));
        bench.wait_until_started();
        let begun = traffic.sent();
        // Two reports of progress: each comes after a sync.
        let mut progress = 0;
        while progress < 2 {
            let report = next(&mut bench.reports);
            progress += u32::from(matches!(report, Report::Progress { .. }));
        }
        // What the disk holds at this instant, as a kill would leave it.
        let spool = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let part = PathBuf::from("crash-0.pcapng.part");
        std::fs::copy(bench.spool.path().join(&part), spool.path().join(&part)).unwrap();
        let recovered = seal_leftovers(spool.path(), &capture, &[]);
        let [file] = &recovered[..] else { panic!("{recovered:?}") };
        assert!(file.partial);
        let numbers = contiguous_numbers(&file.path);
        assert_eq!(tshark::figures(&file.path).packets, file.packets);
        assert!(numbers.len() > 2_000 && numbers[0] <= begun + 2_000, "{}", numbers.len());
        bench.shut_down();
    });
}

#[test]
fn shutting_down_seals_every_capture_as_stopped_with_the_agent() {
    let Some(pair) = Pair::quiet() else { return };
    let bench = pair.near.within(|| Bench::start(16 << 20, &[INTERFACE]));
    for id in 0..3 {
        pair.near.within(|| bench.begin(&format!("open{id}"), plan(SECOND, 60 * SECOND)));
    }
    let mut sender = Sender::new(&pair);
    (0..50).for_each(|_| sender.send());
    let Bench { engine, mut reports, spool } = bench;
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(Arc::new(engine).shutdown());
    for (_, ended) in ends(&mut reports, 3) {
        assert_eq!(ended.reason, StopReason::AgentStopped);
        assert_eq!(tshark::figures(&ended.file.path).packets, ended.file.packets);
    }
    drop(spool);
}

#[test]
fn an_unrecorded_interface_gets_a_ring_for_the_capture_with_the_filter_in_the_kernel() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(0, &[]));
    let plan = numbered(plan(SECOND, 60 * SECOND));
    let capture = pair.near.within(|| bench.begin("private", plan));
    bench.wait_until_started();
    let mut sender = Sender::new(&pair);
    let mut other = Sender::to_port(&pair, 10);
    for _ in 0..200 {
        sender.send();
        other.send();
    }
    bench.engine.stop(&capture, StopReason::Manual);
    let file = bench.end().file;
    assert_eq!(file.packets, 200);
    contiguous_numbers(&file.path);
    bench.shut_down();
}

#[test]
fn vlan_tags_are_put_back_and_filters_see_them() {
    let Some(pair) = Pair::quiet() else { return };
    let open = || pcap::Capture::from_device(INTERFACE).unwrap().open().unwrap();
    let mut raw = pair.far.within(open);
    for recorded in [&[INTERFACE][..], &[]] {
        let mut bench = pair.near.within(|| Bench::start(0, recorded));
        let plan = filtered(&format!("vlan 5 and udp dst port {PORT}"), plan(SECOND, 60 * SECOND));
        let capture = pair.near.within(|| bench.begin("vlan", plan));
        bench.wait_until_started();
        let mut plain = Sender::new(&pair);
        for _ in 0..20 {
            raw.sendpacket(tagged_frame(5)).unwrap();
            raw.sendpacket(tagged_frame(6)).unwrap();
            plain.send();
        }
        bench.engine.stop(&capture, StopReason::Manual);
        let file = bench.end().file;
        let names = ["vlan.id", "udp.dstport", "frame.len"];
        let rows = tshark::fields(&file.path, "frame", &names);
        assert_eq!(rows.len(), 20);
        assert!(rows.iter().all(|row| *row == ["5", &PORT.to_string(), "54"]), "{rows:?}");
        bench.shut_down();
    }
}

#[test]
fn several_interfaces_share_one_file_and_loopback_packets_come_once() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(0, &[INTERFACE]));
    let plan = CapturePlan {
        interfaces: vec![INTERFACE.to_owned(), "lo".to_owned()],
        ..numbered(plan(SECOND, 60 * SECOND))
    };
    let capture = pair.near.within(|| bench.begin("both", plan));
    bench.wait_until_started();
    let mut sender = Sender::new(&pair);
    let local = pair.near.within(|| UdpSocket::bind("127.0.0.1:0")).unwrap();
    local.connect(("127.0.0.1", PORT)).unwrap();
    for _ in 0..30 {
        sender.send();
        local.send(&[0; 100]).unwrap();
    }
    bench.engine.stop(&capture, StopReason::Manual);
    let file = bench.end().file;
    let names = tshark::fields(&file.path, "frame", &["frame.interface_name"]);
    let count = |name| names.iter().filter(|row| *row == &[name]).count();
    assert_eq!((count(INTERFACE), count("lo")), (30, 30));
    bench.shut_down();
}

#[test]
fn what_cannot_be_captured_ends_with_the_reason() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(0, &[INTERFACE]));
    pair.near.ip("tuntap add dev tun9 mode tun");
    let on = |name: &str| CapturePlan { interfaces: vec![name.to_owned()], ..plan(SECOND, SECOND) };
    let cases = [
        ("missing", on("nowhere0"), "there is no interface 'nowhere0'; this host has"),
        ("tunnel", on("tun9"), "libpcap cannot open 'tun9': That device is not up"),
        ("filter", filtered("tcp prot 80", plan(SECOND, SECOND)), "the filter for 'eth0': "),
    ];
    for (id, plan, expected) in cases {
        pair.near.within(|| bench.begin(id, plan));
        let report = next(&mut bench.reports);
        let Report::Ended { reason: StopReason::Error, error: Some(error), .. } = report else {
            panic!("{report:?}");
        };
        assert!(error.starts_with(expected), "{error}");
    }
    bench.shut_down();
}

#[test]
fn an_interface_is_recorded_from_when_it_comes_through_down_and_up_and_again_when_it_came_back() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(0, &["late0"]));
    assert!(bench.engine.recorders()[0].state.contains("there is no interface 'late0'"));
    for round in 0..2 {
        pair.near.ip("link add late0 type veth peer name late1");
        pair.near.ip("link set late1 up");
        // It is down, and the recorder waits on it all the same.
        wait_until(|| bench.engine.recorders()[0].state == "recording");
        let plan =
            CapturePlan { interfaces: vec!["late0".to_owned()], ..plan(SECOND, 60 * SECOND) };
        let capture = pair.near.within(|| bench.begin(&format!("late{round}"), plan));
        bench.wait_until_started();
        let open = || pcap::Capture::from_device("late1").unwrap().open().unwrap();
        let mut raw = pair.near.within(open);
        for _ in 0..2 {
            pair.near.ip("link set late0 up");
            let before = bench.engine.recorders()[0].received;
            // The kernel takes a while to notice that the cable is plugged in.
            wait_until(|| {
                raw.sendpacket(tagged_frame(5)).unwrap();
                bench.engine.recorders()[0].received > before
            });
            pair.near.ip("link set late0 down");
        }
        bench.engine.stop(&capture, StopReason::Manual);
        let ended = bench.end();
        assert_eq!(
            (ended.reason, ended.file.packets),
            (StopReason::Manual, bench.engine.recorders()[0].received)
        );
        pair.near.ip("link del late0");
        wait_until(|| bench.engine.recorders()[0].state != "recording");
    }
    bench.shut_down();
}

/// Waits until it is so, but not for ever.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let give_up_at = clock::boot_time() + 10 * SECOND;
    while !is_so() {
        assert!(clock::boot_time() < give_up_at, "it never came to be so");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_interface_that_goes_away_ends_its_captures_with_what_was_there() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(0, &[INTERFACE]));
    pair.near.within(|| bench.begin("lost", plan(SECOND, 60 * SECOND)));
    bench.wait_until_started();
    let mut sender = Sender::new(&pair);
    (0..100).for_each(|_| sender.send());
    pair.near.ip(&format!("link del {INTERFACE}"));
    let ended = bench.end();
    assert_eq!(ended.reason, StopReason::InterfaceLost);
    assert!(ended.error.unwrap().contains(INTERFACE));
    assert_eq!(ended.file.packets, 100);
    bench.shut_down();
}
