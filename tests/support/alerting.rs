//! A real Prometheus and a real Alertmanager, with everything at intervals of one second; and the
//! target that Prometheus scrapes, which takes what is posted to it, too.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use hindsight::spawn;
use tempfile::TempDir;

use super::http::exchange;
use super::place::Place;
use super::process::Process;
use super::wait;

/// How long a server may take until it is ready.
const START: Duration = Duration::from_secs(60);

/// Posts that nobody has looked at.
const HELD_POSTS: usize = 256;

/// A server with one metric, `retransmits_ratio`, which a test sets.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    /// In thousandths.
    ratio: Arc<AtomicU64>,
    /// The bodies of what is posted to it.
    pub(crate) posts: Receiver<Vec<u8>>,
}

impl Target {
    /// Serves until the test ends, with this label `peer`.
    pub(crate) fn start(place: &Place, peer: &str) -> Self {
        let port = place.free_port();
        let listener = place.within(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        let listener = listener.expect("nobody else has this port");
        let ratio = Arc::new(AtomicU64::new(0));
        let (posted, posts) = sync_channel(HELD_POSTS);
        let (shown, peer) = (Arc::clone(&ratio), peer.to_owned());
        let serve = move || {
            for stream in listener.incoming().flatten() {
                let thousandths = shown.load(Ordering::Acquire);
                let metric = format!("retransmits_ratio{{peer=\"{peer}\"}} 0.{thousandths:03}\n");
                let posted = posted.clone();
                // A client may hold a connection that it asks nothing on: the others do not wait.
                // Who asks and leaves, asks again.
                let answer = move || drop(answer(stream, &metric, &posted));
                drop(spawn::thread("test-answer", answer).expect("a test may start a thread"));
            }
        };
        drop(spawn::thread("test-target", serve).expect("a test may start a thread"));
        Self { port, ratio, posts }
    }

    pub(crate) fn set(&self, thousandths: u64) {
        self.ratio.store(thousandths, Ordering::Release);
    }
}

/// One request a connection.
fn answer(stream: TcpStream, metric: &str, posted: &SyncSender<Vec<u8>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(START))?;
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let said = if request.starts_with("POST ") {
        drop(posted.try_send(body));
        ""
    } else {
        metric
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        said.len()
    );
    reader.get_mut().write_all(format!("{head}{said}").as_bytes())
}

/// Both programs. Dropped, they end.
#[derive(Debug)]
pub(crate) struct Alerting {
    place: Place,
    alertmanager: u16,
    _processes: [Process; 2],
    _folder: TempDir,
}

impl Alerting {
    /// Prometheus scrapes `target` and fires `TcpRetransmitsHigh` while more than 5 % are sent again;
    /// Alertmanager tells the webhook at `hook`, showing `token`.
    pub(crate) fn start(place: &Place, target: &Target, hook: &str, token: &str) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let (alertmanager, prometheus) = (place.free_port(), place.free_port());
        let write = |name: &str, text: String| -> PathBuf {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("the temporary folder can be written");
            path
        };
        let config = write("alertmanager.yml", routes(hook, token));
        // It looks for its templates below /usr/share, and they are not installed: in its own view of
        // the file system, they are.
        let mut command = place.command("unshare");
        command
            .args(["--mount", "sh", "-c", SHOWN_AS_INSTALLED, "sh"])
            .arg(tools("share"))
            .arg(program("prometheus-alertmanager"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("alertmanager").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{alertmanager}"))
            .arg("--cluster.listen-address=");
        let log = folder.path().join("alertmanager.log");
        let first = Process::start("alertmanager", &mut command, &log);

        write("rules.yml", RULE.to_owned());
        let config = write("prometheus.yml", scrapes(target.port, alertmanager));
        let mut command = place.command(&program("prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("prometheus").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{prometheus}"))
            .arg("--rules.alert.resend-delay=1s");
        let second =
            Process::start("prometheus", &mut command, &folder.path().join("prometheus.log"));
        let mut processes = [first, second];
        for (process, port) in processes.iter_mut().zip([alertmanager, prometheus]) {
            wait::until("a server to be ready", START, || {
                assert!(process.is_running(), "it ended by itself:\n{}", process.log());
                let answer =
                    exchange(place.connect(port).ok()?, "GET", "/-/ready", &[], b"").ok()?;
                (answer.status == 200).then_some(())
            });
        }
        // Until Prometheus has looked them up, it drops what it fires.
        wait::until("Prometheus to know Alertmanager", START, || {
            let stream = place.connect(prometheus).ok()?;
            let answer = exchange(stream, "GET", "/api/v1/alertmanagers", &[], b"").ok()?;
            let known = answer.json()["data"]["activeAlertmanagers"].as_array()?.len();
            (known == 1).then_some(())
        });
        Self { place: place.clone(), alertmanager, _processes: processes, _folder: folder }
    }

    /// Alertmanager's own count of what it has told this receiver of, and of that how much was refused.
    pub(crate) fn told(&self) -> (f64, f64) {
        let stream = self.place.connect(self.alertmanager).expect("it runs");
        let metrics = exchange(stream, "GET", "/metrics", &[], b"").expect("it runs").body;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let of = |name: &str| {
            let line = metrics
                .lines()
                .find(|line| line.starts_with(name) && line.contains("integration=\"webhook\""));
            let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
            number.unwrap_or_else(|| panic!("no {name} in:\n{metrics}"))
        };
        (of("alertmanager_notifications_total{"), of("alertmanager_notifications_failed_total{"))
    }
}

/// Lays a folder over /usr/share, then becomes the program.
const SHOWN_AS_INSTALLED: &str = "\
mount -t overlay overlay -o lowerdir=\"$1\":/usr/share /usr/share && shift && exec \"$@\"";

const RULE: &str = "\
groups:
  - name: net
    interval: 1s
    rules:
      - alert: TcpRetransmitsHigh
        expr: retransmits_ratio > 0.05
        labels: { severity: critical }
        annotations: { summary: 'sent again to {{ $labels.peer }}: {{ $value | humanizePercentage }}' }
";

fn scrapes(target: u16, alertmanager: u16) -> String {
    format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
         rule_files: [rules.yml]\n\
         alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['127.0.0.1:{alertmanager}'] }}] }}] }}\n\
         scrape_configs: [{{ job_name: net, static_configs: [{{ targets: ['127.0.0.1:{target}'] }}] }}]\n"
    )
}

fn routes(hook: &str, token: &str) -> String {
    format!(
        "route: {{ receiver: hindsight, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h }}\n\
         receivers:\n  - name: hindsight\n    webhook_configs:\n      - url: '{hook}'\n        \
         send_resolved: true\n        http_config: {{ authorization: {{ credentials: {token} }} }}\n"
    )
}

fn program(name: &str) -> String {
    let path = tools("bin").join(name);
    assert!(path.exists(), "no {} yet; run: tests/tools alerting", path.display());
    path.display().to_string()
}

/// A folder of the unpacked packages.
fn tools(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/alerting/usr").join(folder)
}
