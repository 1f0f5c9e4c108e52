//! Why a rule acts on an event, or does not: each of its conditions asked alone.
//!
//! The verdict is the one of [`RuleSet::decide`]; the steps say how it came about. All conditions
//! are asked, also those after the first that fails, so that one look shows all that is wrong. What
//! is shown of the event is escaped and cut.

use crate::clock::WallTime;
use crate::model::{Event, Explanation, Status, Step};
use crate::rules::filling::{Filling, Length, OnMissing};
use crate::rules::look_back::LookBack;
use crate::rules::matcher::Matcher;
use crate::rules::placeholder::{Placeholder, escaped};
use crate::rules::template::{EntryTemplate, Field, Name};
use crate::rules::when::Facts;
use crate::rules::{Rule, RuleSet};

/// How many of the event's labels are named where the one that is asked for is missing.
const MAX_NAMED_LABELS: usize = 12;

/// What is said of a condition that the end of an alert need not meet.
const NOT_OF_THE_END: &str = "not asked: the event is the end of an alert";

impl RuleSet {
    /// What each rule makes of an event and why, in the order of the set.
    pub fn explain(&self, event: &Event) -> Vec<Explanation> {
        let facts = Facts::of(event);
        self.rules.iter().map(|rule| self.explanation(rule, event, &facts)).collect()
    }

    /// As [`explain`](Self::explain), of the rule with this name; none where there is none.
    pub fn explain_rule(&self, name: &str, event: &Event) -> Option<Explanation> {
        let rule = self.rules.iter().find(|rule| rule.name == name)?;
        Some(self.explanation(rule, event, &Facts::of(event)))
    }

    /// Whether each rule is active at an instant, in the order of the set.
    pub fn active_at(&self, at: WallTime) -> impl Iterator<Item = bool> {
        self.rules.iter().map(move |rule| rule.is_active(at))
    }

    fn explanation(&self, rule: &Rule, event: &Event, facts: &Facts<'_>) -> Explanation {
        let mut steps = Vec::new();
        steps.extend(idle(rule));
        steps.extend(source(rule, event));
        steps.extend(rule.matchers().iter().map(|matcher| matched(matcher, event)));
        steps.extend(self.means_this_host(rule, event));
        steps.extend(condition(rule, event, facts));
        steps.extend(active(rule, event));
        self.plan_steps(rule, event, &mut steps);
        let failed = steps.iter().position(|step| step.held == Some(false));
        let concerns = rule.concerns(event, &self.host);
        let verdict = concerns.then(|| self.verdict(rule, event, facts)).flatten();
        Explanation { rule: rule.name.clone(), steps, failed, verdict }
    }

    fn means_this_host(&self, rule: &Rule, event: &Event) -> Option<Step> {
        let label = rule.named_by.as_ref()?;
        let held = rule.means_host(event, &self.host);
        let seen = seen(event, label, held);
        let saw = if held { seen } else { format!("{seen}; this host is {}", self.host.name) };
        Some(step(format!("host.named_by {label}"), held, saw))
    }

    /// The places of the plan, in the order in which they are filled.
    fn plan_steps(&self, rule: &Rule, event: &Event, steps: &mut Vec<Step>) {
        let template = &rule.template;
        let on_missing = template.on_missing;
        let mut place = |key: String, placeholder: &Placeholder| {
            steps.push(filled(key, placeholder, on_missing, event));
        };
        for name in template.interfaces.iter().flatten() {
            match name {
                Name::Open(placeholder) => place("capture.interfaces".to_owned(), placeholder),
                Name::Given(_) => {}
            }
        }
        steps.extend(self.has_interfaces(rule, event));
        match &template.look_back {
            LookBack::Given(length) => steps.extend(measured(length, on_missing, event)),
            LookBack::BeforeStart(_) => {}
        }
        for (number, entry) in template.entries.iter().enumerate() {
            for (field, placeholder) in open_fields(entry) {
                let key = format!("capture.filters[{number}].{field}");
                steps.push(filled(key, placeholder, on_missing, event));
            }
        }
        steps.extend(measured(&template.duration, on_missing, event));
    }

