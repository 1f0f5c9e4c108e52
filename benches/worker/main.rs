//! The whole worker: how soon after an alert a capture runs, and what it costs to wait for one.
//!
//! `cargo bench --bench worker` runs all parts, `cargo bench --bench worker -- latency` one of them;
//! `benches/README.md` says what each does. It needs root, for its network namespaces.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

#[path = "../peers/figures.rs"]
#[expect(dead_code, reason = "of the figures, this uses some")]
mod figures;
mod idle;
mod latency;
mod storm;
#[expect(dead_code, clippy::print_stderr, reason = "parts of the tests, of which this uses some")]
mod support;
mod waiting;

use support::namespaces::Pair;

/// A part of the benchmark: its name, and what it does.
type Part = (&'static str, fn(&Pair));

const PARTS: [Part; 3] = [("latency", latency::run), ("idle", idle::run), ("storm", storm::run)];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_part = |word: &String| PARTS.iter().any(|(name, _)| word == name);
    let all = !words.iter().any(is_part);
    let Some(pair) = Pair::new() else { return };
    for (name, run) in PARTS {
        if all || words.iter().any(|word| word == name) {
            run(&pair);
        }
    }
}
