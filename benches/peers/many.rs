//! Many captures at a time: 16 that match all, and 64 that match nothing.

use tempfile::TempDir;

use crate::captured;
use crate::engine_process::{self, Way};
use crate::figures::{self, Table, figure, median};
use crate::generator::{Frame, Sent, Traffic};
use crate::plan::{PORT, SOURCE_PORT};
use crate::program::{Ended, Program, wait_for_rest};
use crate::rig::Rig;
use crate::support::namespaces::{INTERFACE, Pair};
use crate::tools::Tool;

/// What 16 captures on one recorder may cost against 16 programs.
const OF_SIXTEEN: f64 = 0.25;

/// Packets a second, each of which goes into 16 files: what a disk of 1 GB/s has time for.
const SIXTEEN_RATE: u32 = 30_000;

/// Sizes of the rings of many tcpdumps, in MiB: what a burst needs, and tcpdump's default.
const RING_OF_SIXTEEN_MIB: u32 = 32;
const RING_OF_SIXTY_FOUR_MIB: u32 = 2;

/// "Not measurably slower": what repeated runs without any capture differ by.
const SLOWER: f64 = 1.03;

/// 16 filters, each another, that all packets match.
fn matching() -> Vec<String> {
    let (from, to) = (Pair::FAR_ADDRESS, Pair::NEAR_ADDRESS);
    vec![
        "udp".to_owned(),
        "ip".to_owned(),
        format!("udp port {PORT}"),
        format!("udp dst port {PORT}"),
        format!("udp src port {SOURCE_PORT}"),
        format!("host {from}"),
        format!("src host {from}"),
        format!("dst host {to}"),
        format!("host {from} and host {to}"),
        format!("src host {from} and udp dst port {PORT}"),
        "net 10.77.0.0/24".to_owned(),
        "ip proto 17".to_owned(),
        "udp portrange 4000-5000".to_owned(),
        "not tcp".to_owned(),
        "greater 1000".to_owned(),
        format!("udp and not port 53 and host {to}"),
    ]
}

/// 64 filters that look at the ports, and none has the packets'.
fn not_matching() -> Vec<String> {
    (0..64).map(|number| format!("udp dst port {}", 20_000 + number)).collect()
}

/// Programs that capture at the same time, with their files.
#[derive(Debug)]
struct Group {
    tool: Tool,
    programs: Vec<(Program, TempDir)>,
}

impl Group {
    /// One tcpdump for each filter, each with a ring of its own.
    fn tcpdumps(rig: &Rig, filters: &[String], ring_mib: u32) -> Self {
        let start = |filter: &String| {
            let folder = rig.run_folder();
            let mut command = Tool::Tcpdump.command(rig, folder.path(), filter, ring_mib);
            (Program::start(&mut command, &folder.path().join("log")), folder)
        };
        let programs: Vec<_> = filters.iter().map(start).collect();
        rig.wait_for_sockets(filters.len(), programs.iter().map(|(program, _)| program));
        Self { tool: Tool::Tcpdump, programs }
    }

    /// One engine with one recorder, and a capture for each filter.
    fn engine(rig: &Rig, way: Way, filters: &[String]) -> Self {
        let folder = rig.run_folder();
        let program = engine_process::start(rig, folder.path(), way, filters);
        rig.wait_for_sockets(1, [&program]);
        Self { tool: Tool::Engine(way), programs: vec![(program, folder)] }
    }

    fn none() -> Self {
        Self { tool: Tool::Tcpdump, programs: Vec::new() }
    }

    /// Sends, waits until all is worked off, and ends all.
    fn under(self, rig: &Rig, traffic: Traffic) -> Outcome {
        let used = || self.programs.iter().map(|(program, _)| program.cpu().as_secs_f64()).sum();
        let cpu_before: f64 = used();
        let sent = traffic.send(rig);
        wait_for_rest(self.programs.iter().map(|(program, _)| program));
        let cpu_under: f64 = used() - cpu_before;
        let (mut cpu, mut written, mut lost) = (0.0, 0, 0);
        for (program, folder) in self.programs {
            let Ended { cpu: used, output, .. } = self.tool.end(program);
            cpu += used.as_secs_f64();
            written += captured::packets_in(folder.path());
            lost += self.tool.reported_drops(&output).unwrap_or(0);
        }
        Outcome { sent, cpu, cpu_under, written, lost }
    }
}

/// What came of one run.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    sent: Sent,
    cpu: f64,
    /// Of it from the first packet until all was worked off: without starts and ends.
    cpu_under: f64,
    /// Packets in all files together.
    written: u64,
    /// What the programs say they lost.
    lost: u64,
}

