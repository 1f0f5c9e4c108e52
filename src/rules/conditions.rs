//! What a rule asks of an event: each condition alone, so that an answer can name the one that failed.

use crate::clock::WallTime;
use crate::model::Event;
use crate::rules::host::Host;
use crate::rules::matcher::Matcher;
use crate::rules::when::Facts;
use crate::rules::{Rule, SCHEDULE_SOURCE};

impl Rule {
    /// Why the rule never acts on this host: it is switched off, or is for others.
    pub(super) fn idle(&self) -> Option<&str> {
        self.idle.as_deref()
    }

    /// Whether events of the event's source concern it. Those of schedules concern only the rules that
    /// made them.
    pub(super) fn takes_source(&self, event: &Event) -> bool {
        if self.sources.is_empty() {
            event.source != SCHEDULE_SOURCE
        } else {
            self.sources.contains(&event.source)
        }
    }

    /// What all has to hold for the event's labels.
    pub(super) fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether the event means this host, where the rule asks for that.
    pub(super) fn means_host(&self, event: &Event, host: &Host) -> bool {
        self.named_by.as_ref().is_none_or(|label| host.is_meant_by(event.label(label)))
    }

    /// Whether the event concerns the rule at all: the conditions that the end of an alert has to meet
    /// as well.
    pub(super) fn concerns(&self, event: &Event, host: &Host) -> bool {
        self.idle.is_none()
            && self.takes_source(event)
            && self.matchers().iter().all(|matcher| matcher.holds(event))
            && self.means_host(event, host)
    }

    /// Whether its condition holds; a rule without one asks for nothing.
    ///
    /// # Errors
    /// It has no truth value for this event: why, for people.
    pub(super) fn condition_holds(&self, facts: &Facts<'_>) -> Result<bool, String> {
        self.condition.as_ref().map_or(Ok(true), |condition| condition.holds(facts))
    }

    /// Whether the rule is active at an instant.
    pub(super) fn is_active(&self, at: WallTime) -> bool {
        self.active.as_ref().is_none_or(|active| active.covers(at))
    }
}
