//! The MQTT source through what happens to brokers, with both versions of MQTT against a real
//! mosquitto: kills and restarts under load, poison between good messages, a session that is lost with
//! work that nobody has acknowledged, a backlog of 100,000 messages.
//!
//! The oracle is always the same: every event that the broker acknowledged to its publisher, and that
//! the broker itself did not lose, is decided; what is acknowledged does not come again; memory is
//! bounded.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::time::Duration;

use hindsight::clock;
use hindsight::model::Health;
use hindsight::source::format::{Format, MAX_BODY_BYTES, json};
use hindsight::source::mqtt::{self, Protocol, Settings, Topic};
use hindsight::source::{Content, Delivery};
use serde_json::json;
use support::broker::Broker;
use support::namespaces::Pair;
use support::place::Place;
use support::wait;
use support::worker::{Configuration, Worker};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PROTOCOLS: [Protocol; 2] = [Protocol::V5, Protocol::V311];

/// The longest that any step may take; healthy runs take seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// How long nothing more must come for us to believe that nothing comes.
const QUIET: Duration = Duration::from_secs(1);

const BACKLOG: usize = 100_000;

/// What the process may grow by while it receives a backlog, in MiB: room for 32 MiB of messages that
/// wait, twice, because freed memory is not always given back.
const GROWTH_MIB: u64 = 64;

/// Memory is that of the process, so that no two tests may run at once.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A source whose worker this test is.
struct Source {
    deliveries: mpsc::Receiver<Delivery>,
    health: watch::Receiver<Health>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// How often each event came, by its name.
    seen: BTreeMap<String, usize>,
    rejected: usize,
    /// Whether the broker had the session, at each connection.
    sessions: Vec<bool>,
}

fn settings(broker: &Broker, protocol: Protocol) -> Settings {
    Settings {
        url: broker.url(),
        client_id: "hindsight-edge-7-plant".into(),
        topics: vec![Topic {
            filter: "alerts/#".into(),
            format: Format::Json(json::Mapping::default()),
        }],
        protocol,
        username: None,
        username_file: None,
        password_file: None,
        ca_file: None,
        client_cert_file: None,
        client_key_file: None,
        retained: false,
        max_event_age: None,
    }
}

impl Source {
    fn start(settings: Settings) -> Self {
        let (sender, deliveries) = mpsc::channel(1024);
        let (told, health) = watch::channel(Health {
            name: "plant".into(),
            kind: "mqtt".into(),
            ok: false,
            state: "unknown".into(),
            since: clock::wall_time(),
            error: None,
            failures: 0,
        });
        let stop = CancellationToken::new();
        let run = mqtt::run("plant".into(), settings, sender, told, stop.clone());
        let task = hindsight::spawn::task("plant", run);
        let (seen, sessions) = (BTreeMap::new(), Vec::new());
        Self { deliveries, health, stop, task, seen, rejected: 0, sessions }
    }

    /// Takes what comes, as a worker that records everything, until it has come to this.
    async fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let work = async {
            while !reached(self) {
                tokio::select! {
                    changed = self.health.changed() => changed.unwrap(),
                    delivery = self.deliveries.recv() => self.record(delivery.unwrap()),
                }
            }
        };
        if timeout(LIMIT, work).await.is_err() {
            let health = self.health.borrow().clone();
            panic!("waited in vain for {what}: {} seen, {health:?}", self.seen.len());
        }
    }

    async fn connected(&mut self) {
        self.until("a connection", |source| source.health.borrow().state == "connected").await;
    }

    async fn seen(&mut self, count: usize) {
        self.until(&format!("{count} events"), |source| source.seen.len() >= count).await;
    }

    fn record(&mut self, delivery: Delivery) {
        self.note(&delivery.content);
        // The connection may have ended meanwhile.
        drop(delivery.done.send(Vec::new()));
    }

    fn note(&mut self, content: &Content) {
        match content {
            Content::Events(events) => {
                for event in events {
                    *self.seen.entry(event.name.clone()).or_default() += 1;
                }
            }
            Content::Rejected(_) => self.rejected += 1,
            Content::Session { present, .. } => self.sessions.push(*present),
        }
    }

    async fn is_quiet(&mut self) -> bool {
        match timeout(QUIET, self.deliveries.recv()).await {
            Ok(delivery) => {
                self.record(delivery.unwrap());
                false
            }
            Err(_elapsed) => true,
        }
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(5), self.task).await.expect("a stop is prompt").unwrap();
    }
}

