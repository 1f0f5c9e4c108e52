//! Where a part runs: on the host, or inside a network namespace.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use hindsight::spawn;
use nix::sched::{CloneFlags, setns};

use super::process::Process;
use super::wait;

/// How long a server may take until it listens: Node.js needs seconds on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A network to run in. Servers listen on its loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Host,
    /// The namespace of this name.
    Namespace(String),
}

impl Place {
    /// A command that runs here. `ip netns exec` becomes the program, so its id is the program's.
    pub(crate) fn command(&self, program: &str) -> Command {
        match self {
            Self::Host => Command::new(program),
            Self::Namespace(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, program]);
                command
            }
        }
    }

    /// Runs the body on a thread of its own that is here. Sockets made in it stay here.
    pub(crate) fn within<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> T {
        let place = self.clone();
        let thread = spawn::thread("test-place", move || {
            place.enter();
            body()
        });
        match thread.expect("a test may start a thread").join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Moves the calling thread here, for good.
    pub(crate) fn enter(&self) {
        if let Self::Namespace(name) = self {
            let path = format!("/run/netns/{name}");
            let handle = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            setns(handle, CloneFlags::CLONE_NEWNET)
                .unwrap_or_else(|error| panic!("cannot enter {path}: {error}; needs root"));
        }
    }

    /// A loopback port that nobody listens on at the moment.
    pub(crate) fn free_port(&self) -> u16 {
        self.within(|| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let address = listener.and_then(|listener| listener.local_addr());
            address.expect("loopback is up and has a free port").port()
        })
    }

    pub(crate) fn connect(&self, port: u16) -> std::io::Result<TcpStream> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.within(move || TcpStream::connect(address))
    }

    /// Waits until `server` answers on its port.
    pub(crate) fn wait_for_port(&self, server: &mut Process, port: u16) {
        wait::until(&format!("a server on port {port}"), START, || {
            assert!(server.is_running(), "the server ended by itself:\n{}", server.log());
            self.connect(port).ok()
        });
    }
}
