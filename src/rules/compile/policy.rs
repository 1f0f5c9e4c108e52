//! When a rule's events make a capture, and how many they make.

use std::time::Duration;

use crate::model::{Policy, Quota, Times, WhileRunning};
use crate::rules::compile::here::Here;
use crate::rules::filling::Length;
use crate::rules::limits::Extension;
use crate::rules::template::Template;
use crate::rules::{OnRunning, limits, raw};
use crate::units::Span;
use crate::yaml::Placed;

/// The longest that a group waits for its capture: what waits is remembered.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// The longest cooldown: a group is remembered as long.
const MAX_COOLDOWN: Duration = Duration::from_secs(31 * 86_400);

impl Here<'_, '_> {
    /// What admission asks of the rule's captures. How far they are extended follows from the
    /// duration of each.
    pub(super) fn policy(&mut self, rule: &Placed<raw::Rule>, extended: Duration) -> Policy {
        let raw = &rule.value;
        Policy {
            hold: raw.hold.as_ref().map(|hold| self.span("for", hold, MAX_WAIT)),
            times: raw.times.as_ref().map(|times| self.times(&times.value)),
            cooldown: self.cooldown(rule),
            max_captures: raw.max_captures.as_ref().map(|most| self.quota(&most.value)),
            while_running: match self.on_running(raw) {
                OnRunning::Extend => WhileRunning::Extend { up_to: extended },
                OnRunning::Ignore => WhileRunning::Ignore,
                OnRunning::Queue => WhileRunning::Queue,
            },
            dry_run: self.compiler.settings.dry_run || raw.dry_run.unwrap_or(false),
            from_start: raw
                .capture
                .look_back
                .as_ref()
                .is_some_and(|given| matches!(given.value, raw::LookBack::From(_))),
        }
    }

    /// How far events may extend the rule's captures.
    pub(super) fn extension(&mut self, rule: &Placed<raw::Rule>, template: &Template) -> Extension {
        let (defaults, known) = (&self.compiler.settings.defaults, self.compiler.known);
        let mut mistakes = Vec::new();
        let limits = &rule.value.capture.limits;
        let least = match &template.duration {
            Length::Given(duration) => Some(*duration),
            Length::Open { .. } => None,
        };
        let extension = limits::extension(limits, least, defaults, known, &mut mistakes);
        for mistake in mistakes {
            self.note(mistake.place, mistake.message).set_hint(mistake.hint);
        }
        if let Some(given) = &limits.max_duration
            && rule.whole
            && self.on_running(&rule.value) != OnRunning::Extend
        {
            self.note(given.place, "`max_duration` bounds how long events extend a capture")
                .set_hint("add `while_running: extend` to the rule, or remove the limit");
        }
        extension
    }

    fn on_running(&self, raw: &raw::Rule) -> OnRunning {
        let inherited = self.compiler.settings.defaults.while_running;
        raw.while_running.as_ref().map_or(inherited, |given| given.value)
    }

    fn times(&mut self, raw: &raw::Times) -> Times {
        Times {
            count: self.count("times.count", &raw.count, 2, Times::MAX_TIMES),
            within: self.span("times.within", &raw.within, MAX_WAIT),
        }
    }

    fn quota(&mut self, raw: &raw::MaxCaptures) -> Quota {
        Quota {
            count: self.count("max_captures.count", &raw.count, 1, Quota::MAX_COUNT),
            per: self.span("max_captures.per", &raw.per, Quota::MAX_PER),
        }
    }

    fn cooldown(&mut self, rule: &Placed<raw::Rule>) -> Duration {
        let raw = &rule.value;
        let Some(cooldown) = &raw.cooldown else {
            return Duration::ZERO;
        };
        if cooldown.value.0.is_zero() {
            return Duration::ZERO;
        }
        let groups = raw.schedule.is_some()
            || raw.group_by.as_ref().is_some_and(|labels| !labels.value.is_empty());
        if rule.whole && !groups {
            self.note(cooldown.place, "`cooldown` needs `group_by`").set_hint(
                "name the labels that make alerts the same incident, as in [alertname, instance]",
            );
        }
        self.span("cooldown", cooldown, MAX_COOLDOWN)
    }

    /// A length of time that is not none, and at most `most`.
    fn span(&mut self, key: &str, given: &Placed<Span>, most: Duration) -> Duration {
        if given.value.0.is_zero() {
            self.note(given.place, format!("`{key}` of 0s makes no sense"))
                .set_hint("give more, or remove the key");
        } else if given.value.0 > most {
            let message = format!("`{key}` {} is above {}, the longest", given.value, Span(most));
            self.note(given.place, message).set_hint("lower it");
        }
        given.value.0
    }

    fn count(&mut self, key: &str, given: &Placed<u32>, least: u32, most: u32) -> u32 {
        if !(least..=most).contains(&given.value) {
            let message = format!("`{key}` {} is not between {least} and {most}", given.value);
            let hint =
                if given.value < least { "give more, or remove the key" } else { "lower it" };
            self.note(given.place, message).set_hint(hint);
        }
        given.value
    }
}
