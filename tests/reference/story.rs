//! Random rules, events and clocks: what both sides are given.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;

/// A rule, with what of the language the model knows. Times in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) enabled: bool,
    /// The label `a` has to be this.
    pub(crate) matches: Option<&'static str>,
    pub(crate) when: Option<When>,
    pub(crate) host: Option<Host>,
    pub(crate) hold: Option<u64>,
    pub(crate) times: Option<(u32, u64)>,
    /// By the label `g`; otherwise the fingerprint is the group.
    pub(crate) grouped: bool,
    pub(crate) cooldown: u64,
    pub(crate) max_captures: Option<(u32, u64)>,
    pub(crate) while_running: Running,
    pub(crate) max_duration: Option<u64>,
    pub(crate) stops: bool,
    /// Active in the first half of each hour only.
    pub(crate) half_hours: bool,
    pub(crate) dry_run: bool,
    pub(crate) duration: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// `value > 5.0`: false or, without a value, no truth value.
    Value,
    /// `labels.k == "1"`: no truth value where the label is missing.
    Label,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Hosts with the label site = a, which this one has.
    Here,
    /// Hosts with the label site = b, which this one has not.
    Elsewhere,
    /// The host that the event's label `h` names.
    Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Running {
    Extend,
    Ignore,
    Queue,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) resolved: bool,
    pub(crate) a: &'static str,
    pub(crate) g: &'static str,
    pub(crate) k: Option<&'static str>,
    pub(crate) h: &'static str,
    pub(crate) value: Option<i32>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Milliseconds.
    Wait(u64),
    Event(Event),
    /// The worker dies and starts again at once.
    Restart,
}

/// All that a history is made of.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) rules: Vec<Rule>,
    pub(crate) dry_run: bool,
    pub(crate) concurrent: usize,
    pub(crate) per_hour: usize,
    /// In seconds; no rule passes it.
    pub(crate) longest: u64,
    pub(crate) steps: Vec<Step>,
}

/// The host of every story, and the ceiling of a capture's duration.
pub(crate) const HOST: &str = "edge-7";
pub(crate) const LONGEST: u64 = 120;

