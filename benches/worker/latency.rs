//! From the publish of an alert over MQTT to a capture that runs: its file is open, with the packets
//! from before on their way into it. In between the alert goes through the broker, is read, decided on
//! and made durable.
//!
//! Beside it what people write by hand: `mosquitto_sub` in a loop of the shell that starts tcpdump.

use std::process::Stdio;
use std::time::Duration;

use hindsight::clock;

use crate::figures::{self, Table, at, millis};
use crate::support::broker::Broker;
use crate::support::namespaces::{INTERFACE, Pair};
use crate::support::publisher::Kept;
use crate::support::traffic::Traffic;
use crate::support::wait;
use crate::support::worker::{Configuration, Worker};
use crate::waiting::Appearing;

/// In milliseconds.
const MEDIAN_AT_MOST: f64 = 2.0;
const P99_AT_MOST: f64 = 10.0;

const ALERTS: usize = 500;
const ALERTS_OF_THE_SHELL: usize = 100;

/// Alerts before the first that counts: connections, caches and the journal are warm then.
const WARM_UP: usize = 20;

/// Between two alerts; no multiple of any period inside.
const PAUSE: Duration = Duration::from_millis(47);

/// Packets a second that pass meanwhile.
const RATE: u32 = 5_000;

/// How long the script may take to be ready, and how long one message may take until then.
const SUBSCRIPTION: Duration = Duration::from_secs(20);
const EFFECT: Duration = Duration::from_millis(500);

const RULES: &str = r#"version: 1
rules:
  - name: every-alert
    match: ['alertname = "Loss"']
    group_by: [number]
    capture:
      look_back: 500ms
      limits: { duration: 20ms, bytes: 10MiB }
"#;

pub(crate) fn run(pair: &Pair) {
    figures::heading(&format!(
        "Latency: from an alert over MQTT to a capture that runs, at {RATE} packets a second"
    ));
    let broker = Broker::start_forgetful(&pair.near);
    let traffic = Traffic::start(pair, RATE);
    traffic.wait_for_more(u64::from(RATE) * 2);
    let ours = worker(pair, &broker);
    let theirs = shell(pair, &broker);
    drop(traffic);

    let mut table = Table::new(&["", "times", "median ms", "p99 ms", "most ms"]);
    for (name, took) in [("hindsight run", &ours), ("mosquitto_sub, sh, tcpdump", &theirs)] {
        let percentile = |percent| format!("{:.2}", at(took, percent));
        let row = [percentile(50), percentile(99), percentile(100)];
        let row = [name.to_owned(), took.len().to_string()].into_iter().chain(row);
        table.row(row.collect());
    }
    table.print();
    figures::say("");
    figures::say(&format!("ratio of the medians: {:.3}", at(&ours, 50) / at(&theirs, 50)));
    figures::judge("publish to capture, median in ms", at(&ours, 50), MEDIAN_AT_MOST);
    figures::judge("publish to capture, p99 in ms", at(&ours, 99), P99_AT_MOST);
}

fn worker(pair: &Pair, broker: &Broker) -> Vec<f64> {
    let url = broker.url();
    let configuration = Configuration {
        sources: vec![format!(
            "plant: {{ mqtt: {{ url: \"{url}\", topics: [{{ filter: \"alerts/#\", format: json }}] }} }}"
        )],
        storages: vec!["local: { directory: { path: stored } }".to_owned()],
        rest: vec![
            "recorder: { interfaces: auto, memory: 64MiB }".to_owned(),
            "ceilings: { concurrent: 64, captures_per_hour: 1000000 }".to_owned(),
        ],
        rules: RULES.to_owned(),
        ..Configuration::default()
    };
    let worker = Worker::start(&pair.near, &configuration);
    worker.wait_for_source("plant");
    let appearing = Appearing::watch(&worker.folder().join("state/spool"));
    publish(broker, ALERTS, &appearing, ".pcapng.part")
}

/// What a script does: one tcpdump for each message, from when its file is there.
fn shell(pair: &Pair, broker: &Broker) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let appearing = Appearing::watch(folder.path());
    let mut subscriber = pair.near.command("mosquitto_sub");
    subscriber.args(["-h", "127.0.0.1", "-p", &broker.port().to_string(), "-q", "1"]);
    let mut subscriber =
        subscriber.args(["-t", "alerts/#"]).stdout(Stdio::piped()).spawn().unwrap();
    let script = format!(
        "while read -r alert; do n=$((n+1)); \
         tcpdump -i {INTERFACE} -c 1 -w {}/$n.pcap 2>/dev/null & done; wait",
        folder.path().display()
    );
    let mut shell = pair.near.command("sh");
    shell.args(["-c", &script]).stdin(subscriber.stdout.take().unwrap());
    let mut shell = shell.spawn().unwrap();
    // The subscriber does not say when it listens: messages are sent until one has an effect.
    wait::until("the script to have its subscription", SUBSCRIPTION, || {
        broker.publish("alerts/loss", alert(0));
        appearing.next_within(".pcap", EFFECT)
    });
    let took = publish(broker, ALERTS_OF_THE_SHELL, &appearing, ".pcap");
    subscriber.kill().unwrap();
    subscriber.wait().unwrap();
    shell.wait().unwrap();
    took
}

fn publish(broker: &Broker, count: usize, appearing: &Appearing, ending: &str) -> Vec<f64> {
    let mut publisher = broker.publisher();
    let mut took = Vec::with_capacity(count);
    for number in 0..count + WARM_UP {
        let from = clock::boot_time();
        publisher.publish(Kept::No, "alerts/loss", alert(number).as_bytes()).unwrap();
        publisher.flush().unwrap();
        let until = appearing.next(ending);
        if number >= WARM_UP {
            took.push(millis(until.since(from)));
        }
        publisher.settle().unwrap();
        std::thread::sleep(PAUSE);
    }
    took
}

fn alert(number: usize) -> String {
    let labels = serde_json::json!({ "number": number.to_string(), "instance": "edge-7" });
    serde_json::json!({ "name": "Loss", "status": "firing", "value": 0.2, "labels": labels })
        .to_string()
}
