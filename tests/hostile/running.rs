//! A worker that takes the corpus: alerts in, and everything that it writes looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::corpus;
use super::support::broker::{Broker, Subscriber};
use super::support::capture_file::CaptureFile;
use super::support::mail_server::MailServer;
use super::support::place::Place;
use super::support::wait;
use super::support::worker::{Configuration, Worker};

const PATIENCE: Duration = Duration::from_secs(120);

/// Requests of notifiers that may wait to be looked at.
const MAX_REQUESTS: usize = 4_096;

/// The first captures and notices have every place filled by the event, or left open; the second rule
/// refuses what is no value.
const RULES: &str = r#"version: 1
rules:
  - name: goes-on
    match: ['job = "hostile"']
    capture:
      on_missing: capture_without
      look_back: 1s
      filters:
        - { remote_ip: "${labels.text | ip}", remote_port: "${labels.text | port}" }
        - { local_ip: "${labels.text | cidr}", mac: "${labels.text | mac}" }
      limits: { duration: "${labels.time | duration}", bytes: 1MiB, packets: 20 }
    notify: NOTIFIERS
  - name: refuses
    match: ['job = "hostile"']
    group_by: [text]
    cooldown: 1h
    capture:
      filters: [{ remote_ip: "${labels.text | ip}" }]
"#;

fn configuration(notifiers: Vec<String>, log: &str) -> Configuration {
    let names: Vec<_> = notifiers.iter().map(|entry| entry.split(':').next().unwrap()).collect();
    let names = format!("[{}]", names.join(", "));
    Configuration {
        storages: vec!["local: { directory: { path: stored } }".to_owned()],
        rest: vec![
            "recorder: { interfaces: [lo], memory: 4MiB }".to_owned(),
            "ceilings: { concurrent: 200, captures_per_hour: 1000 }".to_owned(),
            "defaults: { capture: { limits: { duration: 200ms } } }".to_owned(),
            format!("log: {log}"),
        ],
        rules: RULES.replace("NOTIFIERS", &names),
        notifiers,
        ..Configuration::default()
    }
}

/// The text in every field that the format `json` has for senders, as far as they are taken.
fn event(text: &str) -> Value {
    let cut = |most: usize| &text[..text.floor_char_boundary(most)];
    json!({
        "name": cut(500), "severity": cut(500), "fingerprint": cut(500),
        "labels": { "job": "hostile", "text": cut(4_000), "time": "200ms", cut(250): cut(4_000) },
        "annotations": { cut(250): text, "summary": text },
    })
}

