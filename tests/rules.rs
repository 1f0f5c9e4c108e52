//! Rules from files to verdicts, as users meet them: what is accepted, and what a mistake says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hindsight::clock::WallTime;
use hindsight::model::{
    Compression, Event, EventId, FileForm, FileFormat, Proposal, Quota, Refusal, SegmentLimits,
    Status, Times, Verdict, WhileRunning,
};
use hindsight::rules::{Defaults, Host, Known, OnRunning, RuleSet, Settings, load};
use rule_defaults::defaults;

#[path = "support/rule_defaults.rs"]
mod rule_defaults;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn known() -> Known {
    Known {
        complete: true,
        sources: set(&["plant", "alertmanager"]),
        storages: set(&["local", "archive"]),
        notifiers: set(&["bus", "team"]),
        interfaces: vec!["eth0".to_owned(), "eth1".to_owned()],
        duration: Duration::from_secs(5 * 3_600),
        bytes: 1 << 30,
        host: Host::new(
            "edge-7.example.org",
            [("role".to_owned(), "edge".to_owned()), ("site".to_owned(), "fra1".to_owned())].into(),
            ["192.0.2.7"],
        ),
    }
}

fn load_paths(paths: Vec<PathBuf>) -> Result<RuleSet, Vec<String>> {
    load_under(paths, defaults())
}

fn load_under(paths: Vec<PathBuf>, defaults: Defaults) -> Result<RuleSet, Vec<String>> {
    load(&Settings { paths, defaults, dry_run: false }, &known())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Loads one file; problems are told without its folder.
fn load_text(text: &str) -> Result<RuleSet, Vec<String>> {
    load_text_under(text, defaults())
}

fn load_text_under(text: &str, defaults: Defaults) -> Result<RuleSet, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.yaml");
    fs::write(&path, text).unwrap();
    let prefix = format!("{}/", folder.path().display());
    load_under(vec![path], defaults)
        .map_err(|problems| problems.iter().map(|text| text.replace(&prefix, "")).collect())
}

/// The first lines of the problems of a file.
fn problems(text: &str) -> Vec<String> {
    let problems = load_text(text).expect_err(text);
    problems.iter().map(|problem| problem.lines().next().unwrap().to_owned()).collect()
}