fn events(numbers: Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| json!({ "name": format!("Event{number}") }).to_string())
}

/// What the kernel says of this process, in KiB.
fn memory_kib(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    value.split_whitespace().next().unwrap().parse().unwrap()
}

/// A broker that is killed again and again saves what it acknowledged, so nothing may be missing.
#[tokio::test]
async fn a_broker_that_is_killed_and_restarted_loses_us_nothing() {
    const ROUNDS: usize = 5;
    const EACH: usize = 100;
    let _alone = ALONE.lock().await;
    for protocol in PROTOCOLS {
        let mut broker = Broker::start(&Place::Host);
        let mut source = Source::start(settings(&broker, protocol));
        source.connected().await;
        let from = clock::boot_time();
        for round in 0..ROUNDS {
            broker.publish_many("alerts/a", events(round * EACH..(round + 1) * EACH));
            // Some of the round are acknowledged, some are recorded and not acknowledged yet, some are
            // still with the broker.
            source.seen(round * EACH + round * 7 + 1).await;
            broker.kill();
            source.until("the loss of the connection", |source| !source.health.borrow().ok).await;
            broker.restart();
            source.connected().await;
        }
        source.seen(ROUNDS * EACH).await;
        let again: usize = source.seen.values().map(|times| times - 1).sum();
        println!(
            "{protocol:?}: {ROUNDS} kills, {} events decided in {:.1?}, {again} of them came again",
            source.seen.len(),
            clock::boot_time().since(from)
        );
        assert_eq!(source.seen.len(), ROUNDS * EACH);
        assert!(source.sessions[1..].iter().all(|present| *present), "{:?}", source.sessions);
        source.end().await;
    }
}

#[tokio::test]
async fn poison_between_good_messages_is_recorded_and_holds_nothing_up() {
    const HUGE: usize = 17 * 1024 * 1024;
    let _alone = ALONE.lock().await;
    for protocol in PROTOCOLS {
        let broker = Broker::start_forgetful(&Place::Host);
        let mut source = Source::start(settings(&broker, protocol));
        source.connected().await;
        broker.publish_many("alerts/a", events(0..10));
        broker.publish("alerts/a", vec![b'x'; MAX_BODY_BYTES + 1]);
        broker.publish_many("alerts/a", events(10..20));
        broker.publish("alerts/a", b"{\"name\":");
        broker.publish("alerts/a", b"");
        broker.publish_many("alerts/a", events(20..30));
        broker.publish("alerts/a", vec![b'x'; HUGE]);
        broker.publish_many("alerts/a", events(30..40));
        source.seen(40).await;
        // MQTT 5 brokers are told not to send the largest.
        let expected = if protocol == Protocol::V5 { 3 } else { 4 };
        source.until("the records of poison", |source| source.rejected >= expected).await;
        assert!(source.is_quiet().await, "nothing comes again");
        assert_eq!((source.seen.len(), source.rejected), (40, expected), "{protocol:?}");
        assert_eq!(source.sessions, [false], "one connection bore it all");
        source.end().await;
    }
}

