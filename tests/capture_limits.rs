//! How captures end: by time, bytes, packets and by hand, promptly and with all that came before.

use std::process::Command;
use std::time::Duration;

use hindsight::capture::{Destination, Engine, Origin};
use hindsight::clock;
use hindsight::model::{CaptureId, CapturePlan, Limits, StopReason};
use support::capture_file::CaptureFile;
use support::engine::{
    Bench, MUCH, SMALLEST_RING, filtered, from_now_on, limits, numbered, on, plan, recorder,
    settings,
};
use support::namespaces::{INTERFACE, Pair};
use support::traffic::{PAYLOAD, Sender, Traffic};
use support::tshark;
use tokio::sync::mpsc;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const SECOND: Duration = Duration::from_secs(1);

/// Of a numbered packet as it is on the wire, in bytes.
const FRAME: usize = 42 + PAYLOAD;

/// Of its record in a file: 32 around it, flags and the end of options after it.
const RECORD: u64 = 32 + (FRAME as u64).next_multiple_of(4) + 8 + 4;

fn limited(limits: Limits) -> CapturePlan {
    CapturePlan { limits, ..from_now_on() }
}

/// Runs `body` at the near end while numbered packets arrive.
fn under_traffic(body: impl FnOnce(&Traffic, &mut Bench) + Send) {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let traffic = Traffic::start(&pair, 4_000);
    pair.near.within(|| body(&traffic, &mut bench));
    bench.shut_down();
}

#[test]
fn the_time_limit_counts_from_the_trigger_and_is_kept() {
    under_traffic(|traffic, bench| {
        traffic.wait_for_more(2_000);
        for (round, late) in [0, 150, 10_000].into_iter().enumerate() {
            let mut plan = plan(SECOND / 4, SECOND / 2);
            // An event that comes late; the last one after its whole window.
            plan.trigger_at = plan.trigger_at - Duration::from_millis(late);
            let begun = clock::boot_time();
            let capture = bench.begin(&format!("time{round}"), plan.clone());
            let ended = bench.end(&capture);
            let took = clock::boot_time().since(begun);
            assert_eq!(ended.reason, StopReason::TimeExceeded);
            assert!(took < 3 * SECOND, "{took:?}");
            let file = CaptureFile::read(ended.path());
            let inside = |at| plan.from() <= at && at < plan.until();
            assert!(file.packets.iter().all(|packet| inside(packet.at)));
            let expected = if late < 500 { 2_900..=3_100 } else { 0..=0 };
            assert!(expected.contains(&file.packets.len()), "{} packets", file.packets.len());
            assert_eq!(ended.file().first_packet, file.packets.first().map(|it| it.at));
            assert_eq!(ended.file().last_packet, file.packets.last().map(|it| it.at));
        }
    });
}

/// Begins captures of two seconds, extends each by its own orders, and checks when they end.
fn extended(cases: &[(&str, CapturePlan, &[Duration], Duration)]) {
    under_traffic(|traffic, bench| {
        traffic.wait_for_more(1_000);
        let begun: Vec<_> = cases
            .iter()
            .map(|(id, plan, orders, end)| {
                let plan = CapturePlan { trigger_at: clock::wall_time(), ..plan.clone() };
                (bench.begin(id, plan.clone()), plan, *orders, *end)
            })
            .collect();
        begun.iter().for_each(|(capture, ..)| bench.wait_until_started(capture));
        // Orders come in the middle, one after the other.
        for place in 0..2 {
            bench.wait_for_progress(begun.len() / 2);
            for (capture, _, orders, _) in &begun {
                orders.get(place).iter().for_each(|after| bench.engine.extend(capture, **after));
            }
        }
        for (capture, plan, _, expected) in begun {
            let ended = bench.end(&capture);
            // It has ended: nothing comes of it.
            bench.engine.extend(&capture, MUCH);
            assert_eq!((ended.reason, ended.lost()), (StopReason::TimeExceeded, 0), "{capture}");
            let numbers = tshark::numbers(ended.path());
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{capture}: a gap");
            let last = ended.file().last_packet.expect("packets came all the time");
            let end = plan.trigger_at + expected;
            assert!(last < end && end.since(last) < SECOND / 4, "{capture}: {last} of {end}");
        }
    });
}

