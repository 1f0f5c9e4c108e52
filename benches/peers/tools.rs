//! The programs that are compared: how each is called, asked to end, and what it says it lost.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::engine_process::{self, Way};
use crate::plan::RING_MIB;
use crate::program::{Ended, Program};
use crate::rig::Rig;
use crate::support::namespaces::INTERFACE;

/// One that writes what it sees into files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Tcpdump,
    Dumpcap,
    NetsniffNg,
    /// `hindsight dump`.
    Dump,
    /// The engine in a process of the benchmark's own.
    Engine(Way),
}

impl Tool {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcpdump => "tcpdump",
            Self::Dumpcap => "dumpcap",
            Self::NetsniffNg => "netsniff-ng",
            Self::Dump => "hindsight dump",
            Self::Engine(Way::Worker) => "the worker's way",
            Self::Engine(Way::Unhashed) => "the worker's way, no hash",
        }
    }

    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Dump | Self::Engine(_))
    }

    /// Whether it is there, or is Hindsight's own.
    pub(crate) fn is_there(self) -> bool {
        let asks = |program: &str| {
            let mut command = Command::new(program);
            command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        };
        self.is_ours() || asks(self.name())
    }

    /// Starts it at the near end, with one file in `folder` and a ring of [`RING_MIB`], and waits until it
    /// listens.
    pub(crate) fn start(self, rig: &Rig, folder: &Path) -> Program {
        let log = folder.join("log");
        let program = match self {
            Self::Engine(way) => engine_process::start(rig, folder, way, &[String::new()]),
            Self::Tcpdump | Self::Dumpcap | Self::NetsniffNg | Self::Dump => {
                Program::start(&mut self.command(rig, folder, "", RING_MIB), &log)
            }
        };
        rig.wait_for_sockets(1, [&program]);
        program
    }

    /// The command line, but for the engine's.
    pub(crate) fn command(self, rig: &Rig, folder: &Path, filter: &str, ring_mib: u32) -> Command {
        let here = |program: &str| rig.pair.near.command(program);
        let (pcap, pcapng) = (folder.join("capture.pcap"), folder.join("capture.pcapng"));
        let ring = format!("{ring_mib}MiB");
        let mut command = match self {
            Self::Tcpdump => {
                let mut command = here("tcpdump");
                // Debian's gives up root, and then may not write here.
                command.args(["-Z", "root", "-i", INTERFACE, "-B", &(ring_mib * 1024).to_string()]);
                command.arg("-w").arg(pcap);
                command
            }
            Self::Dumpcap => {
                let mut command = here("dumpcap");
                command
                    .args(["-q", "-i", INTERFACE, "-B", &ring_mib.to_string(), "-w"])
                    .arg(pcapng);
                command
            }
            Self::NetsniffNg => {
                let mut command = here("netsniff-ng");
                command.args(["--in", INTERFACE, "--silent", "--no-sock-mem"]);
                command.args(["--ring-size", &ring, "--out"]).arg(pcap);
                command
            }
            Self::Dump => {
                let mut command = here(env!("CARGO_BIN_EXE_hindsight"));
                command.args(["dump", "-i", INTERFACE, "--memory", &ring, "-w"]).arg(pcapng);
                command
            }
            Self::Engine(_) => unreachable!("it is no program of its own"),
        };
        if !filter.is_empty() {
            command.arg(filter);
        }
        command
    }

    /// Ends it as its user would.
    pub(crate) fn end(self, mut program: Program) -> Ended {
        if matches!(self, Self::Engine(_)) {
            program.close_input();
        } else {
            program.interrupt();
        }
        program.end()
    }

    /// What it says it lost.
    pub(crate) fn reported_drops(self, output: &str) -> Option<u64> {
        let number = |text: &str| text.trim().parse().ok();
        let before = |mark: &str| {
            let line = output.lines().find(|line| line.contains(mark))?;
            number(line.split(mark).next()?.split_whitespace().next_back()?)
        };
        match self {
            Self::Tcpdump => before(" packets dropped by kernel"),
            Self::NetsniffNg => before(" packets failed filter (out of space)"),
            // Packets received/dropped on interface 'eth0': 1000000/0 (pcap:0/...
            Self::Dumpcap => {
                let line = output.lines().find(|line| line.contains("received/dropped"))?;
                number(line.rsplit_once("': ")?.1.split_once('/')?.1.split(' ').next()?)
            }
            Self::Engine(_) => engine_process::lost(output),
            // ... in FILE; 0 dropped by the kernel, 0 overrun; ...
            Self::Dump => Some(before(" dropped by the kernel")? + before(" overrun")?),
        }
    }
}
