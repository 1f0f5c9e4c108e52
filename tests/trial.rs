//! `hindsight rules test`, as people use it: what a fixture may say, what a failure says, and that the
//! clock of a test is its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_hindsight");

const RULES: &str = "version: 1\nrules:\n  - name: web\n    match: [alertname = WebDown]\n    \
                     group_by: [instance]\n    cooldown: 15m\n    on_resolved: stop\n    capture:\n      \
                     look_back: 30s\n      filters: [{ protocol: tcp, remote_ip: \"${labels.peer | ip}\" }]\n      \
                     limits: { duration: 1m }\n";

struct Place(TempDir);

/// How a command ended: its exit code, standard output and standard error.
struct Ended(Option<i32>, String, String);

impl Place {
    /// A folder with the rules above.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("rules.yaml", RULES);
        place
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs one fixture; output without the folder.
    fn test(&self, text: &str, more: &[&str]) -> Ended {
        let path = self.write("fixture.yaml", text);
        let mut command = Command::new(BINARY);
        command.args(["rules", "test"]).arg(path).args(more).env_remove("HINDSIGHT_CONFIG");
        let output = command.output().unwrap();
        let folder = format!("{}/", self.0.path().display());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(&folder, "");
        Ended(output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs one test that begins at the third line.
    fn steps(&self, steps: &str) -> Ended {
        let head = "rules: rules.yaml\ntests:\n  - name: a test\n    steps:\n";
        self.test(&format!("{head}{steps}"), &[])
    }
}

const DOWN: &str = "{ name: WebDown, labels: { instance: a, peer: 192.0.2.7 } }";

#[test]
fn a_day_of_a_rule_passes_at_once() {
    let Ended(code, out, err) = Place::new().steps(&format!(
        "      - at: 0s\n        events: [{DOWN}]\n        expect:\n          - {{ rule: web, decision: capture, \
         interfaces: [eth0], filters: [{{ protocol: tcp, remote_ip: 192.0.2.7 }}], look_back: 30s, duration: 1m }}\n\
         \x20     - at: 30s\n        events: [{DOWN}]\n        expect: [{{ rule: web, decision: coalesced }}]\n\
         \x20     - at: 14m59s\n        events: [{DOWN}]\n        expect: [{{ rule: web, decision: suppressed, reason: cooldown }}]\n\
         \x20       ended: [{{ rule: web, reason: time, after: 1m }}]\n\
         \x20     - at: 1d\n        events: [{DOWN}, {{ name: Other }}]\n        expect: [{{ decision: no_match }}, {{ rule: web }}]\n"
    ));
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "fixture.yaml: 1 of 1 passed\n", ""));
}

#[test]
fn a_failure_names_its_place_and_says_what_was_wanted_and_what_was_got() {
    let Ended(code, out, err) = Place::new().steps(&format!(
        "      - at: 0s\n        events: [{DOWN}]\n        expect:\n          - {{ rule: web, look_back: 10s }}\n\
         \x20     - at: 5m\n        events: [{DOWN}]\n        expect:\n          - {{ rule: web, decision: capture }}\n\
         \x20         - {{ rule: web, decision: coalesced }}\n        captures: [{{ rule: web }}]\n\
         \x20     - at: 6m\n        events: [{{ name: Other }}]\n        expect: []\n"
    ));
    assert_eq!(code, Some(1));
    assert_eq!(
        out,
        "fixture.yaml: 0 of 1 passed\n\n\
         fixture.yaml:3: a test\n  \
           fixture.yaml:8:13: at 0s\n    wanted: web: capture, look_back: 10s\n    \
             got:    web: capture, look_back: 30s\n  \
           fixture.yaml:14:20: at 5m\n    wanted: web: capture\n    got:    nothing\n  \
           fixture.yaml:12:13: at 5m\n    wanted: web: capture\n    \
             got:    web: suppressed (cooldown: the group's cooldown is not over)\n  \
           fixture.yaml:13:13: at 5m\n    wanted: web: coalesced\n    got:    nothing\n  \
           fixture.yaml:15:9: at 6m\n    wanted: nothing\n    got:    no_match\n"
    );
    assert_eq!(err, "error: 1 of 1 tests failed\n");
}

#[test]
fn all_mistakes_of_a_fixture_are_told_at_once_with_their_places() {
    let place = Place::new();
    let Ended(code, out, err) = place.test(
        "rules: [rules.yaml, gone.yaml]\ntests:\n  - name: a\n    steps:\n      - at: 10s\n        events: [{ nam: X }]\n        \
         expect: [{ rule: wbe, decision: captur }]\n      - at: 5s\n        events: [{ labels: { a: b } }]\n      - at: 20s\n        \
         expect: [{ decision: capture }]\n  - name: a\n    steps: []\n",
        &[],
    );
    assert_eq!((code, out.as_str()), (Some(78), ""));
    let heads: Vec<&str> = err.lines().filter(|line| line.contains("yaml:")).collect();
    assert_eq!(
        heads,
        [
            "error: fixture.yaml:1:21: gone.yaml does not exist; paths count from the folder of this file",
            "fixture.yaml:6:20: unknown key `nam`; did you mean `name`?",
            "fixture.yaml:7:41: unknown value `captur`; did you mean `capture`?",
            "fixture.yaml:8:9: the step does not say what its events come to; give it `expect`; an event that no rule \
             takes comes to `decision: no_match`",
            "fixture.yaml:8:13: the step comes before the one above it; put it there",
            "fixture.yaml:9:18: the event has no name; give it a `name`, a label `alertname`, or a `payload`",
            "fixture.yaml:10:9: `expect` is about events, and the step has none; what begins by itself stands under \
             `captures`",
            "fixture.yaml:11:18: whose `capture` is expected?; name the rule",
            "fixture.yaml:12:11: a test before it is called `a`; names are unique in a file",
            "fixture.yaml:13:12: the test has no step; give it one with `at` and `events`",
        ]
    );
}