    /// What is wrong with the interfaces, where each of them could be filled in.
    fn has_interfaces(&self, rule: &Rule, event: &Event) -> Option<Step> {
        let template = &rule.template;
        let fill = |placeholder: &Placeholder| placeholder.resolve(event);
        let fails = |name: &Name| match name {
            Name::Open(placeholder) => placeholder.resolve(event).is_err(),
            Name::Given(_) => false,
        };
        let refuses = template.on_missing == OnMissing::Refuse;
        if refuses && template.interfaces.iter().flatten().any(fails) {
            return None;
        }
        let mut filling = Filling::new(&fill, template.on_missing);
        let why = match template.interfaces(&self.interfaces, &mut filling) {
            Ok(interfaces) if interfaces.is_empty() => {
                "no interface is recorded, and the rule names none".to_owned()
            }
            Ok(_) => return None,
            Err(why) => why,
        };
        Some(of_firing(event, "capture.interfaces".to_owned(), || (Some(false), why)))
    }
}

fn step(condition: String, held: bool, saw: String) -> Step {
    Step { condition, held: Some(held), saw }
}

/// A condition that is asked of firing events only.
fn of_firing(
    event: &Event,
    condition: String,
    ask: impl FnOnce() -> (Option<bool>, String),
) -> Step {
    let (held, saw) = match event.status {
        Status::Resolved => (None, NOT_OF_THE_END.to_owned()),
        Status::Firing => ask(),
    };
    Step { condition, held, saw }
}

/// Only of a rule that never acts here.
fn idle(rule: &Rule) -> Option<Step> {
    let why = rule.idle()?;
    let condition = if rule.enabled { "host.match" } else { "enabled" };
    Some(step(condition.to_owned(), false, why.to_owned()))
}

/// Of a rule that names no source only where that keeps it from an event.
fn source(rule: &Rule, event: &Event) -> Option<Step> {
    let held = rule.takes_source(event);
    let named = rule.sources.join(" or ");
    let condition = if named.is_empty() { "any source but schedules" } else { &named };
    let saw = format!("the event came through {}", escaped(&event.source));
    (!named.is_empty() || !held).then(|| step(format!("source {condition}"), held, saw))
}

fn matched(matcher: &Matcher, event: &Event) -> Step {
    let held = matcher.holds(event);
    step(format!("match {}", matcher.text()), held, seen(event, matcher.label(), held))
}

fn condition(rule: &Rule, event: &Event, facts: &Facts<'_>) -> Option<Step> {
    let condition = rule.condition.as_ref()?;
    Some(of_firing(event, format!("when {}", condition.text()), || {
        match rule.condition_holds(facts) {
            Ok(held) => (Some(held), variables(condition.text(), event)),
            Err(why) => (Some(false), format!("it has no truth value: {why}")),
        }
    }))
}

/// What an event has for the plain variables that a condition names; labels are listed by the event.
fn variables(condition: &str, event: &Event) -> String {
    let value = || event.value.map_or_else(|| "null".to_owned(), |value| value.to_string());
    let quoted = |text: &str| format!("\"{}\"", escaped(text));
    let time = |time: Option<WallTime>| time.map_or_else(|| "null".to_owned(), |t| t.to_string());
    let mut seen = Vec::new();
    for word in words(condition) {
        let shown = match word {
            "value" => value(),
            "name" => quoted(&event.name),
            "source" => quoted(&event.source),
            "severity" => quoted(event.severity.as_deref().unwrap_or_default()),
            "starts_at" => time(event.starts_at),
            "received_at" => time(Some(event.received_at)),
            "fingerprint" => quoted(&event.fingerprint),
            other => {
                let label = other.strip_prefix("labels.");
                let value = label.and_then(|label| event.labels.get(label));
                let Some(value) = value else { continue };
                quoted(value)
            }
        };
        let line = format!("{word} is {shown}");
        if !seen.contains(&line) && seen.len() < MAX_NAMED_LABELS {
            seen.push(line);
        }
    }
    seen.join(", ")
}

/// The names in a condition with the dots between them.
fn words(condition: &str) -> impl Iterator<Item = &str> {
    condition.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
}

