//! Numbered UDP packets at an even rate: a gap in a capture of them is a lost packet.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hindsight::{clock, spawn};

use super::namespaces::Pair;
use super::wait;

/// The port that the packets go to.
pub(crate) const PORT: u16 = 4242;

/// Of a packet, in bytes, where a test does not ask for another size.
pub(crate) const PAYLOAD: usize = 100;

/// Sends packets from the far end of a pair to the near one, when it is told to. Each packet's payload
/// begins with its number, eight bytes big endian, from 0 on; zeros follow.
#[derive(Debug)]
pub(crate) struct Sender {
    socket: UdpSocket,
    target: SocketAddrV4,
    /// The number of the next packet, which is also how many were sent.
    pub(crate) next: u64,
    /// Bytes of payload, at least eight.
    pub(crate) size: usize,
    /// Nobody reads it: it is there so that the near end does not answer "port unreachable".
    _sink: UdpSocket,
}

impl Sender {
    pub(crate) fn new(pair: &Pair) -> Self {
        Self::to_port(pair, PORT)
    }

    pub(crate) fn to_port(pair: &Pair, port: u16) -> Self {
        let bind = |port: u16| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
        let sink = pair.near.within(|| bind(port)).expect("the port is free at the near end");
        let socket = pair.far.within(|| bind(0)).expect("a free UDP port");
        let target = SocketAddrV4::new(Pair::NEAR_ADDRESS, port);
        Self { socket, target, next: 0, size: PAYLOAD, _sink: sink }
    }

    pub(crate) fn send(&mut self) {
        let mut payload = vec![0; self.size];
        payload[..8].copy_from_slice(&self.next.to_be_bytes());
        // Not connected, so no error of an earlier packet can show up here instead of a loss.
        let size = self.socket.send_to(&payload, self.target);
        assert_eq!(size.expect("the link is up while a test sends"), self.size);
        self.next += 1;
    }
}

/// A UDP packet to [`PORT`] of the near end of a quiet pair, in a frame with this VLAN tag.
pub(crate) fn tagged_frame(vlan: u16) -> Vec<u8> {
    let mut frame = [Pair::NEAR_HARDWARE, Pair::FAR_HARDWARE].concat();
    frame.extend([0x81, 0]);
    frame.extend(vlan.to_be_bytes());
    frame.extend([8, 0, 0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0x66, 0x27]);
    frame.extend(Pair::FAR_ADDRESS.octets());
    frame.extend(Pair::NEAR_ADDRESS.octets());
    frame.extend([0x12, 0x34]);
    frame.extend(PORT.to_be_bytes());
    frame.extend([0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    frame
}

/// A [`Sender`] that runs on its own. Dropped, it stops.
#[derive(Debug)]
pub(crate) struct Traffic {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    pub(crate) fn start(pair: &Pair, per_second: u32) -> Self {
        let sender = Sender::new(pair);
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let thread = spawn::thread("test-traffic", move || {
            send_evenly(sender, per_second, &count, &stopped);
        });
        let thread = Some(thread.expect("a test may start a thread"));
        Self { sent, stop, thread }
    }

    /// How many have been sent, which is also the number of the next one.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Waits until `count` more have been sent.
    pub(crate) fn wait_for_more(&self, count: u64) {
        let wanted = self.sent() + count;
        wait::until(&format!("{count} more packets"), Duration::from_secs(60), || {
            (self.sent() >= wanted).then_some(())
        });
    }

    /// Stops, and returns how many were sent.
    pub(crate) fn stop(mut self) -> u64 {
        self.end();
        self.sent()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the traffic stopped early: {panic:?}");
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends what is due, then sleeps for a packet's time: late packets are caught up with.
fn send_evenly(mut sender: Sender, per_second: u32, sent: &AtomicU64, stop: &AtomicBool) {
    let (started, gap) = (clock::boot_time(), Duration::from_secs(1) / per_second);
    while !stop.load(Ordering::Acquire) {
        let due = clock::boot_time().since(started).as_nanos() / gap.as_nanos();
        while u128::from(sender.next) < due {
            sender.send();
            sent.store(sender.next, Ordering::Release);
        }
        std::thread::sleep(gap);
    }
}
