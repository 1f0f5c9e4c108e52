//! What lies between the pump and the capture: chunks, and running totals of what was lost.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::chunk::Chunk;
use crate::capture::bell::Bell;
use crate::capture::reader::Loss;
use crate::clock::WallTime;

/// How often a pump that waits for room looks again, should it have missed the bell.
const ROOM_WAIT: Duration = Duration::from_millis(100);

/// Why nothing more comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Stopped,
    /// The file was read to its end.
    File,
    /// The device is gone, or reading failed.
    Lost(String),
}

/// The chunks that the capture has not taken. One thread puts, one takes.
#[derive(Debug)]
pub(super) struct Queue {
    book: Mutex<Book>,
    /// The first chunk is there, or the end.
    begun: Condvar,
    ended: Condvar,
    memory_bytes: u64,
    /// A chunk that finds no room waits for it; otherwise it is lost.
    is_patient: bool,
    stopping: AtomicBool,
    /// Wakes the pump: there is room, or it shall stop.
    pump: Bell,
    /// Wakes the capture.
    news: Arc<Bell>,
}

#[derive(Debug, Default)]
struct Book {
    chunks: VecDeque<Chunk>,
    cost: u64,
    /// Since the source was opened.
    lost: Loss,
    /// The stamp of the very first packet.
    first_at: Option<WallTime>,
    /// When the last look began that found nothing more.
    idle_at: Option<WallTime>,
    end: Option<End>,
}

impl Queue {
    pub(super) fn new(memory_bytes: u64, is_patient: bool, news: Arc<Bell>) -> Self {
        Self {
            book: Mutex::default(),
            begun: Condvar::new(),
            ended: Condvar::new(),
            memory_bytes,
            is_patient,
            stopping: AtomicBool::new(false),
            pump: Bell::default(),
            news,
        }
    }

    /// Puts a chunk at the end. Where there is no room, a patient queue waits for it, until it is
    /// stopped; another counts the packets of the chunk as overrun.
    pub(super) fn put(&self, mut chunk: Chunk) {
        let cost = u64::try_from(chunk.cost()).unwrap_or(u64::MAX);
        let mut book = self.book();
        // The first chunk has room whatever the memory.
        while !book.chunks.is_empty() && book.cost.saturating_add(cost) > self.memory_bytes {
            if !self.is_patient {
                book.lost.overrun += u64::try_from(chunk.packets()).unwrap_or(u64::MAX);
                return;
            }
            if self.is_stopping() {
                return;
            }
            drop(book);
            self.pump.wait(ROOM_WAIT);
            book = self.book();
        }
        chunk.set_lost_before(book.lost);
        book.first_at = book.first_at.or_else(|| chunk.opened_at());
        book.cost += cost;
        book.chunks.push_back(chunk);
        drop(book);
        self.begun.notify_all();
        self.news.ring();
    }

    /// The kernel has dropped so many packets since the source was opened.
    pub(super) fn set_dropped(&self, dropped: u64) {
        self.book().lost.dropped_by_kernel = dropped;
    }

    /// A look that began at this instant found nothing more than what was put.
    pub(super) fn set_idle(&self, at: WallTime) {
        self.book().idle_at = Some(at);
    }

    /// Nothing more will be put.
    pub(super) fn end(&self, end: End) {
        self.book().end = Some(end);
        self.begun.notify_all();
        self.ended.notify_all();
        self.news.ring();
    }

    pub(super) fn take(&self) -> Option<Chunk> {
        let mut book = self.book();
        let chunk = book.chunks.pop_front()?;
        book.cost -= u64::try_from(chunk.cost()).unwrap_or(u64::MAX);
        drop(book);
        if self.is_patient {
            self.pump.ring();
        }
        Some(chunk)
    }

    pub(super) fn next_opened_at(&self) -> Option<WallTime> {
        self.book().chunks.front().and_then(Chunk::opened_at)
    }

    /// All that was lost before the next chunk, or so far.
    pub(super) fn lost_before_next(&self) -> Loss {
        let book = self.book();
        book.chunks.front().map_or(book.lost, Chunk::lost_before)
    }

    /// Whether a look that began at this instant or later found nothing more than what was taken.
    pub(super) fn is_read_up(&self, at: WallTime) -> bool {
        let book = self.book();
        let settled = book.end.is_some() || book.idle_at.is_some_and(|idle_at| idle_at >= at);
        settled && book.chunks.is_empty()
    }

