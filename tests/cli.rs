//! The real binary in temporary folders, against a real control server. Only the run loop behind
//! the server is the test's own: it answers from a fixture.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use hindsight::clock::WallTime;
use hindsight::config::{Listen, TlsFiles};
use hindsight::control::{Captures, Server, Settings};
use hindsight::filter::Filter;
use hindsight::model::{
    Capture, CaptureId, CapturePlan, Compression, Decision, EventId, FileForm, FileFormat, Health,
    IncidentId, InterfaceTotals, Limits, Outcome, Receipt, RecorderStatus, SealedFile, Segment,
    SegmentLimits, SegmentState, State, StopReason, Tally, Totals,
};
use hindsight::source::format::MAX_BODY_BYTES;
use hindsight::source::{Content, Receivers};
use hindsight::spawn;
use hindsight::worker::{
    ConfigurationStatus, Handle, RedriveAnswer, Request, SpoolStatus, Status, StopAnswer,
    StorageCheck,
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const BINARY: &str = env!("CARGO_BIN_EXE_hindsight");
const TRIGGER: WallTime = WallTime::from_nanos(1_795_368_600_000_000_000);

// ---- What the configuration commands say ----

#[test]
fn a_wrong_configuration_exits_with_78_and_names_every_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    std::fs::write(&file, "version: 1\nrecorder:\n  memory: lots\nsotrages: {}\n").unwrap();
    for command in ["run", "check"] {
        let output = hindsight(&[command, "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let errors = text(&output.stderr);
        for place in [":3:11", ":4:1"] {
            let place = format!("{}{place}", file.display());
            assert!(errors.contains(&place), "{place} is missing in: {errors}");
        }
        assert!(errors.contains("memory: lots"), "the line itself is missing in: {errors}");
    }
}

#[test]
fn a_configuration_that_is_not_there_exits_with_78_and_its_name() {
    let output = hindsight(&["check", "--config", "/nowhere/config.yaml"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output.stderr).contains("/nowhere/config.yaml"), "{output:?}");
}

#[test]
fn a_right_configuration_is_summed_up() {
    let place = Place::new();
    let output = hindsight(&["check", "--config", &place.path("config.yaml")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let summary = text(&output.stdout);
    for part in ["local", "directory", "1 rule\n", "Storages reached"] {
        assert!(summary.contains(part), "{part} is missing in: {summary}");
    }
    assert!(summary.contains("nothing is recorded"), "{summary}");
    let output = hindsight(&["check", "--output", "json", "--config", &place.path("config.yaml")]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["rules"], 1, "{json:#}");
    assert_eq!(json["storages"][0]["ok"], true, "{json:#}");
}

#[test]
fn every_ring_is_summed_up_with_what_differs() {
    let place = Place::new();
    let config = std::fs::read_to_string(place.path("config.yaml")).unwrap().replace(
        "interfaces: []",
        "interfaces: [lo, { name: dummy9, memory: 2MiB, bytes_per_packet: 96, promiscuous: true }]",
    );
    std::fs::write(place.path("config.yaml"), config).unwrap();
    let output = hindsight(&["check", "--config", &place.path("config.yaml")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let summary = text(&output.stdout);
    let rows = summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let rows: Vec<String> = rows.collect();
    for row in [
        "recorder lo ring 64.0 MiB of memory",
        "recorder dummy9 ring 2.0 MiB of memory, 96 bytes of each packet, promiscuous",
        "recorder - on demand 16.0 MiB of memory, while a capture runs on an interface that is not \
         recorded",
        "memory - ceiling 1.0 GiB for all rings and buffers",
    ] {
        assert!(rows.iter().any(|line| line == row), "{row} is missing in: {summary}");
    }
}

#[test]
fn a_storage_that_cannot_be_reached_is_found_by_the_check() {
    let place = Place::new();
    let storage = "{ s3: { bucket: b, region: r, endpoint: \"http://127.0.0.1:1\", access_key_id: k, \
                   secret_access_key_file: secret } }";
    std::fs::write(place.path("secret"), "s").unwrap();
    let config = std::fs::read_to_string(place.path("config.yaml")).unwrap();
    let config = format!("{config}  bucket: {storage}\n");
    std::fs::write(place.path("config.yaml"), config).unwrap();
    let output = hindsight(&["check", "--config", &place.path("config.yaml")]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("1 of the storages cannot be used"), "{output:?}");
    let summary = text(&output.stdout);
    assert!(summary.lines().any(|line| line.trim().starts_with("bucket  no")), "{summary}");
}

// ---- The worker's life ----

#[test]
fn the_worker_runs_alone_and_ends_on_sigterm_with_0() {
    let place = Place::new();
    let config = place.path("config.yaml");
    let run = ["run", "--config", &config];
    let mut worker = Command::new(BINARY).args(run).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(worker.stderr.take().unwrap()).lines();
    log.find(|line| line.as_ref().unwrap().contains("ready")).unwrap().unwrap();

    let socket = place.path("control.sock");
    let status = hindsight(&["status", "--socket", &socket, "--output", "json"]);
    let status: Status = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((status.rules, status.host.as_str()), (1, "edge-7"));
    let second = hindsight(&run);
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(text(&second.stderr).contains("belongs to another worker"), "{second:?}");

    let id = nix::unistd::Pid::from_raw(worker.id().try_into().unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::SIGTERM).unwrap();
    assert!(log.any(|line| line.unwrap().contains("stopped")));
    assert_eq!(worker.wait().unwrap().code(), Some(0));
    assert!(!Path::new(&socket).exists());
}

/// A folder with a configuration that needs no privilege: nothing is recorded.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let config = format!(
            "version: 1\nhost: {{ name: edge-7 }}\nstate: state\nrecorder: {{ interfaces: [] }}\n\
             rules: [rules]\ncontrol: {{ socket: {}, listen: [] }}\n\
             storages:\n  local: {{ directory: {{ path: captures }} }}\n",
            place.path("control.sock"),
        );
        std::fs::write(place.path("config.yaml"), config).unwrap();
        std::fs::create_dir(place.path("rules")).unwrap();
        let rule = "version: 1\nrules:\n  - name: retransmits\n    match: ['alertname = \"X\"']\n    \
                    capture: { interfaces: [lo] }\n";
        std::fs::write(place.path("rules/net.yaml"), rule).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

// ---- What is said when there is no worker ----

#[test]
fn without_a_socket_the_exit_code_is_3_and_the_remedy_is_named() {
    let output = hindsight(&["status", "--socket", "/nowhere/control.sock"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let errors = text(&output.stderr);
    assert!(
        errors.starts_with("error: no worker listens on /nowhere/control.sock: there is no such"),
        "{errors}"
    );
    assert!(errors.contains("hindsight run") && errors.contains("--socket"), "{errors}");
}

#[test]
fn a_socket_that_a_dead_worker_left_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let output = hindsight(&["capture", "list", "--socket", socket.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("is gone"), "{output:?}");
}

#[test]
fn what_answers_but_is_no_worker_is_not_understood() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let stranger = spawn::thread("stranger", move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        stream
    });
    let output = hindsight(&["status", "--socket", socket.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("is no worker of this version"), "{output:?}");
    drop(stranger.unwrap().join().unwrap());
}

#[test]
fn wrong_arguments_exit_with_2_and_help_lists_the_exit_codes() {
    assert_eq!(hindsight(&["capture", "list", "--limit", "many"]).status.code(), Some(2));
    assert_eq!(hindsight(&["capture", "show", "../status"]).status.code(), Some(2));
    let help = hindsight(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("78  the configuration or the rules are wrong"));
}

// ---- Captures ----

#[test]
fn captures_are_listed_as_a_table_and_as_json() {
    let worker = Worker::start(vec![done_capture(), running_capture()]);
    let table = worker.stdout(&["capture", "list"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("NAME"), "{table}");
    for part in ["retransmits-1", "done", "TimeExceeded", "2026-11-22T17:30:00Z", "1234", "1.5 MiB"]
    {
        assert!(lines[1].contains(part), "{part} is missing in: {table}");
    }
    assert!(lines[2].contains("capturing"), "{table}");

    let json = worker.stdout(&["capture", "list", "--output", "json", "--limit", "1"]);
    let captures: Captures = serde_json::from_str(&json).unwrap();
    let captures: Vec<_> = captures.captures.into_iter().map(|view| view.capture).collect();
    assert_eq!(captures, [done_capture()]);
}

#[test]
fn one_capture_is_shown_whole() {
    let worker = Worker::start(vec![done_capture()]);
    let shown = worker.stdout(&["capture", "show", "retransmits-1"]);
    for part in [
        "state         done",
        "stopped by    TimeExceeded",
        "30s before the event, 1m after",
        "12s before the event",
        "1234 packets matched, 1.5 MiB of files",
        "5 dropped by the kernel, 7 overrun",
        "tcp and host 192.0.2.7",
        "https://storage.example/capture-0.pcapng",
        "0123456789abcdef",
        "stored and verified",
    ] {
        assert!(shown.contains(part), "'{part}' is missing in:\n{shown}");
    }
    let json = worker.stdout(&["capture", "show", "c1", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Capture>(&json).unwrap(), done_capture());
}

#[test]
fn what_is_not_the_usual_is_shown_of_limits_files_and_packets() {
    let usual = Worker::start(vec![done_capture()]);
    let shown = usual.stdout(&["capture", "show", "retransmits-1"]);
    for part in ["bytes per file", "files kept", "format", "compression", "truncated"] {
        assert!(!shown.contains(part), "'{part}' is in:\n{shown}");
    }
    let mut capture = done_capture();
    capture.plan.limits.segments = Some(SegmentLimits { bytes: 50 << 20, keep: Some(4) });
    capture.plan.file = FileForm { format: FileFormat::Pcap, compression: Compression::Zstd };
    capture.interfaces[0].truncated = 9;
    let worker = Worker::start(vec![capture]);
    let shown = worker.stdout(&["capture", "show", "retransmits-1"]);
    for part in [
        "bytes per file    50.0 MiB",
        "files kept        the newest 4",
        "format        pcap; the event and what was lost are not in the files",
        "compression   zstd",
        "truncated  9 were longer than what was kept of them",
    ] {
        assert!(shown.contains(part), "'{part}' is missing in:\n{shown}");
    }
}

#[test]
fn a_capture_without_packets_says_so_aloud() {
    let mut empty = done_capture();
    empty.totals = Totals::default();
    let worker = Worker::start(vec![empty]);
    let shown = worker.stdout(&["capture", "show", "retransmits-1"]);
    assert!(shown.contains("0 packets matched"), "{shown}");
}

#[test]
fn an_unknown_capture_exits_with_4() {
    let worker = Worker::start(vec![done_capture()]);
    for command in ["show", "stop"] {
        let output = worker.hindsight(&["capture", command, "no-such"]);
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert!(
            text(&output.stderr).starts_with("error: there is no capture with the name or id"),
            "{output:?}"
        );
    }
}

#[test]
fn a_capture_is_stopped_and_stopping_again_is_fine() {
    let worker = Worker::start(vec![done_capture(), running_capture()]);
    for (name, state) in [("retransmits-2", "capturing"), ("retransmits-1", "done")] {
        assert_eq!(worker.stdout(&["capture", "stop", name]), "", "silent");
        let json = worker.stdout(&["capture", "stop", name, "-o", "json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["state"], state, "{json}");
    }
}

#[test]
fn text_of_an_event_steers_no_terminal() {
    let mut capture = done_capture();
    capture.plan.event_name = "evil\u{1b}[2J\nNAME forged\u{9b}31m".to_owned();
    let worker = Worker::start(vec![capture]);
    for form in ["table", "json"] {
        let shown = worker.stdout(&["capture", "show", "c1", "--output", form]);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert!(!shown.lines().any(|line| line.trim_start().starts_with("NAME forged")), "{shown}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let captures = (0..500).map(|_| done_capture()).collect();
    let worker = Worker::start(captures);
    let mut child = worker
        .command(&["capture", "list", "--limit", "500", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The answer is larger than a pipe holds, so that the command must meet the closed end.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stderr), "");
}

// ---- Recorders and status ----

#[test]
fn recorders_are_listed_as_a_table_and_as_json() {
    let worker = Worker::start(Vec::new());
    let table = worker.stdout(&["recorder", "list"]);
    for part in ["INTERFACE", "eth0", "recording", "12.3 s", "64.0 MiB"] {
        assert!(table.contains(part), "{part} is missing in: {table}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&worker.stdout(&["recorder", "list", "-o", "json"])).unwrap();
    assert_eq!(json["recorders"][0]["window_ms"], 12_345);
}

#[test]
fn status_names_what_is_away_and_why() {
    let worker = Worker::start(Vec::new());
    let table = worker.stdout(&["status"]);
    for part in
        ["edge-7", "retrying", "connection refused", "1 capturing", "suppressed", "2 in the spool"]
    {
        assert!(table.contains(part), "{part} is missing in: {table}");
    }
    let json = worker.stdout(&["status", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status());
}

// ---- Events by hand ----

#[test]
fn an_event_is_sent_from_a_file_and_from_standard_input() {
    let worker = Worker::start(Vec::new());
    let file = worker.directory.path().join("alert.json");
    std::fs::write(&file, ALERT).unwrap();
    let answer = worker.stdout(&["event", "send", file.to_str().unwrap()]);
    for part in ["TcpRetransmitsHigh", "retransmits", "capture", "c9"] {
        assert!(answer.contains(part), "{part} is missing in: {answer}");
    }
    let mut child = worker
        .command(&["event", "send", "-", "--source", "plant", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(ALERT.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["outcomes"][0]["source"], "plant", "{json}");
    assert_eq!(json["outcomes"][0]["decision"]["capture"], "c9", "{json}");
}

#[test]
fn a_payload_that_is_no_event_is_refused_with_the_reason() {
    let worker = Worker::start(Vec::new());
    let file = worker.directory.path().join("garbage");
    std::fs::write(&file, "{\"alerts\": [oops").unwrap();
    let output = worker.hindsight(&["event", "send", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = text(&output.stderr);
    assert!(errors.starts_with("error: ") && errors.contains("line 1"), "{errors}");
    assert_eq!(text(&output.stdout), "");

    let missing = worker.hindsight(&["event", "send", "/nowhere/alert.json"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(text(&missing.stderr).contains("because"), "{missing:?}");

    let source = worker.hindsight(&["event", "send", "--source", "a b", file.to_str().unwrap()]);
    assert!(text(&source.stderr).contains("source is not a name"), "{source:?}");
}

#[test]
fn a_payload_of_the_largest_size_arrives_and_a_larger_one_is_not_sent() {
    let worker = Worker::start(Vec::new());
    let file = worker.directory.path().join("large.json");
    let fill = MAX_BODY_BYTES - ALERT.len();
    std::fs::write(&file, format!("{ALERT}{}", " ".repeat(fill))).unwrap();
    worker.stdout(&["event", "send", file.to_str().unwrap()]);
    std::fs::write(&file, format!("{ALERT}{}", " ".repeat(fill + 1))).unwrap();
    let output = worker.hindsight(&["event", "send", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("more than 1048576 bytes"), "{output:?}");
}

// ---- The server's own bounds ----

#[test]
fn without_tokens_the_api_is_not_on_tcp_and_health_and_metrics_are() {
    let worker = Worker::start(Vec::new());
    let status = |path: &str| worker.runtime.block_on(get(worker.address, path));
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(status(path), 200, "{path}");
    }
    assert_eq!(status("/v1/status"), 404);
}

#[test]
fn over_tcp_a_token_decides_what_may_be_done() {
    let worker = Worker::start(vec![done_capture(), running_capture()]);
    let listed = worker.remotely("read", &["capture", "list"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    assert!(text(&listed.stdout).contains("retransmits-1"), "{listed:?}");
    for (token, arguments, code, told) in [
        ("stranger", &["status"][..], 1, "this token is not known"),
        ("read", &["capture", "stop", "retransmits-2"], 1, "needs a token of scope operate"),
        ("operate", &["capture", "stop", "retransmits-2"], 0, ""),
        ("operate", &["reload"], 1, "needs a token of scope admin"),
        ("operate", &["capture", "show", "no-such"], 4, "there is no capture"),
        ("operate", &["capture", "create", "c1", "--file-path", "/tmp/c1.pcap"], 1, "scope admin"),
        ("missing", &["status"], 1, "cannot read"),
    ] {
        let output = worker.remotely(token, arguments);
        assert_eq!(output.status.code(), Some(code), "{token} {arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(told), "{token} {arguments:?}: {output:?}");
    }
    // Its certificate is nobody's whom the system trusts.
    let url = format!("https://{}", worker.secure);
    let token = worker.directory.path().join("read");
    let token = token.to_str().unwrap();
    let untrusted = hindsight(&["status", "--url", &url, "--token-file", token]);
    assert_eq!(untrusted.status.code(), Some(3), "{untrusted:?}");
    assert_eq!(hindsight(&["status", "--url", &url]).status.code(), Some(2), "no token is given");
    let odd = hindsight(&["status", "--url", "edge-7", "--token-file", token]);
    assert_eq!(odd.status.code(), Some(2), "{odd:?}");
}

#[test]
fn storages_are_listed_and_asked() {
    let worker = Worker::start(Vec::new());
    let listed = worker.stdout(&["storage", "list"]);
    assert!(listed.contains("archive") && listed.contains("connection refused"), "{listed}");
    let asked = worker.hindsight(&["storage", "list", "--check"]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    assert!(text(&asked.stdout).contains("no such bucket"), "{asked:?}");
    assert!(text(&asked.stderr).contains("1 of the storages cannot be used"), "{asked:?}");
}

#[test]
fn captures_can_be_listed_by_state_and_rule() {
    let worker = Worker::start(vec![done_capture(), running_capture()]);
    let rows = |arguments: &[&str]| {
        let line = [&["capture", "list"], arguments].concat();
        worker.stdout(&line).lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rows(&["--state", "done"]).len(), 1);
    assert_eq!(rows(&["--state", "done,capturing", "--rule", "retransmits"]).len(), 2);
    assert_eq!(rows(&["--rule", "another"]).len(), 0);
    let odd = worker.hindsight(&["capture", "list", "--state", "odd"]);
    assert_eq!(odd.status.code(), Some(2), "{odd:?}");
    assert!(text(&odd.stderr).contains("pending, capturing"), "{odd:?}");
}

#[test]
fn what_is_tried_again_is_counted_and_what_failed_is_said() {
    let mut stranded = done_capture();
    stranded.state = State::Failed;
    stranded.segments[0].state = SegmentState::Stranded;
    stranded.error = Some("archive refuses: no such bucket".to_owned());
    let worker = Worker::start(vec![stranded]);
    let shown = worker.stdout(&["capture", "show", "retransmits-1"]);
    for part in
        ["StorageFailed: 1 file was not stored", "no such bucket", "hindsight capture upload"]
    {
        assert!(shown.contains(part), "'{part}' is missing in:\n{shown}");
    }
    let watched = worker.hindsight(&["capture", "watch", "retransmits-1"]);
    assert_eq!(watched.status.code(), Some(1), "{watched:?}");
    assert!(text(&watched.stderr).contains("(failed): archive refuses"), "{watched:?}");
    let tried = worker.stdout(&["capture", "upload", "retransmits-1"]);
    assert_eq!(tried, "1 file and 2 notices of retransmits-1 are tried again.\n");
}

#[test]
fn unknown_paths_and_methods_are_problem_details() {
    let worker = Worker::start(Vec::new());
    let (head, body) = raw(&worker.socket, "GET /v2/nothing HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 404") && head.contains("application/problem+json"),
        "{head}"
    );
    assert!(body.contains("\"detail\":\"there is nothing at /v2/nothing\""), "{body}");
    let (head, _) = raw(&worker.socket, "DELETE /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 405") && head.contains("application/problem+json"),
        "{head}"
    );
    assert!(head.to_lowercase().contains("allow: get"), "{head}");
    let (head, body) = raw(&worker.socket, "GET /v1/captures?limit=0 HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 400") && body.contains("1 to 1000"), "{head} {body}");
}

#[test]
fn the_socket_is_removed_when_the_server_stops() {
    let worker = Worker::start(Vec::new());
    let socket = worker.socket.clone();
    assert!(socket.exists());
    worker.stop();
    assert!(!socket.exists());
}

// ---- The worker behind the tests ----

/// A real control server in front of a loop that answers from fixtures.
struct Worker {
    runtime: Runtime,
    served: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
    socket: PathBuf,
    /// Without tokens.
    address: SocketAddr,
    /// With tokens, and TLS.
    secure: SocketAddr,
    directory: TempDir,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A tokens file, and beside it a file with each token, called as its scope.
fn tokens(folder: &Path) -> PathBuf {
    let mut lines = String::new();
    for scope in ["read", "operate"] {
        let token = format!("the {scope} token").replace(' ', "-");
        let hex: String = Sha256::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push_str(&format!("{scope} {scope} sha256:{hex}\n"));
        std::fs::write(folder.join(scope), format!("{token}\n")).unwrap();
    }
    std::fs::write(folder.join("stranger"), "another\n").unwrap();
    std::fs::write(folder.join("tokens"), lines).unwrap();
    folder.join("tokens")
}

impl Worker {
    fn start(captures: Vec<Capture>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("control.sock");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let tls = TlsFiles {
            cert_file: fixture("broker.pem"),
            key_file: fixture("broker.key"),
            client_ca_file: None,
        };
        let tokens_file = Some(tokens(directory.path()));
        let secure = Listen { address, tls: Some(tls), tokens_file };
        let settings = Settings { socket: socket.clone(), listen: vec![address.into(), secure] };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (requests, inbox) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let (addresses, served) = runtime.block_on(async {
            spawn::task("answers", answer(inbox, captures));
            let server =
                Server::bind(&settings, Handle::new(requests), Receivers::default()).await.unwrap();
            (server.addresses(), spawn::task("server", server.serve(stop.clone())))
        });
        let (address, secure) = (addresses[0], addresses[1]);
        Self { runtime, served, stop, socket, address, secure, directory }
    }

    /// Runs a command over TCP, with the token of this name.
    fn remotely(&self, token: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--url").arg(format!("https://{}", self.secure));
        command.arg("--token-file").arg(self.directory.path().join(token));
        command.arg("--ca-file").arg(fixture("ca.pem")).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--socket").arg(&self.socket);
        command
    }

    fn hindsight(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that works says.
    fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.hindsight(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn stop(self) {
        self.stop.cancel();
        let Self { runtime, served, .. } = self;
        let served = async { tokio::time::timeout(Duration::from_secs(10), served).await };
        runtime.block_on(served).unwrap().unwrap();
    }
}

async fn answer(mut inbox: mpsc::Receiver<Request>, captures: Vec<Capture>) {
    let find = |key: &str| captures.iter().find(|c| c.name == key || c.id.as_str() == key).cloned();
    while let Some(request) = inbox.recv().await {
        // An asker that is gone is no concern of the loop.
        match request {
            Request::Deliver(delivery) => {
                let Content::Events(events) = delivery.content else {
                    panic!("control delivers events only");
                };
                let decision = Decision::Capture(CaptureId::from_text("c9"));
                let outcome = Outcome::new(&events[0], Some("retransmits"), decision);
                drop(delivery.done.send(vec![outcome]));
            }
            Request::Captures { limit, reply } => {
                drop(reply.send(captures.iter().take(limit).cloned().collect()));
            }
            Request::Capture { key, reply } => drop(reply.send(find(&key).map(Box::new))),
            Request::Stop { key, reply } => {
                let stop = |capture: Capture| StopAnswer {
                    capture: capture.id,
                    name: capture.name,
                    state: capture.state,
                };
                drop(reply.send(find(&key).map(stop)));
            }
            Request::Outcomes { reply, .. } => drop(reply.send(Vec::new())),
            Request::Recorders { reply } => drop(reply.send(status().recorders)),
            Request::Status { reply } => drop(reply.send(Box::new(status()))),
            Request::Audit { reply, .. } => drop(reply.send(())),
            Request::DriveAgain { key, reply } => {
                let again = |capture: Capture| RedriveAnswer {
                    capture: capture.id,
                    name: capture.name,
                    segments: 1,
                    notices: 2,
                };
                drop(reply.send(find(&key).map(again)));
            }
            Request::StoragesCheck { reply } => {
                let check = StorageCheck {
                    name: "archive".to_owned(),
                    kind: "azure".to_owned(),
                    error: Some("no such bucket".to_owned()),
                    millis: 12,
                };
                drop(reply.send(vec![check]));
            }
            Request::Create { .. }
            | Request::Delete { .. }
            | Request::File { .. }
            | Request::Reload { .. }
            | Request::Rules { .. }
            | Request::Explain { .. }
            | Request::Audits { .. } => panic!("not asked here"),
        }
    }
}

fn hindsight(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The status that a path answers over TCP.
async fn get(address: SocketAddr, path: &str) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The head and the body that a request gets on the control socket.
fn raw(socket: &Path, request: &str) -> (String, String) {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let request = request.replace("host: x", "host: x\r\nconnection: close");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

// ---- Fixtures ----

const ALERT: &str = r#"{
  "version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "hindsight",
  "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "",
  "alerts": [{
    "status": "firing", "labels": { "alertname": "TcpRetransmitsHigh", "instance": "edge-7" },
    "annotations": {}, "startsAt": "2026-11-22T17:29:00Z", "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "", "fingerprint": "00000000000000aa"
  }]
}"#;

fn done_capture() -> Capture {
    let id = CaptureId::from_text("c1");
    Capture {
        id: id.clone(),
        name: "retransmits-1".to_owned(),
        plan: plan(),
        state: State::Done,
        created_at: TRIGGER,
        held_from: Some(TRIGGER - Duration::from_secs(12)),
        stopped_at: Some(TRIGGER + Duration::from_secs(60)),
        stop_reason: Some(StopReason::TimeExceeded),
        error: None,
        totals: Totals { packets: 1234, bytes: 1_572_864, dropped_by_kernel: 5, overrun: 7 },
        interfaces: vec![InterfaceTotals {
            interface: "eth0".to_owned(),
            received: 5000,
            written: 1234,
            dropped_by_kernel: 5,
            overrun: 7,
            truncated: 0,
            filter: "tcp and host 192.0.2.7".to_owned(),
        }],
        segments: vec![segment(id)],
        coalesced: 3,
        deleted: false,
    }
}

fn running_capture() -> Capture {
    Capture {
        id: CaptureId::from_text("c2"),
        name: "retransmits-2".to_owned(),
        state: State::Capturing,
        stopped_at: None,
        stop_reason: None,
        interfaces: Vec::new(),
        segments: Vec::new(),
        ..done_capture()
    }
}

fn plan() -> CapturePlan {
    CapturePlan {
        rule: "retransmits".to_owned(),
        incident: IncidentId::from_text("00112233aabbccdd"),
        event: EventId::from_text("e1"),
        event_name: "TcpRetransmitsHigh".to_owned(),
        event_json: "{}".to_owned(),
        host: "edge-7".to_owned(),
        interfaces: vec!["eth0".to_owned()],
        trigger_at: TRIGGER,
        look_back: Duration::from_secs(30),
        filter: Filter::default(),
        limits: Limits {
            duration: Duration::from_secs(60),
            bytes: 200 << 20,
            packets: None,
            bytes_per_packet: 0,
            segments: None,
        },
        file: FileForm::default(),
        storage: "archive".to_owned(),
        notify: vec!["bus".to_owned()],
        placing: Default::default(),
        on_resolved: Default::default(),
        left_out: Vec::new(),
    }
}

fn segment(capture: CaptureId) -> Segment {
    let sha256 = "0123456789abcdef".repeat(4);
    Segment {
        capture,
        file: SealedFile {
            index: 0,
            path: PathBuf::from("/var/lib/hindsight/spool/c1-0.pcapng"),
            size_bytes: 1_572_864,
            sha256: sha256.clone(),
            packets: 1234,
            first_packet: Some(TRIGGER - Duration::from_secs(12)),
            last_packet: Some(TRIGGER + Duration::from_secs(59)),
            partial: false,
        },
        state: SegmentState::Retired,
        object: "2026/11/22/capture-0.pcapng".to_owned(),
        receipt: Some(Receipt {
            storage: "archive".to_owned(),
            object: "2026/11/22/capture-0.pcapng".to_owned(),
            location: "https://storage.example/capture-0.pcapng".to_owned(),
            size_bytes: 1_572_864,
            sha256,
            verified_at: TRIGGER + Duration::from_secs(61),
        }),
    }
}

fn status() -> Status {
    let health = |name: &str, kind: &str, error: Option<&str>| Health {
        name: name.to_owned(),
        kind: kind.to_owned(),
        ok: error.is_none(),
        state: if error.is_none() { "connected" } else { "retrying" }.to_owned(),
        since: TRIGGER,
        error: error.map(str::to_owned),
        failures: u32::from(error.is_some()),
    };
    Status {
        version: "0.1.0".to_owned(),
        host: "edge-7".to_owned(),
        started_at: TRIGGER,
        ready: true,
        configuration: ConfigurationStatus {
            file: None,
            loaded_at: TRIGGER,
            error: None,
            needs_restart: Vec::new(),
        },
        sources: vec![health("plant", "mqtt", None)],
        storages: vec![health("archive", "azure", Some("connection refused"))],
        notifiers: Vec::new(),
        recorders: vec![RecorderStatus {
            interface: "eth0".to_owned(),
            state: "recording".to_owned(),
            memory_bytes: 64 << 20,
            window_ms: 12_345,
            held_packets: 1000,
            held_bytes: 1 << 20,
            received: 2000,
            dropped: 0,
            readers: 1,
        }],
        rules: 2,
        decisions: vec![Tally {
            rule: "retransmits".to_owned(),
            decision: "suppressed".to_owned(),
            count: 4,
        }],
        captures_open: vec![(State::Capturing, 1)],
        segments_waiting: 1,
        removals_waiting: 0,
        notices_waiting: 0,
        unexplained_files: 2,
        spool: SpoolStatus::default(),
        upstream_losses: 0,
    }
}
