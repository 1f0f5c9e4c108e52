//! Placeholders and plans: only typed values come out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use hindsight::clock::WallTime;
use hindsight::filter::Mac;
use hindsight::model::{CapturePlan, Event, EventId, Status, Verdict};
use hindsight::rules::{Host, Known, RuleSet, Settings, load};

use super::corpus;
use super::support::rule_defaults::defaults;

/// A place for each type, with the label `text` in it.
const PLACES: [(&str, &str); 10] = [
    ("ip", "filters: [{ local_ip: \"${labels.text | ip}\" }]"),
    ("ip", "filters: [{ protocol: tcp, remote_ip: \"${labels.text | ip}\" }]"),
    ("cidr", "filters: [{ remote_ip: \"${labels.text | cidr}\" }]"),
    ("cidr", "filters: [{ local_ip: \"${labels.text | cidr}\" }]"),
    ("port", "filters: [{ local_port: \"${labels.text | port}\" }]"),
    ("port", "filters: [{ remote_port: \"${labels.text | port}\" }]"),
    ("mac", "filters: [{ mac: \"${labels.text | mac}\" }]"),
    ("iface", "interfaces: [\"${labels.text | iface}\"]"),
    ("duration", "look_back: \"${labels.text | duration}\""),
    ("duration", "limits: { duration: \"${labels.text | duration}\" }"),
];

/// Whether a text of the corpus is a value of a type after all, and harms nobody as such.
fn is_value(kind: &str, text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let devices = ["any", "usbmon0", "dbus-system"];
    match kind {
        "port" => text == "30",
        "iface" => {
            (1..=15).contains(&text.len())
                && text.bytes().all(is_plain)
                && !text.starts_with(['.', '_', '-'])
                && !devices.contains(&text)
        }
        _ => false,
    }
}

