//! The kernel boundary: socket options that nix does not know, and the memory that is shared with
//! the kernel. The only unsafe code of the crate.
//!
//! Protocol of a block (linux/net/packet/af_packet.c): its status word says whose it is. While the
//! kernel's, it is written under our feet and nothing but gauges is read. Once the user's, the
//! kernel writes no byte of it until the word is set back. A slice over a block therefore needs a
//! [`Claim`], and `handover`, the only one to touch the words, sets one back for a `Freed` alone;
//! the ledger sees to it that the two never exist for one block at a time.
#![expect(unsafe_code, reason = "the kernel shares its ring as raw memory")]
#![cfg_attr(loom, expect(dead_code, reason = "a model stands in for the mapping"))]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::ring::Instruction;
use crate::ring::geometry::Geometry;
use crate::ring::ledger::Claim;

/// Where `block_status`, `num_pkts` and `seq_num` stand in `struct tpacket_block_desc`, in bytes.
const STATUS: usize = 8;
const PACKETS: usize = 12;
const SEQUENCE: usize = 24;

/// Sets a socket option whose value is plain data.
pub(super) fn set_option<T: Copy>(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &T,
) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // JUSTIFICATION: nix knows none of the packet socket options.
    // SAFETY: setsockopt(2) reads `size` bytes at the pointer; `value` is that large and lives
    // beyond the call. The descriptor is borrowed, so it is open.
    let outcome = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, ptr::from_ref(value).cast(), size)
    };
    check(outcome)
}

/// Attaches a classic BPF program, which the kernel checks.
pub(super) fn attach_filter(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|step| libc::sock_filter { code: step.code, jt: step.jt, jf: step.jf, k: step.k })
        .collect();
    // The kernel copies the program out before setsockopt returns, so the pointer in the value
    // need not outlive this function.
    let value = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_mut_ptr(),
    };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &value)
}

/// Asks for huge pages in the place of small ones, where the memory is not in use yet.
pub(super) fn prefer_huge_pages(memory: &mut [u8]) -> io::Result<()> {
    // JUSTIFICATION: nix's madvise is unsafe as well, since other advice loses what is in memory.
    // SAFETY: madvise(2) takes a range of pages; the slice is ours alone, and this advice changes
    // neither its content nor its addresses. An address within a page is refused with EINVAL.
    let outcome =
        unsafe { libc::madvise(memory.as_mut_ptr().cast(), memory.len(), libc::MADV_HUGEPAGE) };
    check(outcome)
}

/// Reads PACKET_STATISTICS, which also sets the kernel's counters back to zero.
pub(super) fn statistics(socket: BorrowedFd<'_>) -> io::Result<libc::tpacket_stats_v3> {
    let mut value = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut size = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // JUSTIFICATION: nix knows none of the packet socket options.
    // SAFETY: getsockopt(2) writes at most `size` bytes at the pointer, which is the size of
    // `value`; each pattern of bits is a valid value of its integers. Both outlive the call.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    check(outcome)?;
    Ok(value)
}

/// Binds to all protocols of one interface: from here on packets come.
pub(super) fn bind(socket: BorrowedFd<'_>, interface: c_int) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?.to_be(),
        sll_ifindex: interface,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let size = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // JUSTIFICATION: nix cannot make a link-layer address to bind to.
    // SAFETY: bind(2) reads `size` bytes at the pointer; `address` is that large and lives beyond
    // the call. The descriptor is borrowed, so it is open.
    let outcome = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    check(outcome)
}

fn check(outcome: c_int) -> io::Result<()> {
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Tells the CPU that the bytes at an offset will be wanted soon. The offset may lie anywhere.
#[inline]
pub(super) fn prefetch(bytes: &[u8], offset: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        let place = bytes.as_ptr().wrapping_add(offset);
        // JUSTIFICATION: the safe function for it is not in stable Rust.
        // SAFETY: a hint: the address is not dereferenced, one that is not mapped does nothing. The
        // instruction is part of SSE, which each x86_64 CPU has.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = (bytes, offset);
}

/// The ring's memory, and the socket that keeps it alive.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    block_bytes: usize,
    /// Closed after the memory is unmapped: fields are dropped after `drop` has run.
    socket: OwnedFd,
}

