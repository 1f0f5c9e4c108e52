//! The rules as they stand now, and what the state makes of an event that is none: questions that
//! change nothing.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::clock::{self, Now, WallTime};
use crate::model::{Decision, Suppression, Verdict};
use crate::rules::RuleInfo;
use crate::spawn;

use super::explain::{Expected, ExplainRequest, NotExplained, answer, expected, explained};
use super::standing::{RuleView, quota, remember, seconds, view};
use super::state::{ExplainAsker, Loop, Prepared, ToPreview};

/// The most payloads that are explained at one time: each takes as long as the rules are many, on a
/// thread beside the loop, and a copy of the rules.
const EXPLAINED_AT_ONCE: usize = 2;

impl Loop {
    /// Tells how each rule stands, in the order of the files.
    pub(super) fn tell_rules(&self, now: Now, reply: oneshot::Sender<Vec<RuleView>>) {
        let mut views = self.rule_views(now);
        let journal = self.journal.clone();
        self.ask("rules", reply, async move {
            let tallies = journal.tallies().await?;
            remember(&mut views, journal.last_decisions().await?, tallies);
            Ok(views)
        });
    }

    /// The rules but for what the journal knows.
    fn rule_views(&self, now: Now) -> Vec<RuleView> {
        let rules = &self.config.rules;
        let mut states = self.machine.rule_states(now);
        let next: BTreeMap<&str, Option<WallTime>> = rules
            .schedules()
            .map(|(rule, cron, zone)| (rule, cron.next_after(now.wall, zone)))
            .collect();
        let infos = rules.describe().into_iter().zip(rules.active_at(now.wall));
        let of_rule = |(info, is_active): (RuleInfo, bool)| {
            let state = states.remove(&info.name).unwrap_or_default();
            let next = next.get(info.name.as_str()).copied().flatten();
            view(info, is_active, next, state)
        };
        infos.map(of_rule).collect()
    }

    /// Explains a payload beside the loop; [`preview`](Self::preview) follows.
    pub(super) fn explain(&mut self, request: ExplainRequest, asker: ExplainAsker) {
        if self.explaining >= EXPLAINED_AT_ONCE {
            return drop(asker.send(Err(NotExplained::Busy)));
        }
        self.explaining += 1;
        let (rules, sources) = (self.config.rules.clone(), self.config.sources.clone());
        let prepared = self.prepared.clone();
        spawn::task("explain", async move {
            let work = move || explained(&rules, &sources, &request, clock::wall_time());
            let events = spawn::blocking(work).await.unwrap_or_else(|ended| {
                tracing::error!(%ended, "explaining an event failed inside");
                let why = "explaining it failed inside the worker; its log says where";
                Err(NotExplained::Unreadable(why.to_owned()))
            });
            // A loop that is gone answers nobody.
            drop(prepared.send(Prepared::Explained(ToPreview { events, asker })).await);
        });
    }

    /// Adds what would be decided now, and answers.
    pub(super) fn preview(&mut self, ready: ToPreview, now: Now) {
        self.explaining -= 1;
        let ToPreview { events, asker } = ready;
        let events = events.map(|events| answer(events, |verdict| Some(self.expect(verdict, now))));
        // Whoever asked may be gone.
        drop(asker.send(events));
    }

    /// What would be decided now on a verdict, with how long what stands against it goes on.
    fn expect(&self, verdict: &Verdict, now: Now) -> Expected {
        let decision = self.machine.preview(verdict, now);
        let Expected { decision: word, reason } = expected(&decision);
        let detail = match (&decision, verdict) {
            (Decision::Capture(_), _) => Some("a capture would begin".to_owned()),
            (Decision::Extended(capture), _) => {
                Some(format!("capture {capture} runs, and would run longer"))
            }
            (Decision::Coalesced(capture), Verdict::Capture(_)) => {
                Some(format!("capture {capture} runs, and the event would be one of its"))
            }
            (Decision::Suppressed(Suppression::Cooldown), Verdict::Capture(proposal)) => {
                let left = self.machine.cooldown_left(&proposal.group, now);
                left.map(|left| format!("the group is in its cooldown for {} more", seconds(left)))
            }
            (Decision::Suppressed(Suppression::MaxCaptures), Verdict::Capture(proposal)) => {
                let rule = &proposal.plan.rule;
                let state = self.machine.rule_states(now).remove(rule).unwrap_or_default();
                quota(&state)
            }
            _ => None,
        };
        Expected { decision: word, reason: detail.unwrap_or(reason) }
    }
}
