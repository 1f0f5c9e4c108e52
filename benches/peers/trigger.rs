//! From the trigger to the first packet from before it in the file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hindsight::capture::Engine;
use hindsight::clock::{self, BootTime, WallTime};
use hindsight::model::{CaptureId, Report, StopReason};
use tokio::sync::mpsc;

use crate::captured;
use crate::engine_process;
use crate::figures::{self, Table, at, millis};
use crate::generator::Steady;
use crate::plan;
use crate::program::Program;
use crate::rig::Rig;
use crate::support::namespaces::INTERFACE;

/// The 99th percentile, in milliseconds.
const AT_MOST_MS: f64 = 5.0;

/// Triggers of a run, and starts of tcpdump.
const TRIGGERS: u32 = 250;
const STARTS: u32 = 40;

/// Packets a second.
const RATE: u32 = 20_000;

/// How far before the trigger a capture reaches.
const LOOK_BACK: Duration = Duration::from_millis(500);

/// Packets that have come before the first trigger, so that there is something to look back at.
const PACKETS_BEFORE: u64 = 20_000;

/// Between two triggers; the retire time of 100 ms is no multiple of it, so each meets another phase.
const PAUSE: Duration = Duration::from_millis(37);

/// How often the file is looked at: a hundredth of what is wanted, and no load.
const LOOK: Duration = Duration::from_micros(50);

/// How long a first packet may take at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// What of a file is looked at: its own records, and the first packets.
const HEAD_BYTES: usize = 16 * 1024;

pub(crate) fn run(rig: &Rig, repetitions: usize) {
    figures::heading(&format!(
        "Trigger: to the first packet in the file, at {RATE} packets a second"
    ));
    let ours = rig.pair.near.within(|| triggers(rig, repetitions));
    print(&ours, &tcpdump_starts(rig));
}

/// How long each trigger took. The engine's threads are where this is called.
fn triggers(rig: &Rig, repetitions: usize) -> Vec<f64> {
    let folder = rig.run_folder();
    let (engine, mut reports) = engine_process::engine(folder.path());
    let seconds = u32::try_from(repetitions).unwrap_or(1) * 10;
    let traffic = Steady::start(rig, RATE);
    rig.wait_for_arrivals(PACKETS_BEFORE);
    let until = clock::boot_time() + Duration::from_secs(u64::from(seconds));
    let mut times = Vec::new();
    for number in 0..TRIGGERS {
        if until.since(clock::boot_time()).is_zero() {
            break;
        }
        times.push(millis(trigger(&engine, &mut reports, folder.path(), number)));
        std::thread::sleep(PAUSE);
    }
    drop(traffic);
    drop(reports);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(engine.shutdown());
    times
}

fn print(ours: &[f64], theirs: &[f64]) {
    let mut table = Table::new(&["", "times", "median ms", "p99 ms", "most ms"]);
    for (name, millis) in [("a capture begins", ours), ("tcpdump starts", theirs)] {
        let percentile = |percent| format!("{:.2}", at(millis, percent));
        table.row(vec![
            name.to_owned(),
            millis.len().to_string(),
            percentile(50),
            percentile(99),
            percentile(100),
        ]);
    }
    table.print();
    figures::say("");
    figures::judge("trigger to first packet, p99 in ms", at(ours, 99), AT_MOST_MS);
}

/// Begins a capture, and returns how long it took until a packet from before was in its file.
fn trigger(
    engine: &Engine,
    reports: &mut mpsc::Receiver<Report>,
    spool: &Path,
    number: u32,
) -> Duration {
    let capture = CaptureId::from_text(format!("trigger{number}"));
    let part = spool.join(format!("{capture}-0.pcapng.part"));
    let plan = plan::looking_back(LOOK_BACK, "", plan::UNTIL_STOPPED);
    let (started, trigger_at) = (clock::boot_time(), plan.trigger_at);
    engine.begin(capture.clone(), capture.to_string(), plan).unwrap();
    let took = wait_for_file(started, || {
        first_packet(&part).is_some_and(|stamp| stamp < trigger_at).then_some(())
    });
    engine.stop(&capture, StopReason::Manual);
    loop {
        match reports.blocking_recv().unwrap() {
            // The files stay until the end: removing them would keep the journal of the file
            // system busy while the next one is created.
            Report::Sealed { .. } => {}
            Report::Ended { error, .. } => {
                assert_eq!(error, None);
                return took;
            }
            Report::Started { .. } | Report::Progress { .. } => {}
        }
    }
}

fn first_packet(part: &Path) -> Option<WallTime> {
    let file = File::open(part).ok()?;
    let mut head = vec![0; HEAD_BYTES];
    let count = file.read_at(&mut head, 0).ok()?;
    captured::first_stamp(&head[..count])
}

/// How long each start of tcpdump took to its first packet in the file.
fn tcpdump_starts(rig: &Rig) -> Vec<f64> {
    let traffic = Steady::start(rig, RATE);
    rig.wait_for_arrivals(PACKETS_BEFORE);
    let until = clock::boot_time() + Duration::from_secs(8);
    let mut starts = Vec::new();
    while starts.len() < usize::try_from(STARTS).unwrap_or(0)
        && !until.since(clock::boot_time()).is_zero()
    {
        let folder = rig.run_folder();
        starts.push(millis(tcpdump_start(rig, folder.path())));
    }
    drop(traffic);
    starts
}

fn tcpdump_start(rig: &Rig, folder: &Path) -> Duration {
    /// The header of the file and that of a packet.
    const BEFORE_PACKET: u64 = 24 + 16;
    let file: PathBuf = folder.join("capture.pcap");
    let mut command = Command::new("tcpdump");
    command.args(["-Z", "root", "-i", INTERFACE, "-U", "-w"]).arg(&file).stdin(Stdio::null());
    let log = folder.join("log");
    let started = clock::boot_time();
    let program = rig.pair.near.within(|| Program::start(&mut command, &log));
    let took = wait_for_file(started, || {
        fs::metadata(&file).is_ok_and(|file| file.len() > BEFORE_PACKET).then_some(())
    });
    program.interrupt();
    program.end();
    took
}

/// Looks until the file is as it should be; returns the time since `started`.
fn wait_for_file(started: BootTime, mut look: impl FnMut() -> Option<()>) -> Duration {
    while look().is_none() {
        let waited = clock::boot_time().since(started);
        assert!(waited < PATIENCE, "no packet after {waited:.1?}");
        std::thread::sleep(LOOK);
    }
    clock::boot_time().since(started)
}