/// As other formats have it.
fn in_other_formats(text: &str) -> [(&'static str, Value); 5] {
    let labels = json!({ "alertname": text, "job": text, "severity": text });
    [
        (
            "alertmanager",
            json!({
                "version": "4", "groupKey": text, "status": "firing", "receiver": text,
                "truncatedAlerts": 0, "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
                "externalURL": text, "alerts": [{
                    "status": "firing", "labels": labels, "annotations": { "summary": text },
                    "startsAt": "2026-11-22T17:29:00Z", "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": text, "fingerprint": text,
                }],
            }),
        ),
        (
            "cloudevents",
            json!({ "specversion": "1.0", "id": text, "source": text, "type": text, "subject": text,
                    "data": { "text": text } }),
        ),
        (
            "telegraf",
            json!({ "name": text, "tags": { "t": text }, "fields": { "f": 1 }, "timestamp": 1 }),
        ),
        (
            "suricata",
            json!({ "event_type": "alert", "timestamp": text, "src_ip": text, "dest_ip": text,
                    "alert": { "signature": text, "category": text, "severity": 1 } }),
        ),
        ("auto", json!({ "name": text, "status": text, "value": text, "starts_at": text })),
    ]
}

/// Sends one message and gives back what came of it: its outcomes, or why it was refused.
fn send(worker: &Worker, format: &str, message: &Value) -> Result<Vec<Value>, String> {
    let body = message.to_string();
    // A body above the bound is not read to its end, and the connection may close before it is sent.
    let Ok(answer) = worker.post(&format!("/v1/events?format={format}"), body.as_bytes()) else {
        assert!(body.len() > 1 << 20, "{body:.100}");
        return Err(String::new());
    };
    let told = answer.json();
    match answer.status {
        200 => Ok(told["outcomes"].as_array().unwrap().clone()),
        400 | 413 => Err(told.to_string()),
        status => panic!("{status}: {told}"),
    }
}

/// A request to a notifier's address.
struct Request {
    path: String,
    /// By their names in small letters.
    headers: BTreeMap<String, String>,
    body: String,
}

/// Takes every request and says yes. Gives its address.
fn serve() -> (String, Receiver<Request>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = sync_channel(MAX_REQUESTS);
    hindsight::spawn::thread("test-server", move || {
        for stream in listener.incoming().flatten() {
            let sender = sender.clone();
            let thread =
                hindsight::spawn::thread("test-answer", move || answer_all(stream, &sender));
            drop(thread);
        }
    })
    .unwrap();
    (format!("http://{address}"), requests)
}

fn answer_all(stream: TcpStream, requests: &SyncSender<Request>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader) {
        drop(requests.send(request));
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = || {
        let mut text = String::new();
        let bytes = reader.read_line(&mut text).ok().filter(|bytes| *bytes > 0);
        bytes.map(|_| text.trim_end_matches("\r\n").to_owned())
    };
    let path = line()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = line()?.split_once(':') {
        let earlier = headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        assert_eq!(earlier, None, "{name} is there twice");
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: String::from_utf8(body).unwrap() })
}

/// All files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn command(worker: &Worker, arguments: &[&str]) -> String {
    let output = worker.command(arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (said, complaint) = (text(&output.stdout), text(&output.stderr));
    corpus::assert_lines(&arguments.join(" "), &said);
    corpus::assert_lines(&arguments.join(" "), &complaint);
    said + &complaint
}

/// The comment of the section: the option 1 of the first block of a pcapng file.
fn section_comment(bytes: &[u8]) -> &str {
    let half = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let mut at = 24;
    loop {
        let (code, length) = (half(at), half(at + 2));
        match code {
            1 => return std::str::from_utf8(&bytes[at + 4..at + 4 + length]).unwrap(),
            0 => panic!("there is no comment"),
            _ => at += 4 + length.next_multiple_of(4),
        }
    }
}

fn captures(worker: &Worker) -> Vec<Value> {
    worker.get("/v1/captures?limit=1000")["captures"].as_array().unwrap().clone()
}

/// What every channel gets for the captures of the corpus, and what they leave on the disk.
#[test]
fn no_text_of_an_event_leaves_its_place_in_a_file_a_name_or_a_notice() {
    let broker = Broker::start(&Place::Host);
    let notices = broker.subscribe("#");
    let mail = MailServer::start("plain");
    let (address, requests) = serve();
    let own = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        &own,
        "{\"own\": {{ capture.event_name if capture else '' }}, \"all\": {{ message }}}",
    )
    .unwrap();
    let hook = |name: &str, template: &str| {
        format!("{name}: {{ webhook: {{ url: \"{address}/{name}\", {template} }} }}")
    };
    let notifiers = vec![
        format!("bus: {{ mqtt: {{ url: \"{}\", topic: \"hindsight/notices\" }} }}", broker.url()),
        hook("slack", "template: slack"),
        hook("teams", "template: teams"),
        hook("events", "headers: { X-Team: net }"),
        hook("own", &format!("template_file: {}", own.path().display())),
        format!(
            "mail: {{ email: {{ url: \"{}\", from: h@example.org, to: [net@example.org] }} }}",
            mail.url("smtp")
        ),
    ];
    let worker = Worker::start(&Place::Host, &configuration(notifiers, "{ level: debug }"));
    let mut texts = BTreeMap::new();
    for text in corpus::short() {
        let outcomes = send(&worker, "json", &event(text)).unwrap();
        assert_eq!(outcomes.len(), 2, "{text:?}: {outcomes:?}");
        let begun = outcomes.iter().filter_map(|outcome| outcome["decision"]["capture"].as_str());
        let [begun] = begun.collect::<Vec<_>>()[..] else { panic!("{text:?}: {outcomes:?}") };
        texts.insert(begun.to_owned(), text);
    }
    let captures = wait::until("all captures to be stored", PATIENCE, || {
        let captures = captures(&worker);
        let ended = captures.iter().filter(|capture| capture["state"] == "done").count();
        (ended == texts.len()).then_some(captures)
    });
    stored_files(&worker, &captures, &texts);
    commands(&worker, &captures);
    chats(&requests, texts.len());
    bus(&notices, texts.len(), &texts);
    mails(&mail, texts.len());
    assert!(!Path::new("/tmp/hindsight-was-here").exists());
}

