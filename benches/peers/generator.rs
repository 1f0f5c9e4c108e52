//! The traffic: netsniff-ng's `trafgen` at its full rate, one process on one processor. Slower and even
//! traffic is made here, because trafgen's own rates are a burst at the beginning of each second.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hindsight::{clock, spawn};

use crate::plan::{PORT, SOURCE_PORT};
use crate::program::Program;
use crate::rig::Rig;
use crate::support::namespaces::{INTERFACE, Pair};

/// How long even traffic pauses: at 20,000 packets a second, ten are due then.
const SLICE: Duration = Duration::from_micros(500);

/// Ethernet, IPv4 and UDP headers, in bytes.
const HEADERS: u16 = 14 + 20 + 8;

/// A UDP packet with fixed headers and zeros in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// 1,028 bytes.
    Large,
    /// 60 bytes, the smallest that there is on Ethernet.
    Small,
}

impl Frame {
    pub(crate) const fn len(self) -> u16 {
        match self {
            Self::Large => 1_028,
            Self::Small => 60,
        }
    }

    /// In trafgen's language.
    fn config(self) -> String {
        let hardware = |bytes: [u8; 6]| bytes.map(|byte| byte.to_string()).join(", ");
        let address = |address: Ipv4Addr| address.octets().map(|o| o.to_string()).join(", ");
        let payload = self.len() - HEADERS;
        format!(
            "{{\n{}, {}, const16(0x0800),\n\
             0x45, 0, const16({}), const16(0), const16(0), 64, 17, csumip(14, 33),\n{}, {},\n\
             const16({SOURCE_PORT}), const16({PORT}), const16({}), const16(0),\nfill(0, {payload}),\n}}\n",
            hardware(Pair::NEAR_HARDWARE),
            hardware(Pair::FAR_HARDWARE),
            20 + 8 + payload,
            address(Pair::FAR_ADDRESS),
            address(Pair::NEAR_ADDRESS),
            8 + payload,
        )
    }
}

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) frame: Frame,
    pub(crate) packets: u64,
    /// Packets a second; absent: as fast as trafgen can.
    pub(crate) rate: Option<u32>,
}

/// How the sending went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) took: Duration,
    /// Processor time of trafgen; the taps of the near end run in it.
    pub(crate) cpu: Duration,
}

impl Traffic {
    /// Sends all of it.
    pub(crate) fn send(self, rig: &Rig) -> Sent {
        let before = rig.arrived();
        let sent = match self.rate {
            None => self.by_trafgen(rig),
            Some(rate) => {
                let started = clock::boot_time();
                send_evenly(&sender(rig), rate, self, &AtomicBool::new(false));
                Sent { took: clock::boot_time().since(started), cpu: Duration::ZERO }
            }
        };
        let arrived = rig.arrived() - before;
        assert_eq!(arrived, self.packets, "the cable itself lost packets");
        sent
    }

    fn by_trafgen(self, rig: &Rig) -> Sent {
        let config = self.config_file(rig);
        let mut command = rig.pair.far.command("trafgen");
        command.args(["--dev", INTERFACE, "--conf"]).arg(config);
        command.args(["--num", &self.packets.to_string(), "--cpus", "1", "--no-sock-mem"]);
        let log = rig.folder.path().join("trafgen.log");
        let ended = Program::start(&mut command, &log).end();
        let took = ended.output.lines().find_map(reported_time);
        let took = took.unwrap_or_else(|| panic!("trafgen said:\n{}", ended.output));
        Sent { took, cpu: ended.cpu + ended.children_cpu }
    }

    fn config_file(self, rig: &Rig) -> PathBuf {
        let path = rig.folder.path().join(format!("{:?}.trafgen", self.frame));
        fs::write(&path, self.frame.config()).unwrap();
        path
    }
}

/// Reads a line of trafgen's: `1 sec, 697837 usec on CPU0 (1000000 packets)`.
fn reported_time(line: &str) -> Option<Duration> {
    let (seconds, rest) = line.trim().split_once(" sec, ")?;
    let (micros, _) = rest.split_once(" usec on CPU")?;
    let seconds = Duration::from_secs(seconds.parse().ok()?);
    Some(seconds + Duration::from_micros(micros.parse().ok()?))
}

/// Even traffic of large frames that goes on until it is dropped.
#[derive(Debug)]
pub(crate) struct Steady {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Steady {
    pub(crate) fn start(rig: &Rig, rate: u32) -> Self {
        let (socket, stop) = (sender(rig), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let endless = Traffic { frame: Frame::Large, packets: u64::MAX, rate: Some(rate) };
        let body = move || send_evenly(&socket, rate, endless, &stopped);
        Self { stop, thread: Some(spawn::thread("steady", body).unwrap()) }
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A socket at the far end.
fn sender(rig: &Rig) -> UdpSocket {
    rig.pair.far.within(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SOURCE_PORT))).unwrap()
}

/// Sends what is due, and sleeps a little: late packets are caught up with.
fn send_evenly(socket: &UdpSocket, rate: u32, traffic: Traffic, stop: &AtomicBool) {
    let payload = vec![0; usize::from(traffic.frame.len() - HEADERS)];
    let (started, mut sent) = (clock::boot_time(), 0);
    while sent < traffic.packets && !stop.load(Ordering::Relaxed) {
        let due = clock::boot_time().since(started).as_nanos() * u128::from(rate) / 1_000_000_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX).min(traffic.packets);
        while sent < due {
            socket.send_to(&payload, (Pair::NEAR_ADDRESS, PORT)).unwrap();
            sent += 1;
        }
        std::thread::sleep(SLICE);
    }
}