#[test]
fn a_rule_that_is_not_there_and_a_rule_file_with_a_mistake_are_told() {
    let place = Place::new();
    let Ended(code, _, err) = place.steps(&format!(
        "      - at: 0s\n        events: [{DOWN}]\n        expect: [{{ rule: wbe }}]\n"
    ));
    assert_eq!(code, Some(78));
    assert!(
        err.contains("fixture.yaml:7:26: there is no rule `wbe`; did you mean `web`?"),
        "{err}"
    );
    place.write("rules.yaml", &RULES.replace("cooldown", "cooldwon"));
    let Ended(code, _, err) = place.steps("      - at: 0s\n");
    assert_eq!(code, Some(78));
    assert!(
        err.contains("rules.yaml:6:5: unknown key `cooldwon`; did you mean `cooldown`?"),
        "{err}"
    );
}

#[test]
fn messages_of_producers_are_read_as_their_sources_read_them() {
    let place = Place::new();
    let alert = "{\"version\":\"4\",\"status\":\"firing\",\"alerts\":[{\"labels\":{\"alertname\":\"WebDown\",\
                 \"instance\":\"a\",\"peer\":\"192.0.2.7\"}},{\"labels\":{\"alertname\":\"Other\"}}]}";
    place.write("alert.json", alert);
    let Ended(code, out, err) = place.steps(&format!(
        "      - at: 0s\n        events:\n          - {{ file: alert.json, format: alertmanager }}\n          \
         - payload: '{alert}'\n          - {{ payload: 'no JSON' }}\n        expect:\n          \
         - {{ rule: web }}\n          - {{ rule: web, decision: coalesced }}\n          - {{ decision: no_match }}\n          \
         - {{ decision: no_match }}\n          - {{ decision: rejected, reason: is not JSON }}\n"
    ));
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "fixture.yaml: 1 of 1 passed\n", ""));
}

#[test]
fn the_answer_for_programs_holds_every_decision_and_every_difference() {
    let place = Place::new();
    let text = format!(
        "rules: rules.yaml\ninterfaces: [lan0]\ntests:\n  - name: a\n    start: 2026-01-01T00:00:00Z\n    steps:\n      \
         - at: 90s\n        events: [{DOWN}]\n        expect: [{{ rule: web, interfaces: [eth0] }}]\n"
    );
    let Ended(code, out, _) = place.test(&text, &["-o", "json"]);
    assert_eq!(code, Some(1));
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&answer["passed"], &answer["failed"]), (&Value::from(0), &Value::from(1)));
    let test = &answer["files"][0]["tests"][0];
    assert_eq!(
        (&test["name"], &test["line"], &test["passed"]),
        (&"a".into(), &4.into(), &false.into())
    );
    let decision = &test["decisions"][0];
    assert_eq!((&decision["at"], &decision["rule"]), (&"1m30s".into(), &"web".into()));
    assert_eq!((&decision["decision"], &decision["on_event"]), (&"capture".into(), &true.into()));
    let difference = &test["differences"][0];
    assert_eq!((&difference["line"], &difference["column"]), (&9.into(), &18.into()));
    assert_eq!(difference["wanted"], "web: capture, interfaces: [eth0]");
    assert_eq!(difference["got"], "web: capture, interfaces: [lan0]");
}

#[test]
fn under_a_configuration_its_names_and_ages_count() {
    let place = Place::new();
    let config = place.write(
        "config.yaml",
        "version: 1\nrules: [rules.yaml]\nrecorder: { interfaces: [lo] }\nsources:\n  hook: { webhook: { path: /hooks/a, \
         format: auto, max_event_age: 5m } }\nstorages: { local: { directory: { path: captures } } }\n",
    );
    let config = config.to_str().unwrap();
    let text = "tests:\n  - name: a\n    steps:\n      - at: 0s\n        events:\n          - { source: hook, name: WebDown, \
                labels: { instance: a, peer: 192.0.2.7 }, starts_at: -301s }\n          - { source: hook, name: WebDown, \
                labels: { instance: a, peer: 192.0.2.7 }, starts_at: -300s }\n        expect:\n          \
                - { rule: web, decision: expired }\n          - { rule: web, storage: local, interfaces: [lo] }\n";
    let Ended(code, out, err) = place.test(text, &["--config", config]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "fixture.yaml: 1 of 1 passed\n", ""));
    place.write("rules.yaml", &format!("{RULES}    storage: gone\n"));
    let text = format!(
        "rules: rules.yaml\ntests:\n  - name: a\n    steps:\n      - at: 0s\n        events: [{DOWN}]\n        \
         expect: [{{ rule: web, storage: gone }}]\n"
    );
    let Ended(code, _, err) = place.test(&text, &[]);
    assert_eq!(code, Some(0), "a rule alone may name what is configured elsewhere: {err}");
    let Ended(code, _, err) = place.test(&text, &["--config", config]);
    assert_eq!(code, Some(78));
    assert!(err.contains("unknown storage `gone`"), "{err}");
}
