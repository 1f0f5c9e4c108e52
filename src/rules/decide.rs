//! What the rules make of an event.

use std::time::Duration;

use crate::model::{
    CapturePlan, Event, Placing, Policy, Proposal, Refusal, Status, Verdict, WhileRunning,
};
use crate::rules::filling::Filling;
use crate::rules::placeholder::Placeholder;
use crate::rules::when::Facts;
use crate::rules::{Rule, RuleSet, digest};

impl RuleSet {
    /// The word of every rule that the event concerns, in the order of the set; none where it concerns
    /// none. All of them act, each for itself.
    pub fn decide(&self, event: &Event) -> Vec<Verdict> {
        let facts = Facts::of(event);
        self.index
            .candidates(event)
            .into_iter()
            .map(|position| &self.rules[position])
            .filter(|rule| rule.concerns(event, &self.host))
            .filter_map(|rule| self.verdict(rule, event, &facts))
            .collect()
    }

    /// The word of a rule that the event concerns; none where its condition does not hold, and nothing
    /// waits for it.
    pub(super) fn verdict(&self, rule: &Rule, event: &Event, facts: &Facts<'_>) -> Option<Verdict> {
        let name = || rule.name.clone();
        // The end of an alert ends what runs and waits, whatever holds by now.
        if event.status == Status::Resolved {
            let group = digest::group_key(rule, event);
            return Some(Verdict::Resolved { rule: name(), group });
        }
        let refused = |cause, why: String| Verdict::Refused {
            rule: name(),
            notify: rule.notify.clone(),
            cause,
            reason: format!("rule `{}`: {why}", rule.name),
        };
        match rule.condition_holds(facts) {
            Ok(true) => {}
            Ok(false) => {
                return rule.policy.hold.map(|_| Verdict::Unmet {
                    rule: name(),
                    group: digest::group_key(rule, event),
                });
            }
            Err(why) => return Some(refused(Refusal::Condition, why)),
        }
        if !rule.is_active(event.received_at) {
            return Some(Verdict::Inactive { rule: name(), notify: rule.notify.clone() });
        }
        Some(match self.plan(rule, event) {
            Ok(plan) => Verdict::Capture(Box::new(Proposal {
                group: digest::group_key(rule, event),
                policy: rule.policy_for(plan.limits.duration),
                plan,
            })),
            Err(why) => refused(Refusal::Plan, why),
        })
    }

    /// The plan, or why there can be none for this event.
    fn plan(&self, rule: &Rule, event: &Event) -> Result<CapturePlan, String> {
        let fill = |placeholder: &Placeholder| placeholder.resolve(event);
        let template = &rule.template;
        let mut filling = Filling::new(&fill, template.on_missing);
        let interfaces = template.interfaces(&self.interfaces, &mut filling)?;
        if interfaces.is_empty() {
            return Err("no interface is recorded, and the rule names none".to_owned());
        }
        Ok(CapturePlan {
            rule: rule.name.clone(),
            incident: digest::incident(rule, event),
            event: event.id.clone(),
            event_name: event.name.clone(),
            // Most events of a storm begin nothing: whoever keeps the plan has it written out.
            event_json: String::new(),
            host: self.host.name.clone(),
            interfaces,
            trigger_at: event.received_at,
            look_back: template.look_back.fill(event, &mut filling)?,
            filter: template.filter(&mut filling)?,
            limits: template.limits(&mut filling)?,
            file: template.file,
            storage: rule.storage.clone(),
            notify: rule.notify.clone(),
            placing: Placing::default(),
            on_resolved: rule.on_resolved,
            left_out: filling.left_out(),
        })
    }
}

