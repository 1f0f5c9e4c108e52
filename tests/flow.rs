//! The whole way on real parts: an alert over MQTT, packets from before and after it, a verified
//! upload to a storage that speaks the real protocol, a notice whose figures are the file's.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; figures are for the reader"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use support::azurite::Azurite;
use support::broker::Broker;
use support::namespaces::Pair;
use support::object_server::ObjectServer;
use support::s3::S3;
use support::traffic::Traffic;
use support::worker::{Configuration, Worker};
use support::{tshark, wait};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PATIENCE: Duration = Duration::from_secs(60);

/// Numbered packets a second.
const RATE: u32 = 1000;

/// Packets that pass before the alert: three seconds of a past.
const PAST: u64 = 3 * RATE as u64;

/// One firing alert of Alertmanager's webhook payload, which names the far end.
fn alert() -> String {
    json!({
        "version": "4", "status": "firing", "receiver": "hindsight", "groupKey": "{}", "truncatedAlerts": 0,
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am.example",
        "alerts": [{
            "status": "firing", "fingerprint": "00c0ffee00c0ffee", "generatorURL": "http://prometheus.example",
            "startsAt": "2026-11-22T17:30:00Z", "endsAt": "0001-01-01T00:00:00Z",
            "labels": {
                "alertname": "TcpRetransmitsHigh", "severity": "critical", "instance": "near",
                "peer": Pair::FAR_ADDRESS.to_string()
            },
            "annotations": { "summary": "packets are lost" }
        }]
    })
    .to_string()
}

fn rules(storage: &str) -> String {
    format!(
        r#"version: 1
rules:
  - name: retransmits
    source: plant
    match: ['alertname = "TcpRetransmitsHigh"', 'severity =~ "warning|critical"']
    group_by: [alertname, instance]
    cooldown: 15m
    capture:
      look_back: 2s
      filters: [{{ protocol: udp, remote_ip: "${{labels.peer | ip}}", local_port: "4242" }}]
      bpf: "len >= 20"
      limits: {{ duration: 1s, bytes: 50MiB }}
    storage: {storage}
    notify: [bus]
"#
    )
}

fn configuration(broker: &Broker, storage: String, name: &str) -> Configuration {
    let topics = "[{ filter: \"alerts/#\", format: alertmanager }]";
    let url = broker.url();
    Configuration {
        sources: vec![format!("plant: {{ mqtt: {{ url: \"{url}\", topics: {topics} }} }}")],
        storages: vec![storage],
        notifiers: vec![format!(
            "bus: {{ mqtt: {{ url: \"{url}\", topic: \"hindsight/${{host}}/notices\" }} }}"
        )],
        rest: vec!["recorder: { interfaces: auto, memory: 32MiB }".to_owned()],
        rules: rules(name),
    }
}

/// The one sealed file of the spool, once it is there.
fn sealed_file(spool: &Path) -> PathBuf {
    wait::until("a sealed file in the spool", PATIENCE, || {
        let paths = fs::read_dir(spool).ok()?.flatten().map(|entry| entry.path());
        paths.into_iter().find(|path| path.extension().is_some_and(|e| e == "pcapng"))
    })
}

fn whole_way(pair: &Pair, broker: &Broker, storage: &ObjectServer, configuration: &Configuration) {
    let worker = Worker::start(&pair.near, configuration);
    worker.wait_for_source("plant");
    let notices = broker.subscribe("hindsight/#");
    let traffic = Traffic::start(pair, RATE);
    traffic.wait_for_more(PAST);

    // A storage that stands still keeps the sealed file in the spool, where it can be copied.
    storage.pause();
    let before_alert = traffic.sent();
    broker.publish("alerts/network", alert());
    let after_alert = traffic.sent();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("sealed.pcapng");
    fs::copy(sealed_file(&worker.folder().join("state/spool")), &copy).unwrap();
    storage.resume();

    let notice = notices.wait_for("the notice", PATIENCE, |_| true).json();
    drop(traffic);
    assert_eq!(notice["type"], "io.hindsight.capture.completed", "{notice:#}");
    let data = &notice["data"];
    let file = &data["files"][0];
    let object = file["object"].as_str().unwrap();
    assert_eq!(storage.objects(), [object]);
    assert_eq!(storage.object(object).unwrap(), fs::read(&copy).unwrap(), "object = sealed file");

    let figures = tshark::figures(&copy);
    assert_eq!(data["totals"]["packets"], figures.packets);
    assert_eq!(file["packets"], figures.packets);
    assert_eq!(data["totals"]["bytes"], figures.bytes);
    assert_eq!(file["size_bytes"], figures.bytes);
    assert_eq!(data["totals"]["dropped_by_kernel"], 0);
    assert_eq!(data["stop_reason"], "TimeExceeded");
    assert_eq!(tshark::complaints(&copy), Vec::<String>::new());

    let numbers = tshark::numbers(&copy);
    assert_eq!(
        numbers.len() as u64,
        figures.packets,
        "the filter selects the numbered packets only"
    );
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>(), "contiguous, in order, none twice");
    assert!(first + u64::from(RATE) < before_alert, "a second and more from before: {first}");
    assert!(last > after_alert + u64::from(RATE) / 2, "half a second and more from after: {last}");
    comments_say_why(&copy, data, before_alert);
    nothing_is_left(&worker, data);
    println!(
        "whole way: {} packets, {} to {}, alert at {before_alert}, {} bytes, object {object}",
        figures.packets, first, last, figures.bytes
    );
}

