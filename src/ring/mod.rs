//! The kernel's packet ring (AF_PACKET, TPACKET_V3) behind a small safe face.
//!
//! A [`Ring`] holds back the blocks that the kernel has closed, oldest first, until they are given
//! back: that is the window into the past. Any thread may [`pin`](Ring::pin) a held block by its
//! sequence number and read its packets. Knows nothing of captures, files and filters.
//!
//! Invariant: a block that is pinned is never given back to the kernel; `ledger` keeps it,
//! `handover` orders it, `sys` relies on it, and nothing outside this folder can break it. `model`
//! tries every order in which the kernel, a recorder and readers can meet (`tests/sanitize loom`).

mod frame;
mod geometry;
mod handover;
mod ledger;
#[cfg(loom)]
mod model;
mod sys;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::PoisonError;
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

pub use frame::{Direction, Frame, Frames, Header};
pub use geometry::Geometry;

use ledger::{Claim, Ledger, Lookup};
#[cfg(loom)]
use model::Mapping;
#[cfg(not(loom))]
use sys::Mapping;

/// The frame size that the kernel wants to be told: unused by TPACKET_V3, whose packets are as
/// large as they are, but it has to divide the block.
const FRAME_BYTES: u32 = 2048;

/// Asks for huge pages for memory that starts at one and is not in use yet. Stands here because it
/// takes a raw system call, and those are here.
///
/// # Errors
/// The kernel has no huge pages, or the memory does not start at a page.
pub fn prefer_huge_pages(memory: &mut [u8]) -> io::Result<()> {
    sys::prefer_huge_pages(memory)
}

/// One instruction of a classic BPF program (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "opening a packet socket needs CAP_NET_RAW: run `sudo setcap cap_net_raw+ep {}`, use root, or \
         set AmbientCapabilities=CAP_NET_RAW in the service unit",
        executable()
    )]
    Privilege,
    #[error("this kernel has no packet sockets (CONFIG_PACKET, module af_packet)")]
    NoPacketSockets,
    #[error("the kernel has no {mib} MiB for the ring; set a smaller `memory` for the recorder")]
    Memory { mib: u64 },
    #[error("{doing}")]
    Step {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
}

/// The path that setcap(8) needs: that of the program that runs.
fn executable() -> String {
    let path = std::env::current_exe();
    path.map_or_else(|_gone| "$(which hindsight)".to_owned(), |path| path.display().to_string())
}

/// Describes a ring. The socket hears nothing before the last step, [`bind`](Self::bind).
#[derive(Clone, Debug)]
pub struct Builder {
    geometry: Geometry,
    program: Vec<Instruction>,
    ignore_outgoing: bool,
    promiscuous: bool,
}

impl Builder {
    pub const fn new(geometry: Geometry) -> Self {
        Self { geometry, program: Vec::new(), ignore_outgoing: false, promiscuous: false }
    }

    /// Only packets that the program selects reach the ring, cut to what it returns. Empty: all.
    pub fn filter(mut self, program: Vec<Instruction>) -> Self {
        self.program = program;
        self
    }

    /// Leaves out what this host sends: on the loopback device every packet comes by twice.
    pub const fn ignore_outgoing(mut self, yes: bool) -> Self {
        self.ignore_outgoing = yes;
        self
    }

    /// Asks the interface for packets that are addressed to others, for as long as the ring lives.
    pub const fn promiscuous(mut self, yes: bool) -> Self {
        self.promiscuous = yes;
        self
    }

    /// Opens the socket and makes the ring. Takes up to a second per GiB: not for async threads.
    ///
    /// # Errors
    /// The privilege is missing, the kernel has not enough memory, or a system call failed.
    pub fn bind(self, interface: i32) -> Result<Ring, Error> {
        let socket = open_socket()?;
        self.set_options(socket.as_fd())?;
        self.allocate(socket.as_fd())?;
        let mapping = Mapping::new(socket, &self.geometry).map_err(step("mapping the ring"))?;
        if self.promiscuous {
            join_promiscuous(mapping.socket(), interface)?;
        }
        sys::bind(mapping.socket(), interface).map_err(step("binding to the interface"))?;
        let ledger = Mutex::new(Ledger::new(self.geometry.blocks));
        Ok(Ring { mapping, ledger, geometry: self.geometry })
    }

