//! Packet truth: every numbered packet that passed the interface is in the file or counted as lost,
//! in order and once, however fast they come and however many captures read.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use hindsight::model::{CaptureId, CapturePlan, StopReason};
use support::capture_file::CaptureFile;
use support::engine::{Bench, Ended, SMALLEST_RING, filtered, from_now_on, numbered};
use support::namespaces::Pair;
use support::traffic::{Sender, Traffic};
use support::witness::{self, Witness};
use support::{tshark, wait};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

/// A ring that holds all that these tests send, in bytes.
const ROOMY: u64 = 64 << 20;

/// Fits into a roomy ring as a whole: nothing has to be read or given back in time.
const FLOOD: u64 = 120_000;

/// More than a small ring holds, many times over.
const DELUGE: u64 = 150_000;

fn begin(bench: &mut Bench, count: u64, plan: impl Fn(u64) -> CapturePlan) -> Vec<CaptureId> {
    let begin = |number| bench.begin(&format!("c{number}"), plan(number));
    let captures: Vec<_> = (0..count).map(begin).collect();
    captures.iter().for_each(|capture| bench.wait_until_started(capture));
    captures
}

fn stop(bench: &mut Bench, captures: &[CaptureId]) -> BTreeMap<CaptureId, Ended> {
    for capture in captures {
        bench.engine.stop(capture, StopReason::Manual);
    }
    captures.iter().map(|capture| (capture.clone(), bench.end(capture))).collect()
}

/// What the file holds is what the reports say, to the packet.
fn assert_agree(file: &CaptureFile, ended: &Ended) {
    let packets = u64::try_from(file.packets.len()).unwrap();
    assert_eq!((ended.file().packets, ended.totals.packets), (packets, packets));
    for (number, (told, reported)) in file.statistics.iter().zip(&ended.interfaces).enumerate() {
        let number = u32::try_from(number).unwrap();
        let held = file.packets.iter().filter(|packet| packet.interface == number).count();
        let held = u64::try_from(held).unwrap();
        assert_eq!((told.written, reported.written), (held, held));
        assert_eq!((told.received, told.dropped), (reported.received, reported.dropped_by_kernel));
        assert_eq!(told.overrun, reported.overrun);
    }
    let lost: u64 =
        ended.interfaces.iter().map(|totals| totals.dropped_by_kernel + totals.overrun).sum();
    assert_eq!(ended.lost(), lost);
}

#[test]
fn at_a_low_rate_1_16_and_64_captures_hold_every_packet() {
    let Some(pair) = Pair::quiet() else { return };
    for count in [1, 16, 64] {
        let mut bench = pair.near.within(|| Bench::start(4 << 20));
        let captures = pair.near.within(|| begin(&mut bench, count, |_| from_now_on()));
        let traffic = Traffic::start(&pair, 2_000);
        traffic.wait_for_more(1_000);
        let sent = traffic.stop();
        for ended in stop(&mut bench, &captures).values() {
            let file = CaptureFile::read(ended.path());
            assert_eq!(file.contiguous_numbers(), 0..sent);
            assert_eq!((ended.lost(), file.told_lost()), (0, 0));
            assert_eq!(ended.interfaces[0].received, sent);
            assert_agree(&file, ended);
        }
        bench.shut_down();
    }
}

#[test]
fn at_full_speed_a_ring_that_is_large_enough_loses_nothing() {
    let Some(pair) = Pair::quiet() else { return };
    for count in [1, 16, 64] {
        let mut bench = pair.near.within(|| Bench::start(ROOMY));
        // Together they take everything: each one the numbers with its remainder.
        let plan = |number| filtered(&format!("udp[15] & {} = {number}", count - 1), from_now_on());
        let captures = pair.near.within(|| begin(&mut bench, count, plan));
        let mut sender = Sender::new(&pair);
        sender.flood(FLOOD);
        let ends = stop(&mut bench, &captures);
        for (remainder, capture) in (0..).zip(&captures) {
            let ended = &ends[capture];
            let file = CaptureFile::read(ended.path());
            let expected = (remainder..FLOOD).step_by(usize::try_from(count).unwrap());
            assert!(file.numbers().into_iter().eq(expected), "{ended:?}");
            assert_eq!((ended.lost(), file.told_lost()), (0, 0));
            assert_eq!(ended.interfaces[0].received, FLOOD);
            assert_agree(&file, ended);
        }
        assert!(tshark::complaints(ends[&captures[0]].path()).is_empty());
        bench.shut_down();
    }
}

