//! 100,000 matching alerts in one incident: one capture, every event counted, memory bounded.

use std::time::Duration;

use hindsight::clock;
use serde_json::json;
use support::broker::Broker;
use support::namespaces::Pair;
use support::wait;
use support::worker::{Configuration, Worker};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const EVENTS: u64 = 100_000;

/// Of the ring, in MiB. Its pages count as the process's memory once they were touched.
const RING_MIB: u64 = 16;

/// What a worker may need beside its ring, in MiB, however many events come.
const BOUND_MIB: u64 = 128;

const RULES: &str = r#"version: 1
rules:
  - name: storm
    match: ['alertname = "Storm"']
    group_by: [alertname]
    cooldown: 1h
    capture:
      look_back: 1s
      limits: { duration: 2s, bytes: 1MiB }
    notify: [bus]
"#;

#[test]
fn a_storm_makes_one_capture_and_every_event_is_counted() {
    let Some(pair) = Pair::new() else { return };
    let broker = Broker::start_forgetful(&pair.near);
    let notices = broker.subscribe("hindsight/notices");
    let url = broker.url();
    let topics = "[{ filter: \"alerts/#\", format: json }]";
    let configuration = Configuration {
        sources: vec![format!("plant: {{ mqtt: {{ url: \"{url}\", topics: {topics} }} }}")],
        storages: vec!["local: { directory: { path: stored } }".to_owned()],
        notifiers: vec![format!("bus: {{ mqtt: {{ url: \"{url}\", topic: hindsight/notices }} }}")],
        rest: vec![format!("recorder: {{ interfaces: auto, memory: {RING_MIB}MiB }}")],
        rules: RULES.to_owned(),
    };
    let worker = Worker::start(&pair.near, &configuration);
    worker.wait_for_source("plant");
    let before = worker.peak_memory_kib();

    let from = clock::boot_time();
    let one = |number: u64| {
        let labels = json!({ "number": number.to_string(), "instance": "host-1" });
        json!({ "name": "Storm", "status": "firing", "labels": labels }).to_string()
    };
    broker.publish_many("alerts/storm", (0..EVENTS).map(one));
    let published = clock::boot_time().since(from);
    let count = || {
        let status = worker.get("/v1/status");
        let tallies = status["decisions"].as_array().unwrap().clone();
        let of = |decision: &str| {
            let is_it = |t: &&serde_json::Value| t["rule"] == "storm" && t["decision"] == decision;
            tallies.iter().find(is_it).map_or(0, |tally| tally["count"].as_u64().unwrap())
        };
        (of("capture"), of("coalesced"), of("suppressed"))
    };
    wait::until("every event to be counted", Duration::from_secs(300), || {
        let (capture, coalesced, suppressed) = count();
        (capture + coalesced + suppressed >= EVENTS).then_some(())
    });
    let decided = clock::boot_time().since(from);

    let (capture, coalesced, suppressed) = count();
    assert_eq!((capture, capture + coalesced + suppressed), (1, EVENTS));
    notices.wait_for("the one notice", Duration::from_secs(60), |_| true);
    let peak = worker.peak_memory_kib();
    println!(
        "storm: {EVENTS} alerts published in {published:.1?}, decided in {decided:.1?}: {capture} capture, \
         {coalesced} coalesced, {suppressed} suppressed; peak memory {:.1} MiB (before the storm {:.1} MiB, \
         ring {RING_MIB} MiB)",
        peak as f64 / 1024.0,
        before as f64 / 1024.0
    );
    assert!(peak < (RING_MIB + BOUND_MIB) * 1024, "peak memory {peak} KiB");
    assert!(notices.received().is_empty(), "one capture, one notice");
}
