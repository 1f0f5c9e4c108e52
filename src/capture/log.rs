//! What one recorder holds: the ring, and an entry for each held block with running totals.
//!
//! Invariant: under the lock, the entries are exactly the blocks that the ring holds. So a reader
//! that finds its block here can pin it, and what it missed is a difference of running totals.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::capture::bell::Bell;
use crate::capture::opener::Opened;
use crate::capture::rest::{Account, Due, Findings, Name, Readers, Wish};
use crate::clock::{BootTime, Now, WallTime};
use crate::filter::Program;
use crate::ring::{Block, Header, Pin, Ring};

/// The sequence number of a ring's first block.
const FIRST_SEQUENCE: u64 = 1;

/// How far the order of arrival in the ring and the order of time stamps may differ: a packet is
/// stamped by the CPU that receives it, and put into the ring after that.
pub(super) const SETTLE: Duration = Duration::from_millis(10);

/// How often the captures hear of new blocks, if there is no hurry: each wake-up of each of them
/// costs more than reading a block does.
const RING_PERIOD: Duration = Duration::from_millis(20);

/// There is hurry when so many of the ring's blocks came since they heard of any.
const UNHEARD_SHARE: u32 = 16;

/// One held block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    /// When the kernel opened it.
    pub(super) opened_at: WallTime,
    pub(super) last_at: WallTime,
    pub(super) packets: u32,
    pub(super) used_bytes: u32,
    /// Packets of all blocks before it.
    pub(super) received_before: u64,
    /// Packets that the kernel had dropped when it was first seen.
    pub(super) dropped_before: u64,
}

/// What stands at a sequence number.
#[derive(Debug)]
pub(super) enum Found<'l> {
    /// It was overwritten; the oldest entry that is left stands here.
    Gone(Entry),
    /// It has not come yet. Holds what the kernel has dropped so far.
    NotYet {
        dropped: u64,
    },
    Held(Entry, Block<'l>),
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) sequence: u64,
    pub(super) received_before: u64,
    pub(super) dropped_before: u64,
    /// The oldest instant from which on every packet is held.
    pub(super) held_from: WallTime,
    /// The reader's name from now on.
    pub(super) name: Name,
}

/// What came of the wish to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rested {
    Yes,
    /// There is no scout, or no room.
    No,
    /// There is a block to read.
    News,
}

/// Figures for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) memory_bytes: u64,
    pub(super) held_from: WallTime,
    pub(super) held_packets: u64,
    pub(super) held_bytes: u64,
    pub(super) received: u64,
    pub(super) dropped: u64,
    pub(super) readers: u32,
}

#[derive(Debug)]
struct Book {
    entries: VecDeque<Entry>,
    /// Packets of all blocks so far.
    received: u64,
    dropped: u64,
    /// Sequence number of the next block.
    next: u64,
    /// From here on every packet is held.
    held_from: WallTime,
    /// When the last look at the ring began.
    looked_at: WallTime,
    /// Blocks that came since the bells rang, and when they ring at the latest.
    unheard: u32,
    ring_at: BootTime,
    /// The first new block that the kernel has marked as losing, since the last look.
    losing: Option<u64>,
    /// Why nothing more comes, once it is so.
    lost: Option<String>,
    readers: Readers,
}

/// A ring with its entries.
#[derive(Debug)]
pub(super) struct Log {
    ring: Ring,
    /// Of the interface that the ring hears.
    index: i32,
    book: Mutex<Book>,
}