#[test]
fn at_full_speed_with_a_ring_that_is_too_small_what_is_missing_is_counted() {
    let Some(pair) = Pair::quiet() else { return };
    for count in [1, 16, 64] {
        let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
        let captures = pair.near.within(|| begin(&mut bench, count, |_| from_now_on()));
        let mut sender = Sender::new(&pair);
        sender.size = 1_000;
        sender.flood(DELUGE);
        // The kernel's count of drops is read after the block they came before was seen. All of it
        // stands in front of the last packets, which come in peace.
        thread::sleep(Duration::from_millis(300));
        let last = sender.next;
        (0..20).for_each(|_| sender.send());
        let sent = sender.next;
        let ends = stop(&mut bench, &captures);
        let lost: u64 = ends.values().map(Ended::lost).sum();
        assert!(lost > 0, "the ring was too large for this test");
        for ended in ends.values() {
            let file = CaptureFile::read(ended.path());
            let numbers = file.numbers();
            assert!(numbers.is_sorted_by(|one, next| one < next), "out of order, or twice");
            assert!(numbers.ends_with(&(last..sent).collect::<Vec<_>>()), "the peaceful end");
            assert_eq!(ended.totals.packets + ended.lost(), sent, "{:?}", ended.totals);
            let received = ended.interfaces[0].received + ended.interfaces[0].dropped_by_kernel;
            assert_eq!(received, sent);
            assert_eq!(file.told_lost(), ended.lost(), "told at packets, and in the report");
            assert_agree(&file, ended);
        }
        bench.shut_down();
    }
}

#[test]
fn a_flood_that_ends_with_the_capture_is_counted_to_the_last_packet() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let mut sender = Sender::new(&pair);
    sender.size = 1_000;
    for round in 0..5 {
        let before = sender.next;
        let id = format!("round{round}");
        let capture = pair.near.within(|| bench.begin_and_wait(&id, from_now_on()));
        sender.flood(30_000);
        let ended = bench.stop(&capture);
        let file = CaptureFile::read(ended.path());
        assert_eq!(ended.totals.packets + ended.lost(), sender.next - before, "{ended:?}");
        assert!(file.told_lost() <= ended.lost());
        assert_agree(&file, &ended);
    }
    bench.shut_down();
}

#[test]
fn readers_that_are_stopped_at_any_instant_hold_all_from_before_it_and_the_others_miss_nothing() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(4 << 20));
    let witness = Witness::start(&pair);
    let captures = pair.near.within(|| begin(&mut bench, 16, |_| numbered(from_now_on())));
    let traffic = Traffic::start(&pair, 5_000);
    let mut stopped = Vec::new();
    let (last, others) = captures.split_last().unwrap();
    for (step, capture) in (0_u64..).zip(others) {
        // Odd steps against the retire time and the looks of the recorder.
        traffic.wait_for_more(97 + step * 31);
        let before = hindsight::clock::wall_time();
        bench.engine.stop(capture, StopReason::Manual);
        stopped.push((capture, before, hindsight::clock::wall_time()));
    }
    traffic.wait_for_more(500);
    let sent = traffic.stop();
    let ended = bench.stop(last);
    let seen = witness.stop(sent);
    assert_eq!(CaptureFile::read(ended.path()).contiguous_numbers(), 0..sent);
    for (capture, before, after) in stopped {
        let ended = bench.end(capture);
        let file = CaptureFile::read(ended.path());
        let numbers = file.contiguous_numbers();
        let until = |at| witness::between(&seen, witness::BEGINNING, at).len();
        let held = file.packets.len();
        assert!((until(before)..=until(after)).contains(&held), "{held} packets of {ended:?}");
        assert_eq!((numbers.start, ended.lost(), ended.reason), (0, 0, StopReason::Manual));
        assert_agree(&file, &ended);
    }
    bench.shut_down();
}

