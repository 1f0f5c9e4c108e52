//! A million alerts in a few incidents: every one is counted, each incident makes one capture at
//! most, and neither memory nor the journal grows with them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hindsight::clock;
use serde_json::{Value, json};

use crate::figures::{self, figure};
use crate::support::broker::Broker;
use crate::support::namespaces::Pair;
use crate::support::wait;
use crate::support::worker::{Configuration, Worker};

const EVENTS: u64 = 1_000_000;

/// Incidents that the events belong to, in turn.
const INCIDENTS: u64 = 16;

/// Of the ring, in MiB; its pages count as the process's once they were touched.
const RING_MIB: u64 = 16;

/// In MiB, above the peak of before.
const GROWTH_AT_MOST: f64 = 64.0;

/// In MiB, of the journal with its log; a million outcomes are kept.
const JOURNAL_AT_MOST: f64 = 512.0;

const PATIENCE: Duration = Duration::from_secs(900);

const RULES: &str = r#"version: 1
rules:
  - name: storm
    match: ['alertname = "Storm"']
    group_by: [alertname, instance]
    cooldown: 1h
    capture:
      look_back: 1s
      limits: { duration: 2s, bytes: 1MiB }
"#;

pub(crate) fn run(pair: &Pair) {
    figures::heading(&format!("Storm: {EVENTS} alerts over MQTT, {INCIDENTS} incidents"));
    let broker = Broker::start_forgetful(&pair.near);
    let url = broker.url();
    let configuration = Configuration {
        sources: vec![format!(
            "plant: {{ mqtt: {{ url: \"{url}\", topics: [{{ filter: \"alerts/#\", format: json }}] }} }}"
        )],
        storages: vec!["local: { directory: { path: stored } }".to_owned()],
        rest: vec![
            format!("recorder: {{ interfaces: auto, memory: {RING_MIB}MiB }}"),
            "ceilings: { concurrent: 64, captures_per_hour: 10000 }".to_owned(),
        ],
        rules: RULES.to_owned(),
        ..Configuration::default()
    };
    let worker = Worker::start(&pair.near, &configuration);
    worker.wait_for_source("plant");
    let before = worker.peak_memory_kib();

    let began = clock::boot_time();
    broker.publish_many("alerts/storm", (0..EVENTS).map(alert));
    let published = clock::boot_time().since(began);
    wait::until("every event to be counted", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(100));
        (counts(&worker).iter().sum::<u64>() >= EVENTS).then_some(())
    });
    let decided = clock::boot_time().since(began);

    let [captures, coalesced, suppressed] = counts(&worker);
    figures::say(&format!(
        "published in {:.1} s, decided in {:.1} s: {:.0} events a second; {captures} captures, \
         {coalesced} coalesced, {suppressed} suppressed",
        published.as_secs_f64(),
        decided.as_secs_f64(),
        figure(EVENTS) / decided.as_secs_f64()
    ));
    assert_eq!(captures + coalesced + suppressed, EVENTS, "every event is counted, and once");
    assert_eq!(captures, INCIDENTS, "one capture for each incident");
    let peak = worker.peak_memory_kib();
    figures::say(&format!(
        "peak memory: {:.1} MiB before, {:.1} MiB after, of it the ring {RING_MIB} MiB",
        figure(before) / 1024.0,
        figure(peak) / 1024.0
    ));
    figures::judge("growth of memory, MiB", figure(peak - before) / 1024.0, GROWTH_AT_MOST);
    let journal = size_mib(&worker.folder().join("state"), "journal");
    figures::judge("journal on the disk, MiB", journal, JOURNAL_AT_MOST);
}

fn alert(number: u64) -> String {
    let instance = format!("host-{}", number % INCIDENTS);
    let labels = json!({ "number": number.to_string(), "instance": instance });
    json!({ "name": "Storm", "status": "firing", "labels": labels }).to_string()
}

/// Captures, coalesced and suppressed.
fn counts(worker: &Worker) -> [u64; 3] {
    let status = worker.get("/v1/status");
    let tallies = status["decisions"].as_array().unwrap();
    ["capture", "coalesced", "suppressed"].map(|decision| {
        let is_it = |tally: &&Value| tally["rule"] == "storm" && tally["decision"] == decision;
        tallies.iter().find(is_it).map_or(0, |tally| tally["count"].as_u64().unwrap())
    })
}

/// Of the folder's files whose names begin so.
fn size_mib(folder: &Path, beginning: &str) -> f64 {
    let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let ours = files.filter(|file| file.file_name().to_string_lossy().starts_with(beginning));
    let bytes: u64 = ours.map(|file| file.metadata().unwrap().len()).sum();
    figure(bytes / 1024) / 1024.0
}
