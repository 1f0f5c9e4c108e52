//! Reading the configuration again while the worker runs, and what the service manager hears of it;
//! what an alert's end does to a capture, and how long what was stored is kept.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::broker::Broker;
use support::namespaces::Pair;
use support::place::Place;
use support::process::Process;
use support::traffic::Traffic;
use support::wait;
use support::worker::{Configuration, Worker};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PATIENCE: Duration = Duration::from_secs(60);

fn rule(name: &str, more: &str) -> String {
    format!(
        "  - name: {name}\n    match: ['alertname = \"{name}\"']\n    group_by: [alertname]\n    \
         capture: {{ look_back: 100ms, limits: {{ duration: 30s, bytes: 1MiB }} }}\n{more}"
    )
}

fn rules(names: &[&str]) -> String {
    let rules: String = names.iter().map(|name| rule(name, "")).collect();
    format!("version: 1\nrules:\n{rules}")
}

/// A worker that records nothing, and so needs no privilege.
fn quiet(sources: Vec<String>) -> Configuration {
    Configuration {
        sources,
        storages: vec!["local: { directory: { path: stored } }".to_owned()],
        rest: vec!["recorder: { interfaces: [] }".to_owned()],
        rules: rules(&["a"]),
        ..Configuration::default()
    }
}

fn wait_for_status(worker: &Worker, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait::until(what, PATIENCE, || {
        let status = worker.get("/v1/status");
        is_so(&status).then_some(status)
    })
}

#[test]
fn a_changed_rule_file_acts_and_a_broken_one_changes_nothing() {
    let worker = Worker::start(&Place::Host, &quiet(Vec::new()));
    let file = worker.folder().join("rules.yaml");
    let decided = |name: &str| -> Value {
        let event = json!({ "name": name, "status": "resolved", "fingerprint": name }).to_string();
        let answer = worker.post("/v1/events?format=json", event.as_bytes()).unwrap();
        answer.json()["outcomes"][0]["rule"].clone()
    };
    assert_eq!((decided("a"), decided("b")), (json!("a"), Value::Null));
    fs::write(&file, rules(&["a", "b"])).unwrap();
    wait_for_status(&worker, "the second rule", |status| status["rules"] == 2);
    assert_eq!((decided("a"), decided("b")), (json!("a"), json!("b")));

    fs::write(&file, rules(&["b"]).replace("match:", "mtach:")).unwrap();
    let error = |status: &Value| status["configuration"]["error"].as_str().map(str::to_owned);
    let status = wait_for_status(&worker, "the mistake", |status| error(status).is_some());
    let told = error(&status).unwrap();
    assert!(told.contains("rules.yaml:4:5: unknown key `mtach`"), "{told}");
    assert_eq!((decided("a"), decided("b")), (json!("a"), json!("b")), "the old set acts on");

    fs::write(&file, rules(&["b"])).unwrap();
    wait_for_status(&worker, "the mended rules", |status| {
        error(status).is_none() && status["rules"] == 1
    });
    assert_eq!((decided("a"), decided("b")), (Value::Null, json!("b")));
}

