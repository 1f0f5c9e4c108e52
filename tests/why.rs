//! Why a rule fires on an event, or does not: asked of the configuration alone, and of a real worker.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use support::openapi::Document;
use support::place::Place;
use support::wait;
use support::worker::{Configuration, Worker};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PATIENCE: Duration = Duration::from_secs(60);

const RULES: &str = r#"
version: 1
rules:
  - name: web
    match: [alertname = TcpRetransmitsHigh]
    group_by: [instance]
    cooldown: 15m
    max_captures: { count: 1, per: 1h }
    capture: { interfaces: [lo], limits: { duration: 1h } }
  - name: peers
    match: [alertname = TcpRetransmitsHigh, severity = critical]
    when: value > 0.05
    capture: { interfaces: [lo], filters: [{ remote_ip: "${labels.peer | ip}" }] }
  - name: off
    enabled: false
    match: [alertname = TcpRetransmitsHigh]
  - name: elsewhere
    host: { match: [site = nowhere] }
    match: [alertname = TcpRetransmitsHigh]
  - name: new-year
    match: [alertname = TcpRetransmitsHigh]
    active: { cron: "0 0 0 1 1 *", timezone: UTC }
  - name: yearly
    schedule: { cron: "0 0 0 1 1 *", timezone: UTC }
    capture: { interfaces: [lo] }
  - name: trial
    dry_run: true
    match: [alertname = Other]
"#;

const ALERT: &[u8] = include_bytes!("support/alert.json");

fn configuration() -> Configuration {
    Configuration {
        rest: vec!["recorder: { interfaces: [] }".to_owned()],
        rules: RULES.to_owned(),
        ..Configuration::default()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The line of a table that begins with this word.
fn line<'t>(table: &'t str, name: &str) -> &'t str {
    let mut lines = table.lines().map(str::trim);
    let found = lines.find(|line| line.split_whitespace().next() == Some(name));
    found.unwrap_or_else(|| panic!("no line for {name} in\n{table}"))
}