/// Ports to which packets go now and then, and what 16 captures wait for: for these, for a few of
/// the many others, or for what never comes.
const RARE_PORTS: [u16; 2] = [5001, 5002];

fn waiting(number: u64) -> CapturePlan {
    let filter = match number % 4 {
        0 => "udp dst port 5001".to_owned(),
        1 => "tcp or udp dst port 5002 and less 1500".to_owned(),
        2 => format!("tcp dst port {}", 5000 + number),
        _ => format!("udp dst port {} and udp[13:2] & 0xfff = 7", support::traffic::PORT),
    };
    filtered(&filter, from_now_on())
}

#[test]
fn captures_that_find_nothing_for_long_hold_what_comes_at_last_and_count_what_went_by() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(4 << 20));
    let captures = pair.near.within(|| begin(&mut bench, 16, waiting));
    let mut many = Sender::new(&pair);
    let mut rare = RARE_PORTS.map(|port| Sender::to_port(&pair, port));
    for round in 0..120_u64 {
        many.flood(100);
        if round % 40 > 30 {
            rare[usize::from(round % 3 == 0)].send();
        }
        // So that they rest, are called, read, and rest again at ever other places of a block.
        thread::sleep(Duration::from_millis(round % 13));
    }
    let sent = many.next + rare[0].next + rare[1].next;
    let mut ends = stop(&mut bench, &captures);
    for (number, capture) in captures.iter().enumerate() {
        let ended = ends.remove(capture).unwrap();
        let file = CaptureFile::read(ended.path());
        let expected: Vec<u64> = match number % 4 {
            rarely @ (0 | 1) => (0..rare[rarely].next).collect(),
            2 => Vec::new(),
            // These two bytes of the payload are the number without its last byte.
            _ => (0..many.next).filter(|number| number >> 8 & 0xfff == 7).collect(),
        };
        assert_eq!(file.numbers(), expected, "{ended:?}");
        assert_eq!((ended.lost(), ended.interfaces[0].received), (0, sent), "{ended:?}");
        assert_agree(&file, &ended);
    }
    bench.shut_down();
}

#[test]
fn what_is_lost_while_captures_find_nothing_is_counted() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let captures = pair.near.within(|| begin(&mut bench, 16, waiting));
    let mut many = Sender::new(&pair);
    many.size = 1_000;
    let mut rare = RARE_PORTS.map(|port| Sender::to_port(&pair, port));
    for _ in 0..10 {
        many.flood(DELUGE / 10);
        // What is dropped in the end stands in front of packets that come in peace.
        thread::sleep(Duration::from_millis(100));
        rare.iter_mut().for_each(Sender::send);
    }
    let sent = many.next + rare[0].next + rare[1].next;
    for ended in stop(&mut bench, &captures).values() {
        let file = CaptureFile::read(ended.path());
        let numbers = file.numbers();
        assert!(numbers.is_sorted_by(|one, next| one < next), "out of order, or twice");
        let received = ended.interfaces[0].received + ended.interfaces[0].dropped_by_kernel;
        assert_eq!(received, sent, "{ended:?}");
        assert!(file.told_lost() <= ended.lost());
        assert_agree(&file, ended);
    }
    bench.shut_down();
}

#[test]
fn a_recorder_that_nobody_reads_counts_every_packet() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let mut sender = Sender::new(&pair);
    sender.flood(DELUGE);
    let patience = Duration::from_secs(10);
    wait::until("the recorder to have seen all", patience, || {
        (bench.engine.recorders()[0].received == DELUGE).then_some(())
    });
    bench.shut_down();
}
