//! What becomes of a proposal: it joins what runs, waits, begins a capture, or is refused.
//!
//! Looked at in this order: the capture that runs for the group, its cooldown, what its rule waits for,
//! `max_captures`, the ceilings, the room on the disk. [`Machine::weigh`] looks and changes nothing,
//! so that a preview says what would be decided; [`Machine::propose`] acts on it. What
//! comes due after waiting passes the same gate once more ([`Machine::begin_due`]), and where it is
//! refused then, summaries count it: its events' outcomes have said that they are held or queued.
//!
//! - What is due comes before an event of the same instant, and before the batch ends.
//! - `for` begins its capture as of the instant at which it came due, a queue as of that at which the
//!   machine finds the capture ended and the cooldown over.
//! - With `for` and `times` an event that waits is held until an instant; with `times` alone, by count.
//! - An event in the cooldown is suppressed also where another one is queued, and replaces nothing.
//! - A group that has come often enough and is refused begins to count anew.
//! - A trial counts for its rule's cooldown and `max_captures` as long as the rule is tried out, is
//!   held to the hourly ceiling with captures and trials together, and takes no place from captures.
//! - What waits over a restart goes on by the rule as it was, if there still is one of that name; a
//!   reload drops what waits for a rule that it changes or removes.

use std::time::Duration;

use crate::clock::Now;
use crate::model::{
    Capture, CaptureId, Change, Decision, Event, Hold, Proposal, Suppression, Wait, WhileRunning,
};

use super::admission::Standing;
use super::machine::is_running;
use super::waits::Arrival;
use super::{Action, Effects, Machine};

/// What a summary calls a capture that a rule which is only tried out would have made.
const DRY_RUN: &str = "dry_run";

/// The least by which an event extends a capture: a storm shall not make each of its events a change.
const LEAST_EXTENSION: Duration = Duration::from_secs(1);

/// The word on one proposal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    Joins(CaptureId),
    /// The capture goes on until so long after its trigger.
    Extends(CaptureId, Duration),
    Queues(CaptureId),
    Waits(Hold),
    Refused(Suppression),
    /// Nothing stands against it.
    Begins,
}

impl Machine {
    /// Says what would become of a proposal; changes nothing.
    pub(super) fn weigh(&self, proposal: &Proposal, now: Now) -> Word {
        if let Some(word) = self.weigh_incident(proposal, now) {
            return word;
        }
        match self.waits.weigh(proposal, now) {
            Arrival::Held(hold) => Word::Waits(hold),
            Arrival::Full => Word::Refused(Suppression::GroupCeiling),
            Arrival::Enough => self.weigh_limits(proposal, now),
        }
    }

    /// What an open incident of its group makes of a proposal.
    fn weigh_incident(&self, proposal: &Proposal, now: Now) -> Option<Word> {
        let is_running = |id: &CaptureId| self.is_running(id);
        let dry_run = proposal.policy.dry_run;
        match self.gate.standing(&proposal.group, dry_run, is_running, now) {
            Standing::Runs(id) => Some(self.weigh_running(proposal, id)),
            Standing::Cooldown => Some(Word::Refused(Suppression::Cooldown)),
            Standing::Closed => None,
        }
    }

    /// What the rule, the ceilings and the disk make of a proposal that would begin a capture.
    fn weigh_limits(&self, proposal: &Proposal, now: Now) -> Word {
        let (policy, rule) = (&proposal.policy, &proposal.plan.rule);
        let is_full = |quota| !self.quotas.allows(rule, quota, policy.dry_run, now);
        let refused = if policy.max_captures.is_some_and(is_full) {
            Some(Suppression::MaxCaptures)
        } else {
            let refused = self.gate.refuses(self.running().count(), policy.dry_run, now);
            refused.or_else(|| self.room.refuses(proposal.plan.limits.bytes))
        };
        refused.map_or(Word::Begins, Word::Refused)
    }

    fn weigh_running(&self, proposal: &Proposal, id: &CaptureId) -> Word {
        let joins = || Word::Joins(id.clone());
        match proposal.policy.while_running {
            // A rule that is tried out changes no capture that it began before.
            WhileRunning::Extend { .. } if proposal.policy.dry_run => joins(),
            WhileRunning::Extend { up_to } => {
                let Some(capture) = self.captures.get(id) else { return joins() };
                let (plan, ceiling) = (&capture.plan, self.settings.ceilings.duration);
                let asked = proposal.plan.until().since(plan.trigger_at);
                let duration = asked.min(up_to).min(ceiling);
                if duration >= plan.limits.duration.saturating_add(LEAST_EXTENSION) {
                    Word::Extends(id.clone(), duration)
                } else {
                    joins()
                }
            }
            WhileRunning::Ignore => joins(),
            WhileRunning::Queue if self.waits.has_room_for(&proposal.group) => {
                Word::Queues(id.clone())
            }
            WhileRunning::Queue => Word::Refused(Suppression::GroupCeiling),
        }
    }