fn active(rule: &Rule, event: &Event) -> Option<Step> {
    let active = rule.active.as_ref()?;
    Some(of_firing(event, format!("active {active}"), || {
        let saw = format!("the event came at {}", event.received_at.second());
        (Some(rule.is_active(event.received_at)), saw)
    }))
}

fn filled(key: String, placeholder: &Placeholder, on_missing: OnMissing, event: &Event) -> Step {
    of_firing(event, format!("{key} {placeholder}"), || match placeholder.resolve(event) {
        Ok(_value) => (Some(true), seen(event, placeholder.label(), true)),
        Err(why) => match on_missing {
            OnMissing::Refuse => (Some(false), why),
            OnMissing::CaptureWithout => (None, format!("left open: {why}")),
        },
    })
}

/// A duration, which has bounds beside its type.
fn measured(length: &Length, on_missing: OnMissing, event: &Event) -> Option<Step> {
    let Length::Open { key, placeholder, .. } = length else { return None };
    let step = filled(format!("capture.{key}"), placeholder, on_missing, event);
    if step.held != Some(true) {
        return Some(step);
    }
    let fill = |placeholder: &Placeholder| placeholder.resolve(event);
    Some(match length.fill(&mut Filling::new(&fill, on_missing)) {
        Ok(_duration) => step,
        Err(saw) => Step { held: Some(false), saw, ..step },
    })
}

/// What the event has under a label; where that is nothing and matters, what it has instead.
fn seen(event: &Event, label: &str, held: bool) -> String {
    let value = event.label(label);
    if !value.is_empty() {
        let origin = if event.labels.contains_key(label) { "" } else { ", a field of the event" };
        return format!("{label} is \"{}\"{origin}", escaped(value));
    }
    if held {
        return format!("the event has no {label}");
    }
    let named = event.labels.keys().take(MAX_NAMED_LABELS).map(|name| escaped(name));
    let named: Vec<String> = named.collect();
    match (named.len(), event.labels.len() - named.len()) {
        (0, _) => format!("the event has no {label}, and no other label"),
        (_, 0) => format!("the event has no {label}; it has {}", named.join(", ")),
        (_, more) => {
            format!("the event has no {label}; it has {} and {more} more", named.join(", "))
        }
    }
}

