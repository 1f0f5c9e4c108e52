//! Matchers beside Alertmanager's own: `amtool` says which routes a set of labels takes.
//!
//! The table holds what every version of Alertmanager reads alike. What only versions since 0.27 read
//! (labels in quotes or with other letters) is in the tests of `rules::matcher`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use hindsight::clock::WallTime;
use hindsight::model::{Event, EventId, Status, Verdict};
use hindsight::rules::{Defaults, Host, Known, RuleSet, Settings, load};
use rule_defaults::defaults;

#[path = "support/rule_defaults.rs"]
mod rule_defaults;

/// Matchers, as they stand in both files.
const MATCHERS: [&str; 36] = [
    r#"severity = "critical""#,
    "severity=critical",
    "  severity  =  critical  ",
    r#"severity = "crit""#,
    r#"severity != "critical""#,
    r#"severity =~ "warning|critical""#,
    "severity=~warning|critical",
    r#"severity =~ "crit""#,
    r#"severity =~ "crit.*""#,
    r#"severity =~ ".*cal""#,
    r#"severity =~ "(?i)CRITICAL""#,
    r#"severity !~ "warn.*""#,
    r#"severity !~ "crit.*|warning""#,
    r#"severity =~ ".+""#,
    r#"severity =~ ".*""#,
    r#"severity !~ ".+""#,
    r#"severity =~ """#,
    r#"severity = """#,
    r#"severity != """#,
    r#"team = """#,
    r#"team != "net""#,
    r#"team =~ "|net""#,
    r#"team =~ "^$""#,
    r#"team !~ "net""#,
    "instance = edge-7:9100",
    r#"instance =~ "edge-[0-9]+:9100""#,
    r#"instance =~ "edge-\\d+:\\d+""#,
    r#"instance =~ "edge""#,
    r#"instance =~ "^edge-7:9100$""#,
    r#"instance =~ "(edge|core)-(7|8):.*""#,
    r#"text = "say \"hi\"""#,
    r#"text = "back\\slash""#,
    r#"text =~ "back\\\\slash""#,
    r#"text = "two\nlines""#,
    r#"text =~ "two.lines""#,
    r#"text =~ "größe|x""#,
];

/// Labels of one alert each.
const ALERTS: [&[(&str, &str)]; 11] = [
    &[("severity", "critical")],
    &[("severity", "warning"), ("team", "net")],
    &[("severity", "crit"), ("team", "web")],
    &[("instance", "edge-7:9100"), ("team", "")],
    &[("instance", "xedge-7:9100x"), ("severity", "CRITICAL")],
    &[("text", "say \"hi\"")],
    &[("text", "back\\slash")],
    &[("text", "two\nlines")],
    &[("text", "größe"), ("instance", "core-8:")],
    &[("text", "two lines"), ("instance", "edge")],
    &[("instance", "edge-٣:9100"), ("text", "Größe")],
];

/// What no version takes. (`a)|(b` is refused by us alone: between the brackets that anchor it, it means
/// what nobody has written.)
const REFUSED: [&str; 7] = [
    "severity",
    "= critical",
    "severity ! critical",
    r#"severity = "critical"#,
    r#"severity =~ "(""#,
    r#"severity =~ "*a""#,
    "my label = x",
];

/// In single quotes of YAML.
fn quoted(matcher: &str) -> String {
    format!("'{}'", matcher.replace('\'', "''"))
}

fn rule_set(folder: &Path, matchers: &[&str]) -> Result<RuleSet, String> {
    let rule = |(number, matcher): (usize, &&str)| {
        format!("  - {{ name: r{number}, source: plant, match: [{}] }}\n", quoted(matcher))
    };
    let rules: String = matchers.iter().enumerate().map(rule).collect();
    let path = folder.join("rules.yaml");
    fs::write(&path, format!("version: 1\nrules:\n{rules}")).unwrap();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let known = Known {
        complete: true,
        sources: set(&["plant"]),
        storages: set(&["local"]),
        notifiers: BTreeSet::new(),
        interfaces: vec!["eth0".to_owned()],
        duration: Duration::from_secs(3_600),
        bytes: 1 << 30,
        host: Host::new("edge-7", [].into(), []),
    };
    let defaults = Defaults { look_back: Duration::ZERO, bytes: 1 << 20, ..defaults() };
    load(&Settings { paths: vec![path], defaults, dry_run: false }, &known)
        .map_err(|problems| problems[0].to_string())
}

fn event(labels: &[(&str, &str)]) -> Event {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Event {
        id: EventId::from_text("e"),
        source: "plant".to_owned(),
        name: "Named".to_owned(),
        status: Status::Firing,
        severity: None,
        labels: labels.iter().map(owned).collect(),
        annotations: [].into(),
        value: None,
        starts_at: None,
        received_at: WallTime::from_nanos(0),
        fingerprint: "f".to_owned(),
        payload: String::new(),
    }
}

/// Where `tests/tools alerting` has put it.
fn amtool() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/alerting/usr/bin/amtool");
    assert!(path.exists(), "no {} yet; run: tests/tools alerting", path.display());
    path
}

/// A configuration with one route and one receiver, `r<number>`, for each matcher.
fn routes(folder: &Path, matchers: &[&str]) -> PathBuf {
    let mut routes = String::new();
    let mut receivers = "receivers:\n  - name: none\n".to_owned();
    for (number, matcher) in matchers.iter().enumerate() {
        let matcher = quoted(matcher);
        routes.push_str(&format!(
            "    - {{ receiver: r{number}, continue: true, matchers: [{matcher}] }}\n"
        ));
        receivers.push_str(&format!("  - name: r{number}\n"));
    }
    let path = folder.join("alertmanager.yml");
    fs::write(&path, format!("route:\n  receiver: none\n  routes:\n{routes}{receivers}")).unwrap();
    path
}

fn run(amtool: &Path, arguments: &[&str], labels: &[(&str, &str)]) -> Output {
    let escaped =
        |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
    Command::new(amtool).args(arguments).args(labels.iter().map(label)).output().unwrap()
}

#[test]
fn matchers_mean_what_they_mean_in_alertmanager() {
    let amtool = amtool();
    let folder = tempfile::tempdir().unwrap();
    let rules = rule_set(folder.path(), &MATCHERS).unwrap();
    let config = format!("--config.file={}", routes(folder.path(), &MATCHERS).display());
    let mut matched = BTreeSet::new();
    for labels in ALERTS {
        let output = run(&amtool, &["config", "routes", "test", &config], labels);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let theirs: BTreeSet<&str> =
            said.trim().split(',').filter(|name| *name != "none").collect();
        let verdicts = rules.decide(&event(labels));
        let ours: BTreeSet<&str> = verdicts.iter().map(Verdict::rule).collect();
        let differing: Vec<&str> = ours
            .symmetric_difference(&theirs)
            .map(|name| MATCHERS[name[1..].parse::<usize>().unwrap()])
            .collect();
        assert!(differing.is_empty(), "{labels:?}: {differing:?}");
        matched.extend(ours.into_iter().map(str::to_owned));
    }
    assert_eq!(matched.len(), MATCHERS.len(), "each matcher holds for some alert: {matched:?}");
}

#[test]
fn what_alertmanager_refuses_is_refused() {
    let amtool = amtool();
    let folder = tempfile::tempdir().unwrap();
    for matcher in REFUSED {
        let config = routes(folder.path(), &[matcher]);
        let output = run(&amtool, &["check-config", &config.display().to_string()], &[]);
        assert!(!output.status.success(), "{matcher}: {output:?}");
        assert!(rule_set(folder.path(), &[matcher]).is_err(), "{matcher}");
    }
}
