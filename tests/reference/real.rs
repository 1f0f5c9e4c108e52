//! The engine itself: the rules as their loader reads them, and the machine under a clock that the
//! story sets. Captures are pretended: they end when their time is over.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hindsight::clock::{BootTime, Now, WallTime};
use hindsight::model::{
    CaptureId, Change, Decision, Event, EventId, Report, Status, StopReason, Totals,
};
use hindsight::rules::RuleSet;
use hindsight::session::{Action, Ceilings, Effects, FreeDisk, Input, Machine, Settings, Space};

use crate::kept::Kept;
use crate::model::{Line, fingerprint};
use crate::story::{self, Step, Story};

/// 2026-11-23T12:00:00Z, in nanoseconds: a full hour, as the model has it.
const START: i64 = 1_795_435_200_000_000_000;

const ROOMY: Space = Space { free_bytes: 1 << 60, total_bytes: 1 << 60, spool_bytes: 0 };

struct Running {
    trigger_at: WallTime,
    until: WallTime,
}

pub(crate) struct Real<'s> {
    rules: RuleSet,
    story: &'s Story,
    machine: Machine,
    kept: Kept,
    /// Milliseconds since the start of the story, and of the machine's host.
    now: u64,
    booted: u64,
    restarts: u64,
    numbers: BTreeMap<CaptureId, (usize, usize)>,
    running: BTreeMap<CaptureId, Running>,
    pub(crate) lines: Vec<Line>,
}

impl<'s> Real<'s> {
    pub(crate) fn play(story: &'s Story, rules: RuleSet) -> Self {
        let mut real = Self {
            rules,
            story,
            machine: Machine::new(settings(story), 7),
            kept: Kept::default(),
            now: 0,
            booted: 0,
            restarts: 0,
            numbers: BTreeMap::new(),
            running: BTreeMap::new(),
            lines: Vec::new(),
        };
        let mut number = 0;
        for step in &story.steps {
            match step {
                Step::Wait(span) => real.wait(*span),
                Step::Event(event) => {
                    real.event(number, event);
                    number += 1;
                }
                Step::Restart => real.restart(),
            }
        }
        real
    }

    fn clock(&self) -> Now {
        // Another number after each restart: only differences may count.
        let boot = Duration::from_millis(self.now - self.booted + 1_000_000 * (self.restarts + 1));
        Now {
            boot: BootTime::from_duration(boot),
            wall: WallTime::from_nanos(START) + Duration::from_millis(self.now),
        }
    }

    fn wait(&mut self, span: u64) {
        let end = self.now + span;
        loop {
            let wall = self.clock().wall;
            let ends = self.running.values().map(|running| millis(running.until.since(wall)));
            let boot = self.clock().boot;
            // What is due now was done by the last turn.
            let due = self.machine.next_deadline().map(|due| millis(due.since(boot)).max(1));
            let Some(next) = ends.chain(due).min().filter(|next| self.now + next <= end) else {
                break;
            };
            self.now += next;
            let wall = self.clock().wall;
            let over = self.running.iter().filter(|(_, running)| running.until <= wall);
            let over: Vec<CaptureId> = over.map(|(id, _)| id.clone()).collect();
            let over: Vec<Input> =
                over.into_iter().filter_map(|id| self.end(&id, StopReason::TimeExceeded)).collect();
            self.turn(over, None);
        }
        self.now = end;
    }

    fn event(&mut self, number: usize, event: &story::Event) {
        let at = self.clock().wall;
        let mut labels = BTreeMap::from([
            ("a".to_owned(), event.a.to_owned()),
            ("g".to_owned(), event.g.to_owned()),
            ("h".to_owned(), event.h.to_owned()),
        ]);
        labels.extend(event.k.map(|k| ("k".to_owned(), k.to_owned())));
        let event = Event {
            id: EventId::from_text(format!("event {number}")),
            source: "plant".to_owned(),
            name: "Alert".to_owned(),
            status: if event.resolved { Status::Resolved } else { Status::Firing },
            severity: None,
            labels,
            annotations: BTreeMap::new(),
            value: event.value.map(f64::from),
            starts_at: None,
            received_at: at,
            fingerprint: fingerprint(event),
            payload: String::new(),
        };
        let verdicts = self.rules.decide(&event);
        self.turn(vec![Input::Space(ROOMY), Input::Event { event, verdicts }], Some(number));
    }

