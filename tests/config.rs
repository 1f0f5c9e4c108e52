//! The configuration as users write it: the default, every key, and what a mistake says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hindsight::config::{Config, DEFAULT, Environment, Listen};
use hindsight::{notify, source, upload};

/// A folder with a configuration, a rule, and files for secrets.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for secret in ["one", "two", "three", "five"] {
            fs::write(folder.path().join(secret), "secret").unwrap();
        }
        for template in ["t1", "t2", "t3"] {
            fs::write(folder.path().join(template), "{{ title }}").unwrap();
        }
        fs::write(folder.path().join("wrong"), "{\"a\": 1,\n \"b\": {{ titel }}}").unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        let rule = "version: 1\nrules:\n  - name: a\n    match: [alertname = X]\n    \
                    capture: { interfaces: [eth0] }\n";
        fs::write(folder.path().join("rules/a.yaml"), rule).unwrap();
        fs::create_dir(folder.path().join("other-rules")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, text: &str) -> Result<Config, Vec<String>> {
        self.load_in(text, &environment())
    }

    /// Problems are told without the folder.
    fn load_in(&self, text: &str, environment: &Environment) -> Result<Config, Vec<String>> {
        let path = self.path("config.yaml");
        fs::write(&path, text).unwrap();
        let prefix = format!("{}/", self.0.path().display());
        Config::load_in(Some(&path), environment).map_err(|problems| {
            problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
        })
    }

    /// The first lines of the problems.
    fn problems(&self, text: &str) -> Vec<String> {
        let problems = self.load(text).map(drop).expect_err(text);
        problems.iter().map(|problem| problem.lines().next().unwrap().to_owned()).collect()
    }
}

fn environment() -> Environment {
    Environment { host: Some("host-1".to_owned()), ..Environment::default() }
}

