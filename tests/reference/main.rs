//! The decision engine against a small, slow model of it: random rules through the real loader,
//! random events and clocks, restarts; compared decision by decision.
//!
//! The model is written from the description of the language (docs/operations.md, design section 6)
//! and knows nothing of how the engine does it. Seeds of stories that once failed are kept beside
//! this file and played first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the stories know fewer decisions than there are"
)]

mod kept;
mod model;
mod real;
#[path = "../support/rule_defaults.rs"]
mod rule_defaults;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use hindsight::rules::{Defaults, Host, Known, RuleSet, Settings, load};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use model::{Line, Model};
use real::Real;
use rule_defaults::defaults;
use story::Story;

fn rules(story: &Story) -> RuleSet {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yaml");
    fs::write(&path, story.yaml()).unwrap();
    let known = Known {
        complete: true,
        sources: BTreeSet::from(["plant".to_owned()]),
        storages: BTreeSet::from(["local".to_owned()]),
        notifiers: BTreeSet::new(),
        interfaces: vec!["eth0".to_owned()],
        duration: Duration::from_secs(story.longest),
        bytes: 1 << 30,
        host: Host::new(story::HOST, [("site".to_owned(), "a".to_owned())].into(), []),
    };
    let (look_back, duration) = (Duration::ZERO, Duration::from_secs(10));
    let defaults = Defaults { look_back, duration, bytes: 1 << 20, ..defaults() };
    let settings = Settings { paths: vec![path], defaults, dry_run: story.dry_run };
    load(&settings, &known).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}\n{}", problems.join("\n"), story.yaml())
    })
}

/// Of one instant, what each event came to stands in its order, and what happened by itself is a set.
fn sorted(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort();
    lines
}

fn told(lines: &[Line]) -> String {
    let line = |line: &Line| {
        let event = line.event.map_or_else(|| "      -".to_owned(), |n| format!("event {n:>3}"));
        let rule = line.rule.map_or_else(|| "-".to_owned(), |n| format!("r{n}"));
        format!("{:>9} ms  {event}  {rule}  {}", line.at, line.what)
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Compares up to where the model is sure, and counts what the story met.
fn compare(story: &Story, met: &mut BTreeMap<String, u32>) -> Result<(), TestCaseError> {
    let model = Model::play(story);
    let real = Real::play(story, rules(story));
    let mut wanted = model.lines;
    let mut got = real.lines;
    if model.unclear {
        let last = wanted.last().map_or(0, |line| line.at);
        wanted.retain(|line| line.at < last);
        got.retain(|line| line.at < last);
        *met.entry("unclear".to_owned()).or_default() += 1;
    }
    let (wanted, got) = (sorted(wanted), sorted(got));
    for line in &wanted {
        let word = line.what.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let word: String = word.chars().filter(|c| !c.is_ascii_digit()).collect();
        let cause = if line.event.is_some() { "" } else { " by itself" };
        *met.entry(format!("{word}{cause}")).or_default() += 1;
    }
    let first = wanted.iter().zip(&got).position(|(wanted, got)| wanted != got);
    let first =
        first.or_else(|| (wanted.len() != got.len()).then_some(wanted.len().min(got.len())));
    let Some(first) = first else { return Ok(()) };
    let around = |lines: &[Line]| told(&lines[..lines.len().min(first + 1)]);
    Err(TestCaseError::fail(format!(
        "the model and the engine differ in the last line\nwanted:\n{}\ngot:\n{}\n{}",
        around(&wanted),
        around(&got),
        story.yaml()
    )))
}

#[test]
fn the_engine_decides_what_the_model_decides() {
    let config = Config {
        cases: Config::default().cases.max(400),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/reference/seeds.txt"
        )))),
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let met = std::cell::RefCell::new(BTreeMap::new());
    let run = TestRunner::new(config)
        .run(&story::story(), |story| compare(&story, &mut met.borrow_mut()));
    if let Err(failed) = run {
        panic!("{failed}");
    }
    let met = met.into_inner();
    println!("{met:#?}");
    for what in [
        "capture",
        "capture by itself",
        "coalesced",
        "dry_run",
        "dry_run by itself",
        "ended  interrupted by itself",
        "ended  resolved by itself",
        "ended  time by itself",
        "extended",
        "held",
        "no_match",
        "queued",
        "refused",
        "suppressed concurrent_ceiling",
        "suppressed cooldown",
        "suppressed hourly_ceiling",
        "suppressed inactive",
        "suppressed max_captures",
        "suppressed max_captures by itself",
        "suppressed resolved",
        "suppressed unmet",
    ] {
        assert!(met.contains_key(what), "no story met: {what}");
    }
}