fn rules(place: &str) -> RuleSet {
    let names =
        |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let known = Known {
        complete: true,
        sources: names(&["plant"]),
        storages: names(&["local"]),
        notifiers: BTreeSet::new(),
        interfaces: vec!["eth0".to_owned()],
        duration: Duration::from_secs(5 * 3_600),
        bytes: 1 << 30,
        host: Host::new("edge-7", [].into(), []),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yaml");
    let rule = |name: &str, on_missing: &str| {
        format!(
            "  - name: {name}\n    match: ['marked = \"yes\"']\n    group_by: [text]\n    capture:\n      \
             on_missing: {on_missing}\n      {place}\n"
        )
    };
    let both = rule("refuses", "refuse") + &rule("goes-on", "capture_without");
    fs::write(&path, format!("version: 1\nrules:\n{both}")).unwrap();
    load(&Settings { paths: vec![path], defaults: defaults(), dry_run: false }, &known)
        .unwrap_or_else(|problems| panic!("{}", problems[0]))
}

/// An event with the text in every field that a sender writes.
fn event(text: &str) -> Event {
    let pairs = |more: &[(&str, &str)]| -> BTreeMap<String, String> {
        let own = [(text, text)];
        own.iter()
            .chain(more)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    Event {
        id: EventId::from_text("01kav0000000000000000000aa"),
        source: text.to_owned(),
        name: text.to_owned(),
        status: Status::Firing,
        severity: Some(text.to_owned()),
        labels: pairs(&[("text", text), ("marked", "yes")]),
        annotations: pairs(&[("summary", text)]),
        value: None,
        starts_at: None,
        received_at: WallTime::from_nanos(60_000_000_000),
        fingerprint: text.to_owned(),
        payload: text.to_owned(),
    }
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// What an event has no way to choose.
fn chosen_by_the_rule(plan: &CapturePlan) {
    assert_eq!((plan.host.as_str(), plan.storage.as_str()), ("edge-7", "local"));
    assert_eq!(plan.notify, [""; 0]);
    assert_eq!(plan.placing, Default::default());
    let incident = plan.incident.as_str();
    assert!(incident.len() == 16 && incident.bytes().all(|b| b.is_ascii_hexdigit()), "{incident}");
    assert_eq!(plan.filter.expression, None);
}

#[test]
fn a_text_that_is_no_value_reaches_no_place_of_a_plan() {
    for (kind, place) in PLACES {
        let rules = rules(place);
        for text in corpus::all() {
            let [refuses, goes_on] = &rules.decide(&event(&text))[..] else {
                panic!("{text:.60?}")
            };
            match refuses {
                Verdict::Refused { reason, .. } => {
                    assert!(!is_value(kind, &text), "{kind} {text:?}: {reason}");
                    assert!(is_printable(reason) && reason.len() < 1_000, "{reason}");
                }
                Verdict::Capture(proposal) => {
                    assert!(is_value(kind, &text), "{kind} {text:.60?}");
                    let interfaces = &proposal.plan.interfaces;
                    assert_eq!(interfaces, &[if kind == "iface" { &text } else { "eth0" }]);
                    continue;
                }
                other @ (Verdict::Resolved { .. }
                | Verdict::Unmet { .. }
                | Verdict::Inactive { .. }) => panic!("{other:?}"),
            }
            let Verdict::Capture(proposal) = goes_on else {
                // A duration above the ceiling is one; all else is left open.
                let Verdict::Refused { reason, .. } = goes_on else { panic!("{goes_on:?}") };
                assert!(reason.contains("ceilings.duration"), "{kind} {text:.60?}: {reason}");
                continue;
            };
            let plan = &proposal.plan;
            chosen_by_the_rule(plan);
            assert_eq!(plan.interfaces, ["eth0"], "{text:.60?}");
            assert_eq!(plan.look_back, Duration::from_secs(10));
            assert_eq!(plan.limits.duration, Duration::from_secs(60));
            let expression = plan.filter.expression_for(&[]);
            let protocol = if place.contains("tcp") { "(tcp or (vlan and tcp))" } else { "" };
            assert_eq!(expression, protocol, "{place} {text:.60?}");
            let [told] = &plan.left_out[..] else { panic!("{:?}", plan.left_out) };
            assert!(is_printable(told) && told.len() < 1_000, "{told}");
        }
    }
}

#[test]
fn what_is_a_value_is_printed_again_by_us_from_the_value_alone() {
    for (kind, text, printed) in [
        ("ip", "10.0.0.1", "host 10.0.0.1"),
        ("ip", "10.0.0.1:80", "host 10.0.0.1"),
        ("ip", "2001:DB8:0:0::1", "host 2001:db8::1"),
        ("ip", "::FFFF:10.0.0.1", "host 10.0.0.1"),
        ("ip", "[2001:DB8::0001]:80", "host 2001:db8::1"),
        ("cidr", "10.1.2.3/8", "net 10.0.0.0/8"),
        ("cidr", "2001:DB8::1/32", "net 2001:db8::/32"),
        ("port", "443", "port 443"),
        ("port", "[2001:db8::1]:9100", "port 9100"),
        ("mac", "0200.5E10.00AB", "ether host 02:00:5e:10:00:ab"),
    ] {
        for (_, place) in PLACES.iter().filter(|(of, _)| *of == kind) {
            let verdicts = rules(place).decide(&event(text));
            let [Verdict::Capture(proposal), _] = &verdicts[..] else { panic!("{verdicts:?}") };
            chosen_by_the_rule(&proposal.plan);
            let expression = proposal.plan.filter.expression_for(&[]);
            assert!(expression.contains(printed), "{text}: {expression}");
            for word in expression.split([' ', '(', ')']) {
                assert!(is_word(word), "{text}: `{word}` of {expression}");
            }
            proposal.plan.filter.check().unwrap();
        }
    }
}

/// Whether a word of an expression is one of ours, or a typed value.
fn is_word(word: &str) -> bool {
    const OURS: [&str; 15] = [
        "",
        "and",
        "or",
        "not",
        "vlan",
        "tcp",
        "ip",
        "ip6",
        "src",
        "dst",
        "host",
        "net",
        "port",
        "ether",
        "portrange",
    ];
    let network = word.split_once('/').and_then(|(address, bits)| {
        Some((address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?))
    });
    OURS.contains(&word)
        || word.parse::<IpAddr>().is_ok()
        || word.parse::<u16>().is_ok()
        || network.is_some()
        || Mac::parse(word).is_some()
}

#[test]
fn the_event_in_a_plan_is_json_that_says_what_the_sender_said_and_has_a_bound() {
    let rules = rules("bpf: tcp");
    for text in corpus::all() {
        // An expression of the rule's own, beside whatever the event says.
        let event = event(&text);
        let verdicts = rules.decide(&event);
        let [Verdict::Capture(proposal), _] = &verdicts[..] else { panic!("{verdicts:?}") };
        assert_eq!(proposal.plan.filter.expression.as_deref(), Some("tcp"));
        let json = event.shown();
        assert!(json.len() < 24 * 1024, "{}", json.len());
        let said: serde_json::Value = serde_json::from_str(&json).unwrap();
        let begin: String = text.chars().take(256).collect();
        for field in ["name", "severity", "source", "fingerprint"] {
            assert_eq!(said[field], begin.as_str());
        }
        if text.len() < 1_000 {
            assert_eq!(said["labels"][&text], text.as_str());
            assert_eq!(said["annotations"]["summary"], text.as_str());
        }
    }
}
