//! Two network namespaces, joined by a veth pair.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::place::Place;
use super::process::run;

/// What all names of namespaces begin with; the id of the test's process follows.
const PREFIX: &str = "hst";

/// The interface's name at both ends.
pub(crate) const INTERFACE: &str = "eth0";

/// Makes the names of one process differ.
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// Two namespaces, `near` and `far`, with loopback up and [`INTERFACE`] between them. Removed on drop.
#[derive(Debug)]
pub(crate) struct Pair {
    near: String,
    far: String,
}

impl Pair {
    pub(crate) const NEAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    pub(crate) const FAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    /// `None`, said on stderr, where this is not root: the test then has nothing to stand on.
    pub(crate) fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root to make network namespaces");
            return None;
        }
        sweep();
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("{PREFIX}-{}-{number}-{end}", std::process::id());
        let pair = Self { near: name("near"), far: name("far") };
        let (near, far) = (pair.near.as_str(), pair.far.as_str());
        ip(&["netns", "add", near]);
        ip(&["netns", "add", far]);
        ip(&[
            "link", "add", INTERFACE, "netns", near, "type", "veth", "peer", "name", INTERFACE,
            "netns", far,
        ]);
        for (end, address) in [(near, Self::NEAR_ADDRESS), (far, Self::FAR_ADDRESS)] {
            ip(&["-n", end, "address", "add", &format!("{address}/24"), "dev", INTERFACE]);
            ip(&["-n", end, "link", "set", "lo", "up"]);
            ip(&["-n", end, "link", "set", INTERFACE, "up"]);
        }
        // The near end looks like a host: its default route says which interface `auto` means.
        ip(&["-n", near, "route", "add", "default", "via", &Self::FAR_ADDRESS.to_string()]);
        Some(pair)
    }

    pub(crate) fn near(&self) -> Place {
        Place::Namespace(self.near.clone())
    }

    pub(crate) fn far(&self) -> Place {
        Place::Namespace(self.far.clone())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        remove(&self.near);
        remove(&self.far);
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments));
}

/// The processes in it belong to other parts, which end them.
fn remove(name: &str) {
    match Command::new("ip").args(["netns", "delete", name]).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => eprintln!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => eprintln!("{name}: {error}"),
    }
}

/// Removes what a killed test left behind: namespaces of processes that are gone.
fn sweep() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut parts = name.split('-');
        let owner = (parts.next() == Some(PREFIX)).then(|| parts.next()).flatten();
        if owner.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            remove(&name);
        }
    }
}