/// A rule that is well, with more lines.
fn rule(lines: &[&str]) -> String {
    let mut text = "version: 1\nrules:\n  - name: a\n    match: [alertname = X]\n".to_owned();
    for line in lines {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn event(labels: &[(&str, &str)]) -> Event {
    Event {
        id: EventId::from_text("0event"),
        source: "plant".to_owned(),
        name: "Named".to_owned(),
        status: Status::Firing,
        severity: None,
        labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        annotations: [].into(),
        value: None,
        starts_at: None,
        received_at: WallTime::from_nanos(60_000_000_000),
        fingerprint: "f00d".to_owned(),
        payload: String::new(),
    }
}

#[test]
fn a_mistake_is_shown_with_its_line_and_a_caret() {
    let told = load_text(&rule(&["cooldwon: 15m"])).unwrap_err();
    assert_eq!(
        told,
        ["net.yaml:5:5: unknown key `cooldwon`; did you mean `cooldown`?\n  \
          5 |     cooldwon: 15m\n    |     ^"]
    );
}

/// Lines of a rule that are a mistake, and what it says.
const MISTAKES: &[(&[&str], &str)] = &[
    (&["source: plnat"], "net.yaml:5:13: unknown source `plnat`; did you mean `plant`?"),
    (&["source: [plant, x]"], "net.yaml:5:21: unknown source `x`; known here: alertmanager, plant"),
    (&["storage: archiv"], "net.yaml:5:14: unknown storage `archiv`; did you mean `archive`?"),
    (&["notify: [bsu]"], "net.yaml:5:14: unknown notifier `bsu`; did you mean `bus`?"),
    (
        &["cooldown: 15m"],
        "net.yaml:5:15: `cooldown` needs `group_by`; name the labels that make alerts the same \
             incident, as in [alertname, instance]",
    ),
    (
        &["cooldown: 15", "group_by: [x]"],
        "net.yaml:5:15: '15' is not a duration; write a number with a unit, as in 250ms, 30s, \
             5m or 1h30m",
    ),
    (
        &["match: [a = b]"],
        "net.yaml:5:5: the key `match` is given twice; it was first given on line 4",
    ),
    (
        &["capture: { limits: { duration: 6h } }"],
        "net.yaml:5:36: limits.duration 6h is above ceilings.duration 5h; \
             lower it here, or raise the ceiling in the configuration",
    ),
    (
        &["capture: { limits: { bytes: 2GiB } }"],
        "net.yaml:5:33: limits.bytes 2GiB is above ceilings.bytes 1GiB; \
             lower it here, or raise the ceiling in the configuration",
    ),
    (
        &["capture: { limits: { duration: 0s } }"],
        "net.yaml:5:36: a capture of 0s makes no sense; \
             give more, or remove the limit to inherit the default",
    ),
    (
        &["capture: { limits: { bytes: 200mb } }"],
        "net.yaml:5:33: '200mb' is not a size; write bytes, or a number with a unit, as in \
             1500, 64KiB or 200MiB",
    ),
    (
        &["capture: { limits: { packets: 0 } }"],
        "net.yaml:5:35: a capture of no packets makes no sense; \
             give at least 1, or remove the limit",
    ),
    (
        &["capture: { limits: { keep_segments: 4 } }"],
        "net.yaml:5:41: `keep_segments` needs `segment_bytes`; \
             add the size of a file, as in segment_bytes: 50MiB",
    ),
    (
        &["capture: { limits: { segment_bytes: 65535 } }"],
        "net.yaml:5:41: files of 65535 have no room beside what they say of themselves; \
             give limits.segment_bytes at least 64KiB",
    ),
    (
        &["capture: { limits: { segment_bytes: 201MiB } }"],
        "net.yaml:5:41: limits.segment_bytes 201MiB is above limits.bytes 200MiB; \
             lower it, or raise limits.bytes",
    ),
    (
        &["capture: { limits: { segment_bytes: 50MiB, keep_segments: 1 } }"],
        "net.yaml:5:63: a ring of 1 file would be empty whenever it begins again; keep at least 2",
    ),
    (
        &["capture: { limits: { segment_bytes: 50MiB, keep_segments: 5 } }"],
        "net.yaml:5:63: 5 files of limits.segment_bytes 50MiB are 250MiB, above limits.bytes \
             200MiB; keep fewer, make them smaller, or raise limits.bytes",
    ),
    (
        &["capture: { limits: { segment_bytes: 64KiB, keep_segments: 2001 } }"],
        "net.yaml:5:63: limits.keep_segments 2001 is above 2000, the most of one capture; \
             keep fewer and larger files",
    ),
    (
        &["capture: { limits: { bytes: 1GiB, segment_bytes: 512KiB } }"],
        "net.yaml:5:54: limits.bytes 1GiB in files of 512KiB are 2048 files, and a capture has \
             at most 2000; raise limits.segment_bytes to 525KiB or more",
    ),
    (
        &["capture: { interfaces: [eth0, eth1], format: pcap }"],
        "net.yaml:5:50: the format pcap holds one interface only; the rule names 2; \
             name one interface, or take `format: pcapng`",
    ),
    (
        &["capture: { format: pcap }"],
        "net.yaml:5:24: the format pcap holds one interface only; the rule names none, and \
             2 are recorded; name one interface, or take `format: pcapng`",
    ),
    (
        &["capture: { interfaces: [eth0], format: cap }"],
        "net.yaml:5:44: unknown value `cap`; did you mean `pcap`?",
    ),
    (
        &["capture: { compression: gzip }"],
        "net.yaml:5:29: unknown value `gzip`; known here: none, zstd",
    ),
    (
        &["capture: { interfaces: [] }"],
        "net.yaml:5:28: no interface is named; \
             name one, or remove the key to capture on all recorded",
    ),
    (
        &["capture: { interfaces: [\"../eth0\"] }"],
        "net.yaml:5:29: `../eth0` is no name of an interface; take one that `ip link` shows",
    ),
    (
        &["capture:", "  filters:", "    - { remote_ip: \"${labels.peer | port}\" }"],
        "net.yaml:7:24: `port` cannot stand here; known here: ip, cidr",
    ),
    (
        &["capture: { look_back: \"${labels.x | port}\" }"],
        "net.yaml:5:27: `port` cannot stand here; known here: duration",
    ),
    (
        &["capture: { limits: { duration: \"${labels.x}\" } }"],
        "net.yaml:5:36: the placeholder has no type; write \"${labels.x | duration}\"",
    ),
    (
        &["capture: { limits: { duration: 30 } }"],
        "net.yaml:5:36: '30' is not a duration; write a number with a unit, as in 250ms, 30s, 5m or 1h30m",
    ),
    (
        &["capture: { filters: [{ mac: router }] }"],
        "net.yaml:5:33: mac: 'router' is no Ethernet address; write six pairs of hexadecimal digits, as in \
         02:00:5e:10:00:01, or several with ';' between them",
    ),
    (
        &["capture: { on_missing: capture_witout }"],
        "net.yaml:5:28: unknown value `capture_witout`; did you mean `capture_without`?",
    ),
    (
        &["capture:", "  filters:", "    - { remote_ip: \"10.0.0.1;${labels.peer | ip}\" }"],
        "net.yaml:7:24: a placeholder is the whole value, as in \"${labels.peer | ip}\"",
    ),
    (
        &["capture: { filters: [{}] }"],
        "net.yaml:5:26: the entry is empty and would select everything; \
             give it a protocol, an address or a port, or remove it",
    ),
    (
        &["capture: { filters: [{ remote_prot: 443 }] }"],
        "net.yaml:5:28: unknown key `remote_prot`; did you mean `remote_port`?",
    ),
    (&["for: 0s"], "net.yaml:5:10: `for` of 0s makes no sense; give more, or remove the key"),
    (&["for: 25h"], "net.yaml:5:10: `for` 1d1h is above 1d, the longest; lower it"),
    (
        &["times: { count: 1, within: 1m }"],
        "net.yaml:5:21: `times.count` 1 is not between 2 and 1000; give more, or remove the key",
    ),
    (
        &["times: { count: 1001, within: 1m }"],
        "net.yaml:5:21: `times.count` 1001 is not between 2 and 1000; lower it",
    ),
    (
        &["times: { count: 3, within: 25h }"],
        "net.yaml:5:32: `times.within` 1d1h is above 1d, the longest; lower it",
    ),
    (&["times: { count: 3 }"], "net.yaml:5:12: the key `within` is missing"),
    (
        &["cooldown: 32d", "group_by: [x]"],
        "net.yaml:5:15: `cooldown` 32d is above 31d, the longest; lower it",
    ),
    (
        &["max_captures: { count: 0, per: 1h }"],
        "net.yaml:5:28: `max_captures.count` 0 is not between 1 and 1000; give more, or remove the key",
    ),
    (
        &["max_captures: { count: 1001, per: 1h }"],
        "net.yaml:5:28: `max_captures.count` 1001 is not between 1 and 1000; lower it",
    ),
    (
        &["max_captures: { count: 1, per: 0s }"],
        "net.yaml:5:36: `max_captures.per` of 0s makes no sense; give more, or remove the key",
    ),
    (
        &["max_captures: { count: 1, per: 32d }"],
        "net.yaml:5:36: `max_captures.per` 32d is above 31d, the longest; lower it",
    ),
    (&["while_running: extends"], "net.yaml:5:20: unknown value `extends`; did you mean `extend`?"),
    (
        &["while_running: extend", "capture: { limits: { max_duration: 6h } }"],
        "net.yaml:6:40: limits.max_duration 6h is above ceilings.duration 5h; \
             lower it here, or raise the ceiling in the configuration",
    ),
    (
        &["while_running: extend", "capture: { limits: { max_duration: 59s } }"],
        "net.yaml:6:40: limits.max_duration 59s is below limits.duration 1m; \
             raise it, or lower limits.duration",
    ),
    (
        &["while_running: queue", "capture: { limits: { max_duration: 5m } }"],
        "net.yaml:6:40: `max_duration` bounds how long events extend a capture; \
             add `while_running: extend` to the rule, or remove the limit",
    ),
    (
        &["host: {}"],
        "net.yaml:5:11: `host` says nothing; give it `match` or `named_by`, or remove it",
    ),
    (&["host: { named_by: \"\" }"], "net.yaml:5:23: no label is named; name one, as in instance"),
    (
        &["host: { nmaed_by: instance }"],
        "net.yaml:5:13: unknown key `nmaed_by`; did you mean `named_by`?",
    ),
    (
        &["active: { cron: [] }"],
        "net.yaml:5:21: no time is named; name one, as in \"* * 8-18 * * Mon-Fri\"",
    ),
    (&["active: { timezone: UTC }"], "net.yaml:5:13: the key `cron` is missing"),
    (&["enabled: yes"], "net.yaml:5:14: expected true or false, found `yes`"),
    (
        &["capture: { look_back: 25h }"],
        "net.yaml:5:27: `look_back` 1d1h is above 1d, the longest; lower it",
    ),
    (
        &["capture: { look_back: { from: starts_at, by: 25h } }"],
        "net.yaml:5:50: `look_back` 1d1h is above 1d, the longest; lower it",
    ),
    (
        &["capture: { look_back: 10 }"],
        "net.yaml:5:27: '10' is not a duration; write a number with a unit, as in 250ms, 30s, \
             5m or 1h30m",
    ),
    (
        &["capture: { look_back: { from: start_at, by: 30s } }"],
        "net.yaml:5:35: unknown value `start_at`; did you mean `starts_at`?",
    ),
    (&["capture: { look_back: { from: starts_at } }"], "net.yaml:5:27: the key `by` is missing"),
    (
        &["capture: { look_back: [30s] }"],
        "net.yaml:5:27: expected a duration, or { from: starts_at, by: DURATION }, found sequence",
    ),
    (
        &["capture: { look_back: \"${labels.x | port}\" }"],
        "net.yaml:5:27: `port` cannot stand here; known here: duration",
    ),
    (
        &["capture: { bpf: \"host ${labels.peer | ip}\" }"],
        "net.yaml:5:21: a placeholder cannot stand in `bpf`; \
             put it into a field of `filters`; both have to hold",
    ),
];

#[test]
fn every_mistake_in_a_rule_has_its_place_and_its_remedy() {
    for (lines, expected) in MISTAKES {
        assert_eq!(problems(&rule(lines)), [*expected], "{lines:?}");
    }
}

#[test]
fn what_a_filter_refuses_is_placed_too() {
    for (line, place, part) in [
        (
            "capture: { filters: [{ remote_ip: 1.1.1.1-255.255.255 }] }",
            "net.yaml:5:39: ",
            "'1.1.1.1-255.255.255' is not a range of addresses",
        ),
        ("capture: { filters: [{ local_port: https }] }", "net.yaml:5:40: ", "is not a port"),
        ("capture: { filters: [{ protocol: tpc }] }", "net.yaml:5:38: ", "is not a protocol"),
        (
            "capture: { filters: [{ protocol: icmp, local_port: 1 }] }",
            "net.yaml:5:26: ",
            "ICMP has no ports",
        ),
        ("capture: { bpf: \"tcp prot 80\" }", "net.yaml:5:21: ", "tcp prot 80"),
        ("capture: { bpf: \"host example.org\" }", "net.yaml:5:21: ", "names are never looked up"),
        // Alone it is no expression; between brackets that we add it would be one.
        ("capture: { bpf: \"tcp) or (udp\" }", "net.yaml:5:21: ", "bpf: "),
    ] {
        let told = problems(&rule(&[line]));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(place) && told[0].contains(part), "{line}: {told:?}");
    }
}

#[test]
fn a_matcher_that_is_none_is_placed() {
    let text = "version: 1\nrules:\n  - name: a\n    match:\n      - alertname = X\n      \
                - severity ~ x\n      - a =~ \"(\"\n";
    let told = problems(text);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("net.yaml:6:9: this is no matcher"), "{told:?}");
    assert!(told[1].starts_with("net.yaml:7:9: the regular expression is not valid"), "{told:?}");
}