/// The file carries the event, the rule and the incident, and marks the instant of the alert.
fn comments_say_why(file: &Path, data: &Value, before_alert: u64) {
    let comment: Value = serde_json::from_str(&tshark::section_comment(file)).unwrap();
    assert_eq!(comment["rule"], "retransmits", "{comment:#}");
    assert_eq!(comment["incident"], data["incident"]);
    assert_eq!(comment["capture"], data["name"]);
    assert_eq!(comment["host"], "test-host");
    assert_eq!(comment["event"]["labels"]["alertname"], "TcpRetransmitsHigh");
    let marked = tshark::fields(file, "frame.comment", &["udp.payload", "frame.comment"]);
    assert_eq!(marked.len(), 1, "one packet is marked: {marked:?}");
    let number = tshark::number(&marked[0][0]);
    let late = u64::from(RATE);
    assert!((before_alert..before_alert + late).contains(&number), "{number} {before_alert}");
}

fn nothing_is_left(worker: &Worker, data: &Value) {
    wait::until("the local copy to go", PATIENCE, || {
        (fs::read_dir(worker.folder().join("state/spool")).unwrap().count() == 0).then_some(())
    });
    let captures = worker.get("/v1/captures?limit=10");
    let captures = captures["captures"].as_array().unwrap();
    assert_eq!(captures.len(), 1);
    assert_eq!(captures[0]["state"], "done");
    let shown = worker.command(&["capture", "show", data["name"].as_str().unwrap()]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success());
    assert!(text.contains(data["files"][0]["sha256"].as_str().unwrap()), "{text}");
}

/// The storage `archive`, as the configuration has it.
fn azure(azurite: &Azurite, key: &Path) -> String {
    format!(
        "archive: {{ azure: {{ account: {}, container: {}, endpoint: \"{}\", account_key_file: {} }} }}",
        Azurite::ACCOUNT,
        Azurite::CONTAINER,
        azurite.endpoint(),
        key.display()
    )
}

#[test]
fn the_whole_way_to_azure_blob_storage() {
    let Some(pair) = Pair::new() else { return };
    let (broker, azurite) = (Broker::start(&pair.near), Azurite::start(&pair.near));
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, Azurite::account_key()).unwrap();
    let storage = azure(&azurite, &key);
    whole_way(&pair, &broker, &azurite.server, &configuration(&broker, storage, "archive"));
}

/// What `status` says of one party.
fn party(worker: &Worker, kind: &str, name: &str) -> Value {
    let status = worker.get("/v1/status");
    let parties = status[kind].as_array().unwrap().clone();
    parties.into_iter().find(|party| party["name"] == name).unwrap()
}

/// Waits until `status` says that this party is, or is not, well.
fn wait_until_party(worker: &Worker, kind: &str, name: &str, ok: bool) -> Value {
    wait::until(&format!("{kind} {name} to be ok: {ok}"), PATIENCE, || {
        let party = party(worker, kind, name);
        (party["ok"] == ok && (ok || party["state"] == "retrying")).then_some(party)
    })
}

#[test]
fn while_broker_and_storage_are_away_status_says_so_and_nothing_is_lost() {
    let Some(pair) = Pair::new() else { return };
    let (mut broker, mut azurite) = (Broker::start(&pair.near), Azurite::start(&pair.near));
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, Azurite::account_key()).unwrap();
    let configuration = configuration(&broker, azure(&azurite, &key), "archive");
    let worker = Worker::start(&pair.near, &configuration);
    worker.wait_for_source("plant");
    let notices = broker.subscribe("hindsight/#");
    let traffic = Traffic::start(&pair, RATE);
    traffic.wait_for_more(PAST);

    azurite.server.stop();
    broker.publish("alerts/network", alert());
    let storage = wait_until_party(&worker, "storages", "archive", false);
    assert!(storage["error"].as_str().unwrap().contains("archive"), "{storage:#}");
    assert!(storage["failures"].as_u64().unwrap() >= 1);
    let text = worker.command(&["status"]).stdout;
    assert!(String::from_utf8(text).unwrap().contains("retrying"));
    assert_eq!(worker.get("/v1/status")["segments_waiting"], 1);

    broker.kill();
    let source = wait_until_party(&worker, "sources", "plant", false);
    assert!(source["error"].is_string(), "{source:#}");
    azurite.server.restart();
    // The file is stored while the notice has nowhere to go.
    let notifier = wait_until_party(&worker, "notifiers", "bus", false);
    assert!(notifier["error"].is_string(), "{notifier:#}");
    assert_eq!(azurite.server.objects().len(), 1);
    assert_eq!(worker.get("/v1/status")["notices_waiting"], 1);

    broker.restart();
    let notice = notices.wait_for("the notice", PATIENCE, |_| true).json();
    assert_eq!(notice["type"], "io.hindsight.capture.completed");
    for (kind, name) in [("sources", "plant"), ("storages", "archive"), ("notifiers", "bus")] {
        wait_until_party(&worker, kind, name, true);
    }
}

#[test]
fn the_whole_way_to_s3() {
    let Some(pair) = Pair::new() else { return };
    let (broker, s3) = (Broker::start(&pair.near), S3::start(&pair.near));
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let storage = format!(
        "bucket: {{ s3: {{ bucket: {}, region: us-east-1, endpoint: \"{}\", access_key_id: test, \
         secret_access_key_file: {} }} }}",
        S3::BUCKET,
        s3.endpoint(),
        secret.display()
    );
    whole_way(&pair, &broker, &s3.server, &configuration(&broker, storage, "bucket"));
}