pub(crate) fn sixteen(rig: &Rig, repetitions: usize) {
    let traffic = Traffic { frame: Frame::Large, packets: 300_000, rate: Some(SIXTEEN_RATE) };
    figures::heading(&format!(
        "16 captures that match, 300000 packets of 1028 bytes at {SIXTEEN_RATE} a second"
    ));
    let filters = matching();
    let starts: [(&str, &dyn Fn() -> Group); 3] = [
        ("16 tcpdumps", &|| Group::tcpdumps(rig, &filters, RING_OF_SIXTEEN_MIB)),
        ("16 captures, no hash", &|| Group::engine(rig, Way::Unhashed, &filters)),
        ("16 captures, the worker's way", &|| Group::engine(rig, Way::Worker, &filters)),
    ];
    let mut runs = starts.map(|_| Vec::new());
    for _ in 0..repetitions {
        for ((_, start), runs) in starts.iter().zip(&mut runs) {
            runs.push(start().under(rig, traffic));
        }
    }
    let mut table = Table::new(&["programs", "CPU s", "ns a packet written", "lost", "it says"]);
    for ((name, _), runs) in starts.iter().zip(&runs) {
        let cpu: Vec<f64> = runs.iter().map(|run| run.cpu).collect();
        let wanted = traffic.packets * 16;
        let list = |count: &dyn Fn(&Outcome) -> u64| {
            runs.iter().map(|run| count(run).to_string()).collect::<Vec<_>>().join(" ")
        };
        table.row(vec![
            (*name).to_owned(),
            figures::spread(&cpu),
            format!("{:.0}", each(runs)),
            list(&|run| wanted - run.written),
            list(&|run| run.lost),
        ]);
    }
    table.print();
    figures::say("");
    let [theirs, unhashed, hashed] = &runs;
    for (name, ours) in [("no hash", unhashed), ("the worker's way", hashed)] {
        let what = format!("16 captures, {name} / 16 tcpdumps, by packet written");
        figures::judge(&what, each(ours) / each(theirs), OF_SIXTEEN);
    }
}

/// Nanoseconds for each packet in a file, so that losing packets is no gain.
fn each(runs: &[Outcome]) -> f64 {
    median(&runs.iter().map(|run| run.cpu * 1e9 / figure(run.written)).collect::<Vec<_>>())
}

pub(crate) fn sixty_four(rig: &Rig, repetitions: usize) {
    let traffic = Traffic { frame: Frame::Large, packets: 500_000, rate: None };
    figures::heading(
        "64 captures that do not match, 500000 packets of 1028 bytes at the full rate",
    );
    let filters = not_matching();
    let starts: [(&str, &dyn Fn() -> Group); 4] = [
        ("nothing", &Group::none),
        ("a recorder", &|| Group::engine(rig, Way::Worker, &[])),
        ("a recorder with 64 captures", &|| Group::engine(rig, Way::Worker, &filters)),
        ("64 tcpdumps", &|| Group::tcpdumps(rig, &filters, RING_OF_SIXTY_FOUR_MIB)),
    ];
    let mut runs = starts.map(|_| Vec::new());
    for _ in 0..repetitions {
        for ((_, start), runs) in starts.iter().zip(&mut runs) {
            runs.push(start().under(rig, traffic));
        }
    }
    let mut table = Table::new(&[
        "at the near end",
        "sender's CPU s",
        "sender's s",
        "CPU s there",
        "of it under the traffic",
        "ns a packet and capture",
    ]);
    for ((name, _), runs) in starts.iter().zip(&runs) {
        let of = |value: &dyn Fn(&Outcome) -> f64| runs.iter().map(value).collect::<Vec<f64>>();
        let under = of(&|run| run.cpu_under);
        table.row(vec![
            (*name).to_owned(),
            figures::spread(&of(&|run| run.sent.cpu.as_secs_f64())),
            figures::spread(&of(&|run| run.sent.took.as_secs_f64())),
            figures::spread(&of(&|run| run.cpu)),
            figures::spread(&under),
            format!("{:.1}", median(&under) * 1e9 / figure(traffic.packets) / 64.0),
        ]);
    }
    table.print();
    figures::say("");
    let took = |runs: &[Outcome]| {
        median(&runs.iter().map(|run| run.sent.took.as_secs_f64()).collect::<Vec<_>>())
    };
    let [nothing, recorder, ours, theirs] = &runs;
    figures::judge(
        "64 captures / the recorder alone, sender's time",
        took(ours) / took(recorder),
        SLOWER,
    );
    figures::judge("64 captures / nothing, sender's time", took(ours) / took(nothing), SLOWER);
    let of_theirs = took(theirs) / took(nothing);
    figures::say(&format!("64 tcpdumps / nothing, sender's time: {of_theirs:.3}"));
    let silent = ours.iter().chain(theirs).all(|run| run.written == 0);
    assert!(silent, "a filter matched that must not; {INTERFACE} has other traffic");
}
