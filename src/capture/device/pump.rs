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

/// How long the kernel gathers packets before it hands them over: a capture may have to wait for
/// two of these before it knows that nothing is left.
pub(super) const RETIRE: Duration = Duration::from_millis(25);

/// How long after an instant the pump has to find nothing, so that all that arrived before the
/// instant is known to be given.
pub(super) const SETTLED: Duration = RETIRE.saturating_mul(2).saturating_add(PERIOD);

/// Why nothing more comes of an interface that is no more.
const GONE: &str = "the interface is gone";

/// Why a chunk is not filled further.
enum Filled {
    Full,
    /// Nothing has come.
    Idle,
    /// The file was read to its end.
    Over,
    Failed(String),
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
    gone: bool,
    /// What is wrong with the device, and since when.
    trouble: Option<(String, BootTime)>,
    is_file: bool,
    /// When the drop counter is read again, should the device never be idle.
    count_at: BootTime,
    /// The drop counter can be read.
    counts: bool,
}

impl Pump {
    /// `index` is that of a device that is an interface.
    pub(super) fn new(
        source: Source,
        queue: Arc<Queue>,
        name: String,
        index: Option<i32>,
        is_file: bool,
    ) -> Self {
        let now = clock::boot_time();
        Self {
            source,
            queue,
            name,
            index,
            check_at: now + INTERFACE_CHECK,
            gone: false,
            trouble: None,
            is_file,
            count_at: now,
            counts: true,
        }
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
            let trouble = match filled {
                Filled::Full if begun.boot < self.count_at => continue,
                Filled::Full => {
                    self.count(begun.boot);
                    continue;
                }
                Filled::Idle => self.is_gone(begun.boot).then(|| GONE.to_owned()),
                Filled::Over => return End::File,
                Filled::Failed(why) => Some(why),
            };
            self.count(begun.boot);
            if let Some(why) = self.outlasts(trouble, begun.boot) {
                return End::Lost(why);
            }
            if self.trouble.is_none() {
                self.queue.set_idle(begun.wall);
            }
            self.queue.rest(PERIOD);
        }
    }

    /// A device in trouble may have packets left: the kernel hands over what it has gathered when
    /// its time is up, though the device is gone. So it is lost only when trouble lasts.
    fn outlasts(&mut self, trouble: Option<String>, now: BootTime) -> Option<String> {
        let Some(why) = trouble else {
            self.trouble = None;
            return None;
        };
        let (first, since) = self.trouble.get_or_insert((why, now));
        (self.is_file || now.since(*since) >= SETTLED).then(|| first.clone())
    }

    fn fill(&mut self, chunk: &mut Chunk) -> Filled {
        while !chunk.is_full() {
            match self.source.take() {
                Ok(Next::Packet(packet)) => chunk.push(&packet),
                Ok(Next::Idle) => return Filled::Idle,
                Ok(Next::End) => return Filled::Over,
                Err(error) => return Filled::Failed(error.to_string()),
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
        if self.index.is_some() && now >= self.check_at {
            self.check_at = now + INTERFACE_CHECK;
            // Another one may get its name; this one does not come back.
            self.gone |= interface::index(&self.name) != self.index;
        }
        self.gone
    }
}