/// What we hold of a session that the broker forgets has packet ids that mean other messages now. A
/// late answer must not acknowledge those: they would be lost.
#[tokio::test]
async fn a_session_lost_with_work_that_nobody_acknowledged_loses_nothing_new() {
    const HELD: usize = 20;
    let _alone = ALONE.lock().await;
    for protocol in PROTOCOLS {
        let mut broker = Broker::start_forgetful(&Place::Host);
        let mut source = Source::start(settings(&broker, protocol));
        source.connected().await;
        broker.publish_many("alerts/old", events(0..HELD));
        let mut held = Vec::new();
        while held.len() < HELD {
            held.push(timeout(LIMIT, source.deliveries.recv()).await.unwrap().unwrap());
        }
        // Killed, this broker forgets the session and what was in it.
        broker.kill();
        source.until("the loss of the connection", |source| !source.health.borrow().ok).await;
        broker.restart();
        for delivery in held {
            source.record(delivery);
        }
        source.connected().await;
        assert_eq!(source.sessions, [false, false], "the loss is told");
        broker.publish_many("alerts/new", events(HELD..2 * HELD));
        source.seen(2 * HELD).await;
        assert!(source.is_quiet().await);
        source.end().await;

        // Nothing was acknowledged that was not recorded, and nothing is left that was.
        let mut source = Source::start(settings(&broker, protocol));
        source.connected().await;
        assert!(source.is_quiet().await, "{protocol:?}");
        assert_eq!(source.sessions, [true]);
        source.end().await;
    }
}

/// As before, but the new messages are held too: had the late answers reached the broker, it would not
/// send them again.
#[tokio::test]
async fn late_answers_acknowledge_no_message_of_the_next_session() {
    const HELD: usize = 5;
    let _alone = ALONE.lock().await;
    for protocol in PROTOCOLS {
        let mut broker = Broker::start_forgetful(&Place::Host);
        let mut source = Source::start(settings(&broker, protocol));
        source.connected().await;
        broker.publish_many("alerts/old", events(0..HELD));
        let mut old = Vec::new();
        while old.len() < HELD {
            old.push(timeout(LIMIT, source.deliveries.recv()).await.unwrap().unwrap());
        }
        broker.kill();
        source.until("the loss of the connection", |source| !source.health.borrow().ok).await;
        broker.restart();
        // All but one are answered, so that the source settles; this one is answered last.
        let last = old.pop().unwrap();
        old.into_iter().for_each(|delivery| source.record(delivery));
        source.record(last);
        source.connected().await;
        broker.publish_many("alerts/new", events(HELD..2 * HELD));
        let mut new = Vec::new();
        while new.len() < HELD {
            new.push(timeout(LIMIT, source.deliveries.recv()).await.unwrap().unwrap());
        }
        source.end().await;
        drop(new);
        let mut source = Source::start(settings(&broker, protocol));
        source.seen(HELD).await;
        assert!(source.seen.keys().eq(["Event5", "Event6", "Event7", "Event8", "Event9"].iter()));
        source.end().await;
    }
}

#[tokio::test]
async fn a_backlog_is_received_whole_within_bounded_memory() {
    let _alone = ALONE.lock().await;
    for protocol in PROTOCOLS {
        let broker = Broker::start_forgetful(&Place::Host);
        let mut source = Source::start(settings(&broker, protocol));
        source.connected().await;
        source.end().await;
        broker.publish_many("alerts/a", events(0..BACKLOG));

        // The names are this test's own memory; they are counted before.
        let mut source = Source::start(settings(&broker, protocol));
        source.seen = (0..BACKLOG).map(|number| (format!("Event{number}"), 0)).collect();
        let before = memory_kib("VmRSS:");
        let (from, mut peak, mut decided) = (clock::boot_time(), before, 0_usize);
        while decided < BACKLOG {
            let delivery = timeout(LIMIT, source.deliveries.recv()).await.unwrap().unwrap();
            let is_message = !matches!(delivery.content, Content::Session { .. });
            source.record(delivery);
            decided += usize::from(is_message);
            if decided.is_multiple_of(1000) {
                peak = peak.max(memory_kib("VmRSS:"));
            }
        }
        let took = clock::boot_time().since(from);
        let grown = (peak - before) / 1024;
        let rate = f64::from(u32::try_from(BACKLOG).unwrap()) / took.as_secs_f64();
        println!(
            "{protocol:?}: a backlog of {BACKLOG} received in {took:.1?} ({rate:.0}/s), memory grew by \
             {grown} MiB"
        );
        assert!(source.is_quiet().await, "nothing came twice");
        assert!(source.seen.values().all(|times| *times == 1), "each came once");
        assert!(grown <= GROWTH_MIB, "memory grew by {grown} MiB");
        source.end().await;
    }
}