/// Every name is of our making, and what a file says of itself is the sender's text, harmless.
fn stored_files(worker: &Worker, captures: &[Value], texts: &BTreeMap<String, &str>) {
    let stored = files(&worker.folder().join("stored"));
    for capture in captures {
        let [segment] = &capture["segments"].as_array().unwrap()[..] else { panic!("{capture:#}") };
        let object = worker.folder().join("stored").join(segment["object"].as_str().unwrap());
        assert!(stored.contains(&object), "{capture:#}");
    }
    assert_eq!(stored.len(), captures.len());
    let allowed: BTreeSet<&str> =
        ["stored", "state", "config.yaml", "rules.yaml", "worker.log", "control.sock"].into();
    for entry in fs::read_dir(worker.folder()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(allowed.contains(name.to_str().unwrap()), "{name:?}");
    }
    let root = worker.folder().join("stored");
    for path in &stored {
        let name = path.strip_prefix(&root).unwrap().as_os_str().as_bytes();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
        assert!(name.iter().all(is_plain), "{path:?}");
        assert_eq!(path.strip_prefix(&root).unwrap().components().count(), 6, "{path:?}");

        let bytes = fs::read(path).unwrap();
        let comment = section_comment(&bytes);
        assert!(corpus::is_harmless(comment), "{comment:?}");
        let said: Value = serde_json::from_str(comment).unwrap();
        let text = texts[said["capture_id"].as_str().unwrap()];
        assert_eq!(said["event"]["name"], text);
        assert_eq!(said["event"]["labels"][text], text);
        assert_eq!(said["rule"], "goes-on");
        assert!(!said["left_out"].as_array().unwrap().is_empty(), "{comment}");
        for packet in CaptureFile::read(path).packets {
            let comment = packet.comment.unwrap_or_default();
            assert!(corpus::is_harmless(&comment), "{comment:?}");
        }
    }
    for capture in captures {
        let name = capture["name"].as_str().unwrap();
        assert!(name.starts_with("goes-on-") && name.is_ascii(), "{name}");
    }
}

/// No table has a row of the sender's making.
fn commands(worker: &Worker, captures: &[Value]) {
    let list = command(worker, &["capture", "list", "--limit", "1000"]);
    let of_ours = |line: &&str| line.contains("goes-on-");
    assert_eq!(list.lines().filter(of_ours).count(), captures.len(), "{list}");
    assert_eq!(list.lines().count(), captures.len() + 1, "{list}");
    for capture in captures {
        let name = capture["name"].as_str().unwrap();
        let shown = command(worker, &["capture", "show", name]);
        let heading = |line: &&str| !line.is_empty() && !line.starts_with(' ');
        let headings: Vec<_> = shown.lines().filter(heading).skip(1).collect();
        let expected = ["Window", "Limits", "Filters", "Without", "Packets", "Interfaces", "Files"];
        assert_eq!(headings, expected, "{shown}");
    }
    let as_json = command(worker, &["capture", "list", "--limit", "1000", "--output", "json"]);
    serde_json::from_str::<Value>(&as_json).unwrap();
    for arguments in [&["status"][..], &["recorder", "list"], &["storage", "list"]] {
        command(worker, arguments);
    }
    let file = worker.folder().join("state/event.json");
    for text in corpus::all() {
        fs::write(&file, event(&text).to_string()).unwrap();
        let path = file.to_str().unwrap();
        let told =
            command(worker, &["event", "send", path, "--format", "json", "--source", "plant"]);
        let is_table = told.starts_with("EVENT ");
        assert_eq!(told.lines().count(), if is_table { 3 } else { 1 }, "{told}");
        assert!(told.len() < 8_000, "{}", told.len());
    }
    fs::remove_file(&file).unwrap();
}

