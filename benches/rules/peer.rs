//! The same matchers as a tree of routes of a real Alertmanager, which tries one route after another.
//!
//! Its own metric says how long it took for each alert, from the queue until the alert is in its group:
//! routing and grouping, as a decision here is matching and a proposal.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::figures::{self, Table};
use crate::sets::Kind;
use crate::support::http::exchange;
use crate::support::place::Place;
use crate::support::process::Process;
use crate::support::wait;

const ALERTS: u64 = 10_000;
const ALERTS_A_POST: u64 = 500;

/// Until it is ready, and until it has worked off what was posted.
const PATIENCE: Duration = Duration::from_secs(120);

const METRIC: &str = "alertmanager_dispatcher_alert_processing_duration_seconds";

/// It looks for its templates below /usr/share, where they are not: in its own view they are.
const SHOWN_AS_INSTALLED: &str = "\
mount -t overlay overlay -o lowerdir=\"$1\":/usr/share /usr/share && shift && exec \"$@\"";

pub(crate) fn run(sizes: &[u64]) {
    figures::heading("Beside it: Alertmanager's routes, nanoseconds for each alert");
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/alerting/usr");
    if !tools.join("bin/prometheus-alertmanager").exists() {
        figures::say("not measured: run tests/tools alerting first");
        return;
    }
    let mut table = Table::new(&["matchers", "routes", "ns for each alert"]);
    for kind in [Kind::Equality, Kind::RegexWithin] {
        for size in sizes {
            let nanos = nanos_each(&tools, kind, *size);
            table.row(vec![kind.name().to_owned(), size.to_string(), format!("{nanos:.0}")]);
        }
    }
    table.print();
}

fn nanos_each(tools: &Path, kind: Kind, size: u64) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, port) = start(tools, &routes(folder.path(), kind, size), folder.path());
    for first in (0..ALERTS).step_by(usize::try_from(ALERTS_A_POST).unwrap()) {
        let body = alerts(kind, first, size);
        let json = [("Content-Type", "application/json")];
        let stream = Place::Host.connect(port).unwrap();
        let answer = exchange(stream, "POST", "/api/v2/alerts", &json, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }
    let (sum, count) = wait::until("Alertmanager to have routed all alerts", PATIENCE, || {
        assert!(server.is_running(), "it ended by itself:\n{}", server.log());
        let stream = Place::Host.connect(port).ok()?;
        let metrics = exchange(stream, "GET", "/metrics", &[], b"").ok()?.body;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let of = |ending: &str| -> Option<f64> {
            let name = format!("{METRIC}_{ending} ");
            metrics.lines().find_map(|line| line.strip_prefix(&name))?.parse().ok()
        };
        let (sum, count) = (of("sum")?, of("count")?);
        (count >= figures::figure(ALERTS)).then_some((sum, count))
    });
    server.kill();
    sum * 1e9 / count
}

/// The configuration: a route for each rule, all to a receiver that does nothing.
fn routes(folder: &Path, kind: Kind, size: u64) -> PathBuf {
    let mut text = "receivers: [{ name: nobody }]\nroute:\n  receiver: nobody\n  group_by: [alertname, instance]\n  \
                    group_wait: 1h\n  routes:\n"
        .to_owned();
    for number in 0..size {
        let quoted: Vec<String> =
            kind.matchers(number).iter().map(|matcher| format!("'{matcher}'")).collect();
        // As here, where every rule is asked.
        writeln!(text, "    - {{ continue: true, matchers: [{}] }}", quoted.join(", ")).unwrap();
    }
    let path = folder.join("alertmanager.yml");
    fs::write(&path, text).unwrap();
    path
}

fn start(tools: &Path, config: &Path, folder: &Path) -> (Process, u16) {
    let port = Place::Host.free_port();
    let mut command = Place::Host.command("unshare");
    command
        .args(["--mount", "sh", "-c", SHOWN_AS_INSTALLED, "sh"])
        .arg(tools.join("share"))
        .arg(tools.join("bin/prometheus-alertmanager"))
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=");
    let mut process = Process::start("alertmanager", &mut command, &folder.join("log"));
    wait::until("Alertmanager to be ready", PATIENCE, || {
        assert!(process.is_running(), "it ended by itself:\n{}", process.log());
        let stream = Place::Host.connect(port).ok()?;
        let answer = exchange(stream, "GET", "/-/ready", &[], b"").ok()?;
        (answer.status == 200).then_some(())
    });
    (process, port)
}

fn alerts(kind: Kind, first: u64, size: u64) -> String {
    let alert = |number: u64| {
        let mut labels = kind.event(number, size).labels;
        // Each an alert of its own; the group is the rule's.
        labels.insert("number".to_owned(), number.to_string());
        serde_json::json!({ "labels": labels })
    };
    serde_json::Value::Array((first..first + ALERTS_A_POST).map(alert).collect()).to_string()
}