impl Rule {
    /// What admission asks of a capture that goes on for `duration` after its trigger.
    fn policy_for(&self, duration: Duration) -> Policy {
        let mut policy = self.policy.clone();
        if let WhileRunning::Extend { up_to } = &mut policy.while_running {
            *up_to = self.extension.of(duration);
        }
        policy
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::model::{EventId, FileForm, OnResolved};
    use crate::rules::{Defaults, Host, Known, OnMissing, OnRunning, Settings, load};

    /// A firing event of the source `plant` with these labels.
    pub(in crate::rules) fn event(labels: &[(&str, &str)]) -> Event {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Event {
            id: EventId::from_text("0event"),
            source: "plant".to_owned(),
            name: "Named".to_owned(),
            status: Status::Firing,
            severity: None,
            labels: labels.iter().map(owned).collect(),
            annotations: [].into(),
            value: None,
            starts_at: Some(WallTime::from_nanos(1_000)),
            received_at: WallTime::from_nanos(60_000_000_000),
            fingerprint: "f00d".to_owned(),
            payload: String::new(),
        }
    }

    pub(in crate::rules) fn known() -> Known {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Known {
            complete: true,
            sources: set(&["plant", "hook"]),
            storages: set(&["local", "archive"]),
            notifiers: set(&["bus", "team"]),
            interfaces: vec!["eth0".to_owned()],
            duration: Duration::from_secs(5 * 3_600),
            bytes: 1 << 30,
            host: Host::new("edge-7", [("role".into(), "edge".into())].into(), ["10.0.0.7"]),
        }
    }

    /// The compiled rules of one file's text.
    pub(in crate::rules) fn rule_set(text: &str) -> RuleSet {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        std::fs::write(&path, text).unwrap();
        let defaults = Defaults {
            look_back: Duration::from_secs(10),
            duration: Duration::from_secs(60),
            bytes: 200 << 20,
            segments: None,
            file: FileForm::default(),
            on_resolved: OnResolved::Keep,
            while_running: OnRunning::Ignore,
            max_duration: None,
            on_missing: OnMissing::Refuse,
            storage: "local".to_owned(),
            notify: vec!["bus".to_owned()],
        };
        match load(&Settings { paths: vec![path], defaults, dry_run: false }, &known()) {
            Ok(rules) => rules,
            Err(problems) => panic!("{}", problems[0]),
        }
    }

    const GROUPED: &str = "version: 1\nrules:\n  - name: a\n    match: [alertname = X]\n    \
                           group_by: [instance]\n    cooldown: 15m\n";

    fn proposal(rules: &RuleSet, event: &Event) -> Proposal {
        match rules.decide(event).pop() {
            Some(Verdict::Capture(proposal)) => *proposal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rule_that_says_little_inherits_the_rest() {
        let rules = rule_set(GROUPED);
        let event = event(&[("alertname", "X"), ("instance", "i")]);
        let proposal = proposal(&rules, &event);
        assert_eq!(proposal.policy.cooldown, Duration::from_secs(900));
        let plan = proposal.plan;
        assert_eq!((plan.rule.as_str(), plan.host.as_str()), ("a", "edge-7"));
        assert_eq!(plan.interfaces, ["eth0"]);
        assert_eq!(plan.trigger_at, event.received_at);
        assert_eq!(plan.look_back, Duration::from_secs(10));
        assert_eq!(plan.limits.duration, Duration::from_secs(60));
        assert_eq!((plan.limits.bytes, plan.limits.packets), (200 << 20, None));
        assert_eq!((plan.storage.as_str(), plan.notify), ("local", vec!["bus".to_owned()]));
    }

    #[test]
    fn all_matching_rules_act_and_others_say_nothing() {
        let rules = rule_set(
            "version: 1\nrules:\n  - { name: a, match: [team = net] }\n  \
             - { name: b, match: [team = web] }\n  - { name: c, source: plant }\n  \
             - { name: d, source: hook, match: [team = net] }\n",
        );
        let verdicts = rules.decide(&event(&[("team", "net")]));
        let names: Vec<&str> = verdicts.iter().map(Verdict::rule).collect();
        assert_eq!(names, ["a", "c"]);
        let other = Event { source: "other".to_owned(), ..event(&[]) };
        assert_eq!(rules.decide(&other), []);
    }

    #[test]
    fn a_resolved_event_names_the_group_of_the_firing_one() {
        let rules = rule_set(GROUPED);
        let firing = event(&[("alertname", "X"), ("instance", "i")]);
        let resolved = Event { status: Status::Resolved, ..firing.clone() };
        let group = proposal(&rules, &firing).group;
        assert_eq!(rules.decide(&resolved), [Verdict::Resolved { rule: "a".to_owned(), group }]);
    }

    #[test]
    fn what_the_end_of_the_alert_does_is_the_rules_word_or_inherited() {
        for (key, expected) in [
            ("", OnResolved::Keep),
            ("    on_resolved: keep\n", OnResolved::Keep),
            ("    on_resolved: stop\n", OnResolved::Stop),
        ] {
            let rules = rule_set(&format!("{GROUPED}{key}"));
            let plan = proposal(&rules, &event(&[("alertname", "X")])).plan;
            assert_eq!(plan.on_resolved, expected, "{key}");
        }
    }

    #[test]
    fn the_group_is_the_rule_and_the_values_it_groups_by() {
        let rules = rule_set(&GROUPED.replace("[instance]", "[instance, job]"));
        let key = |labels: &[(&str, &str)]| {
            let labels = [&[("alertname", "X")], labels].concat();
            proposal(&rules, &event(&labels)).group
        };
        assert_eq!(
            key(&[("instance", "i"), ("team", "a")]),
            key(&[("instance", "i"), ("team", "b")])
        );
        assert_ne!(key(&[("instance", "i")]), key(&[("instance", "j")]));
        assert_ne!(
            key(&[("instance", "a"), ("job", "b")]),
            key(&[("instance", "ab"), ("job", "")]),
            "lengths count"
        );
    }

    #[test]
    fn the_incident_is_the_same_for_every_rule_and_host_with_the_same_grouping() {
        let rules = rule_set(GROUPED);
        let others = rule_set(&GROUPED.replace("name: a", "name: b"));
        let here = event(&[("alertname", "X"), ("instance", "i")]);
        let there = Event {
            id: EventId::from_text("1event"),
            source: "hook".to_owned(),
            received_at: WallTime::from_nanos(61_000_000_000),
            ..here.clone()
        };
        let incident = proposal(&rules, &here).plan.incident;
        assert_eq!(incident, proposal(&others, &there).plan.incident);
        assert_ne!(proposal(&rules, &here).group, proposal(&others, &there).group);
        // Written into object names on many hosts: it must never change.
        assert_eq!(incident.as_str(), "88d4cc423e6ed97b");
        let later = Event { starts_at: Some(WallTime::from_nanos(2_000)), ..here.clone() };
        assert_ne!(incident, proposal(&rules, &later).plan.incident);
        let unknown = Event { starts_at: None, ..here };
        let unknown_there = Event { starts_at: None, ..there };
        assert_ne!(
            proposal(&rules, &unknown).plan.incident,
            proposal(&rules, &unknown_there).plan.incident
        );
    }

    #[test]
    fn without_grouping_the_fingerprint_is_the_group() {
        let rules = rule_set("version: 1\nrules:\n  - { name: a, source: plant }\n");
        let one = event(&[("peer", "a")]);
        let same = event(&[("peer", "b")]);
        let other = Event { fingerprint: "beef".to_owned(), ..event(&[("peer", "a")]) };
        assert_eq!(proposal(&rules, &one).group, proposal(&rules, &same).group);
        assert_ne!(proposal(&rules, &one).group, proposal(&rules, &other).group);
    }

    #[test]
    fn placeholders_are_filled_from_the_event_or_the_capture_is_refused() {
        let rules = rule_set(
            "version: 1\nrules:\n  - name: a\n    source: plant\n    capture:\n      \
             interfaces: [\"${labels.dev | iface}\", eth9, eth1]\n      \
             filters: [{ protocol: tcp, remote_ip: \"${labels.peer | ip}\" }]\n",
        );
        let plan = proposal(&rules, &event(&[("dev", "eth1"), ("peer", "10.0.0.7")])).plan;
        assert_eq!(plan.interfaces, ["eth1", "eth9"]);
        assert_eq!(plan.filter.entries[0].remote_ip[0].to_string(), "10.0.0.7");
        let refused = rules.decide(&event(&[("dev", "eth1"), ("peer", "10.0.0.7 or 1=1\u{1b}")]));
        assert_eq!(
            refused,
            [Verdict::Refused {
                rule: "a".to_owned(),
                notify: vec!["bus".to_owned()],
                cause: Refusal::Plan,
                reason: "rule `a`: label `peer` is \"10.0.0.7 or 1=1\\u{1b}\", and \
                         ${labels.peer | ip} needs an IP address, alone or with a port"
                    .to_owned(),
            }]
        );
    }

    const OPEN: &str = "version: 1\nrules:\n  - name: a\n    source: plant\n    capture:\n      \
         interfaces: [\"${labels.dev | iface}\"]\n      look_back: \"${labels.back | duration}\"\n      \
         filters:\n        - { remote_ip: \"${labels.peer | ip}\", mac: \"${labels.mac | mac}\" }\n        \
         - { protocol: udp, remote_port: \"${labels.peer | port}\" }\n      \
         limits: { duration: \"${labels.for | duration}\" }\n";

    #[test]
    fn each_type_fills_its_place() {
        let labels = [
            ("dev", "eth1"),
            ("back", "3s"),
            ("peer", "[2001:db8::7]:9100"),
            ("mac", "0200.5E10.0001"),
            ("for", "2m"),
        ];
        let plan = proposal(&rule_set(OPEN), &event(&labels)).plan;
        assert_eq!(plan.interfaces, ["eth1"]);
        assert_eq!(plan.look_back, Duration::from_secs(3));
        assert_eq!(plan.limits.duration, Duration::from_secs(120));
        let [one, other] = &plan.filter.entries[..] else { panic!("{:?}", plan.filter) };
        assert_eq!(one.remote_ip[0].to_string(), "2001:db8::7");
        assert_eq!(one.mac[0].to_string(), "02:00:5e:10:00:01");
        assert_eq!(other.remote_port[0].to_string(), "9100");
        assert_eq!(plan.left_out, [""; 0]);
    }

    #[test]
    fn where_the_rule_says_so_the_capture_goes_without_what_is_missing() {
        let rules = rule_set(&format!("{OPEN}      on_missing: capture_without\n"));
        let plan = proposal(&rules, &event(&[("peer", "web-1:9100"), ("for", "soon")])).plan;
        assert_eq!(plan.interfaces, ["eth0"], "what is recorded");
        assert_eq!(plan.look_back, Duration::from_secs(10), "the default");
        assert_eq!(plan.limits.duration, Duration::from_secs(60), "the default");
        // An entry of which nothing is left would select everything.
        let [udp] = &plan.filter.entries[..] else { panic!("{:?}", plan.filter) };
        assert_eq!(
            (udp.protocol, &udp.remote_port[..]),
            (Some(crate::filter::Protocol::Udp), &[][..])
        );
        let places: Vec<_> =
            plan.left_out.iter().filter_map(|line| line.split(": ").next()).collect();
        assert_eq!(
            places,
            [
                "interfaces",
                "look_back",
                "filters[0].remote_ip",
                "filters[0].mac",
                "filters[1].remote_port",
                "limits.duration"
            ]
        );
        assert_eq!(
            plan.left_out[2],
            "filters[0].remote_ip: label `peer` is \"web-1:9100\", and ${labels.peer | ip} needs an \
             IP address, alone or with a port"
        );
        let refused = rule_set(OPEN).decide(&event(&[("peer", "web-1:9100")]));
        assert!(matches!(&refused[..], [Verdict::Refused { .. }]), "{refused:?}");
        let resolved = Event { status: Status::Resolved, ..event(&[]) };
        let ended = rule_set(OPEN).decide(&resolved);
        assert!(matches!(&ended[..], [Verdict::Resolved { .. }]), "needs no plan: {ended:?}");
    }

    #[test]
    fn no_event_passes_a_ceiling_and_a_capture_of_no_time_is_none() {
        let rules = rule_set(&format!("{OPEN}      on_missing: capture_without\n"));
        for (key, value, told) in [
            ("for", "5h1ms", "is 5h1ms for limits.duration, above ceilings.duration 5h"),
            ("for", "0s", "is 0s for limits.duration, which makes no capture"),
            ("back", "1w", "is 7d for look_back, above ceilings.duration 5h"),
        ] {
            let verdicts = rules.decide(&event(&[(key, value)]));
            let [Verdict::Refused { reason, .. }] = &verdicts[..] else { panic!("{verdicts:?}") };
            assert!(reason.ends_with(told), "{reason}");
        }
        let plan = proposal(&rules, &event(&[("back", "0s"), ("for", "5h")])).plan;
        assert_eq!((plan.look_back, plan.limits.duration.as_secs()), (Duration::ZERO, 18_000));
    }

    #[test]
    fn what_is_left_out_is_bounded() {
        let entry = "        - { remote_ip: \"${labels.peer | ip}\" }\n";
        let text = "version: 1\nrules:\n  - name: a\n    source: plant\n    capture:\n      \
                    on_missing: capture_without\n      filters:\n";
        let rules = rule_set(&format!("{text}{}", entry.repeat(40)));
        let plan = proposal(&rules, &event(&[("peer", &"\u{10ffff}".repeat(99))])).plan;
        assert_eq!(plan.filter.entries, []);
        assert_eq!(plan.left_out.last().map(String::as_str), Some("24 more places"));
        assert_eq!(plan.left_out.len(), 17);
        assert!(plan.left_out.iter().all(|line| line.len() < 1_000 && line.is_ascii()));
    }

    #[test]
    fn a_file_for_one_interface_is_not_asked_to_hold_two() {
        let mut rules = rule_set(
            "version: 1\nrules:\n  - name: a\n    source: plant\n    capture:\n      \
             interfaces: [\"${labels.dev | iface}\"]\n      format: pcap\n      \
             on_missing: capture_without\n",
        );
        rules.capture_on(vec!["eth0".to_owned(), "eth1".to_owned()]);
        assert_eq!(proposal(&rules, &event(&[("dev", "eth1")])).plan.interfaces, ["eth1"]);
        let verdicts = rules.decide(&event(&[]));
        let [Verdict::Refused { reason, .. }] = &verdicts[..] else { panic!("{verdicts:?}") };
        assert!(reason.ends_with("holds one interface only, and there are 2"), "{reason}");
    }

    #[test]
    fn without_any_interface_the_capture_is_refused() {
        let mut rules = rule_set("version: 1\nrules:\n  - { name: a, source: plant }\n");
        rules.interfaces.clear();
        let verdicts = rules.decide(&event(&[]));
        assert!(
            matches!(&verdicts[..], [Verdict::Refused { reason, .. }]
                if reason == "rule `a`: no interface is recorded, and the rule names none"),
            "{verdicts:?}"
        );
    }
}
