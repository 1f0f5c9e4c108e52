//! The files of a capture: divided without a seam, rings of files, other formats, and the memory that
//! all of it may take.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hindsight::capture::{Engine, PrivateSettings, Settings};
use hindsight::model::{
    CapturePlan, Compression, FileForm, FileFormat, Limits, SegmentLimits, StopReason,
};
use support::capture_file::CaptureFile;
use support::engine::{
    Bench, Ended, MUCH, SMALLEST_RING, from_now_on, limits, numbered, on, plan, recorder, settings,
};
use support::namespaces::{INTERFACE, Pair};
use support::process::run;
use support::traffic::{Sender, Traffic};
use support::tshark;
use tokio::sync::mpsc;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

/// Of one file of a divided capture, in bytes.
const SEGMENT: u64 = 100_000;

/// Numbered packets a second.
const RATE: u32 = 5_000;

fn divided(keep: Option<u32>, bytes: u64) -> CapturePlan {
    let segments = Some(SegmentLimits { bytes: SEGMENT, keep });
    let limits = Limits { segments, bytes, ..limits(MUCH) };
    CapturePlan { limits, ..plan(Duration::from_millis(300), MUCH) }
}

/// The files go on where the one before ends, and each is within its limit. Returns the numbers.
fn assert_seamless(ended: &Ended) -> std::ops::Range<u64> {
    let first = ended.files[0].index;
    let mut numbers: Option<std::ops::Range<u64>> = None;
    for (index, file) in (first..).zip(&ended.files) {
        assert_eq!(file.index, index, "{ended:?}");
        let size = file.path.metadata().unwrap().len();
        assert!(size == file.size_bytes && size <= SEGMENT && !file.partial, "{size}: {file:?}");
        let read = CaptureFile::read(&file.path);
        let own = read.contiguous_numbers();
        assert_eq!(own.end - own.start, file.packets);
        numbers = match numbers {
            None => Some(own),
            Some(before) => {
                assert_eq!(before.end, own.start, "between the files {} and {index}", index - 1);
                Some(before.start..own.end)
            }
        };
    }
    assert_eq!(tshark::complaints(&ended.files[0].path), [""; 0]);
    numbers.unwrap()
}

#[test]
fn a_capture_that_is_divided_goes_on_in_the_next_file_without_a_seam() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let traffic = Traffic::start(&pair, RATE);
    traffic.wait_for_more(2_000);
    let plans = (0..8).map(|number| (format!("d{number}"), divided(None, 1 << 40)));
    let captures: Vec<_> = plans
        .map(|(id, plan)| {
            traffic.wait_for_more(211);
            pair.near.within(|| bench.begin_and_wait(&id, plan))
        })
        .collect();
    traffic.wait_for_more(u64::from(RATE));
    for capture in &captures {
        let ended = bench.stop(capture);
        assert_eq!((ended.reason, ended.lost()), (StopReason::Manual, 0));
        assert!(ended.files.len() > 5, "{ended:?}");
        let numbers = assert_seamless(&ended);
        assert_eq!(ended.totals.packets, numbers.end - numbers.start);
        assert_eq!(ended.totals.bytes, ended.files.iter().map(|file| file.size_bytes).sum::<u64>());
        let last = CaptureFile::read(&ended.files.last().unwrap().path);
        assert_eq!(last.statistics[0].written, ended.totals.packets);
        // Full, but for the last one.
        let full = ended.files.split_last().unwrap().1;
        assert!(full.iter().all(|file| file.size_bytes + 400 > SEGMENT), "{full:?}");
    }
    bench.shut_down();
}

#[test]
fn the_files_of_a_capture_together_never_exceed_its_limit_of_bytes() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let _traffic = Traffic::start(&pair, RATE);
    for bytes in [30_000, SEGMENT, SEGMENT + 1, 250_000, 433_333] {
        let id = format!("limit{bytes}");
        let capture = pair.near.within(|| bench.begin(&id, divided(None, bytes)));
        let ended = bench.end(&capture);
        assert_eq!(ended.reason, StopReason::BytesExceeded);
        let size: u64 = ended.files.iter().map(|file| file.path.metadata().unwrap().len()).sum();
        assert!(size <= bytes && size + 2_500 > bytes, "{size} of {bytes}");
        assert_eq!(ended.totals.bytes, size);
        let _numbers = assert_seamless(&ended);
    }
    bench.shut_down();
}

#[test]
fn of_a_ring_of_files_the_newest_are_left_and_reported() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let traffic = Traffic::start(&pair, RATE);
    let captures = [1, 2, 3, 5].map(|keep| {
        let plan = divided(Some(keep), 1 << 40);
        (keep, pair.near.within(|| bench.begin_and_wait(&format!("keep{keep}"), plan)))
    });
    traffic.wait_for_more(u64::from(RATE) * 2);
    let sent = traffic.stop();
    for (keep, capture) in captures {
        let ended = bench.stop(&capture);
        assert_eq!((ended.reason, ended.lost()), (StopReason::Manual, 0));
        assert_eq!(ended.files.len(), usize::try_from(keep).unwrap(), "{ended:?}");
        assert_eq!(assert_seamless(&ended).end, sent);
        assert!(ended.files[0].index > 5);
        let left = fs::read_dir(bench.spool.path()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with(&format!("{capture}-"))
        });
        assert_eq!(left.count(), ended.files.len(), "nothing else is left behind");
    }
    bench.shut_down();
}

