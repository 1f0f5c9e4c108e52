//! How a block passes between the kernel and us: the memory orderings on its status word, and
//! nothing else. Written over [`Mapping`], so that a model of the kernel's memory can stand in for
//! it and every order of events can be tried (`ring/model.rs`).
//!
//! What the model cannot reach is the kernel's side, which these lines of
//! linux/net/packet/af_packet.c hold up:
//!
//! - Closing. Packet bytes are copied under `blk_fill_in_prog_lock`, for which
//!   `prb_retire_current_block` and the timer wait before they close a block. `prb_close_block`
//!   writes the last fields of the descriptor, then `smp_wmb()`, then `prb_flush_block` stores the
//!   status. So an acquire load that sees the status sees all of the block.
//! - Opening. `prb_dispatch_next_block`, or `__packet_lookup_frame_in_block` and the timer on a
//!   frozen queue, load the status, and only where `TP_STATUS_USER` is not in it `prb_open_block`
//!   writes: stores that depend on the load through a branch, which no CPU makes before it. So all
//!   loads that stand before a release store of the status are done when the kernel writes.
//! - Between the two the kernel writes nothing to a block: all that fills one goes through
//!   `pkc->nxt_offset`, which only `prb_open_block` moves to another block, and
//!   `prb_retire_current_block` and the timer close a block only while its status is the kernel's.
//!
//! The descriptor's words are aligned, so the kernel's plain stores to them are single ones.

use std::sync::atomic::Ordering;

use crate::ring::Mapping;
use crate::ring::ledger::Freed;

/// Whether the kernel has closed the block in `slot`, as the one with this sequence number. Not to
/// be asked while the block is being given back: it may come back filled between the two loads.
pub(super) fn is_closed(mapping: &Mapping, slot: u32, sequence: u64) -> bool {
    // Acquire: what the kernel wrote into the block before it stored the status is seen after it.
    // Pairs with the smp_wmb() in prb_close_block().
    let status = mapping.status(slot).load(Ordering::Acquire);
    // Relaxed: ordered by the load above.
    let found = mapping.sequence(slot).load(Ordering::Relaxed);
    status & libc::TP_STATUS_USER != 0 && found == sequence
}

/// How many packets the kernel has begun to put into the block, if it is open under this sequence
/// number: a gauge, of a block that must not be read otherwise.
pub(super) fn open_packets(mapping: &Mapping, slot: u32, sequence: u64) -> u32 {
    // Relaxed: no other memory is read on the strength of either.
    match mapping.sequence(slot).load(Ordering::Relaxed) == sequence {
        true => mapping.packets(slot).load(Ordering::Relaxed),
        false => 0,
    }
}

/// Gives a block back to the kernel.
#[expect(clippy::needless_pass_by_value, reason = "a block is given back once")]
pub(super) fn give_back(mapping: &Mapping, freed: Freed) {
    // Release: all our reads of the block happen before the kernel may write to it again; those of
    // other threads happen before the ledger's mutex was taken to free it. Pairs with the branch on
    // the status in prb_dispatch_next_block() before prb_open_block().
    mapping.status(freed.slot()).store(libc::TP_STATUS_KERNEL, Ordering::Release);
}
