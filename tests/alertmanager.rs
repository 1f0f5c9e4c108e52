//! A real Prometheus evaluates a real rule, a real Alertmanager posts what it fires to the worker's
//! webhook: the capture comes with packets from before, and the resolve stops it.

use std::fs;
use std::time::Duration;

use hindsight::clock::boot_time;
use serde_json::Value;
use support::alerting::{Alerting, Target};
use support::namespaces::{INTERFACE, Pair};
use support::traffic::Traffic;
use support::worker::{Configuration, Worker};
use support::{tshark, wait};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PATIENCE: Duration = Duration::from_secs(60);

/// Numbered packets a second.
const RATE: u32 = 500;

const TOKEN: &str = "T0SECRET0";

const RULES: &str = r#"version: 1
rules:
  - name: retransmits
    source: alertmanager
    match: ['alertname = "TcpRetransmitsHigh"', 'severity = "critical"']
    group_by: [alertname, peer]
    cooldown: 15m
    on_resolved: stop
    capture:
      look_back: 2s
      filters: [{ protocol: udp, remote_ip: "${labels.peer | ip}", local_port: "4242" }]
      limits: { duration: 5m, bytes: 50MiB }
    storage: local
    notify: [team]
"#;

/// The one capture, once its state is as wanted.
fn wait_for_capture(worker: &Worker, state: &str) -> Value {
    wait::until(&format!("a capture that is {state}"), PATIENCE, || {
        let captures = worker.get("/v1/captures?limit=10");
        let captures = captures["captures"].as_array()?.clone();
        assert!(captures.len() <= 1, "one alert, one capture: {captures:#?}");
        captures.into_iter().find(|capture| capture["state"] == state)
    })
}

#[test]
fn a_rule_of_prometheus_starts_a_capture_and_its_resolve_stops_it() {
    let Some(pair) = Pair::new() else { return };
    let target = Target::start(&pair.near, &Pair::FAR_ADDRESS.to_string());
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let port = pair.near.free_port();
    let configuration = Configuration {
        sources: vec![format!(
            "alertmanager: {{ webhook: {{ path: /hooks/am, format: alertmanager, bearer_file: {} }} }}",
            token.display()
        )],
        storages: vec!["local: { directory: { path: captures } }".to_owned()],
        notifiers: vec![format!(
            "team: {{ webhook: {{ url: \"http://127.0.0.1:{}/notices\", events: [started, completed] }} }}",
            target.port
        )],
        rest: vec!["recorder: { interfaces: auto, memory: 32MiB }".to_owned()],
        rules: RULES.to_owned(),
    };
    let worker = Worker::start_listening(&pair.near, &configuration, &format!("127.0.0.1:{port}"));
    let hook = format!("http://127.0.0.1:{port}/hooks/am");
    let alerting = Alerting::start(&pair.near, &target, &hook, TOKEN);
    let traffic = Traffic::start(&pair, RATE);
    traffic.wait_for_more(3 * u64::from(RATE));
    assert_eq!(worker.get("/v1/captures?limit=10")["captures"], serde_json::json!([]));

    let (before_alert, fired) = (traffic.sent(), boot_time());
    target.set(200);
    wait_for_capture(&worker, "capturing");
    let began = boot_time().since(fired);
    traffic.wait_for_more(2 * u64::from(RATE));

    let resolved = boot_time();
    target.set(0);
    let capture = wait_for_capture(&worker, "done");
    let ended = boot_time().since(resolved);
    let last_sent = traffic.sent();
    drop(traffic);
    assert_eq!(capture["stop_reason"], "AlertResolved", "{capture:#}");

    let notice = |kind: &str| {
        let body = target.posts.recv_timeout(PATIENCE).unwrap();
        let notice: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(notice["type"], format!("io.hindsight.capture.{kind}"), "{notice:#}");
        notice
    };
    let started = notice("started");
    assert_eq!(started["data"]["stop_reason"], Value::Null);
    assert_eq!(started["data"]["interfaces"][0]["interface"], INTERFACE, "{started:#}");
    let notice = notice("completed");
    let data = &notice["data"];
    assert_eq!(data["stop_reason"], "AlertResolved");
    assert_eq!(data["event_name"], "TcpRetransmitsHigh");
    let said = data["message"].as_str().unwrap();
    assert!(said.contains("It ended because the alert was resolved."), "{said}");

    let file = worker.folder().join("captures").join(data["files"][0]["object"].as_str().unwrap());
    let numbers = tshark::numbers(&file);
    assert_eq!(data["totals"]["packets"], numbers.len());
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>(), "contiguous, in order, none twice");
    // The packet that is marked is the first behind the alert's arrival.
    let marked = tshark::fields(&file, "frame.comment", &["udp.payload"]);
    let arrival = tshark::number(&marked[0][0]);
    assert!(arrival > before_alert, "{arrival} {before_alert}");
    let (past, second) = (arrival - first, u64::from(RATE));
    assert!((3 * second / 2..5 * second / 2).contains(&past), "2 s of look-back: {past}");
    assert!(last > before_alert + 2 * u64::from(RATE) && last <= last_sent, "{last}");
    let comment: Value = serde_json::from_str(&tshark::section_comment(&file)).unwrap();
    assert_eq!(comment["event"]["annotations"]["summary"], "sent again to 10.77.0.2: 20%");
    assert_eq!(alerting.told(), (2.0, 0.0), "firing and resolved, each taken at once");
    println!(
        "metric to capture {began:.1?}, metric to stored file {ended:.1?}: packets {first} to {last}, \
         alert at {before_alert}, its webhook at {arrival}"
    );
}
