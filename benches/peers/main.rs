//! Hindsight beside tcpdump, dumpcap and netsniff-ng, on the same traffic in the same run.
//!
//! `cargo bench --bench peers` runs all parts, `cargo bench --bench peers -- write` one of them;
//! `benches/README.md` says what each does. It needs root, for its network namespaces.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

mod armed;
mod captured;
mod engine_process;
mod figures;
mod generator;
mod machine;
mod many;
mod plan;
mod program;
mod rig;
#[expect(dead_code, clippy::print_stderr, reason = "parts of the tests, of which this uses some")]
mod support;
mod tools;
mod trigger;
mod write;

use rig::Rig;

/// How often each program gets the same traffic.
const REPETITIONS: usize = 3;

/// A part of the benchmark: its name, and what it does, so often.
type Part = (&'static str, fn(&Rig, usize));

const PARTS: [Part; 5] = [
    ("write", write::run),
    ("armed", armed::run),
    ("sixteen", many::sixteen),
    ("sixty-four", many::sixty_four),
    ("trigger", trigger::run),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((engine_process::ARGUMENT, rest)) =
        arguments.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        engine_process::run(rest);
        return;
    }
    let numbers = arguments.iter().find_map(|argument| argument.parse::<usize>().ok());
    let chosen = |name: &str| {
        let mut named = PARTS.iter().filter(|(part, _)| arguments.iter().any(|word| word == part));
        named.clone().count() == 0 || named.any(|(part, _)| *part == name)
    };
    let Some(rig) = Rig::new() else { return };
    machine::say();
    for (name, run) in PARTS {
        if chosen(name) {
            run(&rig, numbers.unwrap_or(REPETITIONS));
        }
    }
}