/// Of the ring, in MiB. Its pages count as the process's memory once they were touched.
const RING_MIB: u64 = 16;

/// What a worker may need beside its ring, in MiB, however many events come.
const BOUND_MIB: u64 = 128;

const RULES: &str = r#"version: 1
rules:
  - name: fault
    match: ['alertname =~ "Fault.*"']
    group_by: [instance]
    cooldown: 1h
    capture:
      look_back: 1s
      limits: { duration: 2s, bytes: 1MiB }
"#;

/// A worker with a source for each version of MQTT: `five` at `five/#`, `three` at `three/#`.
fn worker(pair: &Pair, broker: &Broker) -> Worker {
    let source = |name: &str, protocol: &str| {
        format!(
            "{name}: {{ mqtt: {{ url: \"{}\", protocol: {protocol}, \
             topics: [{{ filter: \"{name}/#\", format: json }}] }} }}",
            broker.url()
        )
    };
    let configuration = Configuration {
        sources: vec![source("five", "5"), source("three", "3.1.1")],
        storages: vec!["local: { directory: { path: stored } }".to_owned()],
        notifiers: Vec::new(),
        rest: vec![format!("recorder: {{ interfaces: auto, memory: {RING_MIB}MiB }}")],
        rules: RULES.to_owned(),
    };
    let worker = Worker::start(&pair.near, &configuration);
    ["five", "three"].iter().for_each(|name| worker.wait_for_source(name));
    worker
}

fn faults(topic: &str, numbers: Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(move |number| {
        let labels = json!({ "instance": "host-1" });
        json!({ "name": format!("Fault-{topic}-{number}"), "labels": labels }).to_string()
    })
}

/// The newest outcomes, as (source, name, decision).
fn outcomes(worker: &Worker) -> Vec<(String, String, String)> {
    let listed = worker.get("/v1/outcomes?limit=1000");
    let of = |outcome: &serde_json::Value, key: &str| outcome[key].as_str().unwrap().to_owned();
    let outcomes = listed["outcomes"].as_array().unwrap().iter();
    outcomes
        .map(|outcome| {
            let decision = &outcome["decision"];
            let decision = decision.as_str().or_else(|| decision["kind"].as_str());
            let decision = decision.map_or_else(|| outcome["decision"].to_string(), str::to_owned);
            (of(outcome, "source"), of(outcome, "name"), decision)
        })
        .collect()
}

