//! The real worker, with a configuration and a state folder of its own.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use tempfile::TempDir;

use super::http::{Answer, exchange};
use super::place::Place;
use super::process::Process;
use super::wait;

/// From start to the first answer on the control socket, recovery included.
const START: Duration = Duration::from_secs(30);

/// How long SIGTERM may take: the longest step of the shutdown, and some.
const STOP: Duration = Duration::from_secs(30);

/// What the worker is configured to do; each entry is `name: {...}` in YAML's flow form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configuration {
    pub(crate) sources: Vec<String>,
    pub(crate) storages: Vec<String>,
    pub(crate) notifiers: Vec<String>,
    /// Other top-level entries, as in `recorder: { interfaces: [eth0] }`.
    pub(crate) rest: Vec<String>,
    /// The rule file, whole.
    pub(crate) rules: String,
}

impl Configuration {
    fn text(&self, folder: &Path) -> String {
        let mut text = format!(
            "version: 1\nhost: {{ name: test-host }}\nstate: {0}/state\nrules: [{0}/rules.yaml]\n\
             control: {{ socket: {0}/control.sock, listen: [] }}\n",
            folder.display()
        );
        let sections = [
            ("sources", &self.sources),
            ("storages", &self.storages),
            ("notifiers", &self.notifiers),
        ];
        for (section, entries) in sections.into_iter().filter(|(_, entries)| !entries.is_empty()) {
            text.push_str(&format!("{section}:\n"));
            entries.iter().for_each(|entry| text.push_str(&format!("  {entry}\n")));
        }
        // The disk of the tests may be as full as it likes.
        let (key, free) = ("ceilings: {", "ceilings: { free_disk: 0,");
        if !self.rest.iter().any(|entry| entry.starts_with(key)) {
            text.push_str("ceilings: { free_disk: 0 }\n");
        }
        for entry in &self.rest {
            text.push_str(&format!("{}\n", entry.replacen(key, free, 1)));
        }
        text
    }
}

/// A worker that runs. Dropped, it is killed and its folder removed; while a test fails, its log is shown.
#[derive(Debug)]
pub(crate) struct Worker {
    place: Place,
    process: Option<Process>,
    folder: TempDir,
}

impl Worker {
    /// Writes the configuration, starts, and waits until it answers.
    pub(crate) fn start(place: &Place, configuration: &Configuration) -> Self {
        Self::start_as(place, configuration, |text| text)
    }

    fn start_as(
        place: &Place,
        configuration: &Configuration,
        finish: impl FnOnce(String) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("the temporary folder can be written");
        };
        write("rules.yaml", &configuration.rules);
        write("config.yaml", &finish(configuration.text(folder.path())));
        let mut worker = Self { place: place.clone(), process: None, folder };
        worker.restart();
        worker
    }

    /// As [`start`](Self::start), and listens on a TCP address as well.
    pub(crate) fn start_listening(
        place: &Place,
        configuration: &Configuration,
        address: &str,
    ) -> Self {
        let listening = format!("listen: [\"{address}\"]");
        Self::start_as(place, configuration, |text| text.replace("listen: []", &listening))
    }

    /// The folder of everything that is the worker's.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder().join("state/journal.db")
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// SIGHUP: it is to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.process.as_ref().expect("only a worker that runs is told").hang_up();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("only a worker that runs is stopped");
        process.terminate(STOP)
    }

    /// Starts it (again) with the same configuration and state; waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.start_again();
        wait::until("the worker to answer on its control socket", START, || {
            let process = self.process.as_mut().expect("it was started above");
            assert!(process.is_running(), "the worker ended by itself:\n{}", process.log());
            self.try_get("/v1/status").ok()
        });
    }

    /// Starts it (again), and does not wait.
    pub(crate) fn start_again(&mut self) {
        self.kill();
        let mut command = self.place.command(env!("CARGO_BIN_EXE_hindsight"));
        command.arg("run").arg("--config").arg(self.folder().join("config.yaml"));
        let log = self.folder().join("worker.log");
        self.process = Some(Process::start("hindsight", &mut command, &log));
    }

    /// Waits until this MQTT source has its subscriptions: from then on its session is at the broker,
    /// and nothing that is published is missed.
    pub(crate) fn wait_for_source(&self, name: &str) {
        wait::until(&format!("source {name} to be connected"), START, || {
            let status = self.get("/v1/status");
            let sources = status["sources"].as_array()?.iter();
            let connected = |source: &&serde_json::Value| {
                source["name"] == name && source["state"].as_str() == Some("connected")
            };
            sources.into_iter().find(connected).map(|_| ())
        });
    }

    /// GET of the control API; the answer has to be a 200.
    pub(crate) fn get(&self, target: &str) -> serde_json::Value {
        let answer = self.try_get(target).unwrap_or_else(|error| panic!("GET {target}: {error}"));
        assert_eq!(answer.status, 200, "GET {target}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// POST to the control API.
    pub(crate) fn post(&self, target: &str, body: &[u8]) -> std::io::Result<Answer> {
        let stream = self.connect()?;
        exchange(stream, "POST", target, &[("Content-Type", "application/json")], body)
    }

    /// Any request to the control API.
    pub(crate) fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let answer = self.connect().and_then(|to| exchange(to, method, target, headers, body));
        answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// Runs one of the program's commands against this worker.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hindsight"));
        command.args(arguments).arg("--socket").arg(self.socket());
        command.output().expect("the program was built with the tests")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("only a worker that runs has one").id()
    }

    /// The most memory that it has had, in KiB, as the kernel counts it (VmHWM).
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the worker runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("proc_pid_status(5) has VmHWM in kB")
    }

    fn socket(&self) -> PathBuf {
        self.folder().join("control.sock")
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        let stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(START))?;
        Ok(stream)
    }

    fn try_get(&self, target: &str) -> std::io::Result<Answer> {
        exchange(self.connect()?, "GET", target, &[], b"")
    }
}