impl Log {
    pub(super) fn new(opened: Opened, at: WallTime) -> Self {
        Self { ring: opened.ring, index: opened.index, book: Mutex::new(Book::new(at)) }
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    pub(super) const fn index(&self) -> i32 {
        self.index
    }

    /// Takes over what the kernel has closed, gives back what is beyond the window, reads the drop
    /// counter and wakes the readers. Returns the number of new blocks. Only for the recorder.
    pub(super) fn look(&self, now: Now) -> io::Result<u32> {
        let mut book = self.book();
        let first_new = book.next;
        let geometry = *self.ring.geometry();
        let mut new = 0;
        // At most one lap, so that the lock is not held for ever.
        while new < geometry.blocks {
            book.give_back(&self.ring, geometry.keep());
            let Some(header) = self.ring.take_closed() else { break };
            book.enter(&header);
            new += 1;
        }
        book.give_back(&self.ring, geometry.keep());
        // After the blocks: what was dropped came before the end of the last of them, or after it.
        let dropped = self.ring.take_drops()?;
        book.lose(first_new, dropped);
        book.looked_at = now.wall;
        book.unheard += new;
        let is_due = now.boot >= book.ring_at || book.unheard >= geometry.blocks / UNHEARD_SHARE;
        if book.unheard > 0 && is_due {
            book.readers.ring();
            book.unheard = 0;
            book.ring_at = now.boot + RING_PERIOD;
        }
        Ok(new)
    }

    /// Nothing more will come.
    pub(super) fn lose(&self, why: String) {
        let mut book = self.book();
        book.lost = Some(why);
        book.readers.ring_all();
    }

    /// Why nothing more comes, if so.
    pub(super) fn lost(&self) -> Option<String> {
        self.book().lost.clone()
    }

    /// Where a reader begins that wants the packets from this instant on. The bell rings for it at
    /// each new block, as long as it is kept.
    pub(super) fn start(&self, from: WallTime, bell: &Arc<Bell>) -> Start {
        let mut book = self.book();
        let name = book.readers.join(bell);
        let reaches = from - SETTLE;
        let first = book.entries.iter().find(|entry| entry.last_at >= reaches);
        let (sequence, received_before, dropped_before) = match first {
            Some(entry) => (entry.sequence, entry.received_before, entry.dropped_before),
            None => (book.next, book.received, book.dropped),
        };
        let held_from = book.held_from.max(from);
        Start { sequence, received_before, dropped_before, held_from, name }
    }

    /// Pins the block with this sequence number.
    pub(super) fn find(&self, sequence: u64) -> Found<'_> {
        let book = self.book();
        let Some(entry) = book.entry_at_or_after(sequence) else {
            return Found::NotYet { dropped: book.dropped };
        };
        match self.ring.pin(entry.sequence) {
            Pin::Held(block) if entry.sequence == sequence => Found::Held(entry, block),
            Pin::Held(_) => Found::Gone(entry),
            Pin::Gone(_) | Pin::NotYet => unreachable!("the entries are the blocks that are held"),
        }
    }

    /// When the block with this number, or the oldest after it, was opened; none while there is
    /// no such block.
    pub(super) fn opened_at(&self, sequence: u64) -> Option<WallTime> {
        self.book().entry_at_or_after(sequence).map(|entry| entry.opened_at)
    }

    /// Whether a look that began at this instant or later found nothing more than the blocks
    /// before `sequence`, and no packet waits in the open block.
    pub(super) fn is_read_up(&self, sequence: u64, at: WallTime) -> bool {
        let book = self.book();
        let settled = book.looked_at >= at || book.lost.is_some();
        settled && sequence >= book.next && self.ring.open_block_is_empty()
    }

    pub(super) fn figures(&self) -> Figures {
        let mut book = self.book();
        Figures {
            memory_bytes: self.ring.geometry().bytes(),
            held_from: book.held_from,
            held_packets: book.entries.iter().map(|entry| u64::from(entry.packets)).sum(),
            held_bytes: book.entries.iter().map(|entry| u64::from(entry.used_bytes)).sum(),
            received: book.received + book.dropped,
            dropped: book.dropped,
            readers: u32::try_from(book.readers.count()).unwrap_or(u32::MAX),
        }
    }

    /// The reader reads no more.
    pub(super) fn leave(&self, name: Name) {
        self.book().readers.leave(name);
    }

    /// Whether this log has no scout though one would save work.
    pub(super) fn lacks_scout(&self) -> bool {
        let mut book = self.book();
        !book.readers.has_scout() && book.readers.is_worth_a_scout()
    }

    /// Lets a reader rest that has read all there is.
    pub(super) fn rest(&self, name: Name, account: Account, wish: &Wish) -> Rested {
        let mut book = self.book();
        if account.next < book.next {
            return Rested::News;
        }
        let is_possible = book.readers.has_scout() && book.readers.is_worth_a_scout();
        match is_possible && book.lost.is_none() && book.readers.rest(name, account, wish) {
            true => Rested::Yes,
            false => Rested::No,
        }
    }

