//! `kill -9` at random instants while events come in over MQTT and the control socket.
//!
//! The test stands outside: it holds what was acknowledged to it, what the storage has and what the
//! notifier heard, and at the end compares these with the journal.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hindsight::{clock, random, spawn};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::broker::Broker;
use support::http::exchange;
use support::namespaces::Pair;
use support::traffic::Traffic;
use support::worker::{Configuration, Worker};
use support::{tshark, wait};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const KILLS: u32 = 200;

/// After so many kills one start is waited for, and its time taken.
const KILLS_A_MEASUREMENT: u32 = 20;

/// Between two kills at most, counted from the start of the process: some come before it is ready.
const LONGEST_LIFE_MS: u64 = 900;

/// So many events in a row belong to one group, and so to one capture.
const EVENTS_A_GROUP: u64 = 60;

const PATIENCE: Duration = Duration::from_secs(120);

const RULES: &str = r#"version: 1
rules:
  - name: every-alert
    match: ['alertname = "Numbered"']
    group_by: [alertname, group]
    cooldown: 1h
    capture:
      look_back: 200ms
      filters: [{ protocol: udp, local_port: "4242" }]
      limits: { duration: 300ms, bytes: 1MiB }
    storage: local
    notify: [bus]
"#;

fn configuration(broker: &Broker) -> Configuration {
    let url = broker.url();
    let topics = "[{ filter: \"alerts/#\", format: json }]";
    Configuration {
        sources: vec![format!("plant: {{ mqtt: {{ url: \"{url}\", topics: {topics} }} }}")],
        storages: vec!["local: { directory: { path: stored } }".to_owned()],
        notifiers: vec![format!("bus: {{ mqtt: {{ url: \"{url}\", topic: hindsight/notices }} }}")],
        rest: vec![
            "recorder: { interfaces: auto, memory: 8MiB }".to_owned(),
            "ceilings: { concurrent: 8, captures_per_hour: 100000 }".to_owned(),
        ],
        rules: RULES.to_owned(),
    }
}

/// The `number`-th event of a stream; its fingerprint says which it is.
fn event(stream: &str, number: u64) -> String {
    json!({
        "name": "Numbered", "status": "firing", "fingerprint": format!("{stream}-{number}"),
        "group": format!("{stream}-{}", number / EVENTS_A_GROUP),
    })
    .to_string()
}

