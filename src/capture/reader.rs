//! A cursor over one recorder's log of blocks: from the past into the present without a seam.
//!
//! It pins one block at a time. Blocks that were overwritten before it came to them are a gap, and
//! the gap is an exact count of packets.

use std::sync::Arc;

use crate::capture::bell::Bell;
use crate::capture::log::{Found, Log};
use crate::clock::WallTime;
use crate::ring::Block;

/// A place in a recorder's log.
#[derive(Debug)]
pub(super) struct Reader {
    log: Arc<Log>,
    /// Sequence number of the next block to read.
    next: u64,
    /// Packets of all blocks before it.
    received: u64,
    /// Drops that were told.
    dropped: u64,
    held_from: WallTime,
}

/// One block, and what was lost before it.
#[derive(Debug)]
pub(super) struct Step<'r> {
    pub(super) block: Block<'r>,
    pub(super) loss: Loss,
}

/// Packets that never came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    /// The kernel could not put them into the ring.
    pub(super) dropped_by_kernel: u64,
    /// They were overwritten before they were read.
    pub(super) overrun: u64,
}

impl Reader {
    /// Begins at the block that holds the first packet at or after `from`.
    pub(super) fn new(log: Arc<Log>, from: WallTime, bell: &Arc<Bell>) -> Self {
        let start = log.start(from, bell);
        Self {
            log,
            next: start.sequence,
            received: start.received_before,
            dropped: start.dropped_before,
            held_from: start.held_from,
        }
    }

    /// From here on every packet was held when the reader began.
    pub(super) const fn held_from(&self) -> WallTime {
        self.held_from
    }

    pub(super) const fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// When the block that [`step`](Self::step) will give was opened; none while there is none.
    pub(super) fn next_opened_at(&self) -> Option<WallTime> {
        self.log.opened_at(self.next)
    }

    /// The next block; none while the kernel has not closed it.
    pub(super) fn step(&mut self) -> Option<Step<'_>> {
        let mut overrun = 0;
        loop {
            match self.log.find(self.next) {
                Found::NotYet { .. } => return None,
                Found::Gone(oldest) => {
                    overrun += oldest.received_before - self.received;
                    (self.next, self.received) = (oldest.sequence, oldest.received_before);
                }
                Found::Held(entry, block) => {
                    let dropped_by_kernel = entry.dropped_before - self.dropped;
                    self.next += 1;
                    self.received += u64::from(entry.packets);
                    self.dropped = entry.dropped_before;
                    return Some(Step { block, loss: Loss { dropped_by_kernel, overrun } });
                }
            }
        }
    }

    /// Drops between the last block that was read and the next one, as far as they are known.
    pub(super) fn last_drops(&mut self) -> u64 {
        let dropped = match self.log.find(self.next) {
            Found::NotYet { dropped } => dropped,
            Found::Gone(entry) | Found::Held(entry, _) => entry.dropped_before,
        };
        dropped - std::mem::replace(&mut self.dropped, dropped)
    }

    /// Whether every packet that arrived before this instant was read.
    pub(super) fn is_past(&self, at: WallTime) -> bool {
        match self.next_opened_at() {
            Some(opened_at) => opened_at >= at,
            None => self.log.is_read_up(self.next, at),
        }
    }
}
