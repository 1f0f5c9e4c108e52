//! A program whose processor time is measured, to the nanosecond and with all of its threads.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::support::wait;

/// How often a program that works off its backlog is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Programs that used less than this between two looks do nothing but wake up now and then.
const AT_REST: Duration = Duration::from_millis(3);

/// So many looks at rest: longer than the second after which tcpdump's ring hands over a block that is
/// not full, and than a writer is ever held up by dirty pages.
const LOOKS_AT_REST: u32 = 13;

/// How long a backlog, or an end, may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running program. Dropped, it is killed by its id.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    output: PathBuf,
    ended: bool,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// User and system time of the whole process.
    pub(crate) cpu: Duration,
    /// That of the processes that it waited for.
    pub(crate) children_cpu: Duration,
    /// What it said, on stdout and stderr.
    pub(crate) output: String,
}

impl Program {
    /// Starts it; what it says goes to the file `output`, and its stdin stays open.
    pub(crate) fn start(command: &mut Command, output: &Path) -> Self {
        let said = File::create(output).unwrap();
        let child = command
            .stdin(Stdio::piped())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, output: output.to_owned(), ended: false }
    }

    fn id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are positive i32"))
    }

    /// User and system time so far, of threads that have ended, too.
    pub(crate) fn cpu(&self) -> Duration {
        let clock = ClockId::pid_cpu_clock_id(self.id()).expect("it runs, or waits to be reaped");
        Duration::from(clock_gettime(clock).expect("it runs, or waits to be reaped"))
    }

    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }

    /// Panics with its last words if it has ended by itself.
    pub(crate) fn assert_running(&self) {
        assert!(!self.is_over(), "it ended by itself:\n{}", self.output());
    }

    /// What Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        kill(self.id(), Signal::SIGINT).expect("it runs, or waits to be reaped");
    }

    /// Ends its input.
    pub(crate) fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end. It is measured as a zombie: whole, and not yet gone.
    pub(crate) fn end(mut self) -> Ended {
        wait::until("a program to end", PATIENCE, || self.is_over().then_some(()));
        let cpu = self.cpu();
        let children_cpu = children_cpu(self.id());
        self.child.wait().unwrap();
        self.ended = true;
        Ended { cpu, children_cpu, output: self.output() }
    }

    fn is_over(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.id()), flags).unwrap() != WaitStatus::StillAlive
    }
}

/// Waits until all have worked off what they were given: until they no longer use the processor.
pub(crate) fn wait_for_rest<'a>(programs: impl IntoIterator<Item = &'a Program> + Clone) {
    let used = || programs.clone().into_iter().map(Program::cpu).sum::<Duration>();
    let mut looks = 0;
    let mut before = used();
    wait::until("the programs to work off their backlog", PATIENCE, || {
        std::thread::sleep(LOOK);
        let now = used();
        looks = if now - before < AT_REST { looks + 1 } else { 0 };
        before = now;
        (looks >= LOOKS_AT_REST).then_some(())
    });
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.ended {
            // An error says that it has ended already.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Time of the children that a process has waited for, in hundredths of a second. Source: proc(5),
/// fields 16 and 17 of `/proc/PID/stat`.
fn children_cpu(id: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let behind_name = stat.rsplit_once(')').expect("the name stands in brackets").1;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks = |index: usize| fields[index - 3].parse::<u64>().expect("a number of ticks");
    Duration::from_millis((ticks(16) + ticks(17)) * 10)
}
