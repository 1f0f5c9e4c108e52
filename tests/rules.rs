//! Rules from files to verdicts, as users meet them: what is accepted, and what a mistake says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hindsight::clock::WallTime;
use hindsight::model::{
    Compression, Event, EventId, FileForm, FileFormat, OnResolved, SegmentLimits, Status, Verdict,
};
use hindsight::rules::{Defaults, Known, OnMissing, RuleSet, Settings, load};

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
        host: "edge-7".to_owned(),
    }
}

fn defaults() -> Defaults {
    Defaults {
        look_back: Duration::from_secs(10),
        duration: Duration::from_secs(60),
        bytes: 200 << 20,
        segments: None,
        file: FileForm::default(),
        on_resolved: OnResolved::Keep,
        on_missing: OnMissing::Refuse,
        storage: "local".to_owned(),
        notify: Vec::new(),
    }
}

fn load_paths(paths: Vec<PathBuf>) -> Result<RuleSet, Vec<String>> {
    load_under(paths, defaults())
}

fn load_under(paths: Vec<PathBuf>, defaults: Defaults) -> Result<RuleSet, Vec<String>> {
    load(&Settings { paths, defaults }, &known())
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
            "b.yml:6:5: unknown key `on`; known here: name, description, source, matc",
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
    assert!(plan.event_json.contains("\"port\":\"8443\""), "{}", plan.event_json);
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
