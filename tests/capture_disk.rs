//! Captures on disks that are full, that hang, and that a crash has left as they were.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hindsight::capture::seal_leftovers;
use hindsight::model::{CaptureId, SealedFile, SegmentLimits, StopReason};
use support::capture_file::CaptureFile;
use support::disk::{self, Hanging};
use support::engine::{Bench, SMALLEST_RING, filtered, from_now_on};
use support::namespaces::Pair;
use support::traffic::{Sender, Traffic};
use support::tshark;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

/// A ring that the traffic of these tests laps within two seconds, in bytes.
const RING: u64 = 2 << 20;

/// Numbered packets a second.
const RATE: u32 = 8_000;

#[test]
fn a_reader_whose_disk_hangs_has_gaps_that_are_told_to_the_packet_and_the_others_have_none() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(RING));
    let every_hundredth = filtered("udp[12:4] % 100 = 0", from_now_on());
    let other = pair.near.within(|| bench.begin_and_wait("other", every_hundredth));
    let traffic = Traffic::start(&pair, RATE);
    let slow = pair.near.within(|| {
        // Only the slow capture's thread is started from here, and sees this disk.
        let disk = Hanging::mount(bench.spool.path())?;
        let slow = bench.begin_and_wait("slow", from_now_on());
        for _ in 0..2 {
            traffic.wait_for_more(u64::from(RATE) / 2);
            disk.freeze();
            traffic.wait_for_more(u64::from(RATE) * 2);
            disk.thaw();
        }
        traffic.wait_for_more(u64::from(RATE) / 2);
        let ended = bench.stop(&slow);
        assert_eq!(ended.reason, StopReason::Manual);
        assert_eq!(tshark::complaints(ended.path()), [""; 0]);
        Some((CaptureFile::read(ended.path()), ended))
    });
    let sent = traffic.stop();
    let ended = bench.stop(&other);
    let file = CaptureFile::read(ended.path());
    assert!(file.numbers().into_iter().eq((0..sent).step_by(100)), "{ended:?}");
    assert_eq!((ended.lost(), ended.interfaces[0].received), (0, sent));
    assert_eq!(bench.engine.recorders()[0].dropped, 0, "a reader never stalls the ring");
    if let Some((file, ended)) = slow {
        // On a slow disk there may be one more after it went on.
        let gaps = file.gaps();
        assert!(gaps >= 2, "{gaps} gaps: {:?}", ended.totals);
        assert_eq!((file.told_lost(), ended.lost()), (ended.totals.overrun, ended.totals.overrun));
        assert_eq!(file.statistics[0].overrun, ended.totals.overrun);
        assert_eq!(ended.interfaces[0].received, ended.totals.packets + ended.totals.overrun);
    }
    bench.shut_down();
}

#[test]
fn a_stop_while_the_disk_hangs_counts_what_was_overwritten_before_it() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let mut sender = Sender::new(&pair);
    pair.near.within(|| {
        let Some(disk) = Hanging::mount(bench.spool.path()) else { return };
        let capture = bench.begin_and_wait("slow", from_now_on());
        bench.wait_for_progress(1);
        disk.freeze();
        for _ in 0..300 {
            (0..50).for_each(|_| sender.send());
            std::thread::sleep(Duration::from_millis(5));
        }
        bench.engine.stop(&capture, StopReason::Manual);
        // After the end of its window, and so none of its business.
        let sent = sender.next;
        std::thread::sleep(Duration::from_millis(50));
        (0..100).for_each(|_| sender.send());
        disk.thaw();
        let ended = bench.end(&capture);
        let file = CaptureFile::read(ended.path());
        let _told = file.gaps();
        assert!(ended.totals.overrun > 0, "{ended:?}");
        assert_eq!(ended.totals.dropped_by_kernel, 0);
        let counted = ended.totals.packets + ended.lost();
        // Which of the overwritten packets came before the end nobody knows any more.
        assert!((sent..=sender.next).contains(&counted), "{counted} of {sent}: {ended:?}");
    });
    bench.shut_down();
}

#[test]
fn a_full_disk_ends_a_capture_and_leaves_a_readable_partial_file() {
    let Some(pair) = Pair::quiet() else { return };
    let mut sender = Sender::new(&pair);
    sender.size = 1_000;
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    pair.near.within(|| {
        disk::mount_small(bench.spool.path(), "1800k");
        let capture = bench.begin_and_wait("full", from_now_on());
        (0..5_000).for_each(|_| sender.send());
        let ended = bench.end(&capture);
        assert_eq!(ended.reason, StopReason::NoSpace);
        assert!(ended.error.as_ref().unwrap().contains("No space left"));
        assert_is_whole(ended.file(), 500);
    });
    bench.shut_down();
}