    /// What came by for a resting reader, and whether it was called.
    pub(super) fn ask(&self, name: Name) -> Option<(Account, bool)> {
        self.book().readers.ask(name)
    }

    /// The reader reads again.
    pub(super) fn get_up(&self, name: Name) -> Option<Account> {
        self.book().readers.get_up(name)
    }

    /// A scout hears this bell from now on. False if there is one already.
    pub(super) fn appoint(&self, bell: &Arc<Bell>) -> bool {
        self.book().readers.appoint(bell)
    }

    /// Lets the scout go. False while somebody rests.
    pub(super) fn dismiss(&self) -> bool {
        self.book().readers.dismiss()
    }

    pub(super) fn is_anybody_resting(&self) -> bool {
        self.book().readers.is_anybody_resting()
    }

    /// The next block for the scout.
    pub(super) fn due(&self) -> Option<Due> {
        let book = self.book();
        book.readers.due(book.next)
    }

    /// The programs of those that rest, by seats, and how often they have changed.
    pub(super) fn programs(&self) -> (u64, Vec<Option<Arc<Program>>>) {
        self.book().readers.programs()
    }

    /// Tells what is in a block those that rest before it.
    pub(super) fn settle(&self, findings: &Findings) {
        self.book().readers.settle(findings);
    }

    /// Calls all that rest before this block.
    pub(super) fn call_up_to(&self, sequence: u64) {
        self.book().readers.call_up_to(sequence);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic under the lock can only come from a broken invariant; readers go on with what is
        // there rather than take every capture down.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn new(at: WallTime) -> Self {
        Self {
            entries: VecDeque::new(),
            received: 0,
            dropped: 0,
            next: FIRST_SEQUENCE,
            held_from: at,
            looked_at: at,
            unheard: 0,
            ring_at: BootTime::from_duration(Duration::ZERO),
            losing: None,
            lost: None,
            readers: Readers::default(),
        }
    }

    fn enter(&mut self, header: &Header) {
        self.entries.push_back(Entry {
            sequence: header.sequence,
            opened_at: header.opened_at,
            last_at: header.last_at,
            packets: header.packets,
            used_bytes: header.used_bytes,
            received_before: self.received,
            dropped_before: self.dropped,
        });
        self.received += u64::from(header.packets);
        self.next = header.sequence + 1;
        if header.losing {
            self.losing.get_or_insert(header.sequence);
        }
    }

    /// Enters what was dropped since the last look. The kernel marks the blocks that it closes after
    /// a drop (TP_STATUS_LOSING, `prb_close_block`), until the counter is read: it came before the
    /// packets of the first that is marked, as near as anybody knows. Where none is, it came after
    /// all of them.
    fn lose(&mut self, first_new: u64, dropped: u64) {
        let from = self.losing.take().unwrap_or(self.next).max(first_new);
        self.dropped += dropped;
        let marked = self.entries.iter_mut().rev().take_while(|entry| entry.sequence >= from);
        marked.for_each(|entry| entry.dropped_before += dropped);
    }

    /// Gives blocks back, oldest first, until at most `keep` are held or the oldest is pinned.
    fn give_back(&mut self, ring: &Ring, keep: u32) {
        while ring.held() > keep && ring.give_back_oldest() {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(gone) = self.entries.pop_front() {
            // Not the latest of all stamps: where the clock was set back, that would stand for long.
            self.held_from = gone.last_at;
        }
    }

    fn entry_at_or_after(&self, sequence: u64) -> Option<Entry> {
        let oldest = self.entries.front()?;
        let age = usize::try_from(sequence.saturating_sub(oldest.sequence)).ok()?;
        self.entries.get(age).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_clock_was_set_back_the_window_begins_at_the_oldest_block_again() {
        let at = WallTime::from_nanos;
        let mut book = Book::new(at(900));
        for (sequence, last) in [(1, 1_000), (2, 500)] {
            book.enter(&Header {
                sequence,
                packets: 1,
                used_bytes: 100,
                opened_at: at(last),
                last_at: at(last),
                losing: false,
            });
        }
        book.forget_oldest();
        assert_eq!(book.held_from, at(1_000));
        book.forget_oldest();
        assert_eq!(book.held_from, at(500));
    }
}