#[test]
fn a_hang_up_restarts_only_what_has_changed_and_names_what_needs_a_restart() {
    let broker = Broker::start(&Place::Host);
    let source = |name: &str, topic: &str| {
        let url = broker.url();
        format!(
            "{name}: {{ mqtt: {{ url: \"{url}\", topics: [{{ filter: {topic}, format: json }}] }} }}"
        )
    };
    let sources = vec![source("left", "l/#"), source("right", "r/#")];
    let worker = Worker::start(&Place::Host, &quiet(sources));
    ["left", "right"].iter().for_each(|name| worker.wait_for_source(name));
    let since = |name: &str| -> Value {
        let status = worker.get("/v1/status");
        let sources = status["sources"].as_array().unwrap().clone();
        sources.into_iter().find(|source| source["name"] == name).unwrap()["since"].clone()
    };
    let before = (since("left"), since("right"));

    let file = worker.folder().join("config.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("r/#", "s/#") + "log: { level: debug, format: json }\n";
    fs::write(&file, text).unwrap();
    worker.hang_up();
    let status = wait_for_status(&worker, "the new configuration", |status| {
        status["configuration"]["needs_restart"] == json!(["log.format"])
    });
    assert_eq!(status["configuration"]["error"], Value::Null);
    worker.wait_for_source("right");
    assert_eq!(since("left"), before.0, "it goes on as it was");
    assert_ne!(since("right"), before.1, "it began anew");
    broker.publish("s/1", json!({ "name": "a", "status": "resolved" }).to_string());
    wait_for_status(&worker, "an event from the new topic", |status| {
        status["decisions"].as_array().unwrap().iter().any(|tally| tally["rule"] == "a")
    });
}

#[test]
fn the_service_manager_hears_that_it_is_ready_alive_reloading_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let manager = UnixDatagram::bind(at("notify")).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    fs::write(at("rules.yaml"), rules(&["a"])).unwrap();
    let text = format!(
        "version: 1\nstate: {0}/state\nrules: [{0}/rules.yaml]\nrecorder: {{ interfaces: [] }}\n\
         control: {{ socket: {0}/control.sock, listen: [] }}\n",
        folder.path().display()
    );
    fs::write(at("config.yaml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hindsight"));
    command.arg("run").arg("--config").arg(at("config.yaml"));
    command.env("NOTIFY_SOCKET", at("notify")).env("WATCHDOG_USEC", "2000000");
    let mut worker = Process::start("hindsight", &mut command, &at("log"));
    let hear = |wanted: &str| {
        let mut message = [0; 4096];
        for _ in 0..1_000 {
            let length = manager.recv(&mut message).unwrap();
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.contains(wanted) {
                return text;
            }
        }
        panic!("{wanted} was not said");
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    worker.hang_up();
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    // A mistake is said, and the worker is ready all the same.
    fs::write(at("rules.yaml"), "version: 2\n").unwrap();
    worker.hang_up();
    hear("RELOADING=1");
    assert!(hear("READY=1").contains("STATUS=the configuration is not changed: "));
    // One that is held still gives no sign of life.
    worker.pause();
    manager.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut message = [0; 4096];
    while manager.recv(&mut message).is_ok() {}
    worker.resume();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    hear("WATCHDOG=1");
    assert!(worker.terminate(PATIENCE).success());
    hear("STOPPING=1");
}

fn files_below(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files_below(path)),
            path => found.push(path),
        }
    }
    found
}

#[test]
fn the_end_of_the_alert_stops_its_capture_and_the_file_goes_when_it_is_old() {
    let Some(pair) = Pair::new() else { return };
    let mut configuration = quiet(Vec::new());
    configuration.rules = format!(
        "version: 1\nrules:\n{}{}",
        rule("stops", "    on_resolved: stop\n"),
        rule("goes-on", "    on_resolved: keep\n")
    );
    configuration.rest = vec![
        "recorder: { interfaces: auto, memory: 8MiB }".to_owned(),
        "retention: { age: 1h }".to_owned(),
    ];
    let mut worker = Worker::start(&pair.near, &configuration);
    let traffic = Traffic::start(&pair, 200);
    traffic.wait_for_more(50);
    let send = |worker: &Worker, name: &str, status: &str| {
        let event = json!({ "name": name, "status": status, "fingerprint": name }).to_string();
        let answer = worker.post("/v1/events?format=json", event.as_bytes()).unwrap();
        assert_eq!(answer.status, 200);
    };
    let captures = |worker: &Worker| {
        let list = worker.get("/v1/captures")["captures"].as_array().unwrap().clone();
        let named = |rule: &str| list.iter().find(|c| c["plan"]["rule"] == rule).unwrap().clone();
        (named("stops"), named("goes-on"))
    };
    for name in ["stops", "goes-on"] {
        send(&worker, name, "firing");
    }
    traffic.wait_for_more(100);
    for name in ["stops", "goes-on"] {
        send(&worker, name, "resolved");
    }
    let stopped = wait::until("the capture to end with its alert", PATIENCE, || {
        let (stops, _) = captures(&worker);
        (stops["state"] == "done").then_some(stops)
    });
    assert_eq!(stopped["stop_reason"], "AlertResolved", "{stopped:#}");
    assert_eq!(captures(&worker).1["state"], "capturing", "the other one goes on");

    let stored = worker.folder().join("stored");
    let ours = files_below(stored.clone());
    assert_eq!(ours.len(), 1, "{ours:?}");
    let foreign = ours[0].with_file_name("kept-by-hand.pcapng");
    fs::write(&foreign, "not ours").unwrap();
    assert!(worker.stop().success());
    let file = worker.folder().join("config.yaml");
    let text = fs::read_to_string(&file).unwrap().replace("age: 1h", "age: 10ms");
    fs::write(&file, text).unwrap();
    worker.restart();
    wait::until("what is old to go", PATIENCE, || (!ours[0].exists()).then_some(()));
    assert!(foreign.exists(), "what is not ours stays");
}