    /// Acts on a proposal that `event` has led to, whose plan gets the event only where it is kept: most
    /// events of a storm join what runs.
    pub(super) fn propose(
        &mut self,
        event: &Event,
        mut proposal: Box<Proposal>,
        now: Now,
        effects: &mut Effects,
    ) -> Decision {
        match self.weigh(&proposal, now) {
            Word::Joins(id) => {
                self.change(&id, |capture| capture.coalesced += 1);
                Decision::Coalesced(id)
            }
            Word::Extends(id, duration) => {
                self.change(&id, |capture| {
                    capture.coalesced += 1;
                    capture.plan.limits.duration = duration;
                });
                effects.actions.push(Action::Extend { capture: id.clone(), duration });
                Decision::Extended(id)
            }
            Word::Queues(id) => {
                let cooldown_until = self.gate.cooldown_until(&proposal.group);
                proposal.plan.event_json = event.shown();
                self.waits.queue(proposal, cooldown_until.unwrap_or(now.boot));
                Decision::Queued(id)
            }
            Word::Waits(hold) => {
                proposal.plan.event_json = event.shown();
                self.waits.hold(proposal, now);
                Decision::Held(hold)
            }
            word @ (Word::Refused(_) | Word::Begins) => {
                // It has come often enough; that it is refused lets it begin anew.
                self.waits.end(&proposal.group, Wait::Hold);
                if word == Word::Begins {
                    proposal.plan.event_json = event.shown();
                }
                self.carry_out(word, *proposal, now, effects)
            }
        }
    }

    /// Begins what has waited long enough. What is due while the worker stops waits for the next start.
    pub(super) fn begin_due(&mut self, now: Now, effects: &mut Effects) {
        if self.is_stopping() {
            return;
        }
        loop {
            let (gate, captures, leftovers) = (&self.gate, &self.captures, &self.leftovers);
            let runs = |id: &CaptureId| is_running(captures, leftovers, id);
            let ready =
                self.waits.next_ready(now.boot, |group| gate.capture_of(group).is_some_and(runs));
            let Some(ready) = ready else { return };
            let mut proposal = *ready.proposal;
            let at = now.wall - now.boot.since(ready.at);
            let plan = &mut proposal.plan;
            if proposal.policy.from_start {
                plan.look_back = plan.look_back.saturating_add(at.since(plan.trigger_at));
            }
            plan.trigger_at = at;
            let rule = proposal.plan.rule.clone();
            let word = self.weigh_incident(&proposal, now);
            let word = word.unwrap_or_else(|| self.weigh_limits(&proposal, now));
            let decision = self.carry_out(word, proposal, now, effects);
            effects.changes.push(Change::CameDue { rule, at, decision });
        }
    }

    /// Acts on the word on a proposal that waits for nothing.
    fn carry_out(
        &mut self,
        word: Word,
        proposal: Proposal,
        now: Now,
        effects: &mut Effects,
    ) -> Decision {
        match word {
            Word::Begins if proposal.policy.dry_run => {
                self.open(&proposal, None, now, effects);
                let plan = &proposal.plan;
                self.count_suppressed(&plan.rule, &plan.notify, DRY_RUN, now);
                Decision::DryRun
            }
            Word::Begins => Decision::Capture(self.admit(proposal, now, effects)),
            Word::Refused(why) => {
                let plan = &proposal.plan;
                self.count_suppressed(&plan.rule, &plan.notify, why.word(), now);
                Decision::Suppressed(why)
            }
            // Nothing begins for a group whose capture runs: what has waited belongs to it.
            Word::Joins(id) | Word::Extends(id, _) | Word::Queues(id) => {
                self.change(&id, |capture| capture.coalesced += 1);
                Decision::Coalesced(id)
            }
            Word::Waits(hold) => Decision::Held(hold),
        }
    }

    fn admit(&mut self, proposal: Proposal, now: Now, effects: &mut Effects) -> CaptureId {
        let (id, name) = loop {
            let id = CaptureId::mint(now.wall, [self.random.next(), self.random.next()]);
            let tail = &id.as_str()[id.as_str().len() - 6..];
            let name = format!("{}-{}-{tail}", proposal.plan.rule, now.wall.compact());
            // A person may have given this very name.
            if !self.names.contains_key(&name) {
                break (id, name);
            }
        };
        self.open(&proposal, Some(&id), now, effects);
        self.begin(Capture::pending(id.clone(), name, proposal.plan, now.wall), effects);
        id
    }

    /// Opens the incident of a proposal. One of a rule that is tried out counts for that rule, and
    /// takes no other rule's place under the ceilings.
    fn open(
        &mut self,
        proposal: &Proposal,
        capture: Option<&CaptureId>,
        now: Now,
        effects: &mut Effects,
    ) {
        let (policy, rule) = (&proposal.policy, &proposal.plan.rule);
        if let Some(quota) = policy.max_captures {
            let begun = self.quotas.count(rule, quota, policy.dry_run, now);
            effects.changes.push(Change::Begun(begun));
        }
        effects.changes.push(Change::Group(self.gate.open(proposal, capture, now)));
    }

    /// Begins a capture that was admitted and counted.
    pub(super) fn begin(&mut self, capture: Capture, effects: &mut Effects) {
        let id = capture.id.clone();
        self.room.promise(id.clone(), capture.plan.limits.bytes);
        self.names.insert(capture.name.clone(), id.clone());
        effects.changes.push(Change::Capture(Box::new(capture.clone())));
        effects.actions.push(Action::Begin(Box::new(capture.clone())));
        self.captures.insert(id, capture);
    }
}