    /// Whether all was read and taken.
    pub(super) fn is_exhausted(&self) -> bool {
        let book = self.book();
        book.end.is_some() && book.chunks.is_empty()
    }

    pub(super) fn lost(&self) -> Option<String> {
        if let Some(End::Lost(why)) = &self.book().end { Some(why.clone()) } else { None }
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.pump.ring();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Lets the pump sleep until it is wanted, or for as long as this.
    pub(super) fn rest(&self, at_most: Duration) {
        self.pump.wait(at_most);
    }

    /// The stamp of the first packet, once it or the end is there.
    pub(super) fn wait_for_first(&self, at_most: Duration) -> Option<WallTime> {
        let nothing = |book: &mut Book| book.first_at.is_none() && book.end.is_none();
        let waited = self.begun.wait_timeout_while(self.book(), at_most, nothing);
        waited.unwrap_or_else(PoisonError::into_inner).0.first_at
    }

    /// Waits until nothing more will be put. False if that takes longer.
    pub(super) fn wait_for_end(&self, at_most: Duration) -> bool {
        let going_on = |book: &mut Book| book.end.is_none();
        let waited = self.ended.wait_timeout_while(self.book(), at_most, going_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.end.is_some()
    }

    #[cfg(test)]
    pub(super) fn idle_at(&self) -> Option<WallTime> {
        self.book().idle_at
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing under the lock can fail half way.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libpcap::{LinkType, Packet};
    use crate::spawn;

    fn chunk(packets: i64) -> Chunk {
        let mut chunk = Chunk::new(LinkType::RawIp);
        for at in 0..packets {
            chunk.push(&Packet { at: WallTime::from_nanos(at), data: &[0; 100], wire_len: 100 });
        }
        chunk
    }

    #[test]
    fn what_finds_no_room_is_counted_before_the_next_that_does() {
        let cost = u64::try_from(chunk(5).cost()).unwrap();
        let queue = Queue::new(2 * cost, false, Arc::default());
        (0..4).for_each(|_| queue.put(chunk(5)));
        assert_eq!(queue.take().unwrap().lost_before(), Loss::default());
        queue.set_dropped(3);
        queue.put(chunk(1));
        assert_eq!(queue.lost_before_next(), Loss::default(), "it was put before the loss");
        assert_eq!(queue.take().unwrap().packets(), 5);
        let lost = Loss { dropped_by_kernel: 3, overrun: 10 };
        assert_eq!(queue.take().unwrap().lost_before(), lost);
        assert!(queue.take().is_none());
        assert_eq!(queue.lost_before_next(), lost);
    }

    #[test]
    fn a_patient_queue_waits_for_room_and_loses_nothing() {
        let queue = Arc::new(Queue::new(0, true, Arc::default()));
        let pump = {
            let queue = Arc::clone(&queue);
            move || {
                (1..=50).for_each(|packets| queue.put(chunk(packets)));
                queue.end(End::File);
            }
        };
        let pump = spawn::thread("test-pump", pump).unwrap();
        let mut taken = 0;
        while !queue.is_exhausted() {
            if let Some(chunk) = queue.take() {
                taken += 1;
                assert_eq!((chunk.packets(), chunk.lost_before()), (taken, Loss::default()));
            } else {
                queue.news.wait(Duration::from_secs(10));
            }
        }
        pump.join().unwrap();
        assert_eq!(taken, 50);
    }

    #[test]
    fn a_stop_ends_the_wait_for_room() {
        let queue = Queue::new(0, true, Arc::default());
        queue.put(chunk(1));
        queue.stop();
        queue.put(chunk(1));
        assert!(queue.take().is_some() && queue.take().is_none());
    }

    #[test]
    fn all_is_read_only_if_a_look_began_late_enough_and_nothing_is_left() {
        let at = WallTime::from_nanos;
        let queue = Queue::new(0, false, Arc::default());
        assert!(!queue.is_read_up(at(5)));
        queue.set_idle(at(5));
        assert!(queue.is_read_up(at(5)) && !queue.is_read_up(at(6)));
        queue.put(chunk(1));
        queue.end(End::Lost("gone".to_owned()));
        assert!(!queue.is_read_up(at(5)));
        assert!(queue.take().is_some());
        assert!(queue.is_read_up(at(6)) && queue.is_exhausted());
        assert_eq!(queue.lost().as_deref(), Some("gone"));
    }
}
