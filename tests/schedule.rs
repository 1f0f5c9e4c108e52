//! Rules with a schedule in the real worker: each instant captures, a reload changes them, and what
//! passed while no worker ran is not made up for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use hindsight::clock::{self, WallTime};
use serde_json::Value;
use support::namespaces::Pair;
use support::traffic::Traffic;
use support::wait;
use support::worker::{Configuration, Worker};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PATIENCE: Duration = Duration::from_secs(60);

/// How late a capture may begin on a host that does much else.
const LATE: Duration = Duration::from_secs(20);

/// A rule that captures a little each second.
fn secondly(name: &str) -> String {
    format!(
        "version: 1\nrules:\n  - name: {name}\n    schedule: {{ cron: \"* * * * * *\", timezone: Asia/Kathmandu }}\n    \
         capture: {{ look_back: 1s, limits: {{ duration: 200ms, bytes: 1MiB }} }}\n"
    )
}

fn configuration() -> Configuration {
    Configuration {
        storages: vec!["local: { directory: { path: stored } }".to_owned()],
        rest: vec!["recorder: { interfaces: [eth0], memory: 8MiB }".to_owned()],
        rules: secondly("each"),
        ..Configuration::default()
    }
}

/// The stored captures of a rule, once there are so many.
fn stored(worker: &Worker, rule: &str, count: usize) -> Vec<Value> {
    wait::until(&format!("{count} captures of {rule}"), PATIENCE, || {
        let all = worker.get("/v1/captures?limit=100");
        let of_rule = all["captures"].as_array()?.iter().filter(|one| one["plan"]["rule"] == rule);
        let done: Vec<_> = of_rule.filter(|one| one["state"] == "done").cloned().collect();
        (done.len() >= count).then_some(done)
    })
}

/// The scheduled instant of a capture.
fn instant(capture: &Value) -> WallTime {
    let event: Value =
        serde_json::from_str(capture["plan"]["event_json"].as_str().unwrap()).unwrap();
    assert_eq!((&event["source"], &event["name"]), (&"schedule".into(), &capture["plan"]["rule"]));
    event["starts_at"].as_str().unwrap().parse().unwrap()
}

fn instants(captures: &[Value]) -> BTreeSet<WallTime> {
    captures.iter().map(instant).collect()
}

/// What `status` says of the calendar.
fn calendar(worker: &Worker) -> Option<Value> {
    let status = worker.get("/v1/status");
    let mut sources = status["sources"].as_array()?.iter();
    sources.find(|source| source["name"] == "schedule").cloned()
}

#[test]
fn each_instant_captures_and_a_reload_changes_the_schedules() {
    let Some(pair) = Pair::quiet() else { return };
    let begun = clock::wall_time();
    let worker = Worker::start(&pair.near, &configuration());
    let _traffic = Traffic::start(&pair, 500);
    let captures = stored(&worker, "each", 4);
    assert_eq!(instants(&captures).len(), captures.len(), "no instant captures twice");
    for capture in &captures {
        let (at, trigger): (_, WallTime) =
            (instant(capture), capture["plan"]["trigger_at"].as_str().unwrap().parse().unwrap());
        assert!(begun < at && at <= trigger && trigger.since(at) < LATE, "{at} {trigger}");
        assert_eq!(at.as_nanos() % 1_000_000_000, 0);
    }
    assert!(captures.iter().any(|capture| capture["totals"]["packets"].as_u64().unwrap() > 0));
    let health = calendar(&worker).unwrap();
    assert!(health["state"].as_str().unwrap().starts_with("next is each at "), "{health}");
    assert_eq!(health["ok"], true);

    fs::write(worker.folder().join("rules.yaml"), secondly("other")).unwrap();
    worker.hang_up();
    let others = stored(&worker, "other", 2);
    let last = instants(&stored(&worker, "each", 1)).pop_last().unwrap();
    assert!(last < instants(&others).pop_first().unwrap(), "the old one makes no events any more");

    fs::write(worker.folder().join("rules.yaml"), "version: 1\nrules: []\n").unwrap();
    worker.hang_up();
    wait::until("the calendar to be empty", PATIENCE, || calendar(&worker).is_none().then_some(()));
}

#[test]
fn what_came_round_while_no_worker_ran_is_not_made_up_for() {
    let Some(pair) = Pair::quiet() else { return };
    let mut worker = Worker::start(&pair.near, &configuration());
    stored(&worker, "each", 1);
    assert!(worker.stop().success());
    let stopped = clock::wall_time();
    wait::until("two seconds to pass", PATIENCE, || {
        (clock::wall_time().since(stopped) > Duration::from_secs(2)).then_some(())
    });
    let again = clock::wall_time();
    worker.restart();
    let after = |captures: &[Value]| {
        instants(captures).into_iter().filter(|at| *at > stopped).collect::<Vec<_>>()
    };
    let made = wait::until("captures of the new worker", PATIENCE, || {
        let made = after(&stored(&worker, "each", 1));
        (made.len() >= 2).then_some(made)
    });
    assert!(made.iter().all(|at| *at > again), "{made:?} although started at {again}");
}
