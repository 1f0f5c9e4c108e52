//! Two network namespaces with a cable between them, for tests that capture.
//!
//! The namespaces have no name: they are gone with the last thread and descriptor in them, also
//! when a test is killed.

use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// The port that numbered packets go to.
pub(crate) const PORT: u16 = 9;

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    fn new() -> nix::Result<Self> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            // No router solicitations and the like: every packet is one of ours.
            fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
            fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
            Ok(Self { file: File::open("/proc/thread-self/ns/net").unwrap() })
        };
        thread::scope(|scope| scope.spawn(make).join()).unwrap()
    }

    /// Runs `body` on a thread inside; threads that it starts are inside, too.
    pub(crate) fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).unwrap();
            body()
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, arguments: &str) {
        let status = self.run(|| Command::new("ip").args(arguments.split(' ')).status()).unwrap();
        assert!(status.success(), "ip {arguments}");
    }
}

/// `near0` (10.77.0.1) in one namespace, `far0` (10.77.0.2) in the other.
#[derive(Debug)]
pub(crate) struct Cable {
    pub(crate) near: Namespace,
    pub(crate) far: Namespace,
    /// Receives what is sent to [`PORT`], so that nobody answers that the port is closed.
    _sink: UdpSocket,
}

impl Cable {
    /// None, with a printed reason, where namespaces cannot be made.
    pub(crate) fn lay() -> Option<Self> {
        let (near, far) = match (Namespace::new(), Namespace::new()) {
            (Ok(near), Ok(far)) => (near, far),
            (Err(error), _) | (_, Err(error)) => {
                #[expect(clippy::print_stdout, reason = "says why a test did nothing")]
                {
                    println!("skipped: making a network namespace needs CAP_SYS_ADMIN: {error}");
                }
                return None;
            }
        };
        near.ip("link add near0 type veth peer name far0");
        let (process, descriptor) = (std::process::id(), far.file.as_raw_fd());
        near.ip(&format!("link set far0 netns /proc/{process}/fd/{descriptor}"));
        near.ip("link set near0 address 02:00:00:00:00:01");
        far.ip("link set far0 address 02:00:00:00:00:02");
        near.ip("addr add 10.77.0.1/24 dev near0");
        far.ip("addr add 10.77.0.2/24 dev far0");
        for (side, device) in [(&near, "near0"), (&far, "far0"), (&near, "lo"), (&far, "lo")] {
            side.ip(&format!("link set {device} up"));
        }
        near.ip("neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev near0");
        far.ip("neigh add 10.77.0.1 lladdr 02:00:00:00:00:01 dev far0");
        let sink = near.run(|| UdpSocket::bind(("0.0.0.0", PORT))).unwrap();
        Some(Self { near, far, _sink: sink })
    }

    /// A socket at the far end whose packets reach the near one.
    pub(crate) fn sender(&self) -> Sender {
        self.sender_to(([10, 77, 0, 1], PORT).into())
    }

    pub(crate) fn sender_to(&self, to: SocketAddr) -> Sender {
        let socket = self.far.run(|| UdpSocket::bind(("0.0.0.0", 0))).unwrap();
        socket.connect(to).unwrap();
        Sender { socket, next: 0, size: 100 }
    }
}

/// A UDP packet to [`PORT`] of the near end, in a frame with this VLAN tag.
pub(crate) fn tagged_frame(vlan: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0];
    frame.extend(vlan.to_be_bytes());
    frame
        .extend([8, 0, 0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0x66, 0x27, 10, 77, 0, 2, 10, 77, 0, 1]);
    frame.extend([0x12, 0x34, 0, 9, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    frame
}

/// Sends packets that carry numbers from 0 on.
#[derive(Debug)]
pub(crate) struct Sender {
    socket: UdpSocket,
    pub(crate) next: u64,
    /// Bytes of payload.
    pub(crate) size: usize,
}

impl Sender {
    pub(crate) fn send(&mut self) {
        let mut payload = vec![0; self.size];
        payload[..8].copy_from_slice(&self.next.to_be_bytes());
        self.socket.send(&payload).unwrap();
        self.next += 1;
    }
}