#[test]
fn a_rule_needs_a_name_and_something_to_match() {
    assert_eq!(
        problems("version: 1\nrules:\n  - name: Net Loss\n    source: plant\n"),
        ["net.yaml:3:11: `Net Loss` is no name for a rule; take lower-case letters, digits, `.`, \
          `_` and `-`, at most 64"]
    );
    assert_eq!(
        problems("version: 1\nrules:\n  - name: a\n"),
        ["net.yaml:3:5: the rule would act on every event; \
          give it a `match`, or at least a `source`"]
    );
    assert_eq!(
        problems("version: 1\nrules:\n  - match: [a = b]\n"),
        ["net.yaml:3:5: the key `name` is missing"]
    );
    assert_eq!(problems("rules: []\n"), ["net.yaml:1:1: the key `version` is missing"]);
}

#[test]
fn all_problems_of_all_files_are_told_together() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("a.yaml", "version: 1\nrules:\n  - name: twice\n    match: [a = b]\n");
    write(
        "b.yml",
        "version: 1\nrules:\n  - name: twice\n    match: [a b]\n    storage: x\n    on: 1\n",
    );
    write("c.yaml", "version: 2\nrules: []\n");
    write(".hidden.yaml", "not read");
    write("notes.txt", "not read");
    let missing = folder.path().join("missing");
    let told = load_paths(vec![folder.path().to_owned(), missing]).unwrap_err();
    let prefix = format!("{}/", folder.path().display());
    let told: Vec<String> = told
        .iter()
        .map(|text| text.lines().next().unwrap().replace(&prefix, ""))
        .map(|line| line.chars().take(72).collect())
        .collect();
    assert_eq!(
        told,
        [
            "missing: rules cannot be read: No such file or directory (os error 2); c",
            "b.yml:3:11: the name `twice` is taken by the rule at a.yaml:3; names are",
            "b.yml:4:13: this is no matcher; write a label, one of = != =~ !~ and a v",
            "b.yml:5:14: unknown storage `x`; known here: archive, local",
            "b.yml:6:5: unknown key `on`; known here: name, description, enabled, sou",
            "c.yaml:1:10: version 2 is not known here; this release reads version 1",
        ]
    );
}