/// Every text in a value.
fn all_texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(all_texts).collect(),
        Value::Object(entries) => entries.values().flat_map(all_texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Whether a text says what only a template that was evaluated would say.
fn is_evaluated(text: &str) -> bool {
    ["1330000019", "looploop"].iter().any(|made| text.contains(made))
}

fn chats(requests: &Receiver<Request>, count: usize) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    while seen.values().sum::<usize>() < 4 * count {
        let request = requests.recv_timeout(PATIENCE).unwrap();
        let path = request.path.as_str();
        assert!(["/slack", "/teams", "/events", "/own"].contains(&path), "{path}");
        *seen.entry(path.to_owned()).or_default() += 1;
        for (name, value) in &request.headers {
            const OURS: [&str; 8] = [
                "accept",
                "accept-encoding",
                "content-length",
                "content-type",
                "host",
                "idempotency-key",
                "user-agent",
                "x-team",
            ];
            assert!(OURS.contains(&name.as_str()), "{name}: {value}");
            assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{value:?}");
            assert!(value.len() < 100, "{value}");
        }
        let body: Value = serde_json::from_str(&request.body).unwrap();
        // A program gets what the sender said; people get what is harmless.
        if path != "/events" {
            for text in all_texts(&body) {
                let lines =
                    if path == "/slack" { text.replacen('\n', " ", 2) } else { text.to_owned() };
                assert!(corpus::is_harmless(&lines), "{path}: {text:?}");
                assert!(!is_evaluated(text), "{path}: {text}");
            }
        }
    }
    assert_eq!(seen.into_values().collect::<Vec<_>>(), [count; 4]);
}

fn bus(notices: &Subscriber, count: usize, texts: &BTreeMap<String, &str>) {
    let mut said = BTreeSet::new();
    for _ in 0..count {
        let message = notices.wait_for("a notice", PATIENCE, |_| true);
        assert_eq!(message.topic, "hindsight/notices");
        assert_eq!(message.content_type, "application/cloudevents+json");
        let event = message.json();
        assert_eq!(event["source"], "/hindsight/test-host");
        assert_eq!(event["type"], "io.hindsight.capture.completed");
        said.insert(event["data"]["event_name"].as_str().unwrap().to_owned());
    }
    assert_eq!(said, texts.values().map(|text| (*text).to_owned()).collect());
}

fn mails(server: &MailServer, count: usize) {
    const FIELDS: [&str; 9] = [
        "message-id",
        "from",
        "to",
        "subject",
        "date",
        "mime-version",
        "content-type",
        "auto-submitted",
        "content-transfer-encoding",
    ];
    for number in 1..=u32::try_from(count).unwrap() {
        let mail = server.mail(number);
        assert_eq!(mail.envelope["to"], json!(["net@example.org"]));
        let read = mail.read();
        assert_eq!(read["defects"], json!([]), "{}", mail.raw);
        let mut seen = BTreeSet::new();
        for header in read["headers"].as_array().unwrap() {
            let (name, value) = (header[0].as_str().unwrap().to_ascii_lowercase(), &header[1]);
            assert!(FIELDS.contains(&name.as_str()), "{name}: {value}");
            assert!(corpus::is_harmless(value.as_str().unwrap()), "{name}: {value}");
            assert!(seen.insert(name), "{header}");
        }
        for body in ["text", "html"].map(|form| read[form].as_str().unwrap()) {
            corpus::assert_lines("a mail", body);
            assert!(!is_evaluated(body), "{body}");
            assert!(!body.lines().any(|line| line.starts_with("Bcc:") || line.starts_with("X-")));
        }
        let html = read["html"].as_str().unwrap();
        assert!(!html.contains("<script") && !html.contains("<!channel"), "{html}");
    }
}

