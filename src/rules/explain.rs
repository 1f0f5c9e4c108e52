//! Why a rule acts on an event, or does not: each of its conditions asked alone.
//!
//! The verdict is the one of [`RuleSet::decide`]; the steps say how it came about. All conditions
//! are asked, also those after the first that fails, so that one look shows all that is wrong. What
//! is shown of the event is escaped and cut.

use crate::model::{Event, Explanation, Status, Step};
use crate::rules::matcher::Matcher;
use crate::rules::placeholder::{Placeholder, escaped};
use crate::rules::template::{EntryTemplate, Field, Name, Template};
use crate::rules::{Rule, RuleSet};

/// How many of the event's labels are named where the one that is asked for is missing.
const MAX_NAMED_LABELS: usize = 12;

/// What is said of a condition that the end of an alert need not meet.
const NOT_OF_THE_END: &str = "not asked: the event is the end of an alert";

impl RuleSet {
    /// What each rule makes of an event and why, in the order of the set.
    pub fn explain(&self, event: &Event) -> Vec<Explanation> {
        self.rules.iter().map(|rule| self.explanation(rule, event)).collect()
    }

    /// As [`explain`](Self::explain), of the rule with this name; none where there is none.
    pub fn explain_rule(&self, name: &str, event: &Event) -> Option<Explanation> {
        let rule = self.rules.iter().find(|rule| rule.name == name)?;
        Some(self.explanation(rule, event))
    }

    fn explanation(&self, rule: &Rule, event: &Event) -> Explanation {
        let mut steps = Vec::new();
        steps.extend(source(rule, event));
        steps.extend(rule.matchers.iter().map(|matcher| matched(matcher, event)));
        steps.extend(self.recorded(rule, event));
        steps.extend(places(&rule.template).iter().map(|place| filled(place, event)));
        let failed = steps.iter().position(|step| step.held == Some(false));
        let verdict = rule.matches(event).then(|| self.verdict(rule, event));
        Explanation { rule: rule.name.clone(), steps, failed, verdict }
    }

    /// A rule that names no interface needs one that is recorded.
    fn recorded(&self, rule: &Rule, event: &Event) -> Option<Step> {
        let is_missing = rule.template.interfaces.is_none() && self.interfaces.is_empty();
        is_missing.then(|| {
            of_firing(event, "capture.interfaces".to_owned(), || {
                Err("no interface is recorded, and the rule names none".to_owned())
            })
        })
    }
}

fn step(condition: String, held: bool, saw: String) -> Step {
    Step { condition, held: Some(held), saw }
}

/// A condition that is asked of firing events only: what was seen where it held, or why it did not.
fn of_firing(
    event: &Event,
    condition: String,
    ask: impl FnOnce() -> Result<String, String>,
) -> Step {
    match event.status {
        Status::Resolved => Step { condition, held: None, saw: NOT_OF_THE_END.to_owned() },
        Status::Firing => match ask() {
            Ok(saw) => step(condition, true, saw),
            Err(saw) => step(condition, false, saw),
        },
    }
}

fn source(rule: &Rule, event: &Event) -> Option<Step> {
    let condition = format!("source {}", rule.sources.join(" or "));
    let saw = format!("the event came through `{}`", escaped(&event.source));
    let held = rule.sources.contains(&event.source);
    (!rule.sources.is_empty()).then(|| step(condition, held, saw))
}

fn matched(matcher: &Matcher, event: &Event) -> Step {
    let held = matcher.holds(event);
    step(format!("match {}", matcher.text()), held, seen(event, matcher.label(), held))
}

fn filled((place, placeholder): &(String, &Placeholder), event: &Event) -> Step {
    of_firing(event, format!("{place} {placeholder}"), || {
        placeholder.resolve(event).map(|_value| seen(event, placeholder.label(), true))
    })
}

/// What the event has under a label; where that is nothing and matters, what it has instead.
fn seen(event: &Event, label: &str, held: bool) -> String {
    let value = event.label(label);
    if !value.is_empty() {
        let origin = if event.labels.contains_key(label) { "" } else { ", a field of the event" };
        return format!("{label} is \"{}\"{origin}", escaped(value));
    }
    let known: Vec<String> = event.labels.keys().map(|name| escaped(name)).collect();
    match known.as_slice() {
        _ if held => format!("the event has no {label}"),
        [] => format!("the event has no {label}, and no other label"),
        [few @ ..] if few.len() <= MAX_NAMED_LABELS => {
            format!("the event has no {label}; it has {}", few.join(", "))
        }
        [first @ .., _] => {
            let first = &first[..MAX_NAMED_LABELS];
            let more = known.len() - MAX_NAMED_LABELS;
            format!("the event has no {label}; it has {} and {more} more", first.join(", "))
        }
    }
}

/// The places of a capture that an event fills, as the rule file calls them.
fn places(template: &Template) -> Vec<(String, &Placeholder)> {
    let mut places = Vec::new();
    for name in template.interfaces.iter().flatten() {
        match name {
            Name::Open(placeholder) => places.push(("capture.interfaces".to_owned(), placeholder)),
            Name::Given(_) => {}
        }
    }
    for (index, entry) in template.entries.iter().enumerate() {
        // All fields are named, so that none that an event can fill is forgotten.
        let EntryTemplate { protocol: _, local_ip, remote_ip, local_port, remote_port } = entry;
        let open = [
            ("local_ip", open(local_ip)),
            ("remote_ip", open(remote_ip)),
            ("local_port", open(local_port)),
            ("remote_port", open(remote_port)),
        ];
        for (field, placeholder) in open {
            let place = || format!("capture.filters[{index}].{field}");
            places.extend(placeholder.map(|placeholder| (place(), placeholder)));
        }
    }
    places
}