/// Every key, each with a value that is not the default.
const FULL: &str = "\
version: 1
host: { name: edge-7, labels: { site: fra1 }, aliases: [gw.example.org, 192.0.2.7] }
state: state
log: { level: warn, format: json }
recorder: { interfaces: [eth0, { name: eth1, memory: 64MiB, bytes_per_packet: 96, promiscuous: false }], \
memory: 32MiB, bytes_per_packet: 128, promiscuous: true, on_demand: { memory: 8MiB, promiscuous: false } }
sources:
  plant:
    mqtt:
      url: mqtts://broker:1883
      topics:
        - filter: alerts/#
          format: alertmanager
        - filter: metrics/#
          format: json
          fields: { name: f1, status: f2, severity: f3, value: f4, starts_at: f5, fingerprint: f6, \
labels: f7, annotations: f8 }
      client_id: plant-client
      username: plant-user
      password_file: one
      ca_file: two
      protocol: 3.1.1
      client_cert_file: one
      client_key_file: two
      retained: true
      max_event_age: 10m
  named: { mqtt: { url: mqtt://named:1883, topics: [{ filter: a, format: alertmanager }], username_file: one } }
  basic: { webhook: { path: /hooks/basic, format: json, basic: { username: ba, password_file: one }, \
max_event_age: 9m } }
  signed: { webhook: { path: /hooks/s, format: json, client_certificate: required, hmac: { \
secret_file: one, header: X-H, timestamp_header: X-T, tolerance: 2m } } }
  hook:
    webhook: { path: /hooks/a, format: json, fields: { name: g1 }, bearer_file: one }
storages:
  local: { directory: { path: captures } }
  archive:
    azure: { account: acc, container: cont, endpoint: \"http://az:1\", account_key_file: one, \
verify: checksum, ca_file: two }
  shared:
    azure: { account: acc2, container: cont2, sas_file: one }
  identity: { azure: { account: acc4, container: cont4, managed_identity: { client_id: id-1, \
endpoint: \"http://id:1\" } } }
  simple: { azure: { account: acc5, container: cont5, managed_identity: true } }
  bucket:
    s3:
      { bucket: buck, region: reg, endpoint: \"http://s3:1\", access_key_id: key, \
secret_access_key_file: one, path_style: false, conditional: false, verify: checksum, ca_file: one }
  dav: { http: { url: \"http://dav:1\", username: dav-user, password_file: one, conditional: false, \
ca_file: two } }
  dav2: { http: { url: \"http://dav:3\", bearer_file: one } }
notifiers:
  bus:
    mqtt:
      url: mqtt://out:1883
      topic: hindsight/${host}/notices
      client_id: bus-client
      username: bus-user
      password_file: one
      ca_file: two
      events: [completed]
  team: { webhook: { url: \"http://team/x\", bearer_file: one, template: slack, events: [failed] } }
  secret-team: { webhook: { url_file: one, ca_file: two, template_file: t1, \
headers: { X-Plain: h1, X-Secret: { file: one } }, \
hmac: { secret_file: five, header: X-Sig, timestamp_header: Y-When } } }
  shown: { mqtt: { url: \"mqtts://shown:8883\", topic: t, username_file: five, \
client_cert_file: five, client_key_file: five } }
  mail: { email: { url: \"smtps://mail:465\", from: from@example.org, \
to: [one@example.org, two@example.org], username: mail-user, password_file: one, ca_file: two, \
text_template_file: t1, html_template_file: t2, events: [partial, failed] } }
rules: [rules]
dry_run: true
defaults:
  capture: { look_back: 20s, limits: { duration: 90s, max_duration: 3m, bytes: 100MiB, segment_bytes: 20MiB, \
keep_segments: 5 }, format: pcap, compression: zstd, on_missing: capture_without }
  storage: archive
  notify: [bus]
  on_resolved: stop
  while_running: queue
ceilings: { duration: 4h, bytes: 900MiB, concurrent: 8, captures_per_hour: 30, memory: 2GiB, \
spool: 8GiB, free_disk: 10% }
control: { socket: run/control.sock, listen: [\"127.0.0.1:9189\", { address: \"[::]:9190\", \
tls: { cert_file: one, key_file: two, client_ca_file: three }, tokens_file: one }] }
retention: { age: 20d, size: 15GiB }
";

/// For every key: where it is, and another value for it in [`FULL`].
const KEYS: &[(&str, &str, &str)] = &[
    ("host.name", "edge-7", "edge-8"),
    ("host.labels", "site: fra1", "site: fra2"),
    ("host.aliases", "gw.example.org", "gw2.example.org"),
    ("state", "state: state", "state: elsewhere"),
    ("log.level", "level: warn", "level: debug"),
    ("log.format", "format: json }", "format: text }"),
    ("recorder.interfaces", "[eth0, ", "[eth2, "),
    ("interface.name", "name: eth1", "name: eth2"),
    ("interface.memory", "memory: 64MiB", "memory: 65MiB"),
    ("interface.bytes_per_packet", "bytes_per_packet: 96", "bytes_per_packet: 0"),
    ("interface.promiscuous", "promiscuous: false }], ", "promiscuous: true }], "),
    ("recorder.on_demand.memory", "memory: 8MiB", "memory: 9MiB"),
    ("recorder.on_demand.promiscuous", "8MiB, promiscuous: false", "8MiB, promiscuous: true"),
    ("recorder.memory", "32MiB", "33MiB"),
    ("recorder.bytes_per_packet", "bytes_per_packet: 128", "bytes_per_packet: 0"),
    ("recorder.promiscuous", "promiscuous: true,", "promiscuous: false,"),
    ("mqtt source.url", "mqtts://broker:1883", "mqtts://broker:8883"),
    ("mqtt source.topics", "        - filter: alerts/#\n          format: alertmanager\n", ""),
    ("mqtt source.client_id", "plant-client", "other-client"),
    ("mqtt source.username", "plant-user", "other-user"),
    (
        "mqtt source.password_file",
        "username: plant-user\n      password_file: one",
        "username: plant-user\n      password_file: three",
    ),
    ("mqtt source.ca_file", "ca_file: two\n      protocol", "ca_file: three\n      protocol"),
    ("mqtt source.protocol", "protocol: 3.1.1", "protocol: 5"),
    ("mqtt source.client_cert_file", "client_cert_file: one", "client_cert_file: three"),
    ("mqtt source.client_key_file", "client_key_file: two", "client_key_file: three"),
    ("mqtt source.retained", "retained: true", "retained: false"),
    ("mqtt source.max_event_age", "max_event_age: 10m", "max_event_age: 11m"),
    ("mqtt source.username_file", "username_file: one", "username_file: two"),
    ("topic.filter", "alerts/#", "alerts/+"),
    (
        "topic.format",
        "filter: alerts/#\n          format: alertmanager",
        "filter: alerts/#\n          format: json",
    ),
    ("topic.fields", "fields: { name: f1, status: f2, ", "fields: { "),
    ("fields.name", "name: f1", "name: x"),
    ("fields.status", "status: f2", "status: x"),
    ("fields.severity", "severity: f3", "severity: x"),
    ("fields.value", "value: f4", "value: x"),
    ("fields.starts_at", "starts_at: f5", "starts_at: x"),
    ("fields.fingerprint", "fingerprint: f6", "fingerprint: x"),
    ("fields.labels", "labels: f7", "labels: x"),
    ("fields.annotations", "annotations: f8", "annotations: x"),
    ("webhook source.path", "/hooks/a", "/hooks/b"),
    ("webhook source.format", "format: json, fields: { name: g1 }", "format: alertmanager"),
    ("webhook source.fields", "{ name: g1 }", "{ name: g2 }"),
    ("webhook source.bearer_file", "{ name: g1 }, bearer_file: one", "{ name: g1 }"),
    ("webhook source.basic", "username: ba", "username: bb"),
    ("webhook source.hmac", "secret_file: one, header: X-H", "secret_file: two, header: X-H"),
    ("webhook source.client_certificate", "client_certificate: required, ", ""),
    ("webhook source.max_event_age", "max_event_age: 9m", "max_event_age: 8m"),
    ("basic.username", "username: ba", "username: bb"),
    ("basic.password_file", "ba, password_file: one", "ba, password_file: two"),
    ("hmac.secret_file", "secret_file: one, header: X-H", "secret_file: two, header: X-H"),
    ("hmac.header", "header: X-H", "header: X-I"),
    ("hmac.timestamp_header", "timestamp_header: X-T,", "timestamp_header: X-U,"),
    ("hmac.tolerance", "tolerance: 2m", "tolerance: 3m"),
    ("directory.path", "path: captures", "path: /captures"),
    ("azure.verify", "verify: checksum, ca_file: two", "verify: read_back, ca_file: two"),
    ("azure.ca_file", "checksum, ca_file: two", "checksum, ca_file: three"),
    ("azure.managed_identity", "managed_identity: true", "managed_identity: { client_id: a }"),
    ("managed identity.client_id", "client_id: id-1", "client_id: id-2"),
    ("managed identity.endpoint", "http://id:1", "http://id:2"),
    ("azure.account", "acc,", "acc3,"),
    ("azure.container", "cont,", "cont3,"),
    ("azure.endpoint", "http://az:1", "http://az:2"),
    ("azure.account_key_file", "account_key_file: one", "account_key_file: two"),
    ("azure.sas_file", "sas_file: one", "sas_file: two"),
    ("s3.bucket", "bucket: buck", "bucket: other"),
    ("s3.region", "region: reg", "region: other"),
    ("s3.endpoint", "http://s3:1", "http://s3:2"),
    ("s3.access_key_id", "access_key_id: key", "access_key_id: other"),
    ("s3.secret_access_key_file", "secret_access_key_file: one", "secret_access_key_file: two"),
    ("s3.path_style", "path_style: false", "path_style: true"),
    ("s3.conditional", "conditional: false, verify", "conditional: true, verify"),
    ("s3.verify", "verify: checksum, ca_file: one", "verify: read_back, ca_file: one"),
    ("s3.ca_file", "ca_file: one }\n  dav", "ca_file: three }\n  dav"),
    ("http.url", "http://dav:1", "http://dav:2"),
    ("http.username", "dav-user", "other-user"),
    ("http.password_file", "dav-user, password_file: one", "dav-user, password_file: two"),
    ("http.conditional", "conditional: false, ca_file", "conditional: true, ca_file"),
    ("http.ca_file", "ca_file: two } }", "ca_file: three } }"),
    ("http.bearer_file", "dav:3\", bearer_file: one", "dav:3\", bearer_file: two"),
    ("mqtt notifier.url", "mqtt://out:1883", "mqtt://out:1884"),
    ("mqtt notifier.topic", "hindsight/${host}/notices", "hindsight/notices"),
    ("mqtt notifier.client_id", "bus-client", "other-client"),
    ("mqtt notifier.username", "bus-user", "other-user"),
    (
        "mqtt notifier.password_file",
        "username: bus-user\n      password_file: one",
        "username: bus-user\n      password_file: three",
    ),
    ("mqtt notifier.ca_file", "ca_file: two\n      events", "ca_file: three\n      events"),
    ("mqtt notifier.username_file", "username_file: five", "username_file: three"),
    ("mqtt notifier.client_cert_file", "client_cert_file: five", "client_cert_file: three"),
    ("mqtt notifier.client_key_file", "client_key_file: five", "client_key_file: three"),
    ("mqtt notifier.events", "[completed]", "[completed, started]"),
    ("webhook notifier.url", "http://team/x", "http://team/y"),
    ("webhook notifier.url_file", "url_file: one", "url_file: two"),
    (
        "webhook notifier.bearer_file",
        "http://team/x\", bearer_file: one",
        "http://team/x\", bearer_file: two",
    ),
    ("webhook notifier.template", "template: slack", "template: teams"),
    ("webhook notifier.events", "[failed]", "[suppressed]"),
    ("webhook notifier.ca_file", "two, template_file", "three, template_file"),
    ("webhook notifier.template_file", ", template_file: t1", ", template_file: t3"),
    ("webhook notifier.headers", "X-Plain: h1", "X-Plain: h2"),
    ("header field.file", "{ file: one }", "{ file: two }"),
    ("webhook notifier.hmac.secret_file", "{ secret_file: five", "{ secret_file: two"),
    ("webhook notifier.hmac.header", "X-Sig", "X-Other"),
    ("webhook notifier.hmac.timestamp_header", "Y-When", "Y-Then"),
    ("email notifier.url", "smtps://mail:465", "smtp+starttls://mail:587"),
    ("email notifier.from", "from@", "other@"),
    ("email notifier.to", "two@", "three@"),
    ("email notifier.username", "mail-user", "other-mail-user"),
    (
        "email notifier.password_file",
        "mail-user, password_file: one",
        "mail-user, password_file: two",
    ),
    ("email notifier.ca_file", "two, text_template", "three, text_template"),
    (
        "email notifier.text_template_file",
        "two, text_template_file: t1",
        "two, text_template_file: t3",
    ),
    ("email notifier.html_template_file", "file: t2", "file: t3"),
    ("email notifier.events", "[partial, failed]", "[failed, partial, completed]"),
    ("sources", "  hook:\n    webhook:", "  hook2:\n    webhook:"),
    ("storages", "  bucket:\n    s3", "  bucket2:\n    s3"),
    ("notifiers", "  team: { webhook", "  team2: { webhook"),
    ("rules", "[rules]", "[other-rules]"),
    ("dry_run", "dry_run: true", "dry_run: false"),
    ("defaults.while_running", "while_running: queue", "while_running: extend"),
    ("defaults.capture.limits.max_duration", "max_duration: 3m", "max_duration: 4m"),
    ("defaults.storage", "storage: archive", "storage: local"),
    ("defaults.notify", "[bus]", "[team]"),
    ("defaults.capture.look_back", "20s", "21s"),
    ("defaults.capture.on_missing", "on_missing: capture_without", "on_missing: refuse"),
    ("defaults.capture.limits.duration", "duration: 90s", "duration: 91s"),
    ("defaults.capture.limits.bytes", "100MiB", "101MiB"),
    ("defaults.capture.limits.segment_bytes", "20MiB", "19MiB"),
    ("defaults.capture.limits.keep_segments", "keep_segments: 5", "keep_segments: 4"),
    ("defaults.capture.format", "format: pcap,", "format: pcapng,"),
    ("defaults.capture.compression", "compression: zstd,", "compression: none,"),
    ("defaults.on_resolved", "on_resolved: stop", "on_resolved: keep"),
    ("ceilings.spool", "spool: 8GiB", "spool: 9GiB"),
    ("ceilings.free_disk", "free_disk: 10%", "free_disk: 11%"),
    ("retention.age", "age: 20d", "age: 0s"),
    ("retention.size", "size: 15GiB", "size: 0"),
    ("ceilings.duration", "duration: 4h", "duration: 3h"),
    ("ceilings.bytes", "900MiB", "901MiB"),
    ("ceilings.memory", "memory: 2GiB", "memory: 3GiB"),
    ("ceilings.concurrent", "concurrent: 8", "concurrent: 9"),
    ("ceilings.captures_per_hour", "captures_per_hour: 30", "captures_per_hour: 31"),
    ("control.socket", "run/control.sock", "run/other.sock"),
    ("control.listen", "127.0.0.1:9189", "[::1]:9189"),
    ("listen.address", "[::]:9190", "[::]:9191"),
    ("listen.tls", "cert_file: one, key", "cert_file: three, key"),
    ("listen.tokens_file", "tokens_file: one", "tokens_file: two"),
    ("tls.cert_file", "cert_file: one, key", "cert_file: three, key"),
    ("tls.key_file", "key_file: two, client_ca", "key_file: one, client_ca"),
    ("tls.client_ca_file", "client_ca_file: three", "client_ca_file: one"),
];

/// For every mapping: the name that [`KEYS`] has for it, and where in [`FULL`] a key could be added.
const MAPPINGS: &[(&str, &str)] = &[
    ("", "version: 1\n"),
    ("host", "host: { "),
    ("log", "log: { "),
    ("recorder", "recorder: { "),
    ("interface", "{ name: eth1, "),
    ("recorder.on_demand", "on_demand: { "),
    ("mqtt source", "    mqtt:\n      url: mqtts://broker:1883\n"),
    ("topic", "        - filter: alerts/#\n"),
    ("fields", "fields: { name: f1, "),
    ("webhook source", "webhook: { path: /hooks/a, "),
    ("basic", "basic: { username: ba, "),
    ("hmac", "header: X-H, "),
    ("listen", "{ address: \"[::]:9190\", "),
    ("tls", "tls: { cert_file: one, "),
    ("directory", "directory: { "),
    ("azure", "azure: { account: acc, "),
    ("managed identity", "managed_identity: { "),
    ("s3", "      { bucket: buck, "),
    ("http", "  dav: { http: { url: \"http://dav:1\", "),
    ("mqtt notifier", "    mqtt:\n      url: mqtt://out:1883\n"),
    ("webhook notifier", "webhook: { url: \"http://team/x\", "),
    ("header field", "X-Secret: { "),
    ("webhook notifier.hmac", "file: one } }, hmac: { "),
    ("email notifier", "email: { "),
    ("defaults", "defaults:\n"),
    ("defaults.capture", "  capture: { "),
    ("defaults.capture.limits", "20s, limits: { "),
    ("ceilings", "ceilings: { "),
    ("control", "control: { "),
    ("retention", "retention: { "),
];

/// Adds an unknown key behind a text and gives the keys that the problem says are known.
fn known_keys(folder: &Folder, behind: &str) -> BTreeSet<String> {
    let at = FULL.find(behind).unwrap_or_else(|| panic!("{behind}")) + behind.len();
    let key = if behind.ends_with('\n') {
        // The same indentation as what follows.
        let next = FULL[at..].lines().next().unwrap();
        format!("{}zzzzzzzzz: 1\n", &next[..next.len() - next.trim_start().len()])
    } else {
        "zzzzzzzzz: 1, ".to_owned()
    };
    let told = folder.problems(&format!("{}{key}{}", &FULL[..at], &FULL[at..]));
    let told = told.iter().find(|problem| problem.contains("zzzzzzzzz")).unwrap();
    let (_, known) = told
        .split_once("known here: ")
        .or_else(|| told.split_once("only "))
        .unwrap_or_else(|| panic!("{told}"));
    let known = known.trim_end_matches(" is known here").replace('`', "");
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_accepted_key_acts() {
    let folder = Folder::new();
    let load = |text: &str| {
        let config = folder.load(text).unwrap_or_else(|told| panic!("{}", told.join("\n")));
        format!("{config:?}")
    };
    let full = load(FULL);
    for (key, from, to) in KEYS {
        assert_eq!(FULL.matches(from).count(), 1, "{key}: {from}");
        assert_ne!(load(&FULL.replace(from, to)), full, "{key} changes nothing");
    }
}

#[test]
fn the_table_of_keys_holds_every_key() {
    let folder = Folder::new();
    let listed: BTreeSet<&str> = KEYS.iter().map(|(key, ..)| *key).collect();
    let inner: BTreeSet<&str> = MAPPINGS.iter().map(|(name, _)| *name).collect();
    for (mapping, behind) in MAPPINGS {
        for key in known_keys(&folder, behind) {
            let full = if mapping.is_empty() { key } else { format!("{mapping}.{key}") };
            let found = listed.contains(full.as_str()) || inner.contains(full.as_str());
            assert!(found || full == "version", "{full} is not in the table");
        }
    }
}

#[test]
fn the_embedded_default_is_what_runs_without_a_file() {
    let config = Config::load_in(None, &environment()).unwrap_or_else(|p| panic!("{}", p[0]));
    assert_eq!(config.file, None);
    assert_eq!(config.host, "host-1");
    assert_eq!(config.state_directory, Path::new("/var/lib/hindsight"));
    assert_eq!(config.capture.spool, Path::new("/var/lib/hindsight/spool"));
    assert_eq!(config.control.socket, Path::new("/run/hindsight/control.sock"));
    assert_eq!(config.control.listen, [Listen::from(SocketAddr::from(([127, 0, 0, 1], 9188)))]);
    assert_eq!((config.ceilings.concurrent, config.ceilings.captures_per_hour), (16, 60));
    assert!(config.notifiers.is_empty());
    let [("hook", source::Settings::Webhook(hook))] =
        &config.sources.iter().map(|(name, s)| (name.as_str(), s)).collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", config.sources);
    };
    assert_eq!((hook.path.as_str(), &hook.auth.bearer_file), ("/hooks/alertmanager", &None));
    let local = upload::Settings::Directory { path: "/var/lib/hindsight/captures".into() };
    assert_eq!(config.storages, [("local".to_owned(), local)].into());
}

#[test]
fn the_environment_moves_the_defaults_and_gives_way_to_the_file() {
    let folder = Folder::new();
    let systemd = Environment {
        state: Some("/srv/state".into()),
        runtime: Some("/run/other".into()),
        ..environment()
    };
    let config = folder.load_in("version: 1\n", &systemd).unwrap();
    assert_eq!(config.state_directory, Path::new("/srv/state"));
    assert_eq!(config.control.socket, Path::new("/run/other/control.sock"));
    let local = upload::Settings::Directory { path: "/srv/state/captures".into() };
    assert_eq!(config.storages["local"], local);
    let config = folder.load_in(FULL, &systemd).unwrap();
    assert_eq!(config.state_directory, folder.path("state"));
    assert_eq!(config.control.socket, folder.path("run/control.sock"));

    let named = Environment { config: Some(folder.path("config.yaml")), ..environment() };
    let config = Config::load_in(None, &named).unwrap();
    assert_eq!((config.file, config.host.as_str()), (named.config, "edge-7"));
}

/// The default with what it shows in comments: `#key` is an example, `# text` is prose.
fn reference() -> String {
    let uncomment = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        match line[indent..].strip_prefix('#') {
            Some(example) if !example.is_empty() => {
                let prose = example.starts_with(' ') && !example.starts_with("  ");
                if prose { line.to_owned() } else { format!("{}{example}", &line[..indent]) }
            }
            _ => line.to_owned(),
        }
    };
    let mut text: String = DEFAULT.lines().map(|line| uncomment(line) + "\n").collect();
    assert!(text.contains("\n  bus:\n    # A message"), "{text}");
    for line in DEFAULT.lines().filter(|line| line.contains("_file: ") || line.contains("rules: ["))
    {
        let (_, path) = line.split_once(": ").unwrap();
        let to = if path.starts_with('[') { "[rules]" } else { "one" };
        text = text.replace(path, to);
    }
    text
}

/// What the default shows in comments would be accepted.
#[test]
fn the_examples_in_the_default_are_valid() {
    let folder = Folder::new();
    let text = reference();
    let config = folder.load(&text).unwrap_or_else(|told| panic!("{}", told.join("\n")));
    assert_eq!(config.sources.len(), 3);
    assert_eq!(config.storages.len(), 4);
    assert_eq!(config.notifiers.len(), 3);
}

/// Other values that a key could have, likely ones first.
fn other_values(value: &str) -> Vec<String> {
    const WORDS: &str = "one two three json text debug warn alertmanager auto pcap zstd stop keep \
        queue local bus team slack teams cloudevent checksum read_back required completed 3.1.1 5 true \
        false 0 1 2 7 96 7% 9% 7s 11s 45s 3m 20d 1MiB 3MiB 70KiB 96MiB 2GiB 15GiB [] [lo] [bus] \
        [failed] [completed] [other-rules] 127.0.0.1:9199 [\"127.0.0.1:9199\"] /hooks/other";
    let quoted = value.trim_matches('"');
    let mut others = vec![format!("{quoted}x"), quoted.replacen("://", "://x", 1)];
    others.extend(WORDS.split_whitespace().map(str::to_owned));
    others.retain(|other| other != value && other != quoted);
    others
}

#[test]
fn every_key_of_the_reference_page_acts() {
    let folder = Folder::new();
    let text = reference();
    let load = |text: &str| folder.load(text).map(|config| format!("{config:?}"));
    let whole = load(&text).unwrap_or_else(|told| panic!("{}", told.join("\n")));
    let lines: Vec<&str> = text.lines().collect();
    let in_the_table =
        |name: &str| KEYS.iter().any(|(key, ..)| key.rsplit('.').next() == Some(name));
    let (mut walked, mut inert) = (0, Vec::new());
    for (at, line) in lines.iter().enumerate() {
        let key = line.trim_start().trim_start_matches("- ");
        let Some((name, value)) = key.split_once(": ") else { continue };
        if key.starts_with('#') || name == "version" || name.contains(' ') {
            continue;
        }
        walked += 1;
        // What another value is accepted for changes the configuration. Where none is accepted, as
        // with a key that goes with another one, the table has a value that is.
        let mut accepted = other_values(value).into_iter().filter_map(|other| {
            let changed = format!("{}{other}", &line[..line.len() - value.len()]);
            let mut lines = lines.clone();
            lines[at] = &changed;
            load(&(lines.join("\n") + "\n")).ok()
        });
        match accepted.next() {
            Some(other) if other != whole => {}
            None if in_the_table(name) => {}
            Some(_) | None => inert.push(*line),
        }
    }
    assert_eq!(inert, Vec::<&str>::new(), "another value of these changes nothing");
    assert!(walked > 60, "only {walked} keys were found");
}

/// What the reference page says of a key stands beside its name.
#[test]
fn every_key_stands_on_the_reference_page() {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = DEFAULT.split(|c| !is_word(c)).collect();
    for (key, ..) in KEYS {
        let name = key.rsplit('.').next().unwrap();
        assert!(words.contains(name), "{key} is not explained");
    }
}

#[test]
fn the_host_stands_in_topics_and_client_ids() {
    let folder = Folder::new();
    let text = FULL
        .replace("      client_id: bus-client\n", "")
        .replace("      client_id: plant-client\n", "");
    let config = folder.load(&text).unwrap();
    let notify::Settings::Mqtt(bus) = &config.notifiers["bus"] else { panic!() };
    assert_eq!(bus.topic, "hindsight/edge-7/notices");
    assert_eq!(bus.client_id, "hindsight-edge-7-bus-notices");
    let source::Settings::Mqtt(plant) = &config.sources["plant"] else { panic!() };
    assert_eq!(plant.client_id, "hindsight-edge-7-plant");
    assert_eq!(plant.password_file, Some(folder.path("one")));
}

#[test]
fn the_only_storage_is_the_default_one() {
    let folder = Folder::new();
    let one = "version: 1\nstorages:\n  disk: { directory: { path: x } }\nrules: [rules]\n";
    assert!(folder.load(one).is_ok());
    let two = one.replace("rules:", "  more: { directory: { path: y } }\nrules:");
    assert_eq!(
        folder.problems(&two),
        ["config.yaml: unknown storage `local`; known here: disk, more"]
    );
}

#[test]
fn without_an_address_to_listen_on_there_is_no_webhook() {
    let folder = Folder::new();
    let config = folder.load("version: 1\ncontrol: { listen: [] }\n").unwrap();
    assert!(config.sources.is_empty());
    let text = "version: 1\nsources:\n  hook: { webhook: { path: /a, format: json } }\n\
                control: { listen: [] }\n";
    assert_eq!(
        folder.problems(text),
        ["config.yaml:3:3: a webhook can be reached at no address: control.listen is empty; \
          give it one, as in listen: [\"127.0.0.1:9188\"]"]
    );
}

/// A change of [`FULL`] that is a mistake, and what it says.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "version: 1",
        "version: 2",
        "config.yaml:1:10: version 2 is not known here; this release reads version 1",
    ),
    (
        "host: { name: edge-7, ",
        "host: { name: ../etc, ",
        "config.yaml:2:15: `../etc` cannot be a part of a file name; take letters, digits, `.`, `_` and `-`, at most 64",
    ),
    (
        "site: fra1",
        "name: fra1",
        "config.yaml:2:33: the label `name` is the name of the host; set host.name, or call the label otherwise",
    ),
    (
        "site: fra1",
        "a site: fra1",
        "config.yaml:2:33: `a site` is no label; take letters, digits, `_`, `.`, `-`, `/` and `:`, a letter or `_` first",
    ),
    (
        "site: fra1",
        "site: \"a\\nb\"",
        "config.yaml:2:39: this cannot be the value of a label; take at most 256 bytes without control characters",
    ),
    (
        "[gw.example.org, ",
        "[\"gw.example.org:9100\", ",
        "config.yaml:2:57: `gw.example.org:9100` is neither a name nor an address; write it without a port, as in edge-7.example.org",
    ),
    (
        "  plant:",
        "  schedule:",
        "config.yaml:7:3: `schedule` is the source of the events that schedules make; take another name",
    ),
    (
        "while_running: queue",
        "while_running: wait",
        "config.yaml:64:18: unknown value `wait`; known here: extend, ignore, queue",
    ),
    (
        "max_duration: 3m",
        "max_duration: 80s",
        "config.yaml:60:69: defaults.capture.limits.max_duration 1m20s is below defaults.capture.limits.duration 1m30s; raise it, or lower the duration",
    ),
    (
        "max_duration: 3m",
        "max_duration: 5h",
        "config.yaml:60:69: defaults.capture.limits.max_duration 5h is above ceilings.duration 4h; lower the default, or raise the ceiling",
    ),
    (
        "look_back: 20s",
        "look_back: 2d",
        "config.yaml:60:25: `look_back` 2d is above 1d, the longest; lower it",
    ),
    ("state: state", "stat: state", "config.yaml:3:1: unknown key `stat`; did you mean `state`?"),
    (
        "level: warn",
        "level: hindsight=loud",
        "config.yaml:4:15: 'hindsight=loud' is no log level; write error, warn, info, debug or trace, or one for each part, as in info,hindsight::upload=debug",
    ),
    (
        "format: json }",
        "format: jsn }",
        "config.yaml:4:29: unknown value `jsn`; did you mean `json`?",
    ),
    (
        "[eth0, { name: eth1, memory: 64MiB, bytes_per_packet: 96, promiscuous: false }]",
        "eth0",
        "config.yaml:5:25: `eth0` is neither `auto` nor a list; write [eth0] for one interface",
    ),
    (
        "[eth0, {",
        "[eth0, eth0, {",
        "config.yaml:5:32: `eth0` is named twice; name each interface once",
    ),
    (
        "[eth0, {",
        "[a-name-of-16-byt, {",
        "config.yaml:5:26: `a-name-of-16-byt` is no name of an interface; take one that `ip link` shows",
    ),
    (
        "32MiB",
        "512KiB",
        "config.yaml:5:114: a recorder cannot have 512KiB of memory; give it 1MiB to 16GiB",
    ),
    (
        "promiscuous: true,",
        "promiscuous: yes,",
        "config.yaml:5:157: expected true or false, found `yes`",
    ),
    (
        "name: eth1",
        "name: eth0",
        "config.yaml:5:40: `eth0` is named twice; name each interface once",
    ),
    (
        "eth1, memory",
        "eth1, memry",
        "config.yaml:5:46: unknown key `memry`; did you mean `memory`?",
    ),
    ("[eth0, {", "[[eth0], {", "config.yaml:5:26: expected the name of an interface, found a list"),
    (
        "64MiB",
        "64KiB",
        "config.yaml:5:54: a recorder cannot have 64KiB of memory; give it 1MiB to 16GiB",
    ),
    (
        "memory: 8MiB",
        "memory: 17GiB",
        "config.yaml:5:184: a ring on demand cannot have 17GiB of memory; give it 1MiB to 16GiB",
    ),
    (
        "memory: 2GiB",
        "memory: 100MiB",
        "config.yaml:65:88: the rings need 104MiB, above ceilings.memory 100MiB (eth0 32MiB, eth1 64MiB, one ring on demand 8MiB); lower recorder.memory, or raise ceilings.memory",
    ),
    (
        "  plant:",
        "  Plant:",
        "config.yaml:7:3: `Plant` cannot be a name; take lower-case letters, digits, `_` and `-`, at most 64",
    ),
    (
        "mqtts://broker:1883",
        "broker:1883",
        "config.yaml:9:12: this is no address; it begins with mqtt:// or mqtts://",
    ),
    (
        "mqtts://broker:1883",
        "http://broker",
        "config.yaml:9:12: `http://` is not known here; an address begins with mqtt:// or mqtts://",
    ),
    ("alerts/#", "alerts/#/x", "config.yaml:11:19: `#` stands alone, as the last level"),
    (
        "      username: plant-user\n",
        "",
        "config.yaml:17:22: a password needs a `username`; add the key",
    ),
    (
        "username_file: one",
        "username: u, username_file: one",
        "config.yaml:25:119: there are two user names; keep username or username_file",
    ),
    ("3.1.1", "3.1", "config.yaml:20:17: unknown value `3.1`; known here: 5, 3.1.1"),
    (
        "      client_key_file: two\n",
        "",
        "config.yaml:21:25: a certificate needs its key; add `client_key_file`",
    ),
    (
        "mqtts://broker:1883",
        "mqtt://broker:1883",
        "config.yaml:21:25: a certificate is shown over TLS only; write the address with mqtts://",
    ),
    (
        "max_event_age: 10m",
        "max_event_age: 0s",
        "config.yaml:24:22: with this age no event is acted on; give more, or leave the key out",
    ),
    (
        "username: ba",
        "username: b:a",
        "config.yaml:26:76: this cannot be a user name; take one without a colon",
    ),
    (
        "json, basic: {",
        "json, bearer_file: one, basic: {",
        "config.yaml:26:82: a sender can show one of the two only: a token, or a name and a password; keep basic or bearer_file",
    ),
    (
        "header: X-H",
        "header: \"X H\"",
        "config.yaml:27:118: `X H` is no name of a header; take letters, digits, `-` and `_`, at most 64",
    ),
    (
        "tolerance: 2m",
        "tolerance: 2h",
        "config.yaml:27:157: a signature is taken for 1s to 1h around its time; 5m is usual",
    ),
    (
        ", client_ca_file: three",
        "",
        "config.yaml:27:74: at no address can a client show a certificate; give one of control.listen `tls` with `client_ca_file`",
    ),
    (
        "key_file: two, client_ca",
        "key_file: four, client_ca",
        "config.yaml:66:122: four cannot be read: No such file or directory (os error 2); create it, readable for the worker's user",
    ),
    (
        "\"[::]:9190\"",
        "\"127.0.0.1:9189\"",
        "config.yaml:66:76: `127.0.0.1:9189` is named twice; name each address once",
    ),
    (
        "fields: { name: g1 }",
        "fields: { nam: g1 }",
        "config.yaml:29:56: unknown key `nam`; did you mean `name`?",
    ),
    (
        "format: json, fields",
        "format: alertmanager, fields",
        "config.yaml:29:62: `fields` goes with the format json only; remove the key, or take `format: json`",
    ),
    (
        "/hooks/a",
        "/v1/events",
        "config.yaml:29:22: `/v1/events` is the worker's own; take another, as in /hooks/name",
    ),
    (
        "account_key_file: one",
        "account_key_file: one, sas_file: two",
        "config.yaml:33:103: there are two credentials; keep one of account_key_file, sas_file and managed_identity",
    ),
    (
        ", account_key_file: one",
        "",
        "config.yaml:33:5: there is no credential for the account; add account_key_file, sas_file or managed_identity",
    ),
    (
        "account_key_file: one",
        "account_key_file: none",
        "config.yaml:33:88: none cannot be read: No such file or directory (os error 2); create it, readable for the worker's user",
    ),
    (
        "account_key_file: one",
        "account_key_file: rules",
        "config.yaml:33:88: rules is no file; name a plain file",
    ),
    ("access_key_id: key, ", "", "config.yaml:40:85: the secret has no key; add access_key_id"),
    (
        "username: dav-user, password_file: one",
        "username: dav-user",
        "config.yaml:41:49: the user has no password; add password_file",
    ),
    ("username: dav-user, ", "", "config.yaml:41:54: the password has no user; add username"),
    (
        "username: dav-user, ",
        "bearer_file: one, username: dav-user, ",
        "config.yaml:41:67: there are two credentials; keep bearer_file, or username and password_file",
    ),
    (
        "managed_identity: true",
        "managed_identity: false",
        "config.yaml:37:73: expected `true` or { client_id: ... }; without it leave the key out",
    ),
    (
        "http://id:1",
        "id:1",
        "config.yaml:36:104: this is no address; it begins with http:// or https://",
    ),
    ("    s3:", "    s4:", "config.yaml:39:5: unknown value `s4`; did you mean `s3`?"),
    ("${host}", "${site}", "config.yaml:47:14: unknown placeholder; only `${host}` is known here"),
    (
        "hindsight/${host}/notices",
        "hindsight/#",
        "config.yaml:47:14: a topic to publish to has 1 to 65535 bytes, no zero byte, no `+` and no `#`",
    ),
    (
        "{ url_file: one,",
        "{ url_file: one, url: \"http://a\",",
        "config.yaml:54:39: there are two addresses; keep url or url_file",
    ),
    ("{ url_file: one,", "{", "config.yaml:54:16: there is no address; add url or url_file"),
    (
        "template_file: t1, headers",
        "template_file: t1, template: teams, headers",
        "config.yaml:54:73: there are two templates; keep template or template_file",
    ),
    (
        "template_file: t1, headers",
        "template_file: t9, headers",
        "config.yaml:54:73: t9 cannot be read: No such file or directory (os error 2); \
         create it, readable for the worker's user",
    ),
    (
        "file: t1, headers",
        "file: wrong, headers",
        "wrong:2:10: undefined value: `titel` is undefined, for a notice of the kind `completed`",
    ),
    (
        "file: t1, headers",
        "file: one, headers",
        "config.yaml:54:73: in this template: for a notice of the kind `completed` it makes no JSON: \
         expected value at line 1 column 1 of what it makes; values stand there without quotes of \
         yours, as in {\"text\": {{ title }}}",
    ),
    (
        "template: slack",
        "template: slak",
        "config.yaml:53:72: unknown value `slak`; did you mean `slack`?",
    ),
    (
        "X-Plain: h1",
        "Host: h1",
        "config.yaml:54:88: the header field host is set by the program; leave it out",
    ),
    (
        "X-Plain: h1",
        "X Plain: h1",
        "config.yaml:54:88: this is no name of a header field; write one as in X-Team",
    ),
    (
        "X-Plain: h1",
        "X-Plain: hä",
        "config.yaml:54:97: a value of a header field is a line of ASCII letters, digits and signs",
    ),
    (
        "X-Plain: h1",
        "x-secret: h1",
        "config.yaml:54:102: this header field stands here twice; remove one",
    ),
    (
        "X-Plain: h1",
        "x-sig: h1",
        "config.yaml:54:161: `headers` sets this header field, too; remove one",
    ),
    (
        "header: Y-When",
        "header: X-sig",
        "config.yaml:54:188: this is the header field of the signature; take another",
    ),
    (
        "[partial, failed]",
        "[partial, partial]",
        "config.yaml:56:230: `partial` stands here twice; remove one",
    ),
    (
        "[partial, failed]",
        "[]",
        "config.yaml:56:220: this notifier gets nothing; name what it gets, or remove it",
    ),
    (
        "[partial, failed]",
        "[ended]",
        "config.yaml:56:221: unknown value `ended`; known here: completed, partial, failed, started, suppressed, upstream_loss",
    ),
    (
        "smtps://mail:465",
        "mail:465",
        "config.yaml:56:25: this is no address; it begins with smtps:// or smtp+starttls:// or smtp://",
    ),
    (
        "smtps://mail:465",
        "smtp://mail",
        "config.yaml:56:140: `smtp://` would send this password unencrypted; write smtps:// or smtp+starttls://",
    ),
    (
        "one@example.org",
        "one",
        "config.yaml:56:74: `one` is no mail address; write name@host or Name <name@host>",
    ),
    (
        "[one@example.org, two@example.org]",
        "[]",
        "config.yaml:56:73: there is no recipient; add a mail address",
    ),
    ("username: mail-user, ", "", "config.yaml:56:124: a password needs a `username`; add the key"),
    (
        "http://team/x",
        "http://user:pw@team/x",
        "config.yaml:53:27: credentials do not stand in an address; they have keys of their own",
    ),
    (
        "rules: [rules]",
        "rules: [rulez]",
        "config.yaml:57:9: rulez does not exist; create it, or name another one",
    ),
    (
        "storage: archive",
        "storage: archiv",
        "config.yaml:61:12: unknown storage `archiv`; did you mean `archive`?",
    ),
    (
        "notify: [bus]",
        "notify: [buss]",
        "config.yaml:62:12: unknown notifier `buss`; did you mean `bus`?",
    ),
    (
        "duration: 90s, max_duration: 3m",
        "duration: 5h",
        "config.yaml:60:50: defaults.capture.limits.duration 5h is above ceilings.duration 4h; lower the default, or raise the ceiling",
    ),
    (
        "duration: 90s",
        "duration: 90",
        "config.yaml:60:50: '90' is not a duration; write a number with a unit, as in 250ms, 30s, 5m or 1h30m",
    ),
    (
        "100MiB",
        "100 MiB",
        "config.yaml:60:80: '100 MiB' is not a size; write bytes, or a number with a unit, as in 1500, 64KiB or 200MiB",
    ),
    (
        "segment_bytes: 20MiB",
        "segment_bytes: 4KiB",
        "config.yaml:60:103: files of 4KiB have no room beside what they say of themselves; give limits.segment_bytes at least 64KiB",
    ),
    (
        "segment_bytes: 20MiB",
        "segment_bytes: 21MiB",
        "config.yaml:60:125: 5 files of limits.segment_bytes 21MiB are 105MiB, above limits.bytes 100MiB; keep fewer, make them smaller, or raise limits.bytes",
    ),
    (
        "segment_bytes: 20MiB, ",
        "",
        "config.yaml:60:103: `keep_segments` needs `segment_bytes`; add the size of a file, as in segment_bytes: 50MiB",
    ),
    (
        "format: pcap,",
        "format: pcapp,",
        "config.yaml:60:138: unknown value `pcapp`; did you mean `pcap`?",
    ),
    (
        "concurrent: 8",
        "concurrent: 0",
        "config.yaml:65:54: expected a whole number from 1 to 1000, found 0",
    ),
    (
        "spool: 8GiB",
        "spool: 8KiB",
        "config.yaml:65:101: a spool of 8KiB holds no capture; give it at least 1MiB",
    ),
    (
        "free_disk: 10%",
        "free_disk: 95%",
        "config.yaml:65:118: '95%' is no share to keep free; write 0% to 90%",
    ),
    (
        "free_disk: 10%",
        "free_disk: much",
        "config.yaml:65:118: 'much' is neither a share nor a size; write one as in 5% or 2GiB",
    ),
    (
        "on_resolved: stop",
        "on_resolved: stopp",
        "config.yaml:63:16: unknown value `stopp`; did you mean `stop`?",
    ),
    (
        "age: 20d",
        "age: 20",
        "config.yaml:67:19: '20' is not a duration; write a number with a unit, as in 250ms, 30s, 5m or 1h30m",
    ),
    (
        "127.0.0.1:9189",
        "localhost:9189",
        "config.yaml:66:47: `localhost:9189` is no address to listen on; write an IP address and a port, as in 127.0.0.1:9188 or [::]:9188",
    ),
];

#[test]
fn every_mistake_has_its_place_and_its_remedy() {
    let folder = Folder::new();
    let mut wrong = Vec::new();
    for (from, to, expected) in MISTAKES {
        let told = folder.problems(&FULL.replace(from, to));
        if told != [*expected] {
            wrong.push(format!("{to}:\n  expected {expected}\n  found    {}", told.join(" + ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tokens_do_not_cross_a_network_without_tls() {
    let folder = Folder::new();
    let listen = |entry: &str| format!("version: 1\ncontrol: {{ listen: [{entry}] }}\n");
    let open = listen("{ address: \"0.0.0.0:9188\", tokens_file: one }");
    assert_eq!(
        folder.problems(&open),
        [
            "config.yaml:2:61: without TLS the tokens could be read on the network; add `tls`, or listen on \
          a loopback address"
        ]
    );
    assert!(folder.load(&listen("{ address: \"127.0.0.1:9188\", tokens_file: one }")).is_ok());
}

#[test]
fn an_interface_has_what_its_own_entry_says_and_else_what_all_have() {
    let folder = Folder::new();
    let rings = |recorder: &str| {
        let config = folder.load(&format!("version: 1\nrecorder: {recorder}\n")).unwrap();
        let rings = config.capture.recorders.into_iter();
        let shown = rings.map(|r| (r.interface, r.memory_bytes, r.bytes_per_packet, r.promiscuous));
        (shown.collect::<Vec<_>>(), config.capture.private)
    };
    let (recorders, private) = rings(
        "{ interfaces: [eth0, { name: eth1, memory: 256MiB }, { name: eth2, bytes_per_packet: 0 }], \
         bytes_per_packet: 96, promiscuous: true }",
    );
    let expected = [("eth0", 64 << 20, 96), ("eth1", 256 << 20, 96), ("eth2", 64 << 20, 0)];
    assert_eq!(recorders, expected.map(|(name, memory, bytes)| (name.into(), memory, bytes, true)));
    assert!(private.promiscuous, "a ring on demand hears what recorders hear");
    assert_eq!(private.memory_bytes, 16 << 20);
    let (recorders, private) =
        rings("{ interfaces: [], on_demand: { memory: 1MiB, promiscuous: true } }");
    assert_eq!(recorders, []);
    assert_eq!((private.memory_bytes, private.promiscuous), (1 << 20, true));
}

#[test]
fn rings_that_do_not_fit_are_told_where_the_file_asks_for_them() {
    let folder = Folder::new();
    for (recorder, place) in [
        ("{ interfaces: [a, b, c, d, e, f], memory: 180MiB }", "2:53"),
        ("{ interfaces: [a, b, c, { name: d, memory: 1GiB }] }", "2:25"),
    ] {
        let told = folder.problems(&format!("version: 1\nrecorder: {recorder}\n"));
        assert_eq!(told.len(), 1, "{told:?}");
        let start = format!("config.yaml:{place}: the rings need ");
        assert!(told[0].starts_with(&start), "{told:?}");
    }
    let many = "version: 1\nrecorder: { interfaces: [a, b, c, d, e, f], memory: 180MiB }\n";
    assert_eq!(
        folder.problems(many),
        [
            "config.yaml:2:53: the rings need 1096MiB, above ceilings.memory 1GiB (a 180MiB, b 180MiB, \
          c 180MiB, d 180MiB, 2 more recorders, one ring on demand 16MiB); \
          lower recorder.memory, or raise ceilings.memory"
        ]
    );
    assert!(folder.load(&format!("{many}ceilings: {{ memory: 1096MiB }}\n")).is_ok());
}

#[test]
fn default_limits_of_files_are_checked_against_the_default_bytes() {
    let folder = Folder::new();
    let told = |limits: &str| {
        folder.problems(&format!(
            "version: 1\ndefaults: {{ capture: {{ limits: {{ {limits} }} }} }}\nrules: [rules]\n"
        ))
    };
    assert_eq!(
        told("segment_bytes: 100KiB"),
        [
            "config.yaml:2:49: limits.bytes 200MiB in files of 100KiB are 2048 files, and a capture has \
          at most 2000; raise limits.segment_bytes to 103KiB or more"
        ]
    );
    assert_eq!(
        told("segment_bytes: 300MiB"),
        ["config.yaml:2:49: limits.segment_bytes 300MiB is above limits.bytes 200MiB; \
          lower it, or raise limits.bytes"]
    );
    // All of the file's mistakes, but none that only follows from another.
    assert_eq!(told("segment_bytes: lots, keep_segments: 4").len(), 1);
}

#[test]
fn a_password_in_an_address_is_not_shown() {
    let folder = Folder::new();
    let text = FULL.replace("http://team/x", "http://user:hunter2@team/x");
    let told = folder.load(&text).unwrap_err();
    assert!(told[0].contains("{ url: \"http://************@team/x\""), "{told:?}");
    assert!(!told[0].contains("hunter2"), "{told:?}");
}

#[test]
fn two_clients_of_a_broker_cannot_have_one_id() {
    let folder = Folder::new();
    let text = FULL
        .replace("bus-client", "plant-client")
        .replace("mqtt://out:1883", "mqtts://broker:1883");
    assert_eq!(
        folder.problems(&text),
        [
            "config.yaml:48:18: sources.plant has the client id `plant-client` at this broker already; \
          two clients with one id disconnect each other"
        ]
    );
}

#[test]
fn two_webhooks_cannot_have_one_path() {
    let folder = Folder::new();
    let text = FULL
        .replace("  hook:\n", "  also: { webhook: { path: /hooks/a, format: json } }\n  hook:\n");
    assert_eq!(
        folder.problems(&text),
        ["config.yaml:30:22: the source `also` has the path `/hooks/a` already; \
          give each webhook a path of its own"]
    );
}

#[test]
fn mistakes_of_the_configuration_and_of_the_rules_are_told_together() {
    let folder = Folder::new();
    fs::write(
        folder.path("rules/b.yaml"),
        "version: 1\nrules:\n  - { name: b, match: [a b], storage: none, capture: { interfaces: [eth0] } }\n",
    )
    .unwrap();
    let text = FULL.replace("32MiB", "1KiB").replace("concurrent: 8", "concurrent: 0");
    let told = folder.problems(&text);
    let places: Vec<&str> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        ["config.yaml:5:114", "config.yaml:65:54", "rules/b.yaml:3:24", "rules/b.yaml:3:39"]
    );
    // A part that could not be read may be the one that the rule names.
    let text = text.replace("    s3:", "    s4:");
    let told = folder.problems(&text);
    assert!(!told.iter().any(|line| line.contains("unknown storage")), "{told:?}");
}

#[test]
fn a_file_that_is_named_has_to_be_there() {
    let problems = Config::load_in(Some(Path::new("/nonexistent/config.yaml")), &environment());
    assert_eq!(
        problems.unwrap_err()[0].to_string(),
        "/nonexistent/config.yaml: cannot be read: No such file or directory (os error 2); \
         create it, or name another one"
    );
}

#[test]
fn the_installed_configuration_and_its_rules_load() {
    let folder = Folder::new();
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/etc/hindsight");
    let text = fs::read_to_string(installed.join("config.yaml")).unwrap();
    let text = text.replace("/etc/hindsight/rules", &installed.join("rules").to_string_lossy());
    let config = folder.load(&text).unwrap_or_else(|told| panic!("{}", told.join("\n")));
    assert!(!config.rules.is_empty());
}
