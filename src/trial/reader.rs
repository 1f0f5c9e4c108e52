//! From what a fixture file says to tests, noting every mistake.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::WallTime;
use crate::filter::{Addresses, Entry, Mac, Ports, Protocol};
use crate::yaml::{File, Place, Placed, Problem, did_you_mean};

use super::payload::incoming;
use super::raw;
use super::story::{Step, Test};
use super::wanted::{Wanted, WantedEnd};

/// When a test starts that does not say it: noon of a Monday, in nanoseconds since 1970.
const START: WallTime = WallTime::from_nanos(1_795_435_200_000_000_000);

/// The longest that a test goes on: cooldowns and counts of captures reach no further than a month.
const LONGEST: Duration = Duration::from_secs(62 * 86_400);

/// From what the file says to tests, noting every mistake.
pub(super) struct Reader<'a> {
    pub(super) file: &'a File,
    /// The names of the rules; absent where they could not be read.
    pub(super) rules: Option<BTreeSet<String>>,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    fn note(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(self.file.problem(place, message).with_hint(hint));
    }

    pub(super) fn tests(&mut self, raw: &raw::FixtureFile) -> Vec<Test> {
        if raw.tests.whole && raw.tests.value.is_empty() {
            self.note(raw.tests.place, "there is no test", "write one, or remove the file");
        }
        let mut names = BTreeSet::new();
        let mut tests = Vec::with_capacity(raw.tests.value.len());
        for test in &raw.tests.value {
            let name = &test.value.name;
            if !names.insert(name.value.as_str()) {
                let message = format!("a test before it is called `{}`", name.value);
                self.note(name.place, message, "names are unique in a file");
            }
            tests.push(self.test(test));
        }
        tests
    }

    fn test(&mut self, test: &Placed<raw::Test>) -> Test {
        let steps = &test.value.steps;
        if steps.whole && steps.value.is_empty() {
            self.note(steps.place, "the test has no step", "give it one with `at` and `events`");
        }
        let mut last = Duration::ZERO;
        for step in &steps.value {
            let at = step.value.at.value.0;
            let place = step.value.at.place;
            if at < last {
                self.note(place, "the step comes before the one above it", "put it there");
            } else if at > LONGEST {
                self.note(place, "a test goes on for at most 62 days", "take less");
            }
            last = last.max(at);
        }
        Test {
            name: test.value.name.value.clone(),
            place: test.place,
            start: test.value.start.unwrap_or(START),
            steps: steps.value.iter().map(|step| self.step(step)).collect(),
        }
    }

    fn step(&mut self, step: &Placed<raw::Step>) -> Step {
        let raw = &step.value;
        if step.whole {
            match (&raw.expect, raw.events.is_empty()) {
                (None, false) => self.note(
                    step.place,
                    "the step does not say what its events come to",
                    "give it `expect`; an event that no rule takes comes to `decision: no_match`",
                ),
                (Some(_), true) => self.note(
                    step.place,
                    "`expect` is about events, and the step has none",
                    "what begins by itself stands under `captures`",
                ),
                (None, true) | (Some(_), false) => {}
            }
        }
        let events = raw.events.iter();
        let events = events.filter_map(|event| incoming(event, self.file, &mut self.problems));
        let events = events.collect();
        Step {
            place: step.place,
            at: raw.at.value.0,
            events,
            expect: raw.expect.iter().flatten().map(|wanted| self.wanted(wanted)).collect(),
            captures: raw.captures.iter().map(|wanted| self.wanted(wanted)).collect(),
            ended: raw
                .ended
                .as_ref()
                .map(|ended| ended.iter().map(|ended| self.ended(ended)).collect()),
        }
    }

    fn wanted(&mut self, expected: &Placed<raw::Expected>) -> Wanted {
        let raw = &expected.value;
        let word = raw.decision.unwrap_or_default();
        match &raw.rule {
            Some(rule) if word.is_of_a_rule() => self.rule(rule),
            Some(rule) => {
                let message = format!("`{}` is the word of no rule", word.text());
                self.note(rule.place, message, "remove the rule");
            }
            None if expected.whole && word.is_of_a_rule() => {
                let message = format!("whose `{}` is expected?", word.text());
                self.note(expected.place, message, "name the rule");
            }
            None => {}
        }
        let filters = raw.filters.as_ref();
        Wanted {
            place: expected.place,
            rule: raw.rule.as_ref().map(|rule| rule.value.clone()),
            word,
            at: raw.at.map(|span| span.0),
            reason: raw.reason.clone(),
            interfaces: raw.interfaces.clone(),
            filters: filters.map(|list| list.iter().map(|entry| self.entry(entry)).collect()),
            bpf: raw.bpf.clone(),
            look_back: raw.look_back.map(|span| span.0),
            duration: raw.duration.map(|span| span.0),
            storage: raw.storage.clone(),
            notify: raw.notify.clone(),
            left_out: raw.left_out.clone(),
        }
    }

    fn ended(&mut self, ended: &Placed<raw::Ended>) -> WantedEnd {
        let raw = &ended.value;
        self.rule(&raw.rule);
        WantedEnd {
            place: ended.place,
            rule: raw.rule.value.clone(),
            reason: raw.reason,
            after: raw.after.map(|span| span.0),
        }
    }

    fn rule(&mut self, name: &Placed<String>) {
        let Some(rules) = &self.rules else { return };
        if !rules.contains(&name.value) {
            let hint = did_you_mean(&name.value, rules.iter().map(String::as_str));
            let hint = hint.unwrap_or_else(|| "take the name of a rule that was read".to_owned());
            self.note(name.place, format!("there is no rule `{}`", name.value), hint);
        }
    }

    fn entry(&mut self, entry: &Placed<raw::Entry>) -> Entry {
        let raw = &entry.value;
        Entry {
            protocol: self.field(raw.protocol.as_ref(), |text| Protocol::parse("protocol", text)),
            local_ip: self
                .field(raw.local_ip.as_ref(), |text| Addresses::parse_list("local_ip", text)),
            remote_ip: self
                .field(raw.remote_ip.as_ref(), |text| Addresses::parse_list("remote_ip", text)),
            local_port: self
                .field(raw.local_port.as_ref(), |text| Ports::parse_list("local_port", text)),
            remote_port: self
                .field(raw.remote_port.as_ref(), |text| Ports::parse_list("remote_port", text)),
            mac: self.field(raw.mac.as_ref(), |text| Mac::parse_list("mac", text)),
        }
    }

    fn field<T: Default, E: ToString>(
        &mut self,
        text: Option<&Placed<String>>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> T {
        let Some(text) = text else { return T::default() };
        parse(&text.value).unwrap_or_else(|error| {
            self.problems.push(self.file.problem(text.place, error.to_string()));
            T::default()
        })
    }
}