/// Whether a line of the log is one that we wrote, in a format.
fn is_record(format: &str, line: &str) -> bool {
    match format {
        "text" => {
            let (time, _) = line.split_once(' ').unwrap_or_default();
            time.len() > 20 && time.ends_with('Z') && time.starts_with("20")
        }
        "json" => {
            serde_json::from_str::<Value>(line).is_ok_and(|record| record["level"].is_string())
        }
        _ => ["<3>", "<4>", "<6>", "<7>"].iter().any(|priority| line.starts_with(priority)),
    }
}

#[test]
fn no_text_of_an_event_breaks_a_line_of_the_log_or_is_a_label_of_a_metric() {
    for format in ["text", "json", "journald"] {
        let log = format!("{{ level: debug, format: {format} }}");
        let mut worker = Worker::start(&Place::Host, &configuration(Vec::new(), &log));
        let mut refused = 0;
        for text in corpus::all() {
            let others = in_other_formats(&text).into_iter();
            let others = others.filter(|(of, _)| format == "text" || *of == "auto");
            for (format, message) in others.chain([("json", event(&text))]) {
                if let Err(told) = send(&worker, format, &message) {
                    assert!(corpus::is_harmless(&told) && told.len() < 2_000, "{told:?}");
                    refused += 1;
                }
            }
            // What is no event at all.
            let told =
                worker.post("/v1/events?format=json", text.as_bytes()).unwrap().json().to_string();
            assert!(corpus::is_harmless(&told) && told.len() < 2_000, "{told:?}");
        }
        assert!(refused >= 8, "{refused}");
        names_of_sources(&worker);
        metrics(&worker);
        worker.stop();
        let log = fs::read_to_string(worker.folder().join("worker.log")).unwrap();
        assert!(log.lines().count() > 300, "{}", log.lines().count());
        assert!(log.contains("ERROR forged"), "what senders write is told, on lines of ours");
        corpus::assert_lines(format, &log);
        for line in log.lines() {
            assert!(is_record(format, line), "{format}: {line}");
            assert!(!line.starts_with("2026-11-22T17:30:00Z ERROR forged"), "{line}");
        }
    }
}

/// Whoever sends by hand names the source, and only by a plain name.
fn names_of_sources(worker: &Worker) {
    for text in corpus::short() {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = worker
            .post(&format!("/v1/events?format=json&source={encoded}"), b"{\"name\": \"x\"}")
            .unwrap();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let expected = if text.bytes().all(is_plain) { 200 } else { 400 };
        let told = answer.json().to_string();
        assert_eq!(answer.status, expected, "{text:?}: {told}");
        assert!(corpus::is_harmless(&told) && told.len() < 2_000, "{told:?}");
    }
}

/// Every line is a series whose labels have values that this program or its configuration has given.
fn metrics(worker: &Worker) {
    let answer = worker.ask("GET", "/metrics", &[], b"");
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    let mut series = 0;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(name.len() < 120 && name.bytes().all(|b| b.is_ascii_graphic()), "{line}");
        let labels = name.split_once('{').map_or("", |(_, labels)| labels);
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (_, value) = label.split_once('=').unwrap();
            let is_ours = |b: u8| b.is_ascii_alphanumeric() || b"_.+-\"".contains(&b);
            assert!(value.bytes().all(is_ours), "{line}");
        }
        series += 1;
    }
    assert!((20..400).contains(&series), "{series}");
}
