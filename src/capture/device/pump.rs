//! The thread between libpcap and the queue: copies packets into chunks.
//!
//! It looks at a live device on a timer, as a recorder does, and so needs no way of its own to be
//! woken by each kind of device. Invariant: it says that it was idle only after all that it has
//! read is in the queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::chunk::Chunk;
use super::queue::{End, Queue};
use crate::capture::interface;
use crate::clock::{self, BootTime};
use crate::libpcap::{Next, Source};

/// How long it rests where a device has nothing. Measured at the recorder: 100 looks a second
/// cost nothing that shows.
pub(super) const PERIOD: Duration = Duration::from_millis(10);

/// How often it makes sure that the interface is still there; libpcap does not always tell.
const INTERFACE_CHECK: Duration = Duration::from_secs(1);

/// Why a chunk is not filled further.
enum Filled {
    Full,
    /// Nothing has come.
    Idle,
    Over(End),
}

/// What the thread has.
#[derive(Debug)]
pub(super) struct Pump {
    source: Source,
    queue: Arc<Queue>,
    name: String,
    /// The index of a device that is an interface.
    index: Option<i32>,
    check_at: BootTime,
    /// When the drop counter is read again, should the device never be idle.
    count_at: BootTime,
    /// The drop counter can be read.
    counts: bool,
}

impl Pump {
    pub(super) fn new(
        source: Source,
        queue: Arc<Queue>,
        (name, index): (String, Option<i32>),
    ) -> Self {
        let now = clock::boot_time();
        let check_at = now + INTERFACE_CHECK;
        Self { source, queue, name, index, check_at, count_at: now, counts: true }
    }

    /// Reads until it is stopped or nothing more comes.
    pub(super) fn run(mut self) {
        // A panic ends the source, and the capture hears it; otherwise it would go on in silence.
        let end = catch_unwind(AssertUnwindSafe(|| self.follow()));
        let failed = |_panic| End::Lost("reading failed inside; the log says where".to_owned());
        self.queue.end(end.unwrap_or_else(failed));
    }

    fn follow(&mut self) -> End {
        loop {
            if self.queue.is_stopping() {
                return End::Stopped;
            }
            let begun = clock::now();
            let mut chunk = Chunk::new(self.source.link_type());
            let filled = self.fill(&mut chunk);
            if chunk.packets() > 0 {
                self.queue.put(chunk);
            }
            match filled {
                Filled::Full if begun.boot < self.count_at => {}
                Filled::Full => self.count(begun.boot),
                Filled::Idle => {
                    self.count(begun.boot);
                    self.queue.set_idle(begun.wall);
                    if self.is_gone(begun.boot) {
                        return End::Lost("the interface is gone".to_owned());
                    }
                    self.queue.rest(PERIOD);
                }
                Filled::Over(end) => {
                    self.count(begun.boot);
                    return end;
                }
            }
        }
    }

    fn fill(&mut self, chunk: &mut Chunk) -> Filled {
        while !chunk.is_full() {
            match self.source.take() {
                Ok(Next::Packet(packet)) => chunk.push(&packet),
                Ok(Next::Idle) => return Filled::Idle,
                Ok(Next::End) => return Filled::Over(End::File),
                Err(error) => return Filled::Over(End::Lost(error.to_string())),
            }
        }
        Filled::Full
    }

    /// Reads the drop counter: what was dropped came after what was put.
    fn count(&mut self, now: BootTime) {
        self.count_at = now + PERIOD;
        if !self.counts {
            return;
        }
        match self.source.counts() {
            Ok(counts) => self.queue.set_dropped(counts.dropped),
            Err(error) => {
                self.counts = false;
                warn!(source = self.name, "losses before libpcap are not counted: {error}");
            }
        }
    }

    fn is_gone(&mut self, now: BootTime) -> bool {
        if self.index.is_none() || now < self.check_at {
            return false;
        }
        self.check_at = now + INTERFACE_CHECK;
        interface::index(&self.name) != self.index
    }
}
