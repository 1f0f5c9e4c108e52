//! Every packet to the disk, at the generator's full rate.

use crate::captured;
use crate::engine_process::Way;
use crate::figures::{self, Table, figure, median};
use crate::generator::{Frame, Traffic};
use crate::program::wait_for_rest;
use crate::rig::Rig;
use crate::tools::Tool;

const TOOLS: [Tool; 5] =
    [Tool::Tcpdump, Tool::Dumpcap, Tool::NetsniffNg, Tool::Dump, Tool::Engine(Way::Worker)];

/// What a whole process may cost against a peer's.
const OF_TCPDUMP: f64 = 0.4;
const OF_NETSNIFF_NG: f64 = 0.5;

/// What one program did, run by run.
#[derive(Debug)]
struct Runs {
    tool: Tool,
    cpu: Vec<f64>,
    /// Nanoseconds for each packet in the file, so that losing packets is no gain.
    each: Vec<f64>,
    rates: Vec<f64>,
    lost: Vec<u64>,
    reported: Vec<Option<u64>>,
}

pub(crate) fn run(rig: &Rig, repetitions: usize) {
    for (frame, packets) in [(Frame::Large, 1_000_000), (Frame::Small, 2_000_000)] {
        figures::heading(&format!("Write {packets} packets of {} bytes", frame.len()));
        let traffic = Traffic { frame, packets, rate: None };
        let runs = measure(rig, traffic, repetitions);
        print(&runs);
        for ours in runs.iter().filter(|runs| runs.tool.is_ours()) {
            compare(ours, &runs);
        }
    }
}

/// One program after the other, and all of them again.
fn measure(rig: &Rig, traffic: Traffic, repetitions: usize) -> Vec<Runs> {
    let (tools, missing): (Vec<Tool>, Vec<Tool>) =
        TOOLS.into_iter().partition(|tool| tool.is_there());
    for tool in missing {
        figures::say(&format!("{} is not there: tests/tools bench installs it", tool.name()));
    }
    let start = |tool| Runs {
        tool,
        cpu: Vec::new(),
        each: Vec::new(),
        rates: Vec::new(),
        lost: Vec::new(),
        reported: Vec::new(),
    };
    let mut runs: Vec<Runs> = tools.into_iter().map(start).collect();
    for _ in 0..repetitions {
        for one in &mut runs {
            measure_one(rig, traffic, one);
        }
    }
    runs
}

fn measure_one(rig: &Rig, traffic: Traffic, runs: &mut Runs) {
    let folder = rig.run_folder();
    let program = runs.tool.start(rig, folder.path());
    let sent = traffic.send(rig);
    wait_for_rest([&program]);
    let ended = runs.tool.end(program);
    runs.cpu.push(ended.cpu.as_secs_f64());
    runs.rates.push(figure(traffic.packets) / sent.took.as_secs_f64());
    let written = captured::packets_in(folder.path());
    assert!(written <= traffic.packets, "{}: {written} packets", runs.tool.name());
    runs.each.push(ended.cpu.as_secs_f64() * 1e9 / figure(written));
    runs.lost.push(traffic.packets - written);
    runs.reported.push(runs.tool.reported_drops(&ended.output));
}

fn print(runs: &[Runs]) {
    let mut table = Table::new(&[
        "program",
        "CPU s",
        "ns a packet written",
        "sent, kpps",
        "lost by run",
        "it says",
    ]);
    for runs in runs {
        let said = |said: &Option<u64>| said.map_or("?".to_owned(), |count| count.to_string());
        table.row(vec![
            runs.tool.name().to_owned(),
            figures::spread(&runs.cpu),
            format!("{:.0}", median(&runs.each)),
            format!("{:.0}", median(&runs.rates) / 1e3),
            runs.lost.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
            runs.reported.iter().map(said).collect::<Vec<_>>().join(" "),
        ]);
    }
    table.print();
    figures::say("");
}

fn compare(ours: &Runs, all: &[Runs]) {
    for peer in all.iter().filter(|runs| !runs.tool.is_ours()) {
        let what = format!("{} / {}", ours.tool.name(), peer.tool.name());
        let ratio = median(&ours.each) / median(&peer.each);
        match peer.tool {
            Tool::Tcpdump => figures::judge(&what, ratio, OF_TCPDUMP),
            Tool::NetsniffNg => figures::judge(&what, ratio, OF_NETSNIFF_NG),
            Tool::Dumpcap | Tool::Dump | Tool::Engine(_) => {
                figures::say(&format!("{what}: {ratio:.3}"))
            }
        }
    }
    let lost = figure(ours.lost.iter().sum());
    figures::judge(&format!("{}: packets lost", ours.tool.name()), lost, 0.0);
}