// JUSTIFICATION: recorder and readers are threads of their own, and a raw pointer is not `Send`.
// SAFETY: the mapping belongs to the process, not to a thread; nothing in it is thread-local.
unsafe impl Send for Mapping {}

// JUSTIFICATION: as above.
// SAFETY: through a shared reference the memory is read with atomics, or as a slice over a claimed
// block, which nobody writes to; the only write is the atomic store of `handover::give_back`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the ring that was set up on `socket` with these measures.
    pub(super) fn new(socket: OwnedFd, geometry: &Geometry) -> io::Result<Self> {
        let bytes = usize::try_from(geometry.bytes()).map_err(io::Error::other)?;
        let block_bytes = usize::try_from(geometry.block_bytes).map_err(io::Error::other)?;
        let (read_write, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // JUSTIFICATION: the ring is only reachable through mmap(2).
        // SAFETY: with a null hint and without MAP_FIXED the kernel picks unused addresses, so no
        // memory of ours is touched; the descriptor is open.
        let base = unsafe {
            libc::mmap(ptr::null_mut(), bytes, read_write, shared, socket.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at null"))?;
        Ok(Self { base, bytes, block_bytes, socket })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd as _;
        self.socket.as_fd()
    }

    /// Where a field of a block's descriptor lies; the assertion keeps it inside the mapping.
    fn field(&self, slot: u32, offset: usize, size: usize) -> *mut u8 {
        let start = usize::try_from(slot).ok().and_then(|slot| slot.checked_mul(self.block_bytes));
        let start = start.and_then(|start| start.checked_add(offset)).unwrap_or(usize::MAX);
        assert!(start.saturating_add(size) <= self.bytes, "block {slot} lies inside the ring");
        self.base.as_ptr().wrapping_add(start)
    }

    /// Whose the block is: `TP_STATUS_*` bits.
    pub(super) fn status(&self, slot: u32) -> &AtomicU32 {
        self.word(slot, STATUS)
    }

    /// How many packets were put into the block.
    pub(super) fn packets(&self, slot: u32) -> &AtomicU32 {
        self.word(slot, PACKETS)
    }

    fn word(&self, slot: u32, offset: usize) -> &AtomicU32 {
        let word = self.field(slot, offset, size_of::<u32>()).cast();
        // JUSTIFICATION: the kernel writes the word at any time, so it must be read as an atomic.
        // SAFETY: `field` checked that the word lies in the mapping, which lives as long as `self`;
        // blocks are page-aligned and the offsets multiples of 4. On our side the word of a block
        // that the kernel owns is only ever accessed as an atomic.
        unsafe { AtomicU32::from_ptr(word) }
    }

    /// The number under which the kernel opened the block.
    pub(super) fn sequence(&self, slot: u32) -> &AtomicU64 {
        let word = self.field(slot, SEQUENCE, size_of::<u64>()).cast();
        // JUSTIFICATION: the kernel writes the number when it opens a block.
        // SAFETY: as in `word`; the offset is a multiple of 8.
        unsafe { AtomicU64::from_ptr(word) }
    }

    /// The bytes of a claimed block.
    pub(super) fn block<'a>(&'a self, claim: &'a Claim) -> &'a [u8] {
        let start = self.field(claim.slot(), 0, self.block_bytes);
        // JUSTIFICATION: copying each block out first would double the memory traffic.
        // SAFETY: `field` checked that the whole block lies in the mapping, which `self` keeps
        // alive. The claim says that the kernel has closed the block (seen with an acquire load
        // by the thread that took it over; the ledger's mutex passes that on) and that it will not
        // be given back while the claim, borrowed for as long as the slice, is out. Until then
        // neither the kernel nor we write to it, so a shared slice of initialised bytes is sound.
        unsafe { slice::from_raw_parts(start, self.block_bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // JUSTIFICATION: memory that mmap(2) gave is only taken back by munmap(2).
        // SAFETY: base and length are those of the mapping; slices over it borrow `self`, so none
        // is left. munmap fails only for arguments that are not a mapping.
        let _outcome: c_int = unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