#[test]
fn an_extended_capture_ends_at_the_later_time_and_misses_nothing() {
    let planned = numbered(plan(SECOND / 4, 2 * SECOND));
    extended(&[
        ("planned", planned.clone(), &[], 2 * SECOND),
        ("once", planned.clone(), &[3 * SECOND], 3 * SECOND),
        ("twice", planned.clone(), &[3 * SECOND, 4 * SECOND], 4 * SECOND),
        ("shorter", planned.clone(), &[SECOND / 2, SECOND], 2 * SECOND),
        ("longer-then-shorter", planned, &[3 * SECOND, 2 * SECOND], 3 * SECOND),
    ]);
}

#[test]
fn captures_of_several_interfaces_and_of_libpcap_s_devices_are_extended_too() {
    let planned = || numbered(plan(Duration::ZERO, 2 * SECOND));
    extended(&[
        ("several", on(&[INTERFACE, "lo"], planned()), &[3 * SECOND], 3 * SECOND),
        ("any", on(&["any"], planned()), &[3 * SECOND], 3 * SECOND),
    ]);
}

#[test]
fn captures_that_rest_are_extended_and_hold_what_comes_at_last() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let traffic = Traffic::start(&pair, 4_000);
    let quiet = || filtered("udp dst port 5001", plan(Duration::ZERO, 2 * SECOND));
    let resting = ["one", "two"].map(|id| pair.near.within(|| bench.begin_and_wait(id, quiet())));
    let planned = pair.near.within(|| bench.begin("planned", plan(Duration::ZERO, 2 * SECOND)));
    bench.wait_for_progress(3);
    resting.iter().for_each(|capture| bench.engine.extend(capture, 5 * SECOND));
    assert_eq!(bench.end(&planned).reason, StopReason::TimeExceeded);
    let mut sender = Sender::to_port(&pair, 5_001);
    (0..50).for_each(|_| sender.send());
    for capture in &resting {
        let ended = bench.end(capture);
        assert_eq!((ended.reason, ended.lost()), (StopReason::TimeExceeded, 0));
        assert_eq!(CaptureFile::read(ended.path()).contiguous_numbers(), 0..50);
    }
    traffic.stop();
    bench.shut_down();
}

#[test]
fn what_stands_by_is_no_capture_before_the_word_and_none_without_it() {
    under_traffic(|traffic, bench| {
        traffic.wait_for_more(2_000);
        let stand_by = |id: &str| {
            let plan = numbered(plan(SECOND / 5, SECOND / 5));
            let (origin, destination) = (Origin::Interfaces, Destination::Spool);
            let (capture, name) = (CaptureId::from_text(id), id.to_owned());
            bench.engine.stand_by(capture, name, plan, origin, destination).unwrap()
        };
        let (given, withdrawn) = (stand_by("given"), stand_by("withdrawn"));
        // Meanwhile another one goes all the way.
        let other = bench.begin("other", numbered(plan(SECOND / 5, SECOND / 5)));
        let other = bench.end(&other);
        drop(withdrawn);
        let files = || std::fs::read_dir(bench.spool.path()).unwrap();
        let names: Vec<_> = files().map(|file| file.unwrap().path()).collect();
        assert_eq!(names, [other.path()]);
        // Its window has passed by now; of the past there is what the ring still holds.
        given.begin();
        let given = bench.end(&CaptureId::from_text("given"));
        assert_eq!((given.reason, given.lost()), (StopReason::TimeExceeded, 0));
        assert!(given.file().packets > 1_000, "{} packets", given.file().packets);
        let ends = bench.shut_down();
        assert!(ends.is_empty(), "{ends:?}");
        assert_eq!(std::fs::read_dir(bench.spool.path()).unwrap().count(), 2);
    });
}