/// Sends events one after the other until it is told to stop; gives the acknowledged fingerprints.
fn send(
    name: &'static str,
    stop: &Arc<AtomicBool>,
    mut one: impl FnMut(u64) -> bool + Send + 'static,
) -> JoinHandle<BTreeSet<String>> {
    let stop = Arc::clone(stop);
    let body = move || {
        let mut acknowledged = BTreeSet::new();
        for number in 0.. {
            if stop.load(Ordering::Acquire) {
                break;
            }
            if one(number) {
                acknowledged.insert(format!("{name}-{number}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        acknowledged
    };
    spawn::thread(name, body).unwrap()
}

/// Over the control socket: acknowledged is what was answered with 200.
fn over_the_socket(stop: &Arc<AtomicBool>, socket: PathBuf) -> JoinHandle<BTreeSet<String>> {
    send("socket", stop, move |number| {
        let Ok(stream) = UnixStream::connect(&socket) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let body = event("socket", number);
        let headers = [("Content-Type", "application/json")];
        let target = "/v1/events?format=json";
        let answer = exchange(stream, "POST", target, &headers, body.as_bytes());
        answer.is_ok_and(|answer| answer.status == 200)
    })
}

/// Over MQTT: acknowledged is what the broker has, because our own session at it is durable.
fn over_mqtt(stop: &Arc<AtomicBool>, broker: &Arc<Broker>) -> JoinHandle<BTreeSet<String>> {
    let broker = Arc::clone(broker);
    send("mqtt", stop, move |number| {
        broker.publish("alerts/numbered", event("mqtt", number));
        true
    })
}

/// Waits until nothing is left to do.
fn rest(worker: &Worker) {
    wait::until("all captures to end and all notices to go", PATIENCE, || {
        let status = worker.get("/v1/status");
        let open = status["captures_open"].as_array().unwrap().len();
        let waiting = ["segments_waiting", "removals_waiting", "notices_waiting"];
        (open == 0 && waiting.iter().all(|count| status[count].as_u64() == Some(0))).then_some(())
    });
}

/// The JSON column of a table of the journal.
fn rows(journal: &Connection, table: &str) -> Vec<Value> {
    let mut statement = journal.prepare(&format!("SELECT json FROM {table}")).unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    texts.map(|text| serde_json::from_str(&text.unwrap()).unwrap()).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files_below(&path)),
            path => found.push(path),
        }
    }
    found
}

#[test]
fn two_hundred_kills_lose_nothing_that_was_acknowledged() {
    let Some(pair) = Pair::new() else { return };
    let broker = Arc::new(Broker::start(&pair.near));
    let notices = broker.subscribe("hindsight/notices");
    let mut worker = Worker::start(&pair.near, &configuration(&broker));
    worker.wait_for_source("plant");
    let traffic = Traffic::start(&pair, 500);
    let stop = Arc::new(AtomicBool::new(false));
    let senders =
        [over_the_socket(&stop, worker.folder().join("control.sock")), over_mqtt(&stop, &broker)];

    let seed = random::seed();
    let mut sequence = random::Sequence::new(seed);
    println!("seed {seed}");
    let mut recoveries = Vec::new();
    for kill in 1..=KILLS {
        std::thread::sleep(Duration::from_millis(sequence.next() % LONGEST_LIFE_MS));
        worker.kill();
        if kill % KILLS_A_MEASUREMENT == 0 {
            let from = clock::boot_time();
            worker.restart();
            recoveries.push(clock::boot_time().since(from));
        } else {
            worker.start_again();
        }
    }
    stop.store(true, Ordering::Release);
    let [socket, mqtt] = senders.map(|sender| sender.join().unwrap());
    drop(traffic);

    wait_for_all_of_mqtt(&worker, &mqtt);
    rest(&worker);
    assert!(worker.stop().success());
    let journal =
        Connection::open_with_flags(worker.journal(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let outcomes = every_event_has_one_outcome(&journal, &[&socket, &mqtt]);
    let (captures, partial) = every_capture_is_stored_once(&journal, worker.folder());
    every_notice_came(&journal, &notices.received(), captures);
    assert!(files_below(&worker.folder().join("state/spool")).is_empty());
    println!(
        "{KILLS} kills: {} + {} acknowledged, {outcomes} outcomes, {captures} captures ({partial} partial), \
         all stored once and noticed; from start to answer {recoveries:.1?}",
        socket.len(),
        mqtt.len()
    );
    assert!(socket.len() > 100 && captures > 20 && partial > 0, "the test has to do something");
}

/// The broker gives what was not acknowledged to it again; the last of it has come when every
/// fingerprint has an outcome.
fn wait_for_all_of_mqtt(worker: &Worker, mqtt: &BTreeSet<String>) {
    wait::until("every event of the broker to be recorded", PATIENCE, || {
        let journal =
            Connection::open_with_flags(worker.journal(), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        let mut statement = journal.prepare("SELECT json FROM outcomes").ok()?;
        let texts = statement.query_map([], |row| row.get::<_, String>(0)).ok()?;
        let seen: BTreeSet<String> = texts
            .flatten()
            .filter_map(|text| serde_json::from_str::<Value>(&text).ok())
            .filter_map(|outcome| Some(outcome["fingerprint"].as_str()?.to_owned()))
            .collect();
        mqtt.is_subset(&seen).then_some(())
    });
}

/// P1 and P2: all that was acknowledged is there, and no event has two outcomes.
fn every_event_has_one_outcome(journal: &Connection, acknowledged: &[&BTreeSet<String>]) -> usize {
    let outcomes = rows(journal, "outcomes");
    let mut by_event: BTreeMap<&str, u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for outcome in &outcomes {
        *by_event.entry(outcome["event"].as_str().unwrap()).or_default() += 1;
        seen.insert(outcome["fingerprint"].as_str().unwrap().to_owned());
    }
    for fingerprints in acknowledged {
        let missing: Vec<_> = fingerprints.difference(&seen).collect();
        assert!(missing.is_empty(), "acknowledged and not recorded: {missing:?}");
    }
    let twice: Vec<_> = by_event.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "more than one outcome: {twice:?}");
    outcomes.len()
}

/// P3 and P4: every sealed segment is in the storage, once, byte-identical and readable.
fn every_capture_is_stored_once(journal: &Connection, folder: &Path) -> (usize, usize) {
    let stored: BTreeSet<PathBuf> = files_below(&folder.join("stored")).into_iter().collect();
    let captures = rows(journal, "captures");
    let mut expected = BTreeSet::new();
    let mut partial = 0;
    for capture in &captures {
        let state = capture["state"].as_str().unwrap();
        assert!(["done", "partial", "failed"].contains(&state), "{capture:#}");
        partial += usize::from(state == "partial");
        let segments = capture["segments"].as_array().unwrap();
        assert_eq!(state == "failed", segments.is_empty(), "{capture:#}");
        for segment in segments {
            let path = folder.join("stored").join(segment["object"].as_str().unwrap());
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(segment["file"]["sha256"], sum.as_str());
            assert_eq!(segment["file"]["packets"], tshark::figures(&path).packets);
            assert_eq!(tshark::complaints(&path), Vec::<String>::new(), "{}", path.display());
            assert!(expected.insert(path), "two segments have one name");
        }
    }
    assert_eq!(stored, expected, "the storage holds the segments and nothing else");
    (captures.len(), partial)
}

/// P5: each capture's notice was heard, under the identifier that the journal has.
fn every_notice_came(journal: &Connection, heard: &[support::broker::Message], captures: usize) {
    let heard: BTreeSet<String> =
        heard.iter().map(|message| message.json()["id"].as_str().unwrap().to_owned()).collect();
    let notices = rows(journal, "notices");
    assert_eq!(notices.len(), captures, "one notifier, one notice a capture");
    for notice in notices {
        assert_eq!(notice["delivery"], "delivered", "{notice:#}");
        assert!(heard.contains(notice["id"].as_str().unwrap()), "never heard: {notice:#}");
    }
}

#[test]
fn sigterm_seals_what_is_being_captured_and_a_restart_delivers_it() {
    let Some(pair) = Pair::new() else { return };
    let broker = Broker::start(&pair.near);
    let notices = broker.subscribe("hindsight/notices");
    let mut configuration = configuration(&broker);
    configuration.rules = configuration.rules.replace("duration: 300ms", "duration: 1h");
    let mut worker = Worker::start(&pair.near, &configuration);
    let traffic = Traffic::start(&pair, 500);
    traffic.wait_for_more(200);
    let answer = worker.post("/v1/events?format=json", event("socket", 0).as_bytes()).unwrap();
    assert_eq!(answer.status, 200);
    traffic.wait_for_more(500);
    assert!(worker.stop().success());
    let spool = files_below(&worker.folder().join("state/spool"));
    assert_eq!(spool.len(), 1, "{spool:?}");
    assert!(spool[0].extension().is_some_and(|extension| extension == "pcapng"), "sealed");
    worker.restart();
    let notice = notices.wait_for("the notice", PATIENCE, |_| true).json();
    assert_eq!(notice["data"]["stop_reason"], "AgentStopped");
    assert_eq!(notice["data"]["state"], "partial");
    assert!(notice["data"]["totals"]["packets"].as_u64().unwrap() > 500);
}

#[test]
fn a_second_worker_on_the_same_state_is_refused() {
    let Some(pair) = Pair::new() else { return };
    let broker = Broker::start(&pair.near);
    let worker = Worker::start(&pair.near, &configuration(&broker));
    let mut command = pair.near.command(env!("CARGO_BIN_EXE_hindsight"));
    command.arg("run").arg("--config").arg(worker.folder().join("config.yaml"));
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another worker"), "{said}");
    assert_eq!(worker.get("/v1/status")["rules"], 1, "the first one goes on");
}