#[test]
fn a_worker_decides_every_good_event_whatever_becomes_of_the_broker_and_of_itself() {
    const EACH: usize = 40;
    let _alone = ALONE.blocking_lock();
    let Some(pair) = Pair::new() else { return };
    let mut broker = Broker::start(&pair.near);
    let mut worker = worker(&pair, &broker);
    let mut published: BTreeSet<String> = BTreeSet::new();
    let mut publish = |broker: &Broker, part: usize| {
        for topic in ["five", "three"] {
            let numbers = part * EACH..(part + 1) * EACH;
            let middle = numbers.start + EACH / 2;
            let target = format!("{topic}/a");
            broker.publish_many(&target, faults(topic, numbers.start..middle));
            broker.publish(&target, vec![b'x'; MAX_BODY_BYTES + 1]);
            broker.publish(&target, b"{\"name\":");
            broker.publish_many(&target, faults(topic, middle..numbers.end));
            published.extend(numbers.map(|number| format!("Fault-{topic}-{number}")));
        }
    };
    let from = clock::boot_time();
    publish(&broker, 0);
    broker.kill();
    broker.restart();
    publish(&broker, 1);
    worker.kill();
    publish(&broker, 2);
    worker.restart();
    publish(&broker, 3);
    broker.stop();
    worker.kill();
    broker.restart();
    publish(&broker, 4);
    worker.restart();
    wait::until("every good event to be decided", LIMIT, || {
        let decided: BTreeSet<String> =
            outcomes(&worker).into_iter().map(|(_, name, _)| name).collect();
        published.is_subset(&decided).then_some(())
    });
    println!(
        "{} events through two ends of the broker and two of the worker, decided in {:.1?}",
        published.len(),
        clock::boot_time().since(from)
    );
    let rejected = outcomes(&worker).iter().filter(|(.., d)| d.contains("rejected")).count();
    assert!(rejected >= 20, "{rejected} records of poison");
    assert!(!outcomes(&worker).iter().any(|(.., decision)| decision.contains("upstream_loss")));
}

#[test]
fn a_session_that_was_lost_between_two_processes_is_told() {
    let _alone = ALONE.blocking_lock();
    let Some(pair) = Pair::new() else { return };
    let mut broker = Broker::start_forgetful(&pair.near);
    let mut worker = worker(&pair, &broker);
    let losses = |worker: &Worker| {
        let all = outcomes(worker);
        let lost = all.into_iter().filter(|(.., decision)| decision.contains("upstream_loss"));
        let mut sources: Vec<String> = lost.map(|(source, ..)| source).collect();
        sources.sort_unstable();
        sources
    };
    worker.stop();
    worker.restart();
    ["five", "three"].iter().for_each(|name| worker.wait_for_source(name));
    assert!(losses(&worker).is_empty(), "the broker had it");
    worker.kill();
    // Killed, this broker forgets.
    broker.kill();
    broker.restart();
    worker.restart();
    wait::until("both losses to be recorded", LIMIT, || {
        (losses(&worker) == ["five", "three"]).then_some(())
    });
    for topic in ["five", "three"] {
        worker.wait_for_source(topic);
        broker.publish_many(&format!("{topic}/a"), faults(topic, 0..10));
    }
    wait::until("what came after", LIMIT, || {
        let decided: BTreeSet<String> =
            outcomes(&worker).into_iter().map(|(_, name, _)| name).collect();
        (decided.iter().filter(|name| name.starts_with("Fault-")).count() == 20).then_some(())
    });
}

#[test]
fn a_worker_takes_a_backlog_of_the_older_protocol_within_bounded_memory() {
    let _alone = ALONE.blocking_lock();
    let Some(pair) = Pair::new() else { return };
    let broker = Broker::start_forgetful(&pair.near);
    let mut worker = worker(&pair, &broker);
    worker.stop();
    broker.publish_many("three/a", faults("three", 0..BACKLOG));
    let from = clock::boot_time();
    worker.restart();
    let decided = || {
        let status = worker.get("/v1/status");
        let tallies = status["decisions"].as_array().unwrap().iter();
        let counts = tallies.filter(|tally| tally["rule"] == "fault");
        counts.map(|tally| tally["count"].as_u64().unwrap()).sum::<u64>()
    };
    let all = u64::try_from(BACKLOG).unwrap();
    wait::until("the backlog to be decided", Duration::from_secs(300), || {
        (decided() >= all).then_some(())
    });
    let took = clock::boot_time().since(from);
    let peak = worker.peak_memory_kib() / 1024;
    println!(
        "a worker decided a backlog of {BACKLOG} over MQTT 3.1.1 in {took:.1?}; peak memory {peak} MiB, \
         ring {RING_MIB} MiB"
    );
    assert_eq!(decided(), all, "none was decided twice");
    assert!(peak < RING_MIB + BOUND_MIB, "peak memory {peak} MiB");
}
