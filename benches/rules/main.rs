//! What a decision costs: `RuleSet::decide` with 10, 1,000 and 10,000 rules, each event meant for one
//! of them and made into a whole proposal. Events that concern every rule in turn also show what the
//! processor's caches cannot hold; events that concern ten of 10,000 show what the others cost.
//!
//! Beside it the same matchers as routes of a real Alertmanager, by its own account.
//!
//! `cargo bench --bench rules`; the peer runs where `tests/tools alerting` has unpacked it.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

#[path = "../peers/figures.rs"]
#[expect(dead_code, reason = "of the figures, this uses some")]
mod figures;
mod peer;
mod sets;
#[expect(dead_code, clippy::print_stderr, reason = "parts of the tests, of which this uses some")]
mod support;

use std::hint::black_box;
use std::time::Duration;

use figures::{Table, figure, judge, median};
use hindsight::clock;
use hindsight::model::{Event, Verdict};
use hindsight::rules::RuleSet;
use sets::Kind;

/// How many rules a set has.
const SIZES: [u64; 3] = [10, 1_000, 10_000];

/// Events of one round, all different, in another order for each set.
const EVENTS: u64 = 4_096;

/// Rounds repeat for so long; the median counts.
const SPAN: Duration = Duration::from_millis(1_500);

/// Of the cost with the most rules to that with the fewest.
const RATIO_AT_MOST: f64 = 2.0;

/// In nanoseconds, with 1,000 rules: 250,000 events a second.
const NANOS_AT_MOST: f64 = 4_000.0;

fn main() {
    figures::heading("Rules: nanoseconds for each decision, on one processor");
    let mut table = Table::new(&[
        "matchers",
        "10 rules",
        "1,000 rules",
        "10,000 rules",
        "ratio",
        "10,000 rules, events for 10 of them",
        "ratio",
        "events a second, 1,000 rules",
    ]);
    let mut verdicts = Vec::new();
    for kind in Kind::ALL {
        let nanos = SIZES.map(|size| nanos_each(kind, size, size));
        let same = nanos_each(kind, SIZES[2], SIZES[0]);
        let (ratio, same_ratio) = (nanos[2] / nanos[0], same / nanos[0]);
        let mut row = vec![kind.name().to_owned()];
        row.extend(nanos.map(|nanos| format!("{nanos:.0}")));
        row.extend([format!("{ratio:.2}"), format!("{same:.0}"), format!("{same_ratio:.2}")]);
        row.push(format!("{:.0}", 1e9 / nanos[1]));
        table.row(row);
        verdicts.push((kind, same_ratio, ratio, nanos[1]));
    }
    table.print();
    figures::say("");
    for (kind, same_ratio, ratio, nanos) in verdicts {
        judge(&format!("{}, 9,990 rules beside 10", kind.name()), same_ratio, RATIO_AT_MOST);
        judge(&format!("{}, 10,000 rules to 10", kind.name()), ratio, RATIO_AT_MOST);
        judge(&format!("{}, ns with 1,000 rules", kind.name()), nanos, NANOS_AT_MOST);
    }
    peer::run(&SIZES);
}

/// The median of the rounds. The events concern the first so many of the rules, in turn.
fn nanos_each(kind: Kind, size: u64, concerned: u64) -> f64 {
    let rules = kind.rules(size);
    let events: Vec<Event> = (0..EVENTS).map(|number| kind.event(number, concerned)).collect();
    // What is measured is what is meant: every event makes one whole proposal.
    for event in &events {
        let verdicts = rules.decide(event);
        assert!(matches!(&verdicts[..], [Verdict::Capture(_)]), "{}: {verdicts:?}", kind.name());
    }
    let began = clock::boot_time();
    let mut rounds = Vec::new();
    while clock::boot_time().since(began) < SPAN {
        rounds.push(round(&rules, &events).as_secs_f64() * 1e9 / figure(EVENTS));
    }
    median(&rounds)
}

fn round(rules: &RuleSet, events: &[Event]) -> Duration {
    let began = clock::boot_time();
    for event in events {
        black_box(rules.decide(black_box(event)));
    }
    clock::boot_time().since(began)
}
