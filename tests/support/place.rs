//! Where a part runs: on the host, or inside a network namespace.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};

use super::process::{Process, run};
use super::wait;

/// How long a server may take until it listens: Node.js needs seconds on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Ports of servers; Linux gives clients those from 32768 on (ip(7), `ip_local_port_range`).
const FIRST_PORT: u16 = 20_000;

/// How many there are.
const PORTS: u16 = 12_000;

/// Makes the ports of one process differ; the tests of one process run side by side.
static NEXT_PORT: AtomicU32 = AtomicU32::new(0);

/// A network to run in. Servers listen on its loopback.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Host,
    /// A namespace without a name: it is there as long as this descriptor, or a program in it.
    Namespace(Arc<File>),
}

impl Place {
    /// A command that runs here. `nsenter` becomes the program, so its id is the program's.
    pub(crate) fn command(&self, program: &str) -> Command {
        match self {
            Self::Host => Command::new(program),
            Self::Namespace(handle) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", path(handle))).args(["--", program]);
                command
            }
        }
    }

    /// Runs `ip` here; its arguments stand between single spaces.
    pub(crate) fn ip(&self, arguments: &str) {
        run(self.command("ip").args(arguments.split(' ')));
    }

    /// Runs the body here: in a namespace on a thread of its own. Sockets made in it stay here, and
    /// threads that it starts are here, too.
    pub(crate) fn within<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let Self::Namespace(handle) = self else { return body() };
        let inside = || {
            setns(handle, CloneFlags::CLONE_NEWNET).expect("who made a namespace may enter it");
            body()
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// A loopback port that nobody listens on, and that is not given to anybody else: each is handed
    /// out once, and they lie below those that the kernel gives to clients.
    pub(crate) fn free_port(&self) -> u16 {
        let first = std::process::id() % u32::from(PORTS);
        let candidates = std::iter::repeat_with(|| {
            let number = first + NEXT_PORT.fetch_add(1, Ordering::Relaxed);
            FIRST_PORT + u16::try_from(number % u32::from(PORTS)).expect("a remainder of a u16")
        });
        let is_free = |port: &u16| {
            let port = *port;
            self.within(|| can_bind(port))
        };
        let mut candidates = candidates.take(usize::from(PORTS));
        candidates.find(is_free).expect("loopback is up and has a free port")
    }

    pub(crate) fn connect(&self, port: u16) -> std::io::Result<TcpStream> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = self.within(|| TcpStream::connect(address))?;
        // Where nobody listens, a client whose own port is the one it asks for reaches itself.
        if stream.local_addr()? == address {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        Ok(stream)
    }

    /// Waits until `server` answers on its port.
    pub(crate) fn wait_for_port(&self, server: &mut Process, port: u16) {
        wait::until(&format!("a server on port {port}"), START, || {
            assert!(server.is_running(), "the server ended by itself:\n{}", server.log());
            self.connect(port).ok()
        });
    }
}

/// Whether the port can be had. A program that another thread is starting holds a copy of this
/// socket for a moment. So it never listens, or it would answer to whoever waits for the server; and
/// it lets the server, which says the same of its own, have the port beside it (socket(7)).
fn can_bind(port: u16) -> bool {
    let made = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let made = made.expect("a process may open a socket");
    setsockopt(&made, sockopt::ReuseAddr, &true).expect("every socket has this option");
    bind(made.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).is_ok()
}

/// Where other programs find the namespace while this process holds it.
pub(super) fn path(namespace: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd())
}
