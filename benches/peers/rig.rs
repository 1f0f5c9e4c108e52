//! Two namespaces with a cable between them, and a folder on a disk for what is captured.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::plan::PORT;
use crate::program::Program;
use crate::support::namespaces::{INTERFACE, Pair};
use crate::support::wait;

/// How long a program may take until it listens: netsniff-ng clears its ring page by page.
const START: Duration = Duration::from_secs(30);

/// What a program does after its socket is up and before it reads: opening its file, above all.
const AFTER_SOCKET: Duration = Duration::from_millis(300);

/// Where all parts run.
#[derive(Debug)]
pub(crate) struct Rig {
    /// The generator sends at the far end; who captures is at the near end.
    pub(crate) pair: Pair,
    /// On the disk that holds the build, because a temporary folder may be in memory.
    pub(crate) folder: TempDir,
    /// Nobody reads it: it is there so that the near end does not answer "port unreachable".
    _sink: UdpSocket,
}

impl Rig {
    pub(crate) fn new() -> Option<Self> {
        let pair = Pair::quiet()?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        let sink = pair.near.within(bind);
        Some(Self { pair, folder, _sink: sink })
    }

    /// A new folder for the files of one run; dropped, it is gone with them.
    pub(crate) fn run_folder(&self) -> TempDir {
        tempfile::tempdir_in(self.folder.path()).unwrap()
    }

    /// How many packets have come out of the cable at the near end.
    pub(crate) fn arrived(&self) -> u64 {
        let devices = self.near_file("dev");
        let line = devices.lines().find(|line| line.trim().starts_with(INTERFACE));
        // `eth0: bytes packets ...`, received first.
        let packets = line.and_then(|line| line.split_whitespace().nth(2));
        packets.and_then(|text| text.parse().ok()).expect("the device is listed")
    }

    /// Waits until so many more packets have come.
    pub(crate) fn wait_for_arrivals(&self, count: u64) {
        let enough = self.arrived() + count;
        wait::until("the traffic to come", START, || (self.arrived() >= enough).then_some(()));
    }

    /// Waits until as many packet sockets hear the near end, and then for their owners to begin.
    pub(crate) fn wait_for_sockets<'a>(
        &self,
        count: usize,
        programs: impl IntoIterator<Item = &'a Program> + Clone,
    ) {
        wait::until(&format!("{count} packet sockets"), START, || {
            programs.clone().into_iter().for_each(Program::assert_running);
            (self.sockets() >= count).then_some(())
        });
        std::thread::sleep(AFTER_SOCKET);
    }

    /// Packet sockets at the near end that are bound and running. Source: packet_seq_show() of
    /// net/packet/af_packet.c, column `R`.
    fn sockets(&self) -> usize {
        let running = |line: &&str| line.split_whitespace().nth(5) == Some("1");
        self.near_file("packet").lines().skip(1).filter(running).count()
    }

    fn near_file(&self, name: &str) -> String {
        let path = Path::new("/proc/thread-self/net").join(name);
        self.pair.near.within(|| fs::read_to_string(path)).unwrap()
    }
}