#[test]
fn an_empty_directory_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let rules = load_paths(vec![folder.path().to_owned()]).unwrap();
    assert!(rules.is_empty());
    assert_eq!(rules.decide(&event(&[("alertname", "X")])), []);
}

#[test]
fn a_rule_says_all_that_a_plan_holds() {
    let rules = load_text(
        "version: 1\nrules:\n  - name: all\n    description: Everything\n    source: [plant]\n    \
         match: ['alertname = \"X\"']\n    group_by: [alertname]\n    cooldown: 15m\n    capture:\n      \
         interfaces: [eth1]\n      look_back: 30s\n      filters:\n        - { protocol: tcp, \
         local_ip: 10.0.0.0/8, remote_ip: \"${labels.net | cidr}\", local_port: 443, \
         remote_port: \"${labels.port | port}\" }\n      bpf: \"tcp[tcpflags] & tcp-rst != 0\"\n      \
         limits: { duration: 5m, bytes: 300MiB, packets: 7, bytes_per_packet: 96, \
         segment_bytes: 75MiB, keep_segments: 4 }\n      format: pcap\n      compression: zstd\n    \
         storage: archive\n    notify: [bus, team]\n",
    )
    .unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
    assert_eq!(rules.summaries().collect::<Vec<_>>(), [("all", "Everything")]);
    let labels = [("alertname", "X"), ("net", "192.0.2.0/24"), ("port", "8443")];
    let verdicts = rules.decide(&event(&labels));
    let [Verdict::Capture(proposal)] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert_eq!(proposal.policy.cooldown, Duration::from_secs(900));
    let plan = &proposal.plan;
    assert_eq!(plan.interfaces, ["eth1"]);
    assert_eq!(plan.look_back, Duration::from_secs(30));
    assert_eq!((plan.limits.duration, plan.limits.bytes), (Duration::from_secs(300), 300 << 20));
    assert_eq!((plan.limits.packets, plan.limits.bytes_per_packet), (Some(7), 96));
    assert_eq!(plan.limits.segments, Some(SegmentLimits { bytes: 75 << 20, keep: Some(4) }));
    assert_eq!(plan.file, FileForm { format: FileFormat::Pcap, compression: Compression::Zstd });
    assert_eq!(
        (plan.storage.as_str(), &plan.notify[..]),
        ("archive", &["bus".to_owned(), "team".to_owned()][..])
    );
    assert_eq!(plan.filter.expression.as_deref(), Some("tcp[tcpflags] & tcp-rst != 0"));
    let entry = &plan.filter.entries[0];
    assert_eq!(entry.local_ip[0].to_string(), "10.0.0.0/8");
    assert_eq!(entry.remote_ip[0].to_string(), "192.0.2.0/24");
    assert_eq!(entry.local_port[0].to_string(), "443");
    assert_eq!(entry.remote_port[0].to_string(), "8443");
}

/// What a rule with such a capture inherits and what it says, or the first line of its problems.
fn limits_under(
    segments: Option<SegmentLimits>,
    capture: &str,
) -> Result<Option<SegmentLimits>, Vec<String>> {
    let defaults = Defaults { segments, ..defaults() };
    let rules =
        load_text_under(&rule(&[&format!("capture: {capture}")]), defaults).map_err(|told| {
            told.iter().map(|p| p.lines().next().unwrap().to_owned()).collect::<Vec<_>>()
        })?;
    let verdicts = rules.decide(&event(&[("alertname", "X")]));
    let [Verdict::Capture(proposal)] = &verdicts[..] else { panic!("{verdicts:?}") };
    Ok(proposal.plan.limits.segments)
}

#[test]
fn limits_of_files_are_inherited_key_by_key_and_zero_takes_them_back() {
    const MIB: u64 = 1 << 20;
    let one = |bytes, keep| Some(SegmentLimits { bytes: bytes * MIB, keep });
    let files = one(50, None);
    let ring = one(50, Some(4));
    for (inherited, capture, expected) in [
        (None, "{}", None),
        (files, "{}", files),
        (ring, "{}", ring),
        (ring, "{ limits: { segment_bytes: 40MiB } }", one(40, Some(4))),
        (ring, "{ limits: { keep_segments: 2 } }", one(50, Some(2))),
        (files, "{ limits: { keep_segments: 3 } }", one(50, Some(3))),
        (ring, "{ limits: { keep_segments: 0 } }", files),
        (ring, "{ limits: { segment_bytes: 0 } }", None),
        (ring, "{ limits: { segment_bytes: 0, keep_segments: 0 } }", None),
        // A smaller capture fits into one file.
        (files, "{ limits: { bytes: 20MiB } }", one(20, None)),
    ] {
        assert_eq!(limits_under(inherited, capture), Ok(expected), "{inherited:?} {capture}");
    }
}

