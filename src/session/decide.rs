//! What becomes of an event at each rule, and of the news of a source.

use std::time::Duration;

use crate::clock::Now;
use crate::model::{
    Capture, CaptureId, CapturePlan, Change, Decision, Event, EventId, GroupKey, Kind, OnResolved,
    Outcome, StopReason, Suppression, Verdict, Wait,
};

use super::{Action, Effects, Machine, Space};

/// Broker sessions that are remembered: more than anybody has sources, also after many changes of
/// the configuration.
const MAX_SESSIONS: usize = 1_000;

/// What a summary calls events that came too late.
const EXPIRED: &str = "expired";

/// What a summary calls the loss of a session.
const SESSION_LOST: &str = "session_lost";

impl Machine {
    pub(super) fn event(
        &mut self,
        event: &Event,
        verdicts: Vec<Verdict>,
        now: Now,
        effects: &mut Effects,
    ) {
        let outcome =
            |rule: Option<&str>, decision| Change::Outcome(Outcome::new(event, rule, decision));
        self.begin_due(now, effects);
        if verdicts.is_empty() {
            effects.changes.push(outcome(None, Decision::NoMatch));
        }
        for verdict in verdicts {
            let rule = verdict.rule().to_owned();
            let decision = match verdict {
                Verdict::Capture(proposal) => self.propose(event, proposal, now, effects),
                Verdict::Resolved { group, .. } => self.resolved(&group, effects),
                Verdict::Unmet { group, .. } => {
                    self.waits.break_off(&group);
                    Decision::Suppressed(Suppression::Unmet)
                }
                Verdict::Inactive { notify, .. } => {
                    let why = Suppression::Inactive;
                    self.count_suppressed(&rule, &notify, why.word(), now);
                    Decision::Suppressed(why)
                }
                Verdict::Refused { notify, cause, reason, .. } => {
                    self.count_suppressed(&rule, &notify, cause.word(), now);
                    Decision::Refused(reason)
                }
            };
            effects.changes.push(outcome(Some(&rule), decision));
        }
    }

    /// An event that is too old makes nothing, at whatever rule.
    pub(super) fn expired(
        &mut self,
        event: &Event,
        verdicts: &[Verdict],
        age: Duration,
        now: Now,
        effects: &mut Effects,
    ) {
        if verdicts.is_empty() {
            let outcome = Outcome::new(event, None, Decision::NoMatch);
            effects.changes.push(Change::Outcome(outcome));
        }
        for verdict in verdicts {
            let rule = verdict.rule();
            match verdict {
                Verdict::Capture(proposal) => {
                    self.count_suppressed(rule, &proposal.plan.notify, EXPIRED, now);
                }
                Verdict::Inactive { notify, .. } | Verdict::Refused { notify, .. } => {
                    self.count_suppressed(rule, notify, EXPIRED, now);
                }
                Verdict::Resolved { .. } | Verdict::Unmet { .. } => {}
            }
            let decision = Decision::Expired { age_s: age.as_secs() };
            effects.changes.push(Change::Outcome(Outcome::new(event, Some(rule), decision)));
        }
    }

    /// A source is connected: a session that we have had and that is gone took along what its broker
    /// held for us.
    pub(super) fn session(
        &mut self,
        source: String,
        key: String,
        present: bool,
        now: Now,
        effects: &mut Effects,
    ) {
        if !self.sessions.contains(&key) {
            if self.sessions.len() < MAX_SESSIONS {
                self.sessions.insert(key.clone());
                effects.changes.push(Change::BrokerSession(key));
            }
            return;
        }
        if present {
            return;
        }
        let notify = self.settings.default_notify.clone();
        let notify = self.wanting(&notify, Kind::UpstreamLoss);
        self.summaries.count(Kind::UpstreamLoss, &source, notify, SESSION_LOST, now);
        effects.changes.push(Change::Outcome(Outcome {
            event: EventId::mint(now.wall, [self.random.next(), self.random.next()]),
            at: now.wall,
            source,
            name: String::new(),
            fingerprint: key,
            rule: None,
            decision: Decision::UpstreamLoss,
        }));
    }