#[test]
fn a_disk_that_is_full_only_at_the_end_leaves_a_readable_partial_file_too() {
    let Some(pair) = Pair::quiet() else { return };
    let mut sender = Sender::new(&pair);
    sender.size = 1_000;
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    pair.near.within(|| {
        disk::mount_small(bench.spool.path(), "200k");
        let capture = bench.begin_and_wait("full", from_now_on());
        // The next sync is a second away, so that the disk is found full at the seal.
        bench.wait_for_progress(1);
        (0..300).for_each(|_| sender.send());
        let ended = bench.stop(&capture);
        assert_eq!(ended.reason, StopReason::NoSpace);
        assert!(ended.error.as_ref().unwrap().contains("No space left"));
        assert_is_whole(ended.file(), 100);
    });
    bench.shut_down();
}

#[test]
fn a_divided_capture_that_fills_the_disk_leaves_every_file_readable() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    pair.near.within(|| {
        disk::mount_small(bench.spool.path(), "700k");
        // Files of all sizes, so that the disk is found full at different steps: while a file is
        // written, when it is closed, when the next one is created.
        for bytes in [50_000, 90_000, 131_072, 200_000] {
            let mut plan = from_now_on();
            plan.limits.segments = Some(SegmentLimits { bytes, keep: None });
            let capture = bench.begin_and_wait(&format!("full{bytes}"), plan);
            let mut sender = Sender::new(&pair);
            sender.size = 1_000;
            (0..1_500).for_each(|_| sender.send());
            let mut ended = bench.end(&capture);
            assert_eq!(ended.reason, StopReason::NoSpace, "{ended:?}");
            assert!(ended.error.as_ref().unwrap().contains("No space left"), "{ended:?}");
            ended.files.sort_by_key(|file| file.index);
            let mut next = 0;
            for file in &ended.files {
                assert_eq!(tshark::figures(&file.path).packets, file.packets);
                let numbers = tshark::numbers(&file.path);
                assert!(numbers.iter().copied().eq(next..next + file.packets), "{file:?}");
                next += file.packets;
                fs::remove_file(&file.path).unwrap();
            }
            assert!(next > 300 && next == ended.totals.packets, "{next}: {ended:?}");
            assert!(ended.lost() < 1_500, "{ended:?}");
            let left: Vec<_> = fs::read_dir(bench.spool.path()).unwrap().flatten().collect();
            assert!(left.is_empty(), "{left:?}");
        }
    });
    bench.shut_down();
}

/// Cut, but to the last byte a file of packets, of which there are more than `least`.
fn assert_is_whole(file: &SealedFile, least: u64) {
    assert!(file.partial && file.packets > least, "{file:?}");
    assert_eq!(tshark::figures(&file.path).packets, file.packets);
    let numbers = CaptureFile::read(&file.path).contiguous_numbers();
    assert_eq!(numbers.end - numbers.start, file.packets);
}

#[test]
fn a_capture_that_finds_the_disk_full_says_so_and_leaves_nothing() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    pair.near.within(|| {
        disk::mount_small(bench.spool.path(), "64k");
        let filler = bench.spool.path().join("filler");
        fs::write(&filler, vec![0; 100_000]).unwrap_err();
        let capture = bench.begin("full", from_now_on());
        let ended = bench.end(&capture);
        assert_eq!((ended.reason, ended.files.len()), (StopReason::NoSpace, 0));
        assert!(ended.error.as_ref().unwrap().contains("No space left"), "{ended:?}");
        assert_eq!(fs::read_dir(bench.spool.path()).unwrap().count(), 1);
    });
    bench.shut_down();
}

/// What a crash at this instant would leave of a capture, sealed by the next start.
fn sealed_after_a_crash(bench: &Bench, capture: &CaptureId) -> (tempfile::TempDir, SealedFile) {
    let spool = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let part = PathBuf::from(format!("{capture}-0.pcapng.part"));
    fs::copy(bench.spool.path().join(&part), spool.path().join(&part)).unwrap();
    let mut recovered = seal_leftovers(spool.path(), capture, &[]);
    assert_eq!(recovered.len(), 1, "{recovered:?}");
    let file = recovered.remove(0);
    assert!(file.partial);
    assert_eq!(tshark::figures(&file.path).packets, file.packets);
    (spool, file)
}

#[test]
fn a_crash_right_after_the_start_leaves_a_partial_file_without_packets() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let capture = pair.near.within(|| bench.begin_and_wait("crash", from_now_on()));
    let (_spool, file) = sealed_after_a_crash(&bench, &capture);
    assert_eq!(file.packets, 0);
    bench.shut_down();
}

#[test]
fn a_file_that_a_crash_has_cut_is_sealed_as_partial_with_all_but_its_last_second() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(16 << 20));
    let capture = pair.near.within(|| bench.begin_and_wait("crash", from_now_on()));
    let traffic = Traffic::start(&pair, 4_000);
    // Each report of progress comes after a sync.
    bench.wait_for_progress(1);
    bench.wait_for_progress(1);
    let synced = traffic.sent();
    let (_spool, file) = sealed_after_a_crash(&bench, &capture);
    let numbers = CaptureFile::read(&file.path).contiguous_numbers();
    assert_eq!(numbers.start, 0);
    // The block that was open at the sync, and what was sent between it and this look.
    assert!(numbers.end > 2_000 && numbers.end + 4_000 > synced, "{numbers:?} of {synced}");
    bench.shut_down();
}
