//! A large capture on its way in parts, and the worker killed in the middle of it: what has arrived is
//! not sent again, the objects are the sealed files, and the local copies go only after the check.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; figures are for the reader"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::azurite::Azurite;
use support::faulty_proxy::{Fault, Proxy};
use support::namespaces::Pair;
use support::object_server::ObjectServer;
use support::s3::S3;
use support::traffic::Sender;
use support::wait;
use support::worker::{Configuration, Worker};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PATIENCE: Duration = Duration::from_secs(120);

const PART_BYTES: u64 = 8 * 1024 * 1024;

/// How many parts arrive before the kill, of all segments together.
const ARRIVE: u32 = 4;

const RULES: &str = r#"version: 1
rules:
  - name: large
    match: ['alertname = "Large"']
    group_by: [alertname]
    cooldown: 1h
    capture:
      look_back: 0s
      filters: [{ protocol: udp, local_port: "4242" }]
      limits: { duration: 100s, bytes: 80MiB, segment_bytes: 40MiB }
    storage: archive
"#;

fn configuration(storage: String) -> Configuration {
    Configuration {
        storages: vec![storage],
        rest: vec!["recorder: { interfaces: auto, memory: 64MiB }".to_owned()],
        rules: RULES.to_owned(),
        ..Configuration::default()
    }
}

/// The one capture.
fn capture(worker: &Worker) -> Option<Value> {
    let captures = worker.get("/v1/captures?limit=10");
    captures["captures"].as_array().unwrap().first().cloned()
}

fn wait_for_state(worker: &Worker, states: &[&str]) {
    wait::until(&format!("the capture to be {states:?}"), PATIENCE, || {
        let state = capture(worker)?["state"].as_str().unwrap().to_owned();
        states.contains(&state.as_str()).then_some(())
    });
}

/// Sends packets until the capture has as many bytes as it may have.
fn fill(pair: &Pair, worker: &Worker) {
    let mut sender = Sender::new(pair);
    sender.size = 1400;
    let event = br#"{ "name": "Large", "status": "firing", "fingerprint": "1" }"#;
    let answer = worker.post("/v1/events?format=json", event).unwrap();
    let decision = &answer.json()["outcomes"][0]["decision"];
    assert!(decision["capture"].is_string(), "{decision}");
    wait_for_state(worker, &["capturing"]);
    wait::until("the capture to be full", PATIENCE, || {
        sender.flood(2_000);
        let state = capture(worker)?["state"].as_str().unwrap().to_owned();
        (state != "capturing").then_some(())
    });
}

/// The sealed files of the spool by their SHA-256.
fn sealed(spool: &Path) -> BTreeMap<String, PathBuf> {
    let paths = fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path());
    let sealed = paths.filter(|path| path.extension().is_some_and(|ending| ending == "pcapng"));
    sealed.map(|path| (sha256(&fs::read(&path).unwrap()), path)).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many parts the journal says have arrived.
fn recorded_parts(worker: &Worker) -> usize {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let journal = Connection::open_with_flags(worker.journal(), flags).unwrap();
    let mut statement = journal.prepare("SELECT json FROM transfers").unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let parts = texts.map(|text| {
        let transfer: Value = serde_json::from_str(&text.unwrap()).unwrap();
        transfer["parts"].as_array().unwrap().len()
    });
    parts.sum()
}

/// `part` is how a request that sends a part is known.
fn restart(pair: &Pair, server: &ObjectServer, proxy: &Proxy, storage: String, part: &'static str) {
    proxy.set(Fault::HangsAfter(part, ARRIVE));
    let mut worker = Worker::start(&pair.near, &configuration(storage));
    let spool = worker.folder().join("state/spool");
    fill(pair, &worker);
    wait_for_state(&worker, &["uploading", "sealed"]);
    proxy.wait_for_harm();
    wait::until("the journal to know of the parts", PATIENCE, || {
        (recorded_parts(&worker) == usize::try_from(ARRIVE).unwrap()).then_some(())
    });
    let files = sealed(&spool);
    assert!(files.len() >= 2, "the capture has several segments: {files:?}");
    assert!(server.objects().is_empty(), "nothing stands before it is whole");
    worker.kill();

    // All parts arrive now, and what is read back is cut.
    proxy.set(Fault::CutsAnswers("GET"));
    worker.restart();
    proxy.wait_for_harm();
    wait::until("all objects to stand", PATIENCE, || {
        (server.objects().len() == files.len()).then_some(())
    });
    assert_eq!(sealed(&spool).len(), files.len(), "a local copy goes only after the check");
    proxy.set(Fault::None);
    wait_for_state(&worker, &["done"]);
    wait::until("the local copies to go", PATIENCE, || {
        (fs::read_dir(&spool).unwrap().count() == 0).then_some(())
    });
    compare(&worker, server, proxy, part, &files);
}

fn compare(
    worker: &Worker,
    server: &ObjectServer,
    proxy: &Proxy,
    part: &'static str,
    files: &BTreeMap<String, PathBuf>,
) {
    let (mut parts, mut bytes) = (0, 0);
    for object in server.objects() {
        let content = server.object(&object).unwrap();
        assert!(files.contains_key(&sha256(&content)), "{object} is no sealed file");
        let length = u64::try_from(content.len()).unwrap();
        bytes += content.len();
        parts += if length > PART_BYTES { length.div_ceil(PART_BYTES) } else { 0 };
    }
    let sent = proxy.passed(part);
    assert_eq!(u64::try_from(sent.len()).unwrap(), parts, "each part was sent once");
    assert_eq!(recorded_parts(worker), 0, "nothing is under way any more");
    let sent_bytes: usize = sent.iter().map(|part| part.body_bytes).sum();
    println!("{} files of {bytes} bytes, {parts} parts of {sent_bytes} bytes", files.len());
}

#[test]
fn a_killed_worker_goes_on_where_it_was_with_azure() {
    let Some(pair) = Pair::quiet() else { return };
    let azurite = Azurite::start(&pair.near);
    let proxy = pair.near.within(|| Proxy::start(azurite.server.port, Fault::None));
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, Azurite::account_key()).unwrap();
    let storage = format!(
        "archive: {{ azure: {{ account: {0}, container: {1}, account_key_file: {2}, \
         endpoint: \"http://127.0.0.1:{3}/{0}\" }} }}",
        Azurite::ACCOUNT,
        Azurite::CONTAINER,
        key.display(),
        proxy.port
    );
    restart(&pair, &azurite.server, &proxy, storage, "PUT comp=block&");
}

#[test]
fn a_killed_worker_goes_on_where_it_was_with_s3() {
    let Some(pair) = Pair::quiet() else { return };
    let s3 = S3::start(&pair.near);
    let proxy = pair.near.within(|| Proxy::start(s3.server.port, Fault::None));
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "s3cr3t").unwrap();
    let storage = format!(
        "archive: {{ s3: {{ bucket: {}, region: us-east-1, endpoint: \"http://127.0.0.1:{}\", \
         access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key_file: {} }} }}",
        S3::BUCKET,
        proxy.port,
        secret.display()
    );
    restart(&pair, &s3.server, &proxy, storage, "PUT partNumber=");
}
