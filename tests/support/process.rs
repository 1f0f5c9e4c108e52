//! A program that runs beside a test, and never outlives it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait;

/// How many lines of a program's log a failing test shows.
const SHOWN_LINES: usize = 40;

/// A running program. Dropped, it is killed by its id; while a test fails, its log is shown.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program; what it says is appended to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let child = command
            .stdin(Stdio::null())
            .stdout(open().expect("the log is in a folder of the test's own"))
            .stderr(open().expect("the log is in a folder of the test's own"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL: no chance to tidy up.
    pub(crate) fn kill(&mut self) {
        // An error says that it has ended already, which is what is wanted.
        drop(self.child.kill());
        self.child.wait().expect("a child of this process can be waited for");
    }

    /// Holds it still: it answers nothing, and loses nothing, until [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGHUP: it is to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGTERM, then up to `patience` for it to end.
    pub(crate) fn terminate(&mut self, patience: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        wait::until(&format!("{} to end after SIGTERM", self.name), patience, || {
            self.child.try_wait().expect("a child of this process can be waited for")
        })
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process ids are positive i32");
        if let Err(error) = kill(Pid::from_raw(id), signal) {
            eprintln!("{} could not be sent {signal}: {error}", self.name);
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("---- {} said ({} lines) ----\n{}", self.name, lines.len(), shown.join("\n"));
        }
    }
}

/// Runs a program to its end and returns what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the programs that tests run print UTF-8")
}
