//! The clock that a test sets, and what happens while it moves.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clock::calendar::{Cron, Zone};
use crate::clock::{BootTime, Now, WallTime};
use crate::model::{
    CapturePlan, Change, Decision, Event, EventId, Outcome, Status, StopReason, Verdict,
};
use crate::random::Sequence;
use crate::rules::{RuleSet, SCHEDULE_LABEL, SCHEDULE_SOURCE};
use crate::session::{self, Action, Effects, Input, Machine, Space};
use crate::source::{self, Content};

use super::engine::{Ended, Engine};
use super::event::Incoming;
use super::happening::{Happened, Happening, Over};

/// The clock that nobody sets is here at the start: not at its own beginning, as on a real host.
const BOOT: Duration = Duration::from_secs(1_000_000);

/// All identifiers grow from this, so that the same test is the same every time.
const SEED: u64 = 20_261_122;

/// A disk on which there always is room: tests are about rules.
const ROOMY: Space = Space { free_bytes: 1 << 60, total_bytes: 1 << 60, spool_bytes: 0 };

/// The machine, its engine and their clock.
#[derive(Debug)]
pub(super) struct World<'a> {
    rules: &'a RuleSet,
    sources: &'a BTreeMap<String, source::Settings>,
    machine: Machine,
    engine: Engine,
    noise: Sequence,
    start: WallTime,
    /// Since the start.
    elapsed: Duration,
    /// When each schedule comes next.
    schedules: Vec<Scheduled<'a>>,
}

/// A schedule, and when it comes next.
#[derive(Debug)]
struct Scheduled<'a> {
    rule: &'a str,
    cron: &'a Cron,
    zone: &'a Zone,
    next: Option<WallTime>,
}

