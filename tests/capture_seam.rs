//! The seam between past and present: whenever a capture is triggered, its file holds exactly the
//! packets of its window, each once and in order.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use hindsight::clock::{self, WallTime};
use hindsight::model::{CaptureId, CapturePlan, StopReason};
use hindsight::ring::Geometry;
use support::capture_file::CaptureFile;
use support::engine::{Bench, Ended, SMALLEST_RING, plan};
use support::namespaces::Pair;
use support::traffic::{PAYLOAD, Traffic};
use support::tshark;
use support::witness::{self, Seen, Witness};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const TRIGGERS: usize = 1_000;

/// Numbered packets a second.
const RATE: u32 = 8_000;

/// Of the ring, in bytes: the traffic laps it in about two seconds.
const RING: u64 = 4 << 20;

/// The most captures that run at a time.
const AT_A_TIME: usize = 64;

/// What a packet takes in the ring, in bytes: 82 before it, 42 of headers, rounded up to 8.
const RECORD: u64 = (82 + 42 + PAYLOAD as u64).next_multiple_of(8);

/// Into how many equal parts a lap and a block are divided to see where the triggers fell.
const PARTS: u64 = 16;

const MILLISECOND: Duration = Duration::from_millis(1);

/// The plan of one trigger: all kinds of windows that the ring can hold.
fn window(number: usize) -> CapturePlan {
    let look_back = [0, 20, 75, 150][number % 4];
    let duration = [60, 0, 110, 25, 1][number % 5];
    let mut plan = plan(look_back * MILLISECOND, duration * MILLISECOND);
    // Every third event comes late: its window began before it was heard of.
    if number.is_multiple_of(3) {
        plan.trigger_at = plan.trigger_at - 40 * MILLISECOND;
    }
    plan
}

/// Begins captures at ever other places of the ring, and returns where: as numbers of packets.
fn trigger_all(
    bench: &mut Bench,
    traffic: &Traffic,
) -> (BTreeMap<CaptureId, CapturePlan>, Vec<u64>, BTreeMap<CaptureId, Ended>) {
    let (mut plans, mut places, mut ended) = <(BTreeMap<_, _>, Vec<_>, BTreeMap<_, _>)>::default();
    for number in 0..TRIGGERS {
        // A stride that shares no factor with the packets of a block and of a lap.
        traffic.wait_for_more(37);
        while plans.len() - ended.len() >= AT_A_TIME {
            traffic.wait_for_more(11);
            ended.extend(bench.ended_by_now());
        }
        places.push(traffic.sent());
        let plan = window(number);
        plans.insert(bench.begin(&format!("t{number:04}"), plan.clone()), plan);
        ended.extend(bench.ended_by_now());
    }
    (plans, places, ended)
}

/// The triggers fell on every part of a block, and of a lap.
fn assert_spread(places: &[u64]) {
    let ring = Geometry::for_memory(RING);
    let block = u64::from(ring.block_bytes - 48) / RECORD;
    for (name, packets) in [("block", block), ("lap", block * u64::from(ring.blocks))] {
        let mut histogram = BTreeMap::<u64, usize>::new();
        for place in places {
            *histogram.entry(place % packets * PARTS / packets).or_default() += 1;
        }
        let even = TRIGGERS / usize::try_from(PARTS).unwrap();
        assert_eq!(histogram.len(), usize::try_from(PARTS).unwrap(), "{name}: {histogram:?}");
        assert!(histogram.values().all(|&count| count > even / 3), "{name}: {histogram:?}");
    }
}

/// Held is exactly what came in the window, or what is missing is counted. Returns whether all is
/// held: on a machine that does something else, a capture may come to its window too late.
fn assert_true(id: &CaptureId, plan: &CapturePlan, ended: &Ended, seen: &[Seen]) -> bool {
    assert_eq!((ended.reason, ended.totals.dropped_by_kernel), (StopReason::TimeExceeded, 0));
    let file = CaptureFile::read(ended.path());
    let numbers = file.numbers();
    let expected = witness::between(seen, plan.from(), plan.until());
    let is_whole = ended.lost() == 0 && ended.held_from == Some(plan.from());
    if is_whole {
        assert_eq!(numbers, expected, "{id}: {plan:?}");
        let _contiguous = file.contiguous_numbers();
        assert_marked_at_the_trigger(&file, plan);
    } else {
        let held_from = ended.held_from.unwrap();
        let held = witness::between(seen, held_from.max(plan.from()), plan.until());
        assert!(numbers.iter().all(|number| expected.contains(number)), "{id}");
        assert!(ended.totals.packets + ended.lost() >= count(&held), "{id}: {ended:?}");
    }
    is_whole
}