    fn restart(&mut self) {
        self.booted = self.now;
        self.restarts += 1;
        self.machine = Machine::new(settings(self.story), 7 + self.restarts);
        let now = self.clock();
        self.machine.restore(self.kept.saved(), now);
        for id in std::mem::take(&mut self.running).into_keys() {
            let (index, rule) = self.numbers[&id];
            self.say(None, Some(rule), format!("ended {index} interrupted"));
        }
        self.turn(Vec::new(), None);
    }

    fn say(&mut self, event: Option<usize>, rule: Option<usize>, what: impl Into<String>) {
        self.lines.push(Line { at: self.now, event, rule, what: what.into() });
    }

    fn turn(&mut self, inputs: Vec<Input>, event: Option<usize>) {
        let mut inputs = VecDeque::from(inputs);
        loop {
            let mut effects = Effects::default();
            let now = self.clock();
            for input in inputs.drain(..) {
                self.machine.apply(input, now, &mut effects);
            }
            self.machine.settle(now, &mut effects);
            effects.changes.iter().for_each(|change| self.kept.write(change));
            for action in &effects.actions {
                if let Action::Begin(capture) = action {
                    let next = self.numbers.len();
                    let rule = number_of(&capture.plan.rule);
                    self.numbers.insert(capture.id.clone(), (next, rule));
                    assert_eq!(capture.plan.trigger_at, now.wall, "the trigger of a begin");
                }
            }
            for change in effects.changes {
                if let Change::Outcome(outcome) = change {
                    let rule = outcome.rule.as_deref().map(number_of);
                    let what = self.words(&outcome.decision);
                    self.say(event, rule, what);
                } else if let Change::CameDue { rule, decision, .. } = change {
                    let what = self.words(&decision);
                    self.say(None, Some(number_of(&rule)), what);
                }
            }
            for action in effects.actions {
                inputs.extend(self.act(action));
            }
            if inputs.is_empty() {
                return;
            }
        }
    }

    fn words(&self, decision: &Decision) -> String {
        let number = |id: &CaptureId| {
            let number = self.numbers.get(id).map(|(number, _)| *number);
            format!("{} {}", decision.word(), number.expect("it began"))
        };
        match decision {
            Decision::Capture(id)
            | Decision::Coalesced(id)
            | Decision::Extended(id)
            | Decision::Queued(id) => number(id),
            Decision::Suppressed(why) => format!("suppressed {}", why.word()),
            other => other.word().to_owned(),
        }
    }

    fn act(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Begin(capture) => {
                let plan = &capture.plan;
                let running = Running { trigger_at: plan.trigger_at, until: plan.until() };
                self.running.insert(capture.id.clone(), running);
                Some(Input::Engine(Report::Started {
                    capture: capture.id,
                    held_from: plan.from(),
                    interfaces: Vec::new(),
                }))
            }
            Action::Extend { capture, duration } => {
                let running = self.running.get_mut(&capture).expect("only what runs is extended");
                running.until = running.until.max(running.trigger_at + duration);
                None
            }
            Action::Stop { capture, reason } => self.end(&capture, reason),
            Action::SealLeftovers { capture, .. } => {
                Some(Input::Leftovers { capture, files: Vec::new(), error: None })
            }
            Action::Send(notice) => {
                Some(Input::Notified { notice: notice.id.clone(), result: Ok(()) })
            }
            Action::Upload { .. }
            | Action::Remove { .. }
            | Action::Ended(_)
            | Action::GivenUp(_) => None,
        }
    }

    fn end(&mut self, id: &CaptureId, reason: StopReason) -> Option<Input> {
        self.running.remove(id)?;
        let (index, rule) = self.numbers[id];
        let why = match reason {
            StopReason::TimeExceeded => "time",
            StopReason::AlertResolved => "resolved",
            other => panic!("a capture ended with {other}"),
        };
        self.say(None, Some(rule), format!("ended {index} {why}"));
        Some(Input::Engine(Report::Ended {
            capture: id.clone(),
            reason,
            error: None,
            totals: Totals::default(),
            interfaces: Vec::new(),
        }))
    }
}

fn number_of(rule: &str) -> usize {
    rule.trim_start_matches('r').parse().unwrap()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap()
}

fn settings(story: &Story) -> Settings {
    Settings::new(Ceilings {
        duration: Duration::from_secs(story.longest),
        bytes: 1 << 30,
        concurrent: story.concurrent,
        captures_per_hour: story.per_hour,
        spool_bytes: 1 << 50,
        free_disk: FreeDisk::Percent(0),
    })
}