/// An inherited ring that a rule makes impossible is told at what the rule says.
#[test]
fn a_ring_that_could_never_turn_is_a_mistake_of_the_rule_that_shrinks_it() {
    let ring = Some(SegmentLimits { bytes: 50 << 20, keep: Some(4) });
    let remedy = "keep fewer, make them smaller, or raise limits.bytes";
    for (capture, expected) in [
        (
            "{ limits: { bytes: 100MiB } }",
            "net.yaml:5:33: 4 files of limits.segment_bytes 50MiB are 200MiB, above limits.bytes 100MiB",
        ),
        (
            "{ limits: { segment_bytes: 60MiB } }",
            "net.yaml:5:41: 4 files of limits.segment_bytes 60MiB are 240MiB, above limits.bytes 200MiB",
        ),
    ] {
        assert_eq!(limits_under(ring, capture), Err(vec![format!("{expected}; {remedy}")]));
    }
    // What could not be read is no second mistake.
    let told = limits_under(None, "{ limits: { segment_bytes: lots, keep_segments: 4 } }");
    assert_eq!(told.unwrap_err().len(), 1);
}

#[test]
fn an_inherited_format_is_held_to_the_rules_own_interfaces() {
    let pcap = FileForm { format: FileFormat::Pcap, compression: Compression::Zstd };
    let load =
        |lines: &[&str]| load_text_under(&rule(lines), Defaults { file: pcap, ..defaults() });
    let rules = load(&["capture: { interfaces: [eth1, eth1] }"]).unwrap();
    let verdicts = rules.decide(&event(&[("alertname", "X")]));
    let [Verdict::Capture(proposal)] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert_eq!(proposal.plan.file, pcap);
    assert!(load(&["capture: { format: pcapng }"]).is_ok());
    for (lines, start) in [
        (&[][..], "net.yaml:3:5: the format pcap holds one interface only; the rule names none"),
        (&["capture: { interfaces: [eth0, eth1] }"], "net.yaml:5:28: the format pcap holds one"),
    ] {
        let told = load(lines).unwrap_err();
        assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
    }
}

/// The text of the event is shown to people escaped, and is nowhere in what the engine acts on.
#[test]
fn no_text_of_a_hostile_event_leaves_its_label() {
    let rules = load_text(&rule(&[
        "capture:",
        "  interfaces: [\"${labels.dev | iface}\"]",
        "  filters:",
        "    - { protocol: tcp, remote_ip: \"${labels.ip | ip}\", remote_port: \"${labels.port | port}\" }",
        "    - { protocol: udp, local_ip: \"${labels.net | cidr}\" }",
    ]))
    .unwrap();
    let good = [
        ("alertname", "X"),
        ("dev", "eth0"),
        ("ip", "192.0.2.7"),
        ("port", "443"),
        ("net", "192.0.2.0/24"),
    ];
    assert!(matches!(&rules.decide(&event(&good))[..], [Verdict::Capture(_)]));
    let long = "1".repeat(1 << 20);
    for hostile in [
        "../../../etc/shadow",
        "192.0.2.7 or port 22",
        "443) or (tcp",
        "$(reboot)",
        "${labels.ip | ip}",
        "{{.}}",
        "a\r\nX-Evil: 1",
        "\u{1b}]0;owned\u{7}",
        "eth0\0",
        "web-1.example.org/x",
        "-w",
        "\u{202e}",
        &long,
    ] {
        for label in ["dev", "ip", "port", "net"] {
            let mut event = event(&good);
            event.labels.insert(label.to_owned(), hostile.to_owned());
            let verdicts = rules.decide(&event);
            let [Verdict::Refused { rule, reason, .. }] = &verdicts[..] else {
                panic!("{label}: {hostile:?}: {verdicts:?}");
            };
            assert_eq!(rule, "a");
            assert!(reason.starts_with(&format!("rule `a`: label `{label}` is \"")), "{reason}");
            assert!(reason.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{reason:?}");
            assert!(reason.len() < 800, "{}", reason.len());
        }
    }
}

#[test]
fn the_shipped_rules_load_and_act_on_their_alerts_only() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let rules = load_paths(vec![folder]).unwrap_or_else(|told| panic!("{}", told.join("\n")));
    assert!(rules.summaries().all(|(_, description)| !description.is_empty()));
    let decide = |labels: &[(&str, &str)]| {
        let verdicts = rules.decide(&event(labels));
        verdicts.iter().map(|verdict| verdict.rule().to_owned()).collect::<Vec<_>>()
    };
    let retransmits = |severity| {
        [("alertname", "TcpRetransmitsHigh"), ("severity", severity), ("peer", "192.0.2.7")]
    };
    assert_eq!(decide(&retransmits("critical")), ["tcp-retransmits"]);
    assert_eq!(decide(&retransmits("info")), [""; 0]);
    assert_eq!(decide(&[("alertname", "ConnectionsRefused")]), ["connection-resets"]);
    assert_eq!(decide(&[("alertname", "DnsLatencyHigh")]), ["dns-failures"]);
    assert_eq!(decide(&[("alertname", "DnsLatencyHighish")]), [""; 0]);
}

/// The verdicts of the rule with these lines on an event that it matches.
fn verdicts(lines: &[&str], event: &Event) -> Vec<Verdict> {
    let rules = load_text(&rule(lines)).unwrap_or_else(|told| panic!("{}", told.join("\n")));
    rules.decide(event)
}

fn proposal(lines: &[&str], event: &Event) -> Proposal {
    match verdicts(lines, event).pop() {
        Some(Verdict::Capture(proposal)) => *proposal,
        other => panic!("{lines:?}: {other:?}"),
    }
}

fn x() -> Event {
    event(&[("alertname", "X")])
}

#[test]
fn a_rule_says_when_and_how_often_its_events_make_a_capture() {
    let seconds = Duration::from_secs;
    let policy = proposal(
        &[
            "for: 30s",
            "times: { count: 3, within: 1m }",
            "group_by: [alertname]",
            "cooldown: 15m",
            "max_captures: { count: 4, per: 24h }",
            "while_running: extend",
            "dry_run: true",
            "capture: { limits: { duration: 40s, max_duration: 2m } }",
        ],
        &x(),
    )
    .policy;
    assert_eq!(policy.hold, Some(seconds(30)));
    assert_eq!(policy.times, Some(Times { count: 3, within: seconds(60) }));
    assert_eq!(policy.cooldown, seconds(900));
    assert_eq!(policy.max_captures, Some(Quota { count: 4, per: seconds(86_400) }));
    assert_eq!(policy.while_running, WhileRunning::Extend { up_to: seconds(120) });
    assert!(policy.dry_run);
    assert_eq!(proposal(&[], &x()).policy, hindsight::model::Policy::default());
}