pub(crate) fn story() -> impl Strategy<Value = Story> {
    let ceilings = (
        prop_oneof![1 => Just(1_usize), 3 => Just(8)],
        prop_oneof![1 => 2..5_usize, 2 => Just(100)],
    );
    (vec(rule(), 1..4), weighted(0.1, Just(())), ceilings, vec(step(), 1..60)).prop_map(
        |(rules, dry_run, (concurrent, per_hour), steps)| Story {
            rules,
            dry_run: dry_run.is_some(),
            concurrent,
            per_hour,
            longest: LONGEST,
            steps,
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    let which = (
        weighted(0.95, Just(())),
        weighted(0.3, prop_oneof![Just("x"), Just("y")]),
        weighted(0.3, prop_oneof![Just(When::Value), Just(When::Label)]),
        weighted(
            0.2,
            prop_oneof![2 => Just(Host::Here), 1 => Just(Host::Elsewhere), 3 => Just(Host::Named)],
        ),
        weighted(0.15, Just(())),
    );
    let waits = (
        weighted(0.4, prop_oneof![Just(5_u64), Just(20), Just(60)]),
        weighted(0.3, (2..4_u32, prop_oneof![Just(10_u64), Just(60)])),
    );
    let limits = (
        weighted(0.8, Just(())),
        prop_oneof![2 => Just(0_u64), 1 => Just(15), 2 => Just(90)],
        weighted(0.3, (1..4_u32, prop_oneof![Just(100_u64), Just(3600)])),
    );
    let runs = (
        prop_oneof![Just(Running::Extend), Just(Running::Ignore), Just(Running::Queue)],
        of(prop_oneof![Just(40_u64), Just(100)]),
        any::<bool>(),
        weighted(0.1, Just(())),
        prop_oneof![Just(5_u64), Just(10), Just(30)],
    );
    (which, waits, limits, runs).prop_map(
        |(
            (enabled, matches, when, host, half_hours),
            (hold, times),
            (grouped, cooldown, max_captures),
            (while_running, max_duration, stops, dry_run, duration),
        )| {
            let grouped = grouped.is_some();
            Rule {
                enabled: enabled.is_some(),
                matches,
                when,
                host,
                hold,
                times,
                grouped,
                cooldown: if grouped { cooldown } else { 0 },
                max_captures,
                while_running,
                max_duration,
                stops,
                half_hours: half_hours.is_some(),
                dry_run: dry_run.is_some(),
                duration,
            }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (
        weighted(0.15, Just(())),
        prop_oneof![Just("x"), Just("y")],
        prop_oneof![3 => Just("1"), 1 => Just("2")],
        weighted(0.9, prop_oneof![3 => Just("1"), 1 => Just("0")]),
        prop_oneof![3 => Just("edge-7:9100"), 1 => Just("edge-8")],
        weighted(0.9, prop_oneof![3 => Just(7), 1 => Just(3)]),
    )
        .prop_map(|(resolved, a, g, k, h, value)| Event {
            resolved: resolved.is_some(),
            a,
            g,
            k,
            h,
            value,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Whole and half seconds, so that events come at the very instants at which things are due.
        6 => (0..24_u64).prop_map(|halves| Step::Wait(halves * 500)),
        3 => (1..25_u64).prop_map(|fives| Step::Wait(fives * 5_000)),
        1 => Just(Step::Wait(1_900_000)),
        14 => event().prop_map(Step::Event),
        1 => Just(Step::Restart),
    ]
}

impl Story {
    pub(crate) fn name(index: usize) -> String {
        format!("r{index}")
    }

    /// The rules as a file.
    pub(crate) fn yaml(&self) -> String {
        let mut text = "version: 1\nrules:\n".to_owned();
        for (index, rule) in self.rules.iter().enumerate() {
            rule.write(&Self::name(index), &mut text);
        }
        text
    }
}

impl Rule {
    fn write(&self, name: &str, text: &mut String) {
        let mut line = |line: String| writeln!(text, "{line}").unwrap();
        line(format!("  - name: {name}"));
        line("    source: [plant]".to_owned());
        if !self.enabled {
            line("    enabled: false".to_owned());
        }
        if let Some(value) = self.matches {
            line(format!("    match: [a = {value}]"));
        }
        match self.when {
            Some(When::Value) => line("    when: value > 5.0".to_owned()),
            Some(When::Label) => line("    when: labels.k == \"1\"".to_owned()),
            None => {}
        }
        match self.host {
            Some(Host::Here) => line("    host: { match: [site = a] }".to_owned()),
            Some(Host::Elsewhere) => line("    host: { match: [site = b] }".to_owned()),
            Some(Host::Named) => line("    host: { named_by: h }".to_owned()),
            None => {}
        }
        if let Some(hold) = self.hold {
            line(format!("    for: {hold}s"));
        }
        if let Some((count, within)) = self.times {
            line(format!("    times: {{ count: {count}, within: {within}s }}"));
        }
        if self.grouped {
            line("    group_by: [g]".to_owned());
        }
        if self.cooldown > 0 {
            line(format!("    cooldown: {}s", self.cooldown));
        }
        if let Some((count, per)) = self.max_captures {
            line(format!("    max_captures: {{ count: {count}, per: {per}s }}"));
        }
        let word = match self.while_running {
            Running::Extend => "extend",
            Running::Ignore => "ignore",
            Running::Queue => "queue",
        };
        line(format!("    while_running: {word}"));
        line(format!("    on_resolved: {}", if self.stops { "stop" } else { "keep" }));
        if self.half_hours {
            line("    active: { cron: [\"* 0-29 * * * *\"], timezone: UTC }".to_owned());
        }
        if self.dry_run {
            line("    dry_run: true".to_owned());
        }
        let max = self.max_duration.filter(|_| self.while_running == Running::Extend);
        let max = max.map(|max| format!(", max_duration: {max}s")).unwrap_or_default();
        line(format!("    capture: {{ limits: {{ duration: {}s{max} }} }}", self.duration));
    }
}