const fn open<T>(field: &Field<T>) -> Option<&Placeholder> {
    match field {
        Field::Open(placeholder) => Some(placeholder),
        Field::Given(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Verdict;
    use crate::rules::decide::tests::{event, rule_set};

    const RULES: &str = r#"
version: 1
rules:
  - name: far
    source: hook
    match: [team = net, severity =~ "warning|critical"]
    capture:
      interfaces: ["${labels.dev | iface}"]
      filters: [{ remote_ip: "${labels.peer | ip}" }, { protocol: tcp, local_port: "${labels.port | port}" }]
  - name: near
    match: [team = net, peer != ""]
"#;

    fn shown(explanation: &Explanation) -> Vec<(&str, Option<bool>, &str)> {
        explanation.steps.iter().map(|s| (s.condition.as_str(), s.held, s.saw.as_str())).collect()
    }

    #[test]
    fn every_condition_is_asked_and_the_first_that_failed_is_named() {
        let rules = rule_set(RULES);
        let event = event(&[("team", "net"), ("peer", "web-1\u{1b}[2J"), ("port", "443")]);
        let explained = rules.explain(&event);
        let dev = "the event has no label `dev`, and ${labels.dev | iface} needs the name of an \
                   interface";
        let peer =
            "label `peer` is \"web-1\\u{1b}[2J\", and ${labels.peer | ip} needs an IP address";
        assert_eq!(
            shown(&explained[0]),
            [
                ("source hook", Some(false), "the event came through `plant`"),
                ("match team = net", Some(true), "team is \"net\""),
                (
                    "match severity =~ \"warning|critical\"",
                    Some(false),
                    "the event has no severity; it has peer, port, team"
                ),
                ("capture.interfaces ${labels.dev | iface}", Some(false), dev),
                ("capture.filters[0].remote_ip ${labels.peer | ip}", Some(false), peer),
                (
                    "capture.filters[1].local_port ${labels.port | port}",
                    Some(true),
                    "port is \"443\""
                ),
            ]
        );
        assert_eq!((explained[0].failed, &explained[0].verdict), (Some(0), &None));
        assert_eq!(explained[1].failed, None);
        assert!(matches!(explained[1].verdict, Some(Verdict::Capture(_))), "{explained:?}");
        assert_eq!(rules.explain_rule("near", &event).as_ref(), Some(&explained[1]));
        assert_eq!(rules.explain_rule("nowhere", &event), None);
    }

    #[test]
    fn a_place_that_cannot_be_filled_is_the_step_that_the_refusal_names() {
        let rules = rule_set(RULES);
        let labels = [("team", "net"), ("severity", "critical"), ("dev", "eth0"), ("peer", "x")];
        let event = Event { source: "hook".to_owned(), ..event(&labels) };
        let explained = rules.explain(&event);
        let failed = &explained[0].steps[explained[0].failed.unwrap()];
        let Some(Verdict::Refused { reason, .. }) = &explained[0].verdict else {
            panic!("{explained:?}")
        };
        assert!(reason.ends_with(&failed.saw), "{reason}: {failed:?}");
    }

    #[test]
    fn the_end_of_an_alert_needs_no_plan() {
        let rules = rule_set(RULES);
        let resolved = Event { status: Status::Resolved, ..event(&[("team", "net")]) };
        let steps = rules.explain(&resolved).remove(0).steps;
        assert_eq!((steps[3].held, steps[3].saw.as_str()), (None, NOT_OF_THE_END));
    }

    #[test]
    fn a_rule_without_interfaces_needs_one_that_is_recorded() {
        let mut rules = rule_set(RULES);
        rules.capture_on(Vec::new());
        let near = rules.explain(&event(&[("team", "net"), ("peer", "p")])).remove(1);
        assert_eq!(near.steps[near.failed.unwrap()].condition, "capture.interfaces");
        assert!(matches!(near.verdict, Some(Verdict::Refused { .. })), "{near:?}");
    }

    #[test]
    fn what_is_shown_of_a_hostile_event_is_short_and_plain() {
        let rules = rule_set(RULES);
        let long = "\u{1b}\n".repeat(500_000);
        let mut hostile = event(&[("team", &long), ("severity", "\u{202e}"), ("dev", &long)]);
        hostile.source = long.clone();
        hostile.labels.extend((0..1_000).map(|n| (format!("{n}{long}"), String::new())));
        for step in rules.explain(&hostile).iter().flat_map(|one| &one.steps) {
            assert!(step.saw.bytes().all(|b| (0x20..0x7f).contains(&b)), "{step:?}");
            assert!(step.saw.len() < 8_000, "{}", step.saw.len());
        }
    }

    proptest! {
        #[test]
        fn what_is_explained_is_what_is_decided(
            source in "plant|hook",
            team in "net|web",
            severity in "critical|info",
            peer in "|10[.]0[.]0[.]7|x",
            port in "443|x",
            resolved: bool,
        ) {
            let rules = rule_set(RULES);
            let labels =
                [("team", &*team), ("severity", &*severity), ("peer", &*peer), ("port", &*port)];
            let status = if resolved { Status::Resolved } else { Status::Firing };
            let event = Event { source, status, ..event(&labels) };
            let explained = rules.explain(&event);
            for one in &explained {
                let acts =
                    matches!(one.verdict, Some(Verdict::Capture(_) | Verdict::Resolved { .. }));
                prop_assert_eq!(one.failed.is_none(), acts, "{:?}", one);
            }
            let verdicts: Vec<_> = explained.into_iter().filter_map(|one| one.verdict).collect();
            prop_assert_eq!(verdicts, rules.decide(&event));
        }
    }
}
