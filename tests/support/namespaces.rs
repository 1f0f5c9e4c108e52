//! Two network namespaces, joined by a veth pair.
//!
//! They have no name: they are gone with the last descriptor of them and the last program in them,
//! also when a test is killed.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;

use nix::sched::{CloneFlags, unshare};

use super::place::{self, Place};

/// The interface's name at both ends.
pub(crate) const INTERFACE: &str = "eth0";

/// Two namespaces with loopback up and [`INTERFACE`] between them.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) near: Place,
    pub(crate) far: Place,
}

impl Pair {
    pub(crate) const NEAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    pub(crate) const FAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    /// The hardware address of the near end of a [`quiet`](Self::quiet) pair.
    pub(crate) const NEAR_HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];
    pub(crate) const FAR_HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 2];

    /// Two hosts as they come: they look for each other and for routers on their own.
    /// `None`, said on stderr, where this is not root: the test then has nothing to stand on.
    pub(crate) fn new() -> Option<Self> {
        let pair = Self::joined()?;
        pair.bring_up();
        Some(pair)
    }

    /// Between these two only what a test sends passes, so that every packet can be counted.
    pub(crate) fn quiet() -> Option<Self> {
        let pair = Self::joined()?;
        let ends = [
            (&pair.near, Self::NEAR_HARDWARE, Self::NEAR_ADDRESS),
            (&pair.far, Self::FAR_HARDWARE, Self::FAR_ADDRESS),
        ];
        for (place, hardware, _) in ends {
            place.within(silence_ipv6);
            place.ip(&format!("link set {INTERFACE} address {}", colons(hardware)));
        }
        pair.bring_up();
        for ((place, ..), (_, hardware, address)) in ends.into_iter().zip(ends.into_iter().rev()) {
            let neighbour = format!("{address} lladdr {}", colons(hardware));
            place.ip(&format!("neigh add {neighbour} dev {INTERFACE}"));
        }
        Some(pair)
    }

    fn joined() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root to make network namespaces");
            return None;
        }
        let (near, far) = (Arc::new(unnamed()), Arc::new(unnamed()));
        let far_path = place::path(&far);
        let pair = Self { near: Place::Namespace(near), far: Place::Namespace(far) };
        let peer = format!("peer name {INTERFACE} netns {far_path}");
        pair.near.ip(&format!("link add {INTERFACE} type veth {peer}"));
        Some(pair)
    }

    /// Moves an interface from one end to the other; it is down then.
    pub(crate) fn move_interface(name: &str, from: &Place, to: &Place) {
        let Place::Namespace(namespace) = to else { panic!("an end of a pair is a namespace") };
        from.ip(&format!("link set {name} netns {}", place::path(namespace)));
    }

    fn bring_up(&self) {
        for (place, address) in [(&self.near, Self::NEAR_ADDRESS), (&self.far, Self::FAR_ADDRESS)] {
            place.ip(&format!("address add {address}/24 dev {INTERFACE}"));
            place.ip("link set lo up");
            place.ip(&format!("link set {INTERFACE} up"));
        }
        // The near end looks like a host: its default route says which interface `auto` means.
        self.near.ip(&format!("route add default via {}", Self::FAR_ADDRESS));
    }
}

fn unnamed() -> File {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("root may make network namespaces");
        File::open("/proc/thread-self/ns/net").expect("namespaces(7) has it there")
    };
    thread::scope(|scope| scope.spawn(make).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// In the namespace of the calling thread: no router solicitations and the like.
fn silence_ipv6() {
    for which in ["all", "default"] {
        let setting = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
        fs::write(&setting, "1").unwrap_or_else(|error| panic!("{setting}: {error}"));
    }
}

fn colons(hardware: [u8; 6]) -> String {
    hardware.map(|byte| format!("{byte:02x}")).join(":")
}
