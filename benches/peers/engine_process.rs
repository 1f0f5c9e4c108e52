//! The engine in a process of its own: this benchmark starts itself again, as `engine`.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hindsight::capture::{
    Destination, Engine, Origin, PrivateSettings, RecorderSettings, Settings,
};
use hindsight::model::{CaptureId, Report, StopReason, Totals};
use hindsight::spawn;
use tokio::sync::mpsc;

use crate::plan;
use crate::plan::RING_MIB;
use crate::program::Program;
use crate::rig::Rig;
use crate::support::namespaces::INTERFACE;
use crate::support::wait;

/// The first argument of a benchmark that is such a process; then come the spool, the way and the
/// filters, one for each capture.
pub(crate) const ARGUMENT: &str = "engine";

/// How the engine is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A recorder that always runs, captures that read it, and the SHA-256 of each file.
    Worker,
    /// The same without the hash, which the peers' files do not have.
    Unhashed,
}

impl Way {
    const ALL: [Self; 2] = [Self::Worker, Self::Unhashed];

    const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Unhashed => "unhashed",
        }
    }

    fn destination(self, spool: &Path, number: usize) -> Destination {
        match self {
            Self::Worker => Destination::Spool,
            Self::Unhashed => Destination::Path(spool.join(format!("capture{number}.pcapng"))),
        }
    }
}

/// What the engine may take: its ring, and the buffers of 64 captures.
const BUDGET_BYTES: u64 = 1 << 30;

/// What the process says when all captures listen.
const READY: &str = "ready";

/// Reports that may wait: of 64 captures, a few each.
const REPORTS: usize = 1024;

/// How long it may take until all captures have begun.
const START: Duration = Duration::from_secs(30);

/// Starts the process at the near end and waits until its captures listen.
pub(crate) fn start(rig: &Rig, folder: &Path, way: Way, filters: &[String]) -> Program {
    let this = std::env::current_exe().unwrap();
    let mut command = rig.pair.near.command(this.to_str().expect("the target folder is UTF-8"));
    command.arg(ARGUMENT).arg(folder).arg(way.name()).args(filters);
    let program = Program::start(&mut command, &folder.join("log"));
    wait::until("the engine to be ready", START, || {
        program.assert_running();
        program.output().lines().any(|line| line == READY).then_some(())
    });
    program
}

/// What its captures lost together.
pub(crate) fn lost(output: &str) -> Option<u64> {
    let lost = output.lines().filter_map(|line| line.split_once(" lost: ")?.1.parse::<u64>().ok());
    lost.reduce(|sum, one| sum + one)
}

/// An engine at the place where this runs.
pub(crate) fn engine(spool: &Path) -> (Arc<Engine>, mpsc::Receiver<Report>) {
    let ring_bytes = u64::from(RING_MIB) << 20;
    let recorder = RecorderSettings {
        interface: INTERFACE.to_owned(),
        memory_bytes: ring_bytes,
        bytes_per_packet: 0,
        promiscuous: false,
    };
    let settings = Settings {
        spool: spool.to_owned(),
        recorders: vec![recorder],
        private: PrivateSettings { memory_bytes: ring_bytes, promiscuous: false },
        memory_bytes: BUDGET_BYTES,
    };
    let (sender, reports) = mpsc::channel(REPORTS);
    (Arc::new(Engine::start(settings, sender).unwrap()), reports)
}

/// The process itself: runs until its input ends.
#[expect(clippy::print_stdout, reason = "who started it reads what it says")]
pub(crate) fn run(arguments: &[String]) {
    let [spool, way, filters @ ..] = arguments else { panic!("arguments are missing") };
    let spool = Path::new(spool);
    let way = Way::ALL.into_iter().find(|known| known.name() == way).expect("a known way");
    let (engine, mut reports) = engine(spool);
    let name = |number: usize| CaptureId::from_text(format!("capture{number}"));
    for (number, filter) in filters.iter().enumerate() {
        let (title, plan) = (format!("capture {number}"), plan::whole(filter));
        let destination = way.destination(spool, number);
        let ready = engine.stand_by(name(number), title, plan, Origin::Interfaces, destination);
        ready.unwrap().begin();
    }
    let mut begun = 0;
    while begun < filters.len() {
        match reports.blocking_recv().unwrap() {
            Report::Started { .. } => begun += 1,
            Report::Ended { capture, error, .. } => panic!("{capture} ended: {error:?}"),
            Report::Progress { .. } | Report::Sealed { .. } => {}
        }
    }
    println!("{READY}");
    let (stopped, captures) = (Arc::clone(&engine), filters.len());
    let input = spawn::thread("input", move || {
        drop(io::stdin().read_to_end(&mut Vec::new()));
        (0..captures).for_each(|number| stopped.stop(&name(number), StopReason::Manual));
    });
    let mut ended = 0;
    while ended < captures {
        if let Report::Ended { capture, error, totals, .. } = reports.blocking_recv().unwrap() {
            println!("{capture} ended: {error:?}");
            println!("{capture} packets: {}", totals.packets);
            println!("{capture} lost: {}", lost_of(&totals));
            ended += 1;
        }
    }
    input.unwrap().join().unwrap();
    drop(reports);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(engine.shutdown());
}

const fn lost_of(totals: &Totals) -> u64 {
    totals.dropped_by_kernel + totals.overrun
}