#[test]
fn the_packet_limit_is_met_to_the_packet() {
    under_traffic(|traffic, bench| {
        traffic.wait_for_more(1_000);
        for packets in [1, 2, 777] {
            for look_back in [Duration::ZERO, SECOND / 5] {
                let limits = Limits { packets: Some(packets), ..limits(MUCH) };
                let plan = CapturePlan { limits, ..plan(look_back, MUCH) };
                let capture = bench.begin(&format!("p{packets}-{look_back:?}"), plan);
                let ended = bench.end(&capture);
                assert_eq!(ended.reason, StopReason::PacketsExceeded);
                assert_eq!((ended.file().packets, ended.totals.packets), (packets, packets));
                let numbers = CaptureFile::read(ended.path()).contiguous_numbers();
                assert_eq!(numbers.end - numbers.start, packets);
            }
        }
    });
}

#[test]
fn the_byte_limit_is_never_exceeded_and_used_to_the_last_packet_that_fits() {
    under_traffic(|_traffic, bench| {
        let sizes = (2_000..2_400).step_by(37).chain([65_536, 1_048_576, 1_048_577]);
        for bytes in sizes {
            let capture =
                bench.begin(&format!("b{bytes}"), limited(Limits { bytes, ..limits(MUCH) }));
            let ended = bench.end(&capture);
            assert_eq!(ended.reason, StopReason::BytesExceeded);
            let size = ended.path().metadata().unwrap().len();
            assert_eq!((ended.file().size_bytes, ended.totals.bytes), (size, size));
            // The packet at the trigger has a comment, which may be what did not fit.
            assert!(size <= bytes && size + RECORD + 200 > bytes, "{size} of {bytes}");
            let file = CaptureFile::read(ended.path());
            let _contiguous = file.contiguous_numbers();
            assert_eq!(file.statistics[0].written, ended.totals.packets);
            assert_eq!(tshark::figures(ended.path()).packets, ended.totals.packets);
        }
    });
}

#[test]
fn a_byte_limit_that_leaves_no_room_for_a_packet_is_refused_with_the_size_it_takes() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let plan = limited(Limits { bytes: 100, ..limits(MUCH) });
    let capture = pair.near.within(|| bench.begin("none", plan));
    let ended = bench.end(&capture);
    assert_eq!((ended.reason, ended.files.len()), (StopReason::Error, 0));
    let error = ended.error.unwrap();
    assert!(error.contains("100 bytes"), "{error}");
    bench.shut_down();
}

#[test]
fn packets_above_the_snap_length_are_cut_counted_and_keep_their_true_length() {
    let Some(pair) = Pair::quiet() else { return };
    let original = u32::try_from(FRAME).unwrap();
    // Cut by the recorder, by the capture, by whichever is less; and not at all.
    for (recorded, asked, kept) in
        [(60, 0, 60), (0, 61, 61), (60, 100, 60), (100, 60, 60), (142, 142, 142)]
    {
        let recorder = hindsight::capture::RecorderSettings {
            bytes_per_packet: recorded,
            ..recorder(INTERFACE, SMALLEST_RING)
        };
        let mut bench = pair.near.within(|| Bench::with(vec![recorder]));
        let plan = limited(Limits { bytes_per_packet: asked, ..limits(MUCH) });
        let capture = pair.near.within(|| bench.begin_and_wait("cut", plan));
        let mut sender = Sender::new(&pair);
        (0..50).for_each(|_| sender.send());
        // Shorter than every snap length here.
        sender.size = 8;
        (0..10).for_each(|_| sender.send());
        let ended = bench.stop(&capture);
        let file = CaptureFile::read(ended.path());
        let (long, short) = file.packets.split_at(50);
        assert!(
            long.iter()
                .all(|packet| (file.data(packet).len(), packet.original) == (kept, original))
        );
        assert!(short.iter().all(|packet| (file.data(packet).len(), packet.original) == (50, 50)));
        let truncated = if kept < FRAME { 50 } else { 0 };
        assert_eq!(ended.interfaces[0].truncated, truncated, "{recorded} {asked}");
        assert_eq!((short.len(), ended.interfaces[0].written), (10, 60));
        let lengths =
            tshark::fields(ended.path(), "udp.length > 16", &["frame.cap_len", "frame.len"]);
        assert!(lengths.iter().all(|row| *row == [kept.to_string(), FRAME.to_string()]));
        bench.shut_down();
    }
}

