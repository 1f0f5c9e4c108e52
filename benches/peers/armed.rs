//! A recorder without a capture: what it costs to be ready.

use std::time::Duration;

use hindsight::clock;

use crate::engine_process::{self, Way};
use crate::figures::{self, Table, figure, median, millis};
use crate::generator::{Frame, Traffic};
use crate::program::{Program, wait_for_rest};
use crate::rig::Rig;
use crate::tools::Tool;

/// Of what tcpdump uses for the same traffic.
const OF_TCPDUMP: f64 = 0.02;

/// Rates in packets a second, the last the generator's full one, and what is sent at each: about
/// three seconds' worth.
const RATES: [(Option<u32>, u64); 3] =
    [(Some(20_000), 60_000), (Some(200_000), 600_000), (None, 1_500_000)];

/// What a running program used while the traffic came, and until it had worked it off.
#[derive(Clone, Copy, Debug)]
struct Used {
    cpu: Duration,
    /// From before the first packet to the second look.
    over: Duration,
}

pub(crate) fn run(rig: &Rig, repetitions: usize) {
    figures::heading("Armed: a recorder without a capture, packets of 1028 bytes");
    let mut table = Table::new(&[
        "packets a second",
        "packets",
        "tcpdump ms",
        "recorder ms",
        "recorder / tcpdump",
        "recorder ms a second",
    ]);
    let mut ratios = Vec::new();
    for (rate, packets) in RATES {
        let traffic = Traffic { frame: Frame::Large, packets, rate };
        let (mut peer, mut ours, mut each_second) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..repetitions {
            peer.push(millis(of_tcpdump(rig, traffic).cpu));
            let used = of_recorder(rig, traffic);
            ours.push(millis(used.cpu));
            each_second.push(millis(used.cpu) / used.over.as_secs_f64());
        }
        let ratio = median(&ours) / median(&peer);
        let rate = rate.map_or_else(|| "full".to_owned(), |rate| rate.to_string());
        ratios.push((format!("recorder / tcpdump at {rate} packets a second"), ratio));
        table.row(vec![
            rate,
            figure(packets).to_string(),
            format!("{:.1}", median(&peer)),
            format!("{:.2}", median(&ours)),
            format!("{ratio:.4}"),
            format!("{:.2}", median(&each_second)),
        ]);
    }
    table.print();
    figures::say("");
    ratios.iter().for_each(|(what, ratio)| figures::judge(what, *ratio, OF_TCPDUMP));
}

fn of_tcpdump(rig: &Rig, traffic: Traffic) -> Used {
    let folder = rig.run_folder();
    let program = Tool::Tcpdump.start(rig, folder.path());
    let used = over_traffic(rig, traffic, &program);
    Tool::Tcpdump.end(program);
    used
}

fn of_recorder(rig: &Rig, traffic: Traffic) -> Used {
    let folder = rig.run_folder();
    let program = engine_process::start(rig, folder.path(), Way::Worker, &[]);
    rig.wait_for_sockets(1, [&program]);
    let used = over_traffic(rig, traffic, &program);
    Tool::Engine(Way::Worker).end(program);
    used
}

/// The making of the ring is not in it: the program has settled before.
fn over_traffic(rig: &Rig, traffic: Traffic, program: &Program) -> Used {
    wait_for_rest([program]);
    let (before, started) = (program.cpu(), clock::boot_time());
    traffic.send(rig);
    wait_for_rest([program]);
    Used { cpu: program.cpu() - before, over: clock::boot_time().since(started) }
}