fn assert_marked_at_the_trigger(file: &CaptureFile, plan: &CapturePlan) {
    let marked: Vec<_> =
        file.packets.iter().filter(|packet| packet.comment.is_some()).map(|it| it.at).collect();
    let first = file.packets.iter().map(|packet| packet.at).find(|&at| at >= plan.trigger_at);
    assert_eq!(marked, first.into_iter().collect::<Vec<WallTime>>());
}

#[test]
fn a_thousand_triggers_at_every_phase_of_a_lap_each_hold_exactly_their_window() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(RING));
    let witness = Witness::start(&pair);
    let traffic = Traffic::start(&pair, RATE);
    traffic.wait_for_more(3_000);
    let begun = clock::boot_time();
    let (plans, places, mut ended) = pair.near.within(|| trigger_all(&mut bench, &traffic));
    println!("{TRIGGERS} triggers in {:?}", clock::boot_time().since(begun));
    for capture in plans.keys() {
        if !ended.contains_key(capture) {
            ended.insert(capture.clone(), bench.end(capture));
        }
    }
    let seen = witness.stop(traffic.stop());
    assert_spread(&places);
    let mut late = Vec::new();
    for (number, (id, plan)) in plans.iter().enumerate() {
        let ended = &ended[id];
        if !assert_true(id, plan, ended, &seen) {
            late.push(id);
        }
        if number.is_multiple_of(TRIGGERS / 4) {
            assert_eq!(tshark::complaints(ended.path()), [""; 0]);
            assert_eq!(tshark::figures(ended.path()).packets, ended.totals.packets);
        }
        fs::remove_file(ended.path()).unwrap();
    }
    assert!(late.len() <= TRIGGERS / 50, "came late: {late:?}");
    bench.shut_down();
}

#[test]
fn a_look_back_beyond_what_the_ring_holds_begins_at_its_oldest_packet() {
    let Some(pair) = Pair::quiet() else { return };
    let mut bench = pair.near.within(|| Bench::start(SMALLEST_RING));
    let witness = Witness::start(&pair);
    let traffic = Traffic::start(&pair, RATE);
    let (mut plans, far) = (BTreeMap::new(), Duration::from_secs(60));
    for number in 0..20 {
        // From before the first lap is full to long after it.
        traffic.wait_for_more(331);
        let plan = plan(far, 100 * MILLISECOND);
        let id = pair.near.within(|| bench.begin(&format!("far{number}"), plan.clone()));
        plans.insert(id, plan);
    }
    let ends: BTreeMap<_, _> = plans.keys().map(|id| (id, bench.end(id))).collect();
    let seen = witness.stop(traffic.stop());
    let mut begun_late = 0;
    for (id, plan) in &plans {
        let ended = &ends[id];
        let held_from = ended.held_from.unwrap();
        // Where the ring has lapped, this is the stamp of the last packet that is gone.
        begun_late += u32::from(seen.iter().any(|seen| seen.at == held_from));
        let within = witness::between(&seen, held_from + Duration::from_nanos(1), plan.until());
        let file = CaptureFile::read(ended.path());
        // What the ring takes back before the reader comes to it is counted where it is missing: the
        // end of the window, too, where the host gives the reader no processor for all of it.
        let has_end = file.numbers().last() == within.last();
        assert!(has_end || ended.totals.overrun > 0, "{id}: {ended:?}");
        let _told = file.gaps();
        assert_eq!(ended.totals.packets + ended.totals.overrun, count(&within), "{id}: {ended:?}");
        assert_eq!((ended.totals.dropped_by_kernel, file.told_lost()), (0, ended.totals.overrun));
    }
    assert!(begun_late > 5, "the ring hardly lapped: {begun_late}");
    bench.shut_down();
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap()
}