/// The packets that tcpdump reads out of a file, packed or not.
fn tcpdump_packets(path: &Path) -> usize {
    let mut command = Command::new("bash");
    let read = "zstd -dcf -- \"$1\" | tcpdump -n -t -r - 2>/dev/null";
    command.args(["-o", "pipefail", "-c", read, "read"]).arg(path);
    run(&mut command).lines().filter(|line| !line.starts_with(char::is_whitespace)).count()
}

#[test]
fn every_format_is_read_by_the_tools_and_holds_the_same_packets() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let traffic = Traffic::start(&pair, RATE);
    let forms = [FileFormat::Pcapng, FileFormat::Pcap].map(|format| {
        [Compression::None, Compression::Zstd].map(|compression| FileForm { format, compression })
    });
    for (number, file) in forms.into_iter().flatten().enumerate() {
        traffic.wait_for_more(u64::from(RATE) / 4);
        let duration = Duration::from_millis(250);
        let plan = CapturePlan { file, ..plan(Duration::from_millis(100), duration) };
        let capture = pair.near.within(|| bench.begin(&format!("form{number}"), plan.clone()));
        let ended = bench.end(&capture);
        let path = ended.path();
        assert!(path.to_string_lossy().ends_with(file.extension()), "{}", path.display());
        assert_eq!(ended.file().size_bytes, path.metadata().unwrap().len());
        assert_eq!(ended.totals.bytes, ended.file().size_bytes);
        let numbers = tshark::numbers(path);
        assert!(numbers.is_sorted_by(|one, next| one + 1 == *next) && numbers.len() > 1_000);
        assert_eq!(u64::try_from(numbers.len()).unwrap(), ended.totals.packets);
        assert_eq!(tshark::figures(path).packets, ended.totals.packets);
        assert_eq!(tshark::complaints(path), [""; 0]);
        assert_eq!(tcpdump_packets(path), numbers.len());
        let stamps = tshark::stamps(path, "frame");
        assert!(stamps[0] >= plan.from() && *stamps.last().unwrap() < plan.until());
        assert_eq!(ended.file().first_packet, Some(stamps[0]));
        let hash = run(Command::new("sha256sum").arg(path));
        assert_eq!(hash.split(' ').next(), Some(&ended.file().sha256[..]));
    }
    bench.shut_down();
}

#[test]
fn a_packed_ring_of_classic_files_is_seamless_too() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let traffic = Traffic::start(&pair, RATE);
    let file = FileForm { format: FileFormat::Pcap, compression: Compression::Zstd };
    let plan = CapturePlan { file, ..divided(Some(3), 1 << 40) };
    let capture = pair.near.within(|| bench.begin_and_wait("packed", plan));
    traffic.wait_for_more(u64::from(RATE));
    let sent = traffic.stop();
    let ended = bench.stop(&capture);
    let numbers: Vec<_> = ended.files.iter().flat_map(|file| tshark::numbers(&file.path)).collect();
    assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "{ended:?}");
    assert_eq!((ended.files.len(), numbers.last()), (3, Some(&(sent - 1))));
    bench.shut_down();
}

#[test]
fn a_classic_file_of_two_interfaces_is_refused_with_what_to_do() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let file = FileForm { format: FileFormat::Pcap, compression: Compression::None };
    let plan = CapturePlan { file, ..on(&[INTERFACE, "lo"], from_now_on()) };
    let capture = pair.near.within(|| bench.begin("two", plan));
    let ended = bench.end(&capture);
    assert_eq!((ended.reason, ended.files.len()), (StopReason::Error, 0));
    let error = ended.error.unwrap();
    assert!(error.contains("write pcapng"), "{error}");
    assert_eq!(fs::read_dir(bench.spool.path()).unwrap().count(), 0);
    bench.shut_down();
}

#[test]
fn a_ring_beyond_the_memory_of_the_process_is_refused_with_the_figures() {
    let Some(pair) = Pair::quiet() else { return };
    let spool = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let recorders = vec![recorder(INTERFACE, 32 << 20), recorder("lo", 33 << 20)];
    let settings = Settings { memory_bytes: 64 << 20, ..settings(spool.path(), recorders) };
    let start = || Engine::start(settings, mpsc::channel(1).0).unwrap_err().sentence();
    let error = pair.near.within(start);
    assert!(error.contains("33 MiB for a ring") && error.contains("64 MiB"), "{error}");
    assert!(error.contains("32 MiB are in use"), "{error}");
}

#[test]
fn captures_share_the_memory_and_give_it_back_when_they_end() {
    let Some(pair) = Pair::quiet() else { return };
    let budget = |settings: Settings| Settings {
        memory_bytes: 40 << 20,
        private: PrivateSettings { memory_bytes: 16 << 20, promiscuous: false },
        ..settings
    };
    let mut bench = pair.near.within(|| Bench::with_settings(Vec::new(), budget));
    for round in 0..3 {
        let id = |number: u32| format!("r{round}n{number}");
        let one = pair.near.within(|| bench.begin_and_wait(&id(1), numbered(from_now_on())));
        let two = pair.near.within(|| bench.begin_and_wait(&id(2), numbered(from_now_on())));
        let three = pair.near.within(|| bench.begin(&id(3), numbered(from_now_on())));
        let refused = bench.end(&three);
        assert_eq!((refused.reason, refused.files.len()), (StopReason::Error, 0));
        let error = refused.error.unwrap();
        assert!(error.contains("16 MiB for a ring would exceed"), "{error}");
        let mut sender = Sender::new(&pair);
        (0..100).for_each(|_| sender.send());
        for capture in [one, two] {
            assert_eq!(bench.stop(&capture).file().packets, 100);
        }
    }
    bench.shut_down();
}