    fn set_options(&self, socket: BorrowedFd<'_>) -> Result<(), Error> {
        let packet = |option, value: i32, doing| {
            sys::set_option(socket, libc::SOL_PACKET, option, &value).map_err(step(doing))
        };
        let version = libc::tpacket_versions::TPACKET_V3 as i32;
        packet(libc::PACKET_VERSION, version, "asking for TPACKET_V3 (Linux 3.2 has it)")?;
        // Makes the kernel stamp each packet once, early, in nanoseconds, the same for all rings.
        sys::set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32)
            .map_err(step("asking for time stamps"))?;
        if self.ignore_outgoing {
            let doing = "leaving out sent packets (PACKET_IGNORE_OUTGOING, Linux 4.20 has it)";
            packet(libc::PACKET_IGNORE_OUTGOING, 1, doing)?;
        }
        if !self.program.is_empty() {
            sys::attach_filter(socket, &self.program).map_err(step("attaching the filter"))?;
        }
        Ok(())
    }

    fn allocate(&self, socket: BorrowedFd<'_>) -> Result<(), Error> {
        let Geometry { block_bytes, blocks, retire_ms } = self.geometry;
        let request = libc::tpacket_req3 {
            tp_block_size: block_bytes,
            tp_block_nr: blocks,
            tp_frame_size: FRAME_BYTES,
            tp_frame_nr: block_bytes / FRAME_BYTES * blocks,
            tp_retire_blk_tov: retire_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        match sys::set_option(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request) {
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                Err(Error::Memory { mib: self.geometry.bytes() >> 20 })
            }
            outcome => outcome.map_err(step("making the ring")),
        }
    }
}

/// Whether this process may capture: opens a packet socket, which hears nothing, and closes it.
///
/// # Errors
/// What is missing, with the remedy.
pub fn check_privilege() -> Result<(), Error> {
    open_socket().map(drop)
}

fn open_socket() -> Result<OwnedFd, Error> {
    // No protocol: until it is bound, the socket hears nothing.
    match socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None) {
        Ok(socket) => Ok(socket),
        Err(Errno::EPERM | Errno::EACCES) => Err(Error::Privilege),
        Err(Errno::EAFNOSUPPORT) => Err(Error::NoPacketSockets),
        Err(error) => Err(step("opening a packet socket")(error.into())),
    }
}

