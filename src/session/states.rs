//! How the rules stand, and what would be decided: for people who ask, changing nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Now;
use crate::model::{CaptureId, Decision, GroupKey, RuleState, Suppression, Verdict, Wait};

use super::Machine;
use super::propose::Word;

impl Machine {
    /// How each rule stands of which anything is remembered; the others stand as
    /// [`RuleState::default`].
    pub fn rule_states(&self, now: Now) -> BTreeMap<String, RuleState> {
        let mut states: BTreeMap<String, RuleState> = BTreeMap::new();
        let mut at = |rule: &str, change: &mut dyn FnMut(&mut RuleState)| {
            if let Some(state) = states.get_mut(rule) {
                change(state);
            } else {
                change(states.entry(rule.to_owned()).or_default());
            }
        };
        for (rule, wait, begins) in self.waits.all() {
            let due = begins.map(|at| now.wall + at.since(now.boot));
            at(rule, &mut |state| match wait {
                Wait::Hold => {
                    state.waiting += 1;
                    state.next_due = state.next_due.into_iter().chain(due).min();
                }
                Wait::Queue => state.queued += 1,
            });
        }
        for (rule, left) in self.gate.cooldowns(now) {
            at(rule, &mut |state| {
                state.in_cooldown += 1;
                state.cooldown_left = state.cooldown_left.max(Some(left));
            });
        }
        for (rule, used) in self.quotas.uses(now) {
            at(rule, &mut |state| state.quota = Some(used));
        }
        // What people began by hand has no rule.
        for capture in self.running().filter(|capture| !capture.plan.rule.is_empty()) {
            at(&capture.plan.rule, &mut |state| state.running.push(capture.id.clone()));
        }
        states
    }

    /// How much of a group's cooldown is left; none where it is over.
    pub fn cooldown_left(&self, group: &GroupKey, now: Now) -> Option<Duration> {
        self.gate.cooldown_left(group, now)
    }

    /// What would be decided now on an event of which a rule says this. A capture that would begin
    /// has no identifier yet: [`Decision::Capture`] has an empty one.
    pub fn preview(&self, verdict: &Verdict, now: Now) -> Decision {
        match verdict {
            Verdict::Capture(proposal) => match self.weigh(proposal, now) {
                Word::Joins(id) => Decision::Coalesced(id),
                Word::Extends(id, _) => Decision::Extended(id),
                Word::Queues(id) => Decision::Queued(id),
                Word::Waits(hold) => Decision::Held(hold),
                Word::Refused(why) => Decision::Suppressed(why),
                Word::Begins if proposal.policy.dry_run => Decision::DryRun,
                Word::Begins => Decision::Capture(CaptureId::from_text("")),
            },
            Verdict::Resolved { group, .. } => match self.running_of(group) {
                Some(id) => Decision::Coalesced(id.clone()),
                None => Decision::Suppressed(Suppression::Resolved),
            },
            Verdict::Unmet { .. } => Decision::Suppressed(Suppression::Unmet),
            Verdict::Inactive { .. } => Decision::Suppressed(Suppression::Inactive),
            Verdict::Refused { reason, .. } => Decision::Refused(reason.clone()),
        }
    }

    /// Groups that wait before they capture, or for another capture.
    pub fn groups_waiting(&self) -> usize {
        self.waits.len()
    }
}
