//! Numbered UDP packets at an even rate: a gap in a capture of them is a lost packet.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hindsight::{clock, spawn};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};

use super::namespaces::Pair;
use super::place::Place;
use super::wait;

/// The port that the packets go to.
pub(crate) const PORT: u16 = 4242;

/// Of a packet, in bytes, where a test does not ask for another size.
pub(crate) const PAYLOAD: usize = 100;

/// Ethernet, IPv4 without options and UDP, in bytes: what stands before a payload.
const HEADERS_BYTES: usize = 14 + 20 + 8;

/// In the network of a pair, and neither of the two.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 77);

/// How many packets one call sends at full speed.
const BURST: usize = 64;

/// The number in a frame without tags, as a [`Sender`] sends it.
pub(crate) fn number(frame: &[u8]) -> u64 {
    let number = frame.get(HEADERS_BYTES..).and_then(|payload| payload.first_chunk());
    u64::from_be_bytes(*number.unwrap_or_else(|| panic!("no number: {frame:?}")))
}

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

    /// Sends `count` packets as fast as this machine can: many with one system call.
    pub(crate) fn flood(&mut self, count: u64) {
        let until = self.next + count;
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BURST, None);
        let target = [Some(SockaddrIn::from(self.target)); BURST];
        let mut payloads = vec![vec![0; self.size]; BURST];
        while self.next < until {
            for (number, payload) in (self.next..until).zip(&mut payloads) {
                payload[..8].copy_from_slice(&number.to_be_bytes());
            }
            let left = usize::try_from(until - self.next).map_or(BURST, |left| left.min(BURST));
            let slices: Vec<_> =
                payloads[..left].iter().map(|payload| [IoSlice::new(payload)]).collect();
            let socket = self.socket.as_raw_fd();
            let nothing: [ControlMessage<'_>; 0] = [];
            let flags = MsgFlags::empty();
            let sent = sendmmsg(socket, &mut headers, &slices, target, nothing, flags);
            let sent = sent.expect("the link is up while a test sends").count();
            self.next += u64::try_from(sent).expect("at most a burst");
        }
    }
}

/// A UDP packet to [`PORT`], to the near end's hardware but to nobody's address, in a frame with this
/// VLAN tag: nobody answers it.
pub(crate) fn tagged_frame(vlan: u16) -> Vec<u8> {
    frame(Pair::NEAR_HARDWARE, &[(0x8100, vlan)])
}

/// The same to any hardware address and with any tags, outermost first: EtherType and tag control.
pub(crate) fn frame(to: [u8; 6], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut frame = [to, Pair::FAR_HARDWARE].concat();
    for (ethertype, control) in tags {
        frame.extend(ethertype.to_be_bytes());
        frame.extend(control.to_be_bytes());
    }
    frame.extend([8, 0, 0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0x65, 0xe1]);
    frame.extend(Pair::FAR_ADDRESS.octets());
    frame.extend(NOBODY.octets());
    frame.extend([0x12, 0x34]);
    frame.extend(PORT.to_be_bytes());
    frame.extend([0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    frame
}

/// Puts whole frames onto the wire.
pub(crate) struct RawSender(pcap::Capture<pcap::Active>);

impl RawSender {
    /// On an interface of the place.
    pub(crate) fn new(place: &Place, interface: &str) -> Self {
        let open = || pcap::Capture::from_device(interface)?.open();
        Self(place.within(open).expect("root may open an interface"))
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.0.sendpacket(frame).expect("the link is up while a test sends");
    }
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
