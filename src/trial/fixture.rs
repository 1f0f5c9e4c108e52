//! A fixture file: read, checked and run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::rules::{self, Host, Known, RuleSet};
use crate::yaml::{File, Problem};

use super::compare::compare;
use super::happening::{Happened, Happening};
use super::payload::beside;
use super::raw;
use super::reader::Reader;
use super::report::{Decided, Report, TestReport};
use super::story::{Step, Test};
use super::wanted::{reason_of, span};
use super::world::World;

/// The host of rules, where the fixture gives it labels and no name.
const HOST: &str = "localhost";

/// The interface of rules that name none, where the fixture names none either.
const INTERFACE: &str = "eth0";

/// The tests of one file, with the rules that they are about.
#[derive(Debug)]
pub struct Fixture {
    file: PathBuf,
    config: Config,
    rules: RuleSet,
    tests: Vec<Test>,
}

/// Reads a fixture with its rules. Rules that it names itself are judged under the embedded default,
/// so that the test means the same on every host, and may name storages and notifiers that are not
/// there; with `config`, under that configuration. Blocks: reads files, and has filters compiled.
///
/// # Errors
/// All problems that could be found, in the fixture, the rules and the configuration.
pub fn load(path: &Path, config: Option<&Path>) -> Result<Fixture, Vec<Problem>> {
    let file = File::open(path).map_err(|problem| vec![problem])?;
    let (raw, mut problems) = file.read::<raw::FixtureFile>();
    let Some(raw) = raw else { return Err(problems) };
    let base = match (config, &raw.rules) {
        (None, Some(_)) => Config::built_in(),
        (config, _) => Config::load(config),
    };
    let config_is_given = config.is_some();
    let config = match base {
        Ok(config) => config,
        Err(more) => {
            problems.extend(more);
            return Err(problems);
        }
    };
    let rules = match rules_of(&raw, &file, &config, config_is_given) {
        Ok(rules) => Some(rules),
        Err(more) => {
            problems.extend(more);
            None
        }
    };
    let names = rules.as_ref().map(|rules| {
        rules.summaries().map(|(name, _)| name.to_owned()).collect::<BTreeSet<String>>()
    });
    let mut reader = Reader { file: &file, rules: names, problems };
    let tests = reader.tests(&raw);
    let mut problems = reader.problems;
    match rules {
        Some(rules) if problems.is_empty() => {
            Ok(Fixture { file: path.to_owned(), config, rules, tests })
        }
        _ => {
            problems.sort_by_key(|problem| (problem.file != path, problem.place));
            Err(problems)
        }
    }
}

fn rules_of(
    raw: &raw::FixtureFile,
    file: &File,
    config: &Config,
    complete: bool,
) -> Result<RuleSet, Vec<Problem>> {
    let given = raw.interfaces.as_ref();
    let named = given.map(|names| names.iter().map(|name| name.value.clone()).collect::<Vec<_>>());
    let Some(paths) = &raw.rules else {
        if let Some(host) = &raw.host {
            let message = "the rules are those of the configuration, and so is their host";
            let hint = "remove `host`, or name the rules with `rules`";
            return Err(vec![file.problem(host.place, message).with_hint(hint)]);
        }
        let mut rules = config.rules.clone();
        if let Some(interfaces) = named {
            rules.capture_on(interfaces);
        }
        return Ok(rules);
    };
    let mut problems = Vec::new();
    let mut found = Vec::with_capacity(paths.0.len());
    for placed in &paths.0 {
        let path = beside(file.path(), &placed.value);
        if path.exists() {
            found.push(path);
        } else {
            let message = format!("{} does not exist", path.display());
            let hint = "paths count from the folder of this file";
            problems.push(file.problem(placed.place, message).with_hint(hint));
        }
    }
    let known = Known {
        complete,
        sources: config.sources.keys().cloned().collect(),
        storages: config.storages.keys().cloned().collect(),
        notifiers: config.notifiers.keys().cloned().collect(),
        interfaces: named.unwrap_or_else(|| vec![INTERFACE.to_owned()]),
        duration: config.ceilings.duration,
        bytes: config.ceilings.bytes,
        host: raw
            .host
            .as_ref()
            .map_or_else(|| config.rules.host().clone(), |host| host_of(&host.value)),
    };
    let settings =
        rules::Settings { paths: found, defaults: config.defaults.clone(), dry_run: false };
    match rules::load(&settings, &known) {
        Ok(rules) if problems.is_empty() => Ok(rules),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

impl Fixture {
    /// Runs all tests, each in a world of its own.
    pub fn run(&self) -> Report {
        let tests = self.tests.iter().map(|test| self.run_test(test)).collect();
        Report { file: self.file.clone(), tests }
    }

    fn run_test(&self, test: &Test) -> TestReport {
        let config = &self.config;
        let mut world = World::new(&self.rules, &config.sources, config.ceilings, test.start);
        let (mut decisions, mut differences) = (Vec::new(), Vec::new());
        for step in &test.steps {
            let mut happened = Happened::default();
            world.advance(step.at, &mut happened);
            for incoming in &step.events {
                world.arrive(incoming, &mut happened);
            }
            let Step { place, at, .. } = *step;
            decisions.extend(happened.by_time.iter().map(|happening| decided(happening, false)));
            decisions.extend(happened.on_events.iter().map(|happening| decided(happening, true)));
            differences.extend(compare(&step.captures, &happened.by_time, place, at));
            differences.extend(compare(&step.expect, &happened.on_events, place, at));
            if let Some(ended) = &step.ended {
                differences.extend(compare(ended, &happened.over, place, at));
            }
        }
        TestReport {
            decisions,
            name: test.name.clone(),
            line: test.place.line,
            passed: differences.is_empty(),
            differences,
        }
    }
}

fn host_of(raw: &raw::Host) -> Host {
    let name = raw.name.as_deref().unwrap_or(HOST);
    let aliases = raw.aliases.iter().flat_map(|aliases| &aliases.0);
    Host::new(name, raw::pairs(raw.labels.as_ref()), aliases.map(String::as_str))
}

fn decided(happening: &Happening, on_event: bool) -> Decided {
    Decided {
        at: span(happening.at),
        rule: happening.rule.clone(),
        decision: happening.decision.word(),
        reason: reason_of(&happening.decision),
        on_event,
    }
}
