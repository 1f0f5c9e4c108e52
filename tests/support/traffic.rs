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

/// A running sender from the far end of a pair to the near one. Each packet's payload is its number,
/// eight bytes big endian, from 0 on. Dropped, it stops.
#[derive(Debug)]
pub(crate) struct Traffic {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Nobody reads it: it is there so that the near end does not answer "port unreachable".
    _sink: UdpSocket,
}

impl Traffic {
    pub(crate) fn start(pair: &Pair, per_second: u32) -> Self {
        let target = SocketAddrV4::new(Pair::NEAR_ADDRESS, PORT);
        let sink = pair.near().within(move || UdpSocket::bind(target));
        let sink = sink.expect("the near end has its address, and the port is free there");
        let socket = pair.far().within(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)));
        let socket = socket.expect("a free UDP port");
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let thread = spawn::thread("test-traffic", move || {
            send(&socket, target, per_second, &count, &stopped);
        });
        let thread = Some(thread.expect("a test may start a thread"));
        Self { sent, stop, thread, _sink: sink }
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
fn send(
    socket: &UdpSocket,
    target: SocketAddrV4,
    per_second: u32,
    sent: &AtomicU64,
    stop: &AtomicBool,
) {
    let (started, gap) = (clock::boot_time(), Duration::from_secs(1) / per_second);
    let mut number: u64 = 0;
    while !stop.load(Ordering::Acquire) {
        let due = clock::boot_time().since(started).as_nanos() / gap.as_nanos();
        while u128::from(number) < due {
            // Not connected, so no error of an earlier packet can show up here instead of a loss.
            let size = socket.send_to(&number.to_be_bytes(), target);
            assert_eq!(size.expect("the link is up while a test sends"), 8);
            number += 1;
            sent.store(number, Ordering::Release);
        }
        std::thread::sleep(gap);
    }
}