#[test]
fn a_stop_is_prompt_and_keeps_every_packet_from_before_it() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let mut sender = Sender::new(&pair);
    for round in 0..10 {
        let id = format!("round{round}");
        let capture = pair.near.within(|| bench.begin_and_wait(&id, from_now_on()));
        let before = sender.next;
        // Another number each time, so that the last block is closed at another place.
        (0..500 + round * 13).for_each(|_| sender.send());
        let stopped_at = clock::boot_time();
        let ended = bench.stop(&capture);
        let took = clock::boot_time().since(stopped_at);
        assert!(took < 2 * SECOND, "{took:?}");
        assert_eq!(CaptureFile::read(ended.path()).contiguous_numbers(), before..sender.next);
    }
    bench.shut_down();
}

#[test]
fn a_stop_on_an_idle_interface_takes_less_than_200_ms() {
    let Some(pair) = Pair::quiet() else { return };
    for recorded in [true, false] {
        let recorders = if recorded { vec![recorder(INTERFACE, 16 << 20)] } else { Vec::new() };
        let mut bench = pair.near.within(|| Bench::with(recorders));
        let mut took: Vec<_> = (0..5)
            .map(|round| {
                let id = format!("idle{round}");
                let capture = pair.near.within(|| bench.begin_and_wait(&id, from_now_on()));
                let stopped_at = clock::boot_time();
                let ended = bench.stop(&capture);
                assert_eq!((ended.reason, ended.file().packets), (StopReason::Manual, 0));
                assert_eq!(tshark::figures(ended.path()).packets, 0);
                ended.path().metadata().unwrap();
                clock::boot_time().since(stopped_at)
            })
            .collect();
        took.sort_unstable();
        // One in five may fall on a machine that does something else.
        assert!(took[3] < SECOND / 5, "{took:?}");
        bench.shut_down();
    }
}

#[test]
fn shutting_down_seals_every_capture_as_stopped_with_the_agent() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    for id in 0..3 {
        pair.near.within(|| bench.begin_and_wait(&format!("open{id}"), from_now_on()));
    }
    let mut sender = Sender::new(&pair);
    (0..50).for_each(|_| sender.send());
    let ends = bench.shut_down();
    assert_eq!(ends.len(), 3);
    for ended in ends.values() {
        assert_eq!(ended.reason, StopReason::AgentStopped);
        assert_eq!(CaptureFile::read(ended.path()).contiguous_numbers(), 0..50);
    }
}

#[test]
fn a_look_back_to_before_the_recorder_began_reports_what_it_holds() {
    let Some(pair) = Pair::quiet() else { return };
    let before = clock::wall_time();
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let began = clock::wall_time();
    let capture = pair.near.within(|| bench.begin("early", plan(60 * SECOND, Duration::ZERO)));
    let held_from = bench.end(&capture).held_from.unwrap();
    assert!(before <= held_from && held_from <= began, "{held_from}");
    bench.shut_down();
}

#[test]
fn what_cannot_be_captured_ends_with_the_reason() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    pair.near.ip("tuntap add dev tun9 mode tun");
    let cases = [
        (
            "missing",
            on(&["nowhere0"], from_now_on()),
            "there is no interface 'nowhere0'; this host has",
        ),
        (
            "tunnel",
            on(&["tun9"], from_now_on()),
            "libpcap cannot open 'tun9': That device is not up",
        ),
        ("second", on(&[INTERFACE, "nowhere0"], from_now_on()), "there is no interface 'nowhere0'"),
        ("filter", filtered("tcp prot 80", from_now_on()), "the filter for 'eth0': "),
    ];
    for (id, plan, expected) in cases {
        let capture = pair.near.within(|| bench.begin(id, plan));
        let ended = bench.end(&capture);
        assert_eq!((ended.reason, ended.files.len()), (StopReason::Error, 0));
        let error = ended.error.unwrap();
        assert!(error.starts_with(expected), "{error}");
    }
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
    let settings = settings(spool.path(), vec![recorder("lo", SMALLEST_RING)]);
    let error = Engine::start(settings, mpsc::channel(1).0).unwrap_err().sentence();
    assert!(error.starts_with("recording on 'lo': "), "{error}");
    assert!(error.contains("setcap cap_net_raw+ep"), "{error}");
}
