//! Which events a rule is for, on which hosts, and what makes them the same incident.

use crate::rules::compile::here::Here;
use crate::rules::matcher::Matcher;
use crate::rules::when::Condition;
use crate::rules::{SCHEDULE_LABEL, SCHEDULE_SOURCE, raw};
use crate::yaml::{Place, Placed};

/// What chooses a rule's events, and groups them.
pub(super) struct Chosen {
    pub(super) sources: Vec<String>,
    pub(super) matchers: Vec<Matcher>,
    pub(super) group_by: Vec<String>,
}

impl Here<'_, '_> {
    /// The events of a rule without a schedule.
    pub(super) fn events(&mut self, rule: &Placed<raw::Rule>) -> Chosen {
        let raw = &rule.value;
        let known = self.compiler.known;
        let sources = raw.source.as_ref().map_or(&[][..], |sources| &sources.value.0);
        let matchers = raw.matchers.as_ref().map_or(&[][..], |matchers| &matchers.value);
        let names_host = raw.host.as_ref().is_some_and(|host| host.value.named_by.is_some());
        let chooses =
            !sources.is_empty() || !matchers.is_empty() || raw.when.is_some() || names_host;
        if rule.whole && !chooses {
            self.note(rule.place, "the rule would act on every event")
                .set_hint("give it a `match`, or at least a `source`");
        }
        Chosen {
            sources: self.references("source", sources, &known.sources),
            matchers: self.matchers(matchers),
            group_by: labels(raw.group_by.as_ref()),
        }
    }

    /// The events that a rule's schedule makes, of which there is one group. What chooses among the
    /// events of others has no place beside it.
    pub(super) fn own_events(&mut self, rule: &Placed<raw::Rule>) -> Chosen {
        let raw = &rule.value;
        let named_by = raw.host.as_ref().and_then(|host| host.value.named_by.as_ref());
        let others = [
            ("source", place(raw.source.as_ref())),
            ("match", place(raw.matchers.as_ref())),
            ("when", place(raw.when.as_ref())),
            ("host.named_by", place(named_by)),
            ("for", place(raw.hold.as_ref())),
            ("times", place(raw.times.as_ref())),
            ("group_by", place(raw.group_by.as_ref())),
            ("on_resolved", place(raw.on_resolved.as_ref())),
        ];
        for (key, place) in others {
            if let Some(place) = place {
                self.note(place, format!("`{key}` cannot stand beside `schedule`"))
                    .set_hint("a rule with a schedule makes its own events; remove one of the two");
            }
        }
        // A name that is none was noted; no other one holds a quote.
        let own = Matcher::parse(&format!("{SCHEDULE_LABEL} = \"{}\"", raw.name.value));
        Chosen {
            sources: vec![SCHEDULE_SOURCE.to_owned()],
            matchers: own.into_iter().collect(),
            group_by: vec![SCHEDULE_LABEL.to_owned()],
        }
    }

    fn matchers(&mut self, texts: &[Placed<String>]) -> Vec<Matcher> {
        texts.iter().filter_map(|text| self.matcher(text)).collect()
    }

    fn matcher(&mut self, text: &Placed<String>) -> Option<Matcher> {
        match Matcher::parse(&text.value) {
            Ok(matcher) => return Some(matcher),
            Err(error) => drop(self.note(text.place, error)),
        }
        None
    }

    pub(super) fn condition(&mut self, text: &Placed<String>) -> Option<Condition> {
        match Condition::parse(&text.value) {
            Ok(condition) => return Some(condition),
            Err(error) => {
                let hint = error.hint();
                let noted = self.note(text.place, error);
                if let Some(hint) = hint {
                    noted.set_hint(hint);
                }
            }
        }
        None
    }

    /// Why the rule is not for this host, where that is so.
    pub(super) fn why_other_host(&mut self, host: &Placed<raw::Host>) -> Option<String> {
        let raw = &host.value;
        if host.whole && raw.matchers.is_none() && raw.named_by.is_none() {
            self.note(host.place, "`host` says nothing")
                .set_hint("give it `match` or `named_by`, or remove it");
        }
        let this = &self.compiler.known.host;
        let mut why = None;
        for text in raw.matchers.iter().flat_map(|matchers| &matchers.value) {
            if let Some(matcher) = self.matcher(text)
                && !matcher.accepts(this.label(matcher.label()))
            {
                why.get_or_insert_with(|| {
                    format!("the rule is for other hosts: `{}` does not hold here", text.value)
                });
            }
        }
        why
    }

    /// The label that has to name this host.
    pub(super) fn named_by(&mut self, host: &raw::Host) -> Option<String> {
        let label = host.named_by.as_ref()?;
        if label.value.is_empty() {
            self.note(label.place, "no label is named").set_hint("name one, as in instance");
        }
        Some(label.value.clone())
    }
}

fn labels(names: Option<&Placed<Vec<Placed<String>>>>) -> Vec<String> {
    names.into_iter().flat_map(|names| &names.value).map(|label| label.value.clone()).collect()
}

fn place<T>(given: Option<&Placed<T>>) -> Option<Place> {
    given.map(|given| given.place)
}
