//! The API and the commands of captures by hand, on a real worker between two network namespaces.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use support::http::Answer;
use support::namespaces::Pair;
use support::openapi::Document;
use support::place::Place;
use support::traffic::Traffic;
use support::worker::{Configuration, Worker};
use support::{tshark, wait};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const PATIENCE: Duration = Duration::from_secs(60);

/// Numbered packets a second.
const RATE: u32 = 500;

/// A worker that records `eth0`, or nothing where there is no such interface.
fn configuration(interfaces: &str) -> Configuration {
    Configuration {
        storages: vec!["archive: { directory: { path: archive } }".to_owned()],
        rest: vec![format!("recorder: {{ interfaces: {interfaces}, memory: 8MiB }}")],
        rules: "version: 1\nrules: []\n".to_owned(),
        ..Configuration::default()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a command that works says.
fn stdout(worker: &Worker, arguments: &[&str]) -> String {
    let output = worker.command(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn put(worker: &Worker, name: &str, body: &Value) -> Answer {
    worker.ask("PUT", &format!("/v1/captures/{name}"), &[], body.to_string().as_bytes())
}

fn wait_for_state(worker: &Worker, name: &str, state: &str) -> Value {
    wait::until(&format!("{name} to be {state}"), PATIENCE, || {
        let capture = worker.get(&format!("/v1/captures/{name}"));
        assert!(capture["state"] != "failed" || state == "failed", "{capture:#}");
        (capture["state"] == state).then_some(capture)
    })
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found
}

#[test]
fn a_capture_by_hand_goes_from_its_creation_to_a_verified_copy() {
    let Some(pair) = Pair::new() else { return };
    let worker = Worker::start(&pair.near, &configuration("[eth0]"));
    let traffic = Traffic::start(&pair, RATE);
    traffic.wait_for_more(u64::from(RATE) * 2);

    let before = traffic.sent();
    let arguments = [
        "capture",
        "create",
        "hand",
        "-i",
        "eth0",
        "--look-back",
        "1s",
        "--time-limit",
        "2",
        "--wait",
        "--storage",
        "archive",
        "--storage-path",
        "tickets/4711/hand.pcapng",
        "-o",
        "json",
        "udp",
        "port",
        "4242",
    ];
    let output = worker.command(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    drop(traffic);
    let ended: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ended["state"], "done", "{ended:#}");
    assert_eq!(ended["stop_reason"], "TimeExceeded");
    assert_eq!(ended["provisioning_state"], "Succeeded");
    assert_eq!(ended["status"], "Stopped");
    let progress = text(&output.stderr);
    assert!(progress.contains("hand: capturing") && progress.contains("hand: done"), "{progress}");

    // The stored file is where it was to be, and begins in the past.
    let stored = worker.folder().join("archive/tickets/4711/hand.pcapng");
    let numbers = tshark::numbers(&stored);
    assert!(numbers[0] < before, "{} is not before {before}", numbers[0]);
    assert_eq!(numbers.len() as u64, ended["totals"]["packets"].as_u64().unwrap());

    let shown = stdout(&worker, &["capture", "show", "hand"]);
    for part in [
        "etag",
        "provisioning  Succeeded",
        "status        Stopped",
        "begun         by hand",
        "storage path  tickets/4711/hand",
        "udp port 4242",
        "before the start",
        "/v1/captures/hand/files/0",
        "started at",
        "errors        none",
        "target        eth0",
    ] {
        assert!(shown.contains(part), "'{part}' is missing in:\n{shown}");
    }
    let listed = stdout(&worker, &["capture", "list", "--rule", ""]);
    assert!(listed.contains("(by hand)"), "{listed}");
    downloads(&worker, &stored);

    // A name is given once; then it is free again, and what was stored stays.
    let again = worker.command(&["capture", "create", "hand"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("'hand' is there already"), "{}", text(&again.stderr));
    for _once_more in 0..2 {
        assert_eq!(stdout(&worker, &["capture", "stop", "hand"]), "", "idempotent and silent");
    }
    assert_eq!(stdout(&worker, &["capture", "delete", "hand"]), "");
    assert_eq!(stdout(&worker, &["capture", "delete", "hand"]), "");
    assert_eq!(worker.command(&["capture", "show", "hand"]).status.code(), Some(4));
    assert!(stored.exists());
    audited(&worker);
}

/// The file comes whole, a part of it is gone on with, and nothing else is replaced.
fn downloads(worker: &Worker, stored: &Path) {
    let whole = fs::read(stored).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.pcapng");
    let arguments = ["capture", "download", "hand", "--file", copy.to_str().unwrap()];
    stdout(worker, &arguments);
    assert_eq!(fs::read(&copy).unwrap(), whole);
    assert!(stdout(worker, &arguments).contains("was here already"));

    fs::write(&copy, "precious").unwrap();
    let refused = worker.command(&arguments);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("holds something else"), "{}", text(&refused.stderr));
    assert_eq!(fs::read(&copy).unwrap(), b"precious");

    // What is left of one that broke off: right bytes are gone on with, wrong ones are found out.
    let sha256 = worker.get("/v1/captures/hand")["segments"][0]["file"]["sha256"].clone();
    let part = format!(".part.pcapng.{}.part", &sha256.as_str().unwrap()[..16]);
    let part = folder.path().join(part);
    let target = folder.path().join("part.pcapng");
    let arguments = ["capture", "download", "hand", "--file", target.to_str().unwrap()];
    for beginning in [whole[..100].to_vec(), vec![7; 100], vec![7; whole.len() + 1]] {
        fs::write(&part, beginning).unwrap();
        stdout(worker, &arguments);
        assert!(fs::read(&target).unwrap() == whole);
        assert!(!part.exists());
        fs::remove_file(&target).unwrap();
    }
    let ranged = worker.ask("GET", "/v1/captures/hand/files/0", &[("Range", "bytes=100-199")], b"");
    assert_eq!((ranged.status, &ranged.body[..]), (206, &whole[100..200]));
    assert_eq!(ranged.header("content-range"), Some(&*format!("bytes 100-199/{}", whole.len())));
    let etag = ranged.header("etag").unwrap();
    assert_eq!(etag.trim_matches('"'), sha256.as_str().unwrap());
    let beyond = [("Range", "bytes=99999999999-")];
    assert_eq!(worker.ask("GET", "/v1/captures/hand/files/0", &beyond, b"").status, 416);
    assert_eq!(worker.ask("GET", "/v1/captures/hand/files/7", &[], b"").status, 404);
}

fn audited(worker: &Worker) {
    let records = worker.get("/v1/audit");
    let records = records["records"].as_array().unwrap();
    let who = format!("uid {}", nix::unistd::getuid());
    let of = |action: &str| -> Vec<&Value> {
        records.iter().filter(|record| record["action"] == action).collect()
    };
    for record in records {
        assert_eq!(record["who"], who.as_str(), "{record}");
        assert_eq!(record["subject"], "hand", "{record}");
    }
    let created: Vec<_> = of("capture.create").iter().map(|record| &record["result"]).collect();
    assert_eq!(created.len(), 2, "{records:#?}");
    assert!(created[0].as_str().unwrap().starts_with("409: "), "newest first: {created:?}");
    assert_eq!(created[1], "ok");
    assert_eq!((of("capture.stop").len(), of("capture.delete").len()), (2, 2));
}

#[test]
fn a_malformed_filter_is_refused_with_field_value_and_right_form_and_changes_nothing() {
    let worker = Worker::start(&Place::Host, &configuration("[]"));
    let filter = r#"[{"protocol": "TCP"}, {"remoteIPAddress": "1.1.1.1-255.255.255"}]"#;
    let output = worker.command(&["capture", "create", "c1", "-i", "lo", "-f", filter]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let errors = text(&output.stderr);
    for part in ["entry 2", "remoteIPAddress", "'1.1.1.1-255.255.255'", "192.0.2.1-192.0.2.9"] {
        assert!(errors.contains(part), "'{part}' is missing in: {errors}");
    }
    let filters: Value = serde_json::from_str(filter).unwrap();
    for (body, field) in [
        (json!({"interfaces": ["lo"], "filters": filters}), "filters[1].remoteIPAddress"),
        (json!({"interfaces": ["lo"], "bpf": "tcp prot 443"}), "bpf"),
        (json!({"interfaces": ["lo"], "timeLimitInSeconds": 18_001}), "timeLimitInSeconds"),
        (
            json!({"interfaces": ["lo"], "storageLocation": {"storageId": "nowhere"}}),
            "storageLocation.storageId",
        ),
        (json!({"interfaces": ["lo"], "notify": ["nobody"]}), "notify"),
    ] {
        let answer = put(&worker, "c1", &body);
        assert_eq!(answer.status, 400, "{body}: {}", text(&answer.body));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        let told = problem["field"].as_str().unwrap();
        assert!(told.starts_with(field), "{body}: {problem:#}");
        assert!(problem["value"].is_string() && problem["detail"].is_string(), "{problem:#}");
    }
    assert_eq!(put(&worker, "c%2f1", &json!({"interfaces": ["lo"]})).status, 400);
    assert_eq!(worker.get("/v1/captures")["captures"], json!([]));
}

#[test]
fn the_body_of_the_founding_document_makes_a_capture() {
    let worker = Worker::start(&Place::Host, &configuration("[]"));
    let local = worker.folder().join("pc1.cap");
    let body = json!({ "properties": {
        "target": "lo",
        "bytesToCapturePerPacket": "96", "totalBytesPerSession": 100_000, "timeLimitinSeconds": "1",
        "storageLocation": { "filePath": local, "storageId": "/subscriptions/0/storageAccounts/archive" },
        "filters": [{ "protocol": "TCP", "localIPAddress": "127.0.0.1", "localPort": "80;443" }]
    }});
    let created = put(&worker, "pc1", &body);
    assert_eq!(created.status, 201, "{}", text(&created.body));
    assert_eq!(created.header("location"), Some("/v1/captures/pc1"));
    let plan = &created.json()["plan"];
    assert_eq!(plan["limits"]["bytes_per_packet"], 96);
    assert_eq!(plan["storage"], "archive");
    assert_eq!(put(&worker, "pc1", &body).status, 409);
    let done = wait_for_state(&worker, "pc1", "done");
    assert_eq!(done["stop_reason"], "TimeExceeded", "{done:#}");
    assert!(local.exists(), "the local file is there as well");
    assert_eq!(files(&worker.folder().join("archive")).len(), 1);
}

#[test]
fn a_capture_that_cannot_begin_is_told_at_once() {
    let worker = Worker::start(&Place::Host, &configuration("[]"));
    let output = worker.command(&["capture", "create", "c1", "-i", "no-such0"]);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    assert!(text(&output.stderr).contains("no interface 'no-such0'"), "{output:?}");
    assert_eq!(text(&output.stdout), "");
}

/// Asks, and holds the answer to the document.
fn described(
    worker: &Worker,
    document: &Document,
    request: (&str, &str, &str),
    body: &[u8],
) -> Answer {
    let (method, path, target) = request;
    let answer = worker.ask(&method.to_uppercase(), target, &[], body);
    assert_eq!(document.mistakes(method, path, &answer), Vec::<String>::new(), "{target}");
    answer
}

#[test]
fn every_answer_is_what_the_document_says() {
    let worker = Worker::start(&Place::Host, &configuration("[lo]"));
    let document = Document(worker.get("/v1/openapi.json"));
    let ask = |method, path, target, body: &str| {
        described(&worker, &document, (method, path, target), body.as_bytes())
    };
    let body = json!({
        "interfaces": ["lo"], "look_back": "1s", "timeLimitInSeconds": 60,
        "filters": [{ "protocol": "UDP", "remoteIPAddress": "10.0.0.0/8;192.0.2.1-192.0.2.9;::1" }]
    });
    assert_eq!(document.mistakes_in("CreateCapture", &body), Vec::<String>::new());
    let body = body.to_string();
    let one = "/v1/captures/{name}";
    assert_eq!(ask("put", one, "/v1/captures/c1", &body).status, 201);
    assert_eq!(ask("put", one, "/v1/captures/c1", &body).status, 409);
    assert_eq!(ask("put", one, "/v1/captures/c2", r#"{"filters": 5}"#).status, 400);
    assert_eq!(ask("get", one, "/v1/captures/c1", "").status, 200);
    assert_eq!(ask("get", one, "/v1/captures/c2", "").status, 404);
    let listed =
        ask("get", "/v1/captures", "/v1/captures?state=pending,capturing&rule=", "").json();
    assert_eq!(listed["captures"].as_array().unwrap().len(), 1);
    assert_eq!(
        ask("get", "/v1/captures", "/v1/captures?state=done", "").json()["captures"],
        json!([])
    );
    assert_eq!(ask("get", "/v1/captures", "/v1/captures?state=odd", "").status, 400);
    let stop = "/v1/captures/{name}/stop";
    wait_for_state(&worker, "c1", "capturing");
    assert_eq!(ask("post", stop, "/v1/captures/c1/stop", "").status, 200);
    assert_eq!(ask("post", stop, "/v1/captures/c2/stop", "").status, 404);
    let done = wait_for_state(&worker, "c1", "done");
    assert_eq!(done["stop_reason"], "Manual");
    let file = "/v1/captures/{name}/files/{index}";
    assert_eq!(ask("get", file, "/v1/captures/c1/files/0", "").status, 200);
    assert_eq!(ask("get", file, "/v1/captures/c1/files/9", "").status, 404);
    let upload = ask("post", "/v1/captures/{name}/upload", "/v1/captures/c1/upload", "");
    assert_eq!(upload.json()["segments"], 0);
    assert_eq!(
        ask("get", one, "/v1/captures/c1", "").json()["links"]["files"].as_array().unwrap().len(),
        1
    );
    let alert = include_bytes!("support/alert.json");
    let sent = described(&worker, &document, ("post", "/v1/events", "/v1/events"), alert);
    assert_eq!(sent.json()["outcomes"][0]["decision"], "no_match");
    assert_eq!(ask("post", "/v1/events", "/v1/events", "no event").status, 400);
    for target in [
        "/v1/status",
        "/v1/recorders",
        "/v1/outcomes",
        "/v1/storages",
        "/v1/audit",
        "/metrics",
        "/healthz",
        "/readyz",
        "/v1/openapi.json",
    ] {
        assert_eq!(ask("get", target, target, "").status, 200, "{target}");
    }
    let checked = ask("get", "/v1/storages", "/v1/storages?check=true", "").json();
    assert_eq!(checked["storages"][0]["check"]["error"], Value::Null, "{checked:#}");
    assert_eq!(ask("post", "/v1/reload", "/v1/reload", "").status, 200);
    assert_eq!(ask("delete", one, "/v1/captures/c1", "").status, 200);
    assert_eq!(ask("delete", one, "/v1/captures/c1", "").status, 204);
}

#[test]
fn a_reload_that_fails_names_every_problem_and_keeps_the_old_set() {
    let worker = Worker::start(&Place::Host, &configuration("[]"));
    let rules = worker.folder().join("rules.yaml");
    fs::write(&rules, "version: 1\nrules:\n  - nmae: x\n").unwrap();
    let output = worker.command(&["reload"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let errors = text(&output.stderr);
    assert!(errors.contains("nothing was changed") && errors.contains("nmae"), "{errors}");
    let answer = worker.ask("POST", "/v1/reload", &[], b"");
    assert_eq!(answer.status, 422);
    assert!(!answer.json()["errors"].as_array().unwrap().is_empty());
    fs::write(&rules, "version: 1\nrules: []\n").unwrap();
    assert!(stdout(&worker, &["reload"]).contains("0 rules are loaded"));
}

#[test]
fn a_ring_of_files_is_what_was_asked_for() {
    let Some(pair) = Pair::new() else { return };
    let worker = Worker::start(&pair.near, &configuration("[eth0]"));
    let traffic = Traffic::start(&pair, 4 * RATE);
    let arguments = [
        "capture",
        "create",
        "ring",
        "--file-count",
        "2",
        "--file-size",
        "64KiB",
        "--session-time",
        "3s",
        "--file-path",
    ];
    let local = worker.folder().join("ring.pcapng");
    let arguments: Vec<&str> =
        arguments.into_iter().chain([local.to_str().unwrap(), "--wait"]).collect();
    stdout(&worker, &arguments);
    drop(traffic);
    let ended = worker.get("/v1/captures/ring");
    assert_eq!(ended["plan"]["limits"]["segments"], json!({ "bytes": 65_536, "keep": 2 }));
    assert_eq!(ended["plan"]["storage"], "", "the local file alone");
    let segments = ended["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 2, "{ended:#}");
    assert_eq!(files(&worker.folder().join("archive")), Vec::<PathBuf>::new());
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    stdout(&worker, &["capture", "download", "ring", "--directory", directory]);
    assert_eq!(files(folder.path()).len(), 2);
}

#[test]
fn the_doctor_finds_what_is_wrong_with_and_without_a_worker() {
    let mut worker = Worker::start(&Place::Host, &configuration("[lo]"));
    let doctor = |worker: &Worker| -> (Output, Value) {
        let config = worker.folder().join("config.yaml");
        let output =
            worker.command(&["doctor", "--config", config.to_str().unwrap(), "-o", "json"]);
        let found = serde_json::from_slice(&output.stdout).unwrap();
        (output, found)
    };
    let verdict = |found: &Value, check: &str| {
        let findings = found["findings"].as_array().unwrap().clone();
        let finding = findings.into_iter().find(|finding| finding["check"] == check);
        finding.map(|finding| finding["verdict"].as_str().unwrap().to_owned())
    };
    let (_, found) = doctor(&worker);
    for (check, expected) in
        [("worker", "ok"), ("interface", "ok"), ("storage", "ok"), ("disk", "ok")]
    {
        let verdict = verdict(&found, check).unwrap_or_else(|| panic!("no {check} in {found:#}"));
        assert!(verdict == expected || check == "disk", "{check}: {found:#}");
    }
    worker.stop();
    let (_, found) = doctor(&worker);
    assert_eq!(verdict(&found, "worker").as_deref(), Some("warning"), "{found:#}");
    assert_eq!(verdict(&found, "interface").as_deref(), Some("ok"), "{found:#}");
    assert_eq!(verdict(&found, "storage").as_deref(), Some("ok"), "{found:#}");
    for check in ["privilege", "clock", "disk"] {
        assert!(verdict(&found, check).is_some(), "{check} is missing in {found:#}");
    }

    let config = worker.folder().join("config.yaml");
    let right = fs::read_to_string(&config).unwrap();
    let wrong = right.replace("[lo]", "[no-such0]");
    let source = "sources: { plant: { mqtt: { url: \"mqtt://127.0.0.1:1\", topics: [{ filter: a, \
                  format: json }] } } }\n";
    fs::write(&config, format!("{wrong}{source}")).unwrap();
    let (output, found) = doctor(&worker);
    assert_eq!(output.status.code(), Some(1), "{found:#}");
    for check in ["interface", "broker"] {
        assert_eq!(verdict(&found, check).as_deref(), Some("failed"), "{found:#}");
    }
    for finding in found["findings"].as_array().unwrap() {
        let is_ok = finding["verdict"] == "ok";
        assert_eq!(finding["fix"] == "", is_ok, "{finding:#}");
    }
    fs::write(&config, "version: 2\n").unwrap();
    let (_, found) = doctor(&worker);
    assert_eq!(verdict(&found, "configuration").as_deref(), Some("failed"), "{found:#}");
}

#[test]
fn shells_and_man_know_every_command() {
    let program = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_hindsight")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    for shell in ["bash", "zsh", "fish"] {
        assert!(program(&["completions", shell]).contains("look-back"), "{shell}");
    }
    assert!(program(&["man"]).contains(".TH hindsight 1"));
    let folder = tempfile::tempdir().unwrap();
    program(&["man", folder.path().to_str().unwrap()]);
    assert!(folder.path().join("hindsight-capture-create.1").exists());
}
