//! A second opinion: libpcap listens beside the engine and notes number and stamp of every packet of
//! [`traffic`](super::traffic). The kernel stamps a packet once for all who listen, so that what a
//! capture must hold is known to the packet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hindsight::clock::WallTime;
use hindsight::spawn;
use pcap::{Capture, Error, Precision};

use super::namespaces::{INTERFACE, Pair};
use super::traffic::{self, PORT};

/// What libpcap may hold before it is read, in bytes.
const BUFFER_BYTES: i32 = 64 << 20;

/// How often it looks; libpcap itself never wakes up where nothing comes.
const PERIOD: Duration = Duration::from_millis(5);

/// How long libpcap may keep what it has, in milliseconds.
const TIMEOUT_MS: i32 = 50;

/// An instant before every packet.
pub(crate) const BEGINNING: WallTime = WallTime::from_nanos(0);

/// A numbered packet, and the kernel's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) at: WallTime,
}

/// Listens at the near end of a pair.
#[derive(Debug)]
pub(crate) struct Witness {
    /// How many it waits for.
    sent: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Seen>>,
}

impl Witness {
    /// Listens once this returns.
    pub(crate) fn start(pair: &Pair) -> Self {
        let open = || {
            let device = Capture::from_device(INTERFACE)?;
            let device = device.precision(Precision::Nano).buffer_size(BUFFER_BYTES);
            let mut opened = device.timeout(TIMEOUT_MS).snaplen(64).open()?;
            opened.filter(&format!("udp dst port {PORT}"), true)?;
            opened.setnonblock()
        };
        let mut capture = pair.near.within(open).expect("root may listen");
        let sent = Arc::new(AtomicU64::new(u64::MAX));
        let wanted = Arc::clone(&sent);
        let body = move || {
            let mut seen = Vec::new();
            while u64::try_from(seen.len()).is_ok_and(|len| len < wanted.load(Ordering::Acquire)) {
                match capture.next_packet() {
                    Ok(packet) => {
                        let stamp = packet.header.ts;
                        let at = WallTime::from_nanos(stamp.tv_sec * 1_000_000_000 + stamp.tv_usec);
                        seen.push(Seen { number: traffic::number(packet.data), at });
                    }
                    Err(Error::TimeoutExpired) => thread::sleep(PERIOD),
                    Err(error) => panic!("libpcap: {error}"),
                }
            }
            let missed = capture.stats().expect("it has counts").dropped;
            assert_eq!(missed, 0, "the witness missed some");
            seen
        };
        let thread = spawn::thread("test-witness", body).expect("a test may start a thread");
        Self { sent, thread }
    }

    /// All that passed, in its order: as many as were sent, which have passed by now.
    pub(crate) fn stop(self, sent: u64) -> Vec<Seen> {
        self.sent.store(sent, Ordering::Release);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The numbers of those that came from one instant on and before another.
pub(crate) fn between(seen: &[Seen], from: WallTime, until: WallTime) -> Vec<u64> {
    let within = seen.iter().filter(|seen| from <= seen.at && seen.at < until);
    within.map(|seen| seen.number).collect()
}