/// What a turn is about: the plans that its rules proposed.
#[derive(Debug, Default)]
struct Proposed {
    by_rule: BTreeMap<String, Box<CapturePlan>>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        rules: &'a RuleSet,
        sources: &'a BTreeMap<String, source::Settings>,
        ceilings: session::Ceilings,
        start: WallTime,
    ) -> Self {
        let machine = Machine::new(session::Settings::new(ceilings), SEED);
        Self {
            rules,
            sources,
            machine,
            engine: Engine::default(),
            noise: Sequence::new(SEED),
            start,
            elapsed: Duration::ZERO,
            schedules: rules
                .schedules()
                .map(|(rule, cron, zone)| {
                    let next = cron.next_after(start, zone);
                    Scheduled { rule, cron, zone, next }
                })
                .collect(),
        }
    }

    fn now(&self) -> Now {
        Now { boot: BootTime::from_duration(BOOT) + self.elapsed, wall: self.start + self.elapsed }
    }

    /// Lets the time pass, with all that is due until then, in its order.
    pub(super) fn advance(&mut self, to: Duration, happened: &mut Happened) {
        let start = BootTime::from_duration(BOOT);
        loop {
            let end = self.engine.next_end().map(|(at, id)| (at.since(self.start), id.clone()));
            let deadline = self.machine.next_deadline().map(|due| due.since(start));
            // A turn just left nothing due; what still says so waits for the clock to move.
            let deadline = deadline.map(|due| due.max(self.elapsed + Duration::from_nanos(1)));
            let scheduled = self.schedules.iter().filter_map(|schedule| schedule.next).min();
            let scheduled = scheduled.map(|at| at.since(self.start));
            let next = end.iter().map(|(at, _)| *at).chain(deadline).chain(scheduled).min();
            let Some(next) = next.filter(|next| *next <= to) else { break };
            self.elapsed = self.elapsed.max(next);
            let over = end.filter(|(at, _)| *at <= self.elapsed);
            let inputs = over.and_then(|(_, id)| {
                let ended = self.engine.stop(&id, StopReason::TimeExceeded, self.now().wall);
                ended.map(|ended| self.over(ended, happened))
            });
            let by_time = self.turn(inputs.into_iter().collect(), &Proposed::default(), happened);
            happened.by_time.extend(by_time);
            for event in self.scheduled() {
                let by_time = self.event(event, happened);
                happened.by_time.extend(by_time);
            }
        }
        self.elapsed = to;
    }

    /// The events of the schedules that have come.
    fn scheduled(&mut self) -> Vec<Event> {
        let now = self.now().wall;
        let mut events = Vec::new();
        for schedule in &mut self.schedules {
            if let Some(at) = schedule.next.filter(|at| *at <= now) {
                let id = EventId::mint(now, [self.noise.next(), self.noise.next()]);
                events.push(event_of(schedule.rule, id, at));
                schedule.next = schedule.cron.next_after(at, schedule.zone);
            }
        }
        events
    }

    /// Lets a message arrive.
    pub(super) fn arrive(&mut self, incoming: &Incoming, happened: &mut Happened) {
        let noise = [self.noise.next(), self.noise.next()];
        match incoming.arrive(self.start, self.now().wall, noise) {
            Content::Events(events) => {
                for event in events {
                    let decided = self.event(event, happened);
                    happened.on_events.extend(decided);
                }
            }
            Content::Rejected(rejected) => {
                let inputs = vec![Input::Rejected(rejected)];
                let decided = self.turn(inputs, &Proposed::default(), happened);
                happened.on_events.extend(decided);
            }
            // Formats give none: a broker's word on its session is no message.
            Content::Session { .. } => {}
        }
    }

    fn event(&mut self, event: Event, happened: &mut Happened) -> Vec<Happening> {
        let verdicts = self.rules.decide(&event);
        let mut proposed = Proposed::default();
        for verdict in &verdicts {
            if let Verdict::Capture(proposal) = verdict {
                let plan = Box::new(proposal.plan.clone());
                proposed.by_rule.insert(verdict.rule().to_owned(), plan);
            }
        }
        let allowed = self.sources.get(&event.source);
        let allowed = allowed.and_then(source::Settings::max_event_age);
        let inputs = vec![Input::Space(ROOMY), Input::judged(event, verdicts, allowed)];
        self.turn(inputs, &proposed, happened)
    }

    /// One turn of the worker's loop: news in, changes seen, actions carried out, until all is quiet.
    fn turn(
        &mut self,
        inputs: Vec<Input>,
        proposed: &Proposed,
        happened: &mut Happened,
    ) -> Vec<Happening> {
        let mut decided = Vec::new();
        let mut inputs = VecDeque::from(inputs);
        loop {
            let mut effects = Effects::default();
            for input in inputs.drain(..) {
                self.machine.apply(input, self.now(), &mut effects);
            }
            self.machine.settle(self.now(), &mut effects);
            let Effects { changes, actions } = effects;
            for change in &changes {
                if let Change::Outcome(outcome) = change {
                    decided.push(self.happening(outcome, proposed));
                } else if let Change::CameDue { rule, decision, .. } = change {
                    happened.by_time.push(self.came_due(rule, decision));
                }
            }
            for action in actions {
                inputs.extend(self.act(action, &mut decided, happened));
            }
            if inputs.is_empty() {
                return decided;
            }
        }
    }

    fn happening(&self, outcome: &Outcome, proposed: &Proposed) -> Happening {
        let plan = outcome.rule.as_ref().and_then(|rule| proposed.by_rule.get(rule));
        Happening {
            at: self.elapsed,
            rule: outcome.rule.clone(),
            decision: outcome.decision.clone(),
            plan: plan.cloned(),
        }
    }

    /// Carries out an action; returns what the machine is told of it.
    fn act(
        &mut self,
        action: Action,
        decided: &mut [Happening],
        happened: &mut Happened,
    ) -> Option<Input> {
        match action {
            Action::Begin(capture) => {
                let of_it = |happening: &&mut Happening| matches!(&happening.decision, Decision::Capture(id) if *id == capture.id);
                // What came due was said beside the events.
                let said = decided.iter_mut().chain(&mut happened.by_time).find(of_it);
                if let Some(happening) = said {
                    happening.plan = Some(Box::new(capture.plan.clone()));
                }
                Some(Input::Engine(self.engine.begin(&capture)))
            }
            Action::Extend { capture, duration } => {
                self.engine.extend(&capture, duration);
                None
            }
            Action::Stop { capture, reason } => {
                let ended = self.engine.stop(&capture, reason, self.now().wall)?;
                Some(self.over(ended, happened))
            }
            Action::Send(notice) => {
                Some(Input::Notified { notice: notice.id.clone(), result: Ok(()) })
            }
            // Captures without files have nothing to seal, to store or to remove.
            Action::SealLeftovers { .. }
            | Action::Upload { .. }
            | Action::Remove { .. }
            | Action::Ended(_)
            | Action::GivenUp(_) => None,
        }
    }

    fn came_due(&self, rule: &str, decision: &Decision) -> Happening {
        Happening {
            at: self.elapsed,
            rule: Some(rule.to_owned()),
            decision: decision.clone(),
            plan: None,
        }
    }

    fn over(&self, ended: Ended, happened: &mut Happened) -> Input {
        let Ended { rule, reason, after, report } = ended;
        happened.over.push(Over { rule, reason, after });
        Input::Engine(report)
    }
}

/// What a schedule makes.
fn event_of(rule: &str, id: EventId, at: WallTime) -> Event {
    Event {
        id,
        source: SCHEDULE_SOURCE.to_owned(),
        name: rule.to_owned(),
        status: Status::Firing,
        severity: None,
        labels: BTreeMap::from([(SCHEDULE_LABEL.to_owned(), rule.to_owned())]),
        annotations: BTreeMap::new(),
        value: None,
        starts_at: Some(at),
        received_at: at,
        fingerprint: rule.to_owned(),
        payload: String::new(),
    }
}
