//! When a rule is active, and when its schedule is due.

use crate::clock::calendar::{Cron, Zone};
use crate::rules::active::{Active, Schedule};
use crate::rules::compile::here::Here;
use crate::rules::raw;
use crate::yaml::Placed;

/// The most cron expressions that say when one rule is active: each is asked at each of its events.
const MAX_CRONS: usize = 32;

impl Here<'_, '_> {
    pub(super) fn active(&mut self, raw: &raw::Active) -> Option<Active> {
        let texts = &raw.cron.value.0;
        if raw.cron.whole && texts.is_empty() {
            self.note(raw.cron.place, "no time is named")
                .set_hint("name one, as in \"* * 8-18 * * Mon-Fri\"");
        }
        if texts.len() > MAX_CRONS {
            let message = format!("these are {} expressions; at most {MAX_CRONS}", texts.len());
            self.note(raw.cron.place, message)
                .set_hint("say more with each, as in 8-18 or Mon,Wed");
        }
        let zone = self.zone(raw.timezone.as_ref());
        let crons: Vec<Cron> =
            texts.iter().take(MAX_CRONS).filter_map(|text| self.cron(text)).collect();
        Some(Active { crons, zone: zone? })
    }

    pub(super) fn schedule(&mut self, rule: &raw::Rule) -> Option<Schedule> {
        let raw = &rule.schedule.as_ref()?.value;
        for place in rule.capture.open_places() {
            self.note(place, "a placeholder cannot stand in a rule with a `schedule`")
                .set_hint("its events have no labels that could fill it; write a value");
        }
        let zone = self.zone(raw.timezone.as_ref());
        let cron = self.cron(&raw.cron);
        Some(Schedule { cron: cron?, zone: zone? })
    }

    fn cron(&mut self, text: &Placed<String>) -> Option<Cron> {
        match Cron::parse(&text.value) {
            Ok(cron) => return Some(cron),
            Err(error) => drop(self.note(text.place, error)),
        }
        None
    }

    /// The zone of that name, else UTC.
    fn zone(&mut self, name: Option<&Placed<String>>) -> Option<Zone> {
        let Some(name) = name else {
            return Some(Zone::UTC);
        };
        match Zone::parse(&name.value) {
            Ok(zone) => return Some(zone),
            Err(error) => drop(self.note(name.place, error)),
        }
        None
    }
}