/// Reference-counted by the kernel and gone with the socket, unlike the flag on the interface.
fn join_promiscuous(socket: BorrowedFd<'_>, interface: i32) -> Result<(), Error> {
    let request = libc::packet_mreq {
        mr_ifindex: interface,
        mr_type: u16::try_from(libc::PACKET_MR_PROMISC).expect("the constant is 1"),
        mr_alen: 0,
        mr_address: [0; 8],
    };
    sys::set_option(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
        .map_err(step("asking for promiscuous mode"))
}

fn step(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Step { doing, source }
}

/// A ring that records.
#[derive(Debug)]
pub struct Ring {
    mapping: Mapping,
    ledger: Mutex<Ledger>,
    geometry: Geometry,
}

/// What stands at a sequence number.
#[derive(Debug)]
pub enum Pin<'r> {
    /// It was given back; this is the oldest that is still there (or the next to come).
    Gone(u64),
    /// The kernel has not closed it, or [`Ring::take_closed`] has not seen it.
    NotYet,
    Held(Block<'r>),
}

impl Ring {
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How many blocks are held back from the kernel.
    pub fn held(&self) -> u32 {
        self.ledger().held()
    }

    /// Takes over the next block, if the kernel has closed it.
    pub fn take_closed(&self) -> Option<Header> {
        let mut ledger = self.ledger();
        let slot = ledger.next_slot()?;
        if !handover::is_closed(&self.mapping, slot, ledger.next()) {
            return None;
        }
        let claim = ledger.take_over()?;
        let header = Header::read(self.mapping.block(&claim));
        ledger.unpin(claim);
        header
    }

    /// Gives the oldest held block back to the kernel. False if there is none or it is pinned.
    pub fn give_back_oldest(&self) -> bool {
        let mut ledger = self.ledger();
        let Some(freed) = ledger.give_back_oldest() else { return false };
        // Still under the lock: otherwise `take_closed` on another thread could load the status
        // that stands from before, and the new number once the kernel has opened the block again.
        handover::give_back(&self.mapping, freed);
        true
    }

    /// Pins the block with this sequence number; the first is 1.
    pub fn pin(&self, sequence: u64) -> Pin<'_> {
        match self.ledger().pin(sequence) {
            Lookup::Gone(oldest) => Pin::Gone(oldest),
            Lookup::NotYet => Pin::NotYet,
            Lookup::Held(claim) => Pin::Held(Block { ring: self, claim: Some(claim) }),
        }
    }

    /// Whether no packet waits in the block that the kernel is filling.
    pub fn open_block_is_empty(&self) -> bool {
        let ledger = self.ledger();
        let next = ledger.next();
        ledger.next_slot().is_none_or(|slot| handover::open_packets(&self.mapping, slot, next) == 0)
    }

    /// How many packets the kernel could not put into the ring since the last call.
    ///
    /// # Errors
    /// getsockopt(2) failed.
    pub fn take_drops(&self) -> io::Result<u64> {
        sys::statistics(self.mapping.socket()).map(|statistics| statistics.tp_drops.into())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No code that runs under the lock leaves the ledger half changed.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pinned block: its packets stay readable until this is dropped.
#[derive(Debug)]
pub struct Block<'r> {
    ring: &'r Ring,
    /// Present until the drop, which hands it back.
    claim: Option<Claim>,
}

impl Block<'_> {
    /// Its packets, in the order in which the ring took them.
    pub fn frames(&self) -> Frames<'_> {
        let bytes = self.claim.as_ref().map(|claim| self.ring.mapping.block(claim));
        Frames::new(bytes.unwrap_or_default())
    }

    pub fn sequence(&self) -> u64 {
        self.claim.as_ref().map_or(0, Claim::sequence)
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.ring.ledger().unpin(claim);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::net::UdpSocket;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    /// Enough for twenty laps of the smallest ring.
    const PACKETS: u64 = 10_000;
    const WORDS: usize = 125;

    /// Follows the blocks until nothing more comes. Returns how many it has read.
    fn read_all(ring: &Ring, done: &AtomicBool) -> u64 {
        let (mut sequence, mut blocks, mut last) = (1, 0, None);
        loop {
            let was_done = done.load(Ordering::Acquire);
            match ring.pin(sequence) {
                Pin::Held(block) => {
                    for frame in block.frames() {
                        let (words, _) = frame.data[frame.data.len() - 8 * WORDS..].as_chunks();
                        let number = Some(u64::from_ne_bytes(words[0]));
                        assert!(words.iter().all(|word| *word == words[0]), "a packet is torn");
                        assert!(number > last, "{number:?} comes after {last:?}");
                        last = number;
                    }
                    blocks += 1;
                    sequence += 1;
                }
                Pin::Gone(oldest) => sequence = oldest,
                Pin::NotYet if was_done => return blocks,
                Pin::NotYet => thread::yield_now(),
            }
        }
    }

    /// Keeps few blocks, so that readers fall behind. Returns how many have come.
    fn record(ring: &Ring, done: &AtomicBool) -> u64 {
        let mut blocks = 0;
        while !done.load(Ordering::Acquire) {
            while ring.held() > ring.geometry().keep() / 2 && ring.give_back_oldest() {}
            match ring.take_closed() {
                Some(_header) => blocks += 1,
                None => thread::yield_now(),
            }
        }
        blocks
    }

    fn lap_a_ring_on_loopback() {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            println!("skipped: a network namespace needs root: {error}");
            return;
        }
        let up = ["link", "set", "lo", "up"];
        assert!(std::process::Command::new("ip").args(up).status().unwrap().success());
        let loopback = 1;
        let builder = Builder::new(Geometry::for_memory(0)).ignore_outgoing(true);
        let (ring, done) = (builder.bind(loopback).unwrap(), AtomicBool::new(false));
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.connect(to.local_addr().unwrap()).unwrap();
        thread::scope(|scope| {
            let recorder = scope.spawn(|| record(&ring, &done));
            let readers = [(), ()].map(|()| scope.spawn(|| read_all(&ring, &done)));
            for number in 0..PACKETS {
                from.send(&[number.to_ne_bytes(); WORDS].concat()).unwrap();
            }
            done.store(true, Ordering::Release);
            assert!(recorder.join().unwrap() > 2 * u64::from(ring.geometry().blocks));
            for reader in readers {
                assert!(reader.join().unwrap() > 0);
            }
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs a packet socket")]
    fn two_readers_beside_a_recorder_that_laps_them_read_whole_packets_in_order() {
        // On a thread of its own, which takes its network namespace with it.
        thread::scope(|scope| scope.spawn(lap_a_ring_on_loopback).join().unwrap());
    }
}