/// The fields of an entry that an event fills.
fn open_fields(entry: &EntryTemplate) -> impl Iterator<Item = (&'static str, &Placeholder)> {
    // All fields are named, so that none that an event can fill is forgotten.
    let EntryTemplate { protocol: _, local_ip, remote_ip, local_port, remote_port, mac } = entry;
    let fields = [
        ("local_ip", open(local_ip)),
        ("remote_ip", open(remote_ip)),
        ("local_port", open(local_port)),
        ("remote_port", open(remote_port)),
        ("mac", open(mac)),
    ];
    fields.into_iter().filter_map(|(field, placeholder)| Some((field, placeholder?)))
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
  - name: whole
    match: [team = net]
    when: labels.severity == "critical" && value > 0.05
    host: { named_by: instance }
    for: 30s
    active: { cron: "* * 8-18 * * *", timezone: UTC }
    capture:
      on_missing: capture_without
      look_back: "${labels.back | duration}"
      filters: [{ remote_ip: "${labels.peer | ip}" }]
  - name: off
    enabled: false
    match: [team = net]
  - name: elsewhere
    match: [team = net]
    host: { match: [role = core] }
  - name: timed
    schedule: { cron: "0 0 * * * *" }
"#;

    fn shown(explanation: &Explanation) -> Vec<(&str, Option<bool>, &str)> {
        explanation.steps.iter().map(|s| (s.condition.as_str(), s.held, s.saw.as_str())).collect()
    }

    #[test]
    fn every_condition_is_asked_and_the_first_that_failed_is_named() {
        let rules = rule_set(RULES);
        let event = event(&[("team", "net"), ("peer", "web-1\u{1b}[2J"), ("port", "443")]);
        let explained = rules.explain(&event);
        let dev = "the event has no label `dev`, and ${labels.dev | iface} needs the name of a \
                   network interface";
        let peer = "label `peer` is \"web-1\\u{1b}[2J\", and ${labels.peer | ip} needs an IP address, \
                    alone or with a port";
        assert_eq!(
            shown(&explained[0]),
            [
                ("source hook", Some(false), "the event came through plant"),
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

    #[test]
    fn the_whole_language_is_explained() {
        let rules = rule_set(RULES);
        let noon = WallTime::from_nanos(12 * 3_600_000_000_000);
        let labels = [("team", "net"), ("severity", "info"), ("instance", "db-1"), ("back", "2d")];
        let event = Event { value: Some(0.25), received_at: noon, ..event(&labels) };
        let one = |name: &str, event: &Event| rules.explain_rule(name, event).unwrap();
        let whole = one("whole", &event);
        let text = |step: &Step| format!("{:?} {}: {}", step.held, step.condition, step.saw);
        let steps: Vec<String> = whole.steps.iter().map(text).collect();
        assert_eq!(
            steps,
            [
                "Some(true) match team = net: team is \"net\"",
                "Some(false) host.named_by instance: instance is \"db-1\"; this host is edge-7",
                "Some(false) when labels.severity == \"critical\" && value > 0.05: labels.severity \
                 is \"info\", value is 0.25",
                "Some(true) active * * 8-18 * * * (UTC): the event came at 1970-01-01T12:00:00Z",
                "Some(false) capture.look_back ${labels.back | duration}: ${labels.back | duration} \
                 is 2d for look_back, above ceilings.duration 5h",
                "None capture.filters[0].remote_ip ${labels.peer | ip}: left open: the event has no \
                 label `peer`, and ${labels.peer | ip} needs an IP address, alone or with a port",
            ]
        );
        let severe = |instance: &str, labels: &[(&str, &str)]| {
            let mut event = event.clone();
            event.labels.remove("severity");
            event.labels.insert("instance".to_owned(), instance.to_owned());
            event.labels.extend(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
            event
        };
        let unmet = one("whole", &severe("edge-7:9100", &[("severity", "info")]));
        assert!(matches!(unmet.verdict, Some(Verdict::Unmet { .. })), "{unmet:?}");
        let refused = one("whole", &severe("edge-7:9100", &[]));
        let failed = &refused.steps[refused.failed.unwrap()];
        assert!(failed.saw.starts_with("it has no truth value: "), "{failed:?}");
        assert!(matches!(refused.verdict, Some(Verdict::Refused { .. })), "{refused:?}");
        let night = Event { received_at: WallTime::from_nanos(0), ..severe("edge-7", &[]) };
        let night = one(
            "whole",
            &Event {
                labels: {
                    let mut labels = night.labels.clone();
                    labels.insert("severity".to_owned(), "critical".to_owned());
                    labels
                },
                ..night
            },
        );
        assert!(night.steps[night.failed.unwrap()].condition.starts_with("active"), "{night:?}");
        assert!(matches!(night.verdict, Some(Verdict::Inactive { .. })), "{night:?}");
        for (name, condition, part) in [
            ("off", "enabled", "enabled"),
            ("elsewhere", "host.match", "role = core"),
            ("timed", "source schedule", "plant"),
        ] {
            let explained = one(name, &event);
            let failed = &explained.steps[explained.failed.unwrap()];
            assert_eq!((failed.condition.as_str(), &explained.verdict), (condition, &None));
            assert!(failed.saw.contains(part), "{failed:?}");
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
            instance in "edge-7|db-1",
            back in "|1s|2d|soon",
            hour in 0_i64..24,
            resolved: bool,
        ) {
            let rules = rule_set(RULES);
            let labels = [
                ("team", &*team),
                ("severity", &*severity),
                ("peer", &*peer),
                ("port", &*port),
                ("instance", &*instance),
                ("back", &*back),
            ];
            let status = if resolved { Status::Resolved } else { Status::Firing };
            let received_at = WallTime::from_nanos(hour * 3_600_000_000_000);
            let event =
                Event { source, status, received_at, value: Some(1.0), ..event(&labels) };
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