#[test]
fn an_extended_capture_is_bounded_by_the_rule_the_defaults_or_the_ceiling() {
    let seconds = Duration::from_secs;
    let extended = |inherited: Option<Duration>, lines: &[&str]| {
        let defaults =
            Defaults { while_running: OnRunning::Extend, max_duration: inherited, ..defaults() };
        let rules = load_text_under(&rule(lines), defaults).unwrap();
        match rules.decide(&x()).pop() {
            Some(Verdict::Capture(proposal)) => proposal.policy.while_running,
            other => panic!("{other:?}"),
        }
    };
    let up_to = |span| WhileRunning::Extend { up_to: seconds(span) };
    assert_eq!(extended(None, &[]), up_to(300));
    assert_eq!(extended(None, &["capture: { limits: { duration: 4h } }"]), up_to(5 * 3_600));
    assert_eq!(extended(Some(seconds(90)), &[]), up_to(90));
    assert_eq!(extended(Some(seconds(90)), &["capture: { limits: { duration: 2m } }"]), up_to(120));
    let own = "capture: { limits: { max_duration: 70s } }";
    assert_eq!(extended(Some(seconds(90)), &[own]), up_to(70));
    // A duration that the event gives counts like the rule's own.
    let open = "capture: { limits: { duration: \"${labels.long | duration}\" } }";
    let rules = load_text(&rule(&["while_running: extend", open])).unwrap();
    let long = event(&[("alertname", "X"), ("long", "10m")]);
    let verdicts = rules.decide(&long);
    let [Verdict::Capture(proposal)] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert_eq!(proposal.policy.while_running, up_to(3_000));
    assert_eq!(extended(None, &["while_running: ignore"]), WhileRunning::Ignore);
    assert_eq!(extended(None, &["while_running: queue"]), WhileRunning::Queue);
}

#[test]
fn a_dry_run_of_the_configuration_is_one_of_every_rule() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.yaml");
    fs::write(&path, rule(&["dry_run: false"])).unwrap();
    for dry_run in [false, true] {
        let settings = Settings { paths: vec![path.clone()], defaults: defaults(), dry_run };
        let rules = load(&settings, &known()).unwrap();
        let verdicts = rules.decide(&x());
        let [Verdict::Capture(proposal)] = &verdicts[..] else { panic!("{verdicts:?}") };
        assert_eq!(proposal.policy.dry_run, dry_run);
        assert_eq!(rules.describe()[0].dry_run, dry_run);
    }
}

#[test]
fn a_condition_is_asked_after_the_matchers_and_has_to_be_true() {
    let with = |value| Event { value, ..event(&[("alertname", "X"), ("env", "prod")]) };
    let lines = &["when: value > 0.05 && labels.env == \"prod\""][..];
    assert!(matches!(verdicts(lines, &with(Some(0.06)))[..], [Verdict::Capture(_)]));
    assert_eq!(verdicts(lines, &with(Some(0.05))), []);
    // No number, or no label: it is not false, it has no truth value.
    for event in [with(None), Event { value: Some(1.0), ..x() }] {
        let told = verdicts(lines, &event);
        let [Verdict::Refused { rule, cause: Refusal::Condition, reason, .. }] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(rule, "a");
        assert!(reason.starts_with("rule `a`: "), "{reason}");
    }
    let other = Event { value: None, ..event(&[("alertname", "Y")]) };
    assert_eq!(verdicts(lines, &other), [], "it does not match, so nothing is asked");
    let told = problems(&rule(&["when: value >"]));
    assert!(told.len() == 1 && told[0].starts_with("net.yaml:5:11: "), "{told:?}");
}

#[test]
fn a_rule_that_waits_says_that_its_condition_holds_no_longer() {
    let when = "when: labels.env == \"prod\"";
    let unmet = event(&[("alertname", "X"), ("env", "test")]);
    let met = event(&[("alertname", "X"), ("env", "prod")]);
    let group = proposal(&[when, "for: 30s"], &met).group;
    let expected = Verdict::Unmet { rule: "a".to_owned(), group };
    assert_eq!(verdicts(&[when, "for: 30s"], &unmet), [expected]);
    assert_eq!(verdicts(&[when, "times: { count: 2, within: 1m }"], &unmet), []);
    assert_eq!(verdicts(&[when], &unmet), []);
}

#[test]
fn neither_a_condition_nor_a_time_keeps_the_end_of_an_alert_out() {
    let lines = &["when: labels.env == \"prod\"", "active: { cron: \"0 0 0 1 1 * 2020\" }"][..];
    let resolved = Event { status: Status::Resolved, ..x() };
    assert!(matches!(verdicts(lines, &resolved)[..], [Verdict::Resolved { .. }]));
    let other = Event { status: Status::Resolved, ..event(&[("alertname", "Y")]) };
    assert_eq!(verdicts(lines, &other), []);
    assert_eq!(verdicts(&["host: { named_by: instance }"], &resolved), []);
}