#[test]
fn without_a_worker_each_rule_says_what_it_makes_of_an_event_and_the_first_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("rules.yaml"), RULES).unwrap();
    std::fs::write(path("alert.json"), ALERT).unwrap();
    let config = "version: 1\nrecorder: { interfaces: [] }\nrules: [rules.yaml]\nsources:\n  odd: \
                  { webhook: { path: /odd, format: json, fields: { name: what } } }\n";
    std::fs::write(path("config.yaml"), config).unwrap();
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hindsight"));
        command.args(["rules", "explain", "--config", &path("config.yaml")]);
        command.args(arguments).output().unwrap()
    };
    let table = stdout(&explain(&["--event", &path("alert.json")]));
    for (rule, parts) in [
        ("web", ["capture", "captures on lo from 10s before to 1h after"]),
        ("peers", ["no_match", "match severity = critical: the event has no severity; it has"]),
        ("off", ["no_match", "enabled: "]),
        ("elsewhere", ["no_match", "host.match: the rule is for other hosts"]),
        ("new-year", ["inactive", "active 0 0 0 1 1 * (UTC): the event came at 20"]),
        ("yearly", ["no_match", "source schedule: the event came through control"]),
        ("trial", ["no_match", "match alertname = Other: alertname is \"TcpRetransmitsHigh\""]),
    ] {
        let line = line(&table, rule);
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} not in {line}");
    }
    // One rule is shown with every condition, those after the first that failed as well.
    let table = stdout(&explain(&["--event", &path("alert.json"), "--rule", "peers"]));
    assert!(line(&table, "NO").contains("match severity = critical"), "{table}");
    assert!(line(&table, "no").contains("when value > 0.05"), "{table}");
    assert!(table.contains("capture.filters[0].remote_ip ${labels.peer | ip}"), "{table}");
    // The configuration knows how the payloads of a source are written.
    std::fs::write(path("odd.json"), r#"{"what": "Other\u001b[2J"}"#).unwrap();
    let table = stdout(&explain(&["--event", &path("odd.json"), "--source", "odd"]));
    assert!(line(&table, "trial").contains("alertname is \"Other\\u{1b}[2J\""), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");
    let json = stdout(&explain(&["--event", &path("alert.json"), "-o", "json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    let peers = &json["events"][0]["rules"][1];
    assert_eq!((peers["failed"].as_u64(), &peers["now"]), (Some(1), &Value::Null), "{peers:#}");

    let unknown = explain(&["--event", &path("alert.json"), "--rule", "wep"]);
    assert_eq!(unknown.status.code(), Some(4), "{unknown:?}");
    assert!(text(&unknown.stderr).contains("there is no rule `wep`"), "{unknown:?}");
    let broken = explain(&["--event", &path("rules.yaml")]);
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    assert!(text(&broken.stderr).contains("the payload is no event"), "{broken:?}");
}

/// What the worker's rules and its state make of the alert at one rule.
fn live(worker: &Worker, rule: &str, alert: &str) -> Value {
    let target = format!("/v1/rules/explain?rule={rule}");
    let answer = worker.post(&target, alert.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", text(&answer.body));
    answer.json()["events"][0]["rules"][0].clone()
}

#[test]
fn a_worker_says_what_stands_against_a_capture_and_is_not_changed_by_it() {
    let worker = Worker::start(&Place::Host, &configuration());
    let file = worker.folder().join("alert.json").display().to_string();
    std::fs::write(&file, ALERT).unwrap();
    let alert = text(ALERT);
    let now = |rule: &str, alert: &str| {
        let now = live(&worker, rule, alert)["now"].clone();
        (now["decision"].as_str().unwrap().to_owned(), now["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(now("web", &alert), ("capture".to_owned(), "a capture would begin".to_owned()));
    assert_eq!(live(&worker, "peers", &alert)["now"], Value::Null);
    assert_eq!(worker.get("/v1/outcomes")["outcomes"], serde_json::json!([]));

    stdout(&worker.command(&["event", "send", &file]));
    let list = stdout(&worker.command(&["rules", "list"]));
    let web = line(&list, "web");
    let parts = ["active", " capture ", "1 of 1 in 1h", "1 capture", "runs; max_captures: 1 of 1"];
    assert!(parts.iter().all(|part| web.contains(part)), "{web}");
    assert!(web.contains("1 group is in its cooldown for 1"), "{web}");
    for (rule, parts) in [
        ("off", ["disabled", ""]),
        ("elsewhere", ["not for this host", "site = nowhere"]),
        ("new-year", ["outside its window", "it is active at 0 0 0 1 1 * (UTC) only"]),
        ("yearly", ["scheduled", "-01-01T00:00:00Z"]),
        ("trial", ["dry run", "nothing is captured"]),
    ] {
        let line = line(&list, rule);
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} not in {line}");
    }
    let rules = worker.get("/v1/rules")["rules"].clone();
    let capture = rules[0]["running"][0].as_str().unwrap().to_owned();
    assert_eq!(rules[0]["last"]["decision"], "capture");
    let (decision, reason) = now("web", &alert);
    assert_eq!(decision, "coalesced");
    assert!(reason.starts_with(&format!("capture {capture} runs")), "{reason}");
    let (decision, reason) = now("web", &alert.replace("edge-7", "edge-8"));
    assert_eq!(decision, "suppressed");
    assert!(reason.starts_with("max_captures: 1 of 1, the next one in "), "{reason}");

    worker.post(&format!("/v1/captures/{capture}/stop"), b"").unwrap();
    wait::until("the capture to end", PATIENCE, || {
        (worker.get("/v1/rules")["rules"][0]["running"] == serde_json::json!([])).then_some(())
    });
    let table = stdout(&worker.command(&["rules", "explain", "--live", "--event", &file]));
    let web = line(&table, "web");
    assert!(web.contains("suppressed"), "{web}");
    assert!(web.contains("the group is in its cooldown for 1"), "{web}");
    let (decision, _) = now("web", &alert.replace("\"firing\"", "\"resolved\""));
    assert_eq!(decision, "suppressed");
    // All of that asking has left no outcome, and counted nothing.
    let outcomes = worker.get("/v1/outcomes")["outcomes"].clone();
    let of_web = |outcome: &&Value| outcome["rule"] == "web";
    assert_eq!(outcomes.as_array().unwrap().iter().filter(of_web).count(), 1, "{outcomes:#}");
    assert_eq!(worker.get("/v1/rules")["rules"][0]["decisions"]["capture"], 1);
}

#[test]
fn the_document_describes_the_rules_and_their_explanations() {
    let worker = Worker::start(&Place::Host, &configuration());
    worker.post("/v1/events", ALERT).unwrap();
    let document = Document(worker.get("/v1/openapi.json"));
    let many = format!("[{}]", vec![r#"{"name": "X"}"#; 1_000].join(","));
    for (method, path, target, body, status) in [
        ("get", "/v1/rules", "/v1/rules", "", 200),
        ("post", "/v1/rules/explain", "/v1/rules/explain", &*text(ALERT), 200),
        ("post", "/v1/rules/explain", "/v1/rules/explain?format=json", "nonsense", 400),
        ("post", "/v1/rules/explain", "/v1/rules/explain?format=odd", "{}", 400),
        ("post", "/v1/rules/explain", "/v1/rules/explain?rule=none", &*text(ALERT), 404),
        ("post", "/v1/rules/explain", "/v1/rules/explain", &*many, 200),
    ] {
        let answer = worker.ask(&method.to_uppercase(), target, &[], body.as_bytes());
        assert_eq!(answer.status, status, "{target}: {}", text(&answer.body));
        assert_eq!(document.mistakes(method, path, &answer), Vec::<String>::new(), "{target}");
    }
}