    /// What is free decides on new captures; where it is too little, those that run end, so that
    /// others on this host can go on and what was captured can be sealed.
    pub(super) fn sampled(&mut self, space: Space, effects: &mut Effects) {
        let left = |capture: &Capture| {
            let left = capture.plan.limits.bytes.saturating_sub(capture.totals.bytes);
            (capture.id.clone(), left)
        };
        let running: Vec<(CaptureId, u64)> = self.running().map(left).collect();
        self.room.sample(space, running.iter().cloned());
        if self.room.is_short() {
            let stop = |(capture, _)| Action::Stop { capture, reason: StopReason::NoSpace };
            effects.actions.extend(running.into_iter().map(stop));
        }
    }

    fn resolved(&mut self, group: &GroupKey, effects: &mut Effects) -> Decision {
        self.waits.break_off(group);
        self.waits.end(group, Wait::Queue);
        let Some(id) = self.running_of(group).cloned() else {
            return Decision::Suppressed(Suppression::Resolved);
        };
        let on_resolved = |plan: &CapturePlan| plan.on_resolved;
        let capture = self.captures.get(&id);
        match capture.map(|capture| on_resolved(&capture.plan)).unwrap_or_default() {
            OnResolved::Stop => {
                let (capture, reason) = (id.clone(), StopReason::AlertResolved);
                effects.actions.push(Action::Stop { capture, reason });
            }
            OnResolved::Keep => {}
        }
        self.change(&id, |capture| capture.coalesced += 1);
        Decision::Coalesced(id)
    }

    /// The capture that runs for a group, if one does.
    pub(super) fn running_of(&self, group: &GroupKey) -> Option<&CaptureId> {
        self.gate.capture_of(group).filter(|id| self.is_running(id))
    }

    pub(super) fn count_suppressed(
        &mut self,
        rule: &str,
        notify: &[String],
        reason: &str,
        now: Now,
    ) {
        let notify = self.wanting(notify, Kind::Suppressed);
        self.summaries.count(Kind::Suppressed, rule, notify, reason, now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Event, GroupKey, Policy, Proposal, Status};
    use crate::session::samples::{at, plan};
    use crate::session::{Ceilings, FreeDisk, Input, Settings};

    #[test]
    fn a_plan_that_is_kept_shows_its_event() {
        let ceilings = Ceilings {
            duration: Duration::from_secs(60),
            bytes: 1 << 20,
            concurrent: 1,
            captures_per_hour: 10,
            spool_bytes: 1 << 30,
            free_disk: FreeDisk::Bytes(0),
        };
        let mut machine = Machine::new(Settings::new(ceilings), 1);
        let event = Event {
            id: EventId::from_text("0event"),
            source: "plant".to_owned(),
            name: "Named".to_owned(),
            status: Status::Firing,
            severity: None,
            labels: [("peer".to_owned(), "10.0.0.7".to_owned())].into(),
            annotations: [].into(),
            value: None,
            starts_at: None,
            received_at: at(0).wall,
            fingerprint: "f00d".to_owned(),
            payload: String::new(),
        };
        let shown = event.shown();
        let proposal = Proposal {
            group: GroupKey::from_text("g"),
            policy: Policy::default(),
            plan: CapturePlan { event_json: String::new(), ..plan("web") },
        };
        let (mut effects, space) = (
            Effects::default(),
            Space { free_bytes: 1 << 40, total_bytes: 1 << 40, spool_bytes: 0 },
        );
        machine.apply(Input::Space(space), at(0), &mut effects);
        let verdicts = vec![Verdict::Capture(Box::new(proposal))];
        machine.apply(Input::Event { event, verdicts }, at(0), &mut effects);
        let [Action::Begin(begun)] = &effects.actions[..] else { panic!("{:?}", effects.actions) };
        assert_eq!(begun.plan.event_json, shown);
        assert!(!begun.plan.is_by_hand());
    }
}