#[test]
fn a_rule_is_active_at_its_times_in_its_zone() {
    let at = |time: &str| Event { received_at: time.parse().unwrap(), ..x() };
    let lines = &[
        "notify: [bus]",
        "active: { cron: [\"* * 8-18 * * Mon-Fri\", \"* * 10 * * Sat\"], timezone: Europe/Berlin }",
    ][..];
    // In November, Berlin is one hour ahead.
    for (time, active) in [
        ("2026-11-23T06:59:59.9Z", false),
        ("2026-11-23T07:00:00Z", true),
        ("2026-11-23T17:59:59.9Z", true),
        ("2026-11-23T18:00:00Z", false),
        ("2026-11-28T09:30:00Z", true),
        ("2026-11-29T09:30:00Z", false),
    ] {
        let told = verdicts(lines, &at(time));
        let inactive = Verdict::Inactive { rule: "a".to_owned(), notify: vec!["bus".to_owned()] };
        match active {
            true => assert!(matches!(told[..], [Verdict::Capture(_)]), "{time}: {told:?}"),
            false => assert_eq!(told, [inactive], "{time}"),
        }
    }
    let utc = &["active: { cron: \"* * 8 * * *\" }"][..];
    assert!(matches!(verdicts(utc, &at("2026-11-23T08:00:00Z"))[..], [Verdict::Capture(_)]));
    assert!(matches!(verdicts(utc, &at("2026-11-23T09:00:00Z"))[..], [Verdict::Inactive { .. }]));
    // A condition is asked first.
    let both = &["active: { cron: \"* * 8 * * *\" }", "when: value > 1.0"][..];
    let low = Event { value: Some(0.0), ..at("2026-11-23T09:00:00Z") };
    assert_eq!(verdicts(both, &low), []);
    for (lines, place) in [
        (["active: { cron: \"* * 25 * * *\" }"], "net.yaml:5:21: "),
        (["active: { cron: [\"* * 8 * * *\", nonsense] }"], "net.yaml:5:37: "),
        (["active: { cron: \"* * 8 * * *\", timezone: Europe/Berlni }"], "net.yaml:5:46: "),
    ] {
        let told = problems(&rule(&lines));
        assert!(told.len() == 1 && told[0].starts_with(place), "{lines:?}: {told:?}");
    }
    let many = format!("active: {{ cron: [{}] }}", "\"* * 8 * * *\", ".repeat(33));
    assert_eq!(
        problems(&rule(&[&many])),
        [
            "net.yaml:5:21: these are 33 expressions; at most 32; say more with each, as in 8-18 or Mon,Wed"
        ]
    );
}

#[test]
fn a_rule_for_certain_hosts_acts_on_no_other() {
    for (lines, why_not) in [
        ("host: { match: [role = edge, site =~ \"fra.*\"] }", None),
        ("host: { match: [name = edge-7.example.org] }", None),
        ("host: { match: [rack = \"\"] }", None),
        (
            "host: { match: [role = edge, site = ams1] }",
            Some("the rule is for other hosts: `site = ams1` does not hold here"),
        ),
        ("enabled: true", None),
        ("enabled: false", Some("the rule is switched off by `enabled: false`")),
    ] {
        let rules = load_text(&rule(&[lines])).unwrap();
        assert_eq!(rules.describe()[0].why_not.as_deref(), why_not, "{lines}");
        assert_eq!(rules.describe()[0].enabled, lines != "enabled: false");
        assert_eq!(rules.decide(&x()).len(), usize::from(why_not.is_none()), "{lines}");
    }
    let told = problems(&rule(&["host: { match: [role edge] }"]));
    assert!(told[0].starts_with("net.yaml:5:21: this is no matcher"), "{told:?}");
}

#[test]
fn a_rule_for_the_host_that_the_event_names_acts_on_that_one() {
    for (instance, acts) in [
        ("edge-7.example.org:9100", true),
        ("EDGE-7", true),
        ("192.0.2.7:9100", true),
        ("edge-8.example.org:9100", false),
        ("192.0.2.8", false),
        ("", false),
    ] {
        let event = event(&[("alertname", "X"), ("instance", instance)]);
        let told = verdicts(&["host: { named_by: instance }"], &event);
        assert_eq!(told.len(), usize::from(acts), "{instance}: {told:?}");
    }
}

#[test]
fn a_look_back_counts_from_the_arrival_from_the_alerts_begin_or_comes_from_the_event() {
    let seconds = Duration::from_secs;
    let arrived: WallTime = "2026-11-23T08:00:00Z".parse().unwrap();
    let looks_back = |look_back: &str, event: &Event| {
        proposal(&[&format!("capture: {{ look_back: {look_back} }}")], event).plan.look_back
    };
    let event = Event { received_at: arrived, ..event(&[("alertname", "X"), ("reach", "45s")]) };
    let begun = |before: Duration| Event { starts_at: Some(arrived - before), ..event.clone() };
    let from = "{ from: starts_at, by: 30s }";
    assert_eq!(looks_back("30s", &begun(seconds(120))), seconds(30));
    assert_eq!(looks_back(from, &begun(seconds(120))), seconds(150));
    assert_eq!(looks_back(from, &begun(seconds(0))), seconds(30));
    assert_eq!(looks_back(from, &event), seconds(30), "the event names no begin");
    let later = Event { starts_at: Some(arrived + seconds(5)), ..event.clone() };
    assert_eq!(looks_back(from, &later), seconds(30), "a begin to come is none");
    assert_eq!(looks_back(from, &begun(seconds(10 * 86_400))), seconds(86_400), "a day at most");
    let open = "\"${labels.reach | duration}\"";
    assert_eq!(looks_back(open, &event), seconds(45));
    for wrong in ["25h", "soon", "-1s", "45"] {
        let mut event = event.clone();
        event.labels.insert("reach".to_owned(), wrong.to_owned());
        let told = verdicts(&[&format!("capture: {{ look_back: {open} }}")], &event);
        assert!(
            matches!(&told[..], [Verdict::Refused { cause: Refusal::Plan, .. }]),
            "{wrong}: {told:?}"
        );
    }
}

const BASELINE: &str = "version: 1\nrules:\n  - name: baseline\n    \
    schedule: { cron: \"0 0 * * * *\", timezone: Europe/Berlin }\n    cooldown: 5m\n    \
    capture: { interfaces: [eth0] }\n  - name: plain\n    match: [team != web]\n";

/// The event that a schedule makes.
fn scheduled(rule: &str) -> Event {
    Event { source: "schedule".to_owned(), name: rule.to_owned(), ..event(&[("rule", rule)]) }
}

