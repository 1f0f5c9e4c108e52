//! The traffic: netsniff-ng's `trafgen`, one process on one processor.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::program::Program;
use crate::rig::Rig;
use crate::support::namespaces::{INTERFACE, Pair};

/// The port that the packets go to; they come from [`SOURCE_PORT`].
pub(crate) const PORT: u16 = 4242;
pub(crate) const SOURCE_PORT: u16 = 4660;

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
        let address =
            |address: std::net::Ipv4Addr| address.octets().map(|o| o.to_string()).join(", ");
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
    /// By trafgen's own watch.
    pub(crate) took: Duration,
    /// Processor time of the sender; the taps of the near end run in it.
    pub(crate) cpu: Duration,
}

impl Traffic {
    /// Starts to send; [`finish`] waits for the end.
    pub(crate) fn start(self, rig: &Rig) -> Program {
        let config = self.config_file(rig);
        let mut command = rig.pair.far.command("trafgen");
        command.args(["--dev", INTERFACE, "--conf"]).arg(config);
        command.args(["--num", &self.packets.to_string(), "--cpus", "1", "--no-sock-mem"]);
        if let Some(rate) = self.rate {
            command.args(["--rate", &format!("{rate}pps")]);
        }
        Program::start(&mut command, &rig.folder.path().join("trafgen.log"))
    }

    /// Sends all of it.
    pub(crate) fn send(self, rig: &Rig) -> Sent {
        let before = rig.arrived();
        let sent = finish(self.start(rig));
        let arrived = rig.arrived() - before;
        assert_eq!(arrived, self.packets, "the cable itself lost packets");
        sent
    }

    fn config_file(self, rig: &Rig) -> PathBuf {
        let path = rig.folder.path().join(format!("{:?}.trafgen", self.frame));
        fs::write(&path, self.frame.config()).unwrap();
        path
    }
}

/// Waits until trafgen has sent all, and reads its report: `1 sec, 697837 usec on CPU0 (...)`.
pub(crate) fn finish(trafgen: Program) -> Sent {
    let ended = trafgen.end();
    let took = ended.output.lines().find_map(|line| {
        let (seconds, rest) = line.trim().split_once(" sec, ")?;
        let (micros, _) = rest.split_once(" usec on CPU")?;
        let seconds = Duration::from_secs(seconds.parse().ok()?);
        Some(seconds + Duration::from_micros(micros.parse().ok()?))
    });
    let took = took.unwrap_or_else(|| panic!("trafgen said:\n{}", ended.output));
    Sent { took, cpu: ended.cpu + ended.children_cpu }
}