#[test]
fn a_schedule_s_events_concern_its_rule_alone() {
    let rules = load_text(BASELINE).unwrap();
    let named = |event: &Event| {
        let told = rules.decide(event);
        told.iter().map(|verdict| verdict.rule().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named(&scheduled("baseline")), ["baseline"]);
    assert_eq!(named(&scheduled("other")), [""; 0]);
    assert_eq!(named(&event(&[("rule", "baseline")])), ["plain"]);
    let at: WallTime = "2026-11-23T08:15:00Z".parse().unwrap();
    let due: Vec<_> = rules
        .schedules()
        .map(|(rule, cron, zone)| (rule.to_owned(), cron.next_after(at, zone).unwrap().to_string()))
        .collect();
    assert_eq!(due, [("baseline".to_owned(), "2026-11-23T09:00:00.000000000Z".to_owned())]);
    let off =
        load_text(&BASELINE.replace("    cooldown", "    enabled: false\n    cooldown")).unwrap();
    assert_eq!(off.schedules().count(), 0);
    let elsewhere = "    host: { match: [role = db] }\n    cooldown";
    let elsewhere = load_text(&BASELINE.replace("    cooldown", elsewhere)).unwrap();
    assert_eq!(elsewhere.schedules().count(), 0);
}

#[test]
fn all_events_of_a_schedule_are_one_group_and_each_time_is_an_incident_of_its_own() {
    let rules = load_text(BASELINE).unwrap();
    let at = |time: &str, fingerprint: &str| {
        let at = Some(time.parse().unwrap());
        let event =
            Event { starts_at: at, fingerprint: fingerprint.into(), ..scheduled("baseline") };
        match rules.decide(&event).pop() {
            Some(Verdict::Capture(proposal)) => (proposal.group, proposal.plan.incident),
            other => panic!("{other:?}"),
        }
    };
    let (first, second) = (at("2026-11-23T08:00:00Z", "a"), at("2026-11-23T09:00:00Z", "b"));
    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1);
}

#[test]
fn a_schedule_stands_beside_nothing_that_chooses_events() {
    let scheduled = |lines: &[&str]| {
        let schedule = "schedule: { cron: \"0 0 * * * *\" }";
        let text = rule(&[&[schedule], lines].concat());
        text.replace("    match: [alertname = X]\n", "")
    };
    for (line, key) in [
        ("match: [a = b]", "match"),
        ("source: plant", "source"),
        ("when: value > 1.0", "when"),
        ("for: 30s", "for"),
        ("times: { count: 2, within: 1m }", "times"),
        ("group_by: [a]", "group_by"),
        ("on_resolved: stop", "on_resolved"),
    ] {
        let column = 5 + line.find(' ').unwrap() + 1;
        assert_eq!(
            problems(&scheduled(&[line])),
            [format!(
                "net.yaml:5:{column}: `{key}` cannot stand beside `schedule`; a rule with a \
                 schedule makes its own events; remove one of the two"
            )],
        );
    }
    let told = problems(&scheduled(&["host: { named_by: instance }"]));
    assert!(told[0].starts_with("net.yaml:5:23: `host.named_by` cannot stand"), "{told:?}");
    for (capture, column) in [
        ("{ look_back: \"${labels.x | duration}\" }", 27),
        ("{ interfaces: [\"${labels.x | iface}\"] }", 29),
        ("{ filters: [{ remote_ip: \"${labels.x | ip}\" }] }", 39),
        ("{ filters: [{ mac: \"${labels.x | mac}\" }] }", 33),
        ("{ limits: { duration: \"${labels.x | duration}\" } }", 36),
    ] {
        assert_eq!(
            problems(&scheduled(&[&format!("capture: {capture}")])),
            [format!(
                "net.yaml:5:{column}: a placeholder cannot stand in a rule with a `schedule`; its \
                 events have no labels that could fill it; write a value"
            )],
        );
    }
    let fine =
        ["host: { match: [role = edge] }", "active: { cron: \"* * 8 * * *\" }", "cooldown: 1m"];
    assert!(load_text(&scheduled(&fine)).is_ok());
    // What is wrong with the schedule itself is told alone.
    let told = problems(&scheduled(&[]).replace("0 0 * * * *", "0 0 25 * * *"));
    assert!(told.len() == 1 && told[0].starts_with("net.yaml:4:23: "), "{told:?}");
    let told = problems(&scheduled(&[]).replace("schedule: {", "schedule: { timezone: Mars/Base,"));
    assert!(told.len() == 1 && told[0].starts_with("net.yaml:4:27: "), "{told:?}");
}

#[test]
fn what_a_rule_is_can_be_asked() {
    let text = format!(
        "{BASELINE}    description: Any\n    source: [plant]\n    for: 10s\n    \
         active: {{ cron: [\"* * 8 * * *\", \"* * 10 * * *\"], timezone: Asia/Tokyo }}\n    \
         dry_run: true\n"
    );
    let rules = load_text(&text).unwrap_or_else(|told| panic!("{}", told.join("\n")));
    let [baseline, plain] = &rules.describe()[..] else { panic!() };
    assert_eq!((baseline.name.as_str(), baseline.line), ("baseline", 3));
    assert_eq!((plain.name.as_str(), plain.line), ("plain", 7));
    assert_eq!(plain.file.file_name().unwrap(), "net.yaml");
    assert_eq!((baseline.description.as_str(), plain.description.as_str()), ("", "Any"));
    assert_eq!(baseline.schedule.as_deref(), Some("0 0 * * * * (Europe/Berlin)"));
    assert_eq!((&baseline.active, &plain.schedule), (&None, &None));
    assert_eq!(plain.active.as_deref(), Some("* * 8 * * *; * * 10 * * * (Asia/Tokyo)"));
    assert_eq!(
        (&baseline.sources[..], &plain.sources[..]),
        (&["schedule".to_owned()][..], &["plant".to_owned()][..])
    );
    assert_eq!(plain.policy.hold, Some(Duration::from_secs(10)));
    assert!(plain.dry_run && !baseline.dry_run);
    assert!(baseline.enabled && baseline.why_not.is_none());
}
