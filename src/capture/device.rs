//! The packets of a device that no ring serves, or of a file, as libpcap gives them.
//!
//! ```text
//! device or file -> pump (a thread) -> queue of chunks, bounded in bytes <- capture's thread
//! ```
//!
//! Seen from the capture this is like a reader of a recorder's log: chunks instead of blocks, a
//! loss before each of them, and a word on whether all that arrived before an instant was given. It
//! has no past: it begins when it is opened. A live device never waits for the capture: what finds
//! no room is lost and counted. A file does wait, and loses nothing.

mod chunk;
mod pump;
mod queue;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::warn;

use crate::capture::bell::Bell;
use crate::capture::budget::{Budget, Share};
use crate::capture::reader::Loss;
use crate::capture::{Error, PrivateSettings, interface, opener};
use crate::clock::{self, WallTime};
use crate::libpcap::{DeviceSettings, LinkType, Source};
use crate::spawn;

pub(super) use chunk::{Chunk, LARGEST_CHUNK_BYTES};
use pump::{PERIOD, Pump, RETIRE, SETTLED};
use queue::Queue;

/// What the chunks of a file may take, in bytes: enough that reading and writing overlap.
const FILE_MEMORY_BYTES: u64 = 1024 * 1024;

/// How long a start waits for the first packet of a file, which says where its window begins; only
/// a pipe that nobody fills takes so long.
const FIRST_PACKET_WAIT: Duration = Duration::from_millis(500);

/// How long a stop waits for the pump; only one that waits for a pipe takes so long.
const STOP_PATIENCE: Duration = Duration::from_millis(150);

/// An open device or file whose packets nobody takes yet.
#[derive(Debug)]
pub(super) struct Opening {
    source: Source,
    name: String,
    /// The index of a live device that is an interface.
    index: Option<i32>,
    is_file: bool,
    memory_bytes: u64,
    memory: Share,
}

/// One device or file of one capture. Dropping it ends the pump soon; [`stop`](Self::stop) waits.
#[derive(Debug)]
pub(super) struct Device {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    name: String,
    link: LinkType,
    held_from: WallTime,
    is_file: bool,
    /// Losses that were told.
    told: Loss,
    /// What was put back, and how many of its packets were taken.
    rest: Option<(Chunk, usize)>,
    /// The latest stamp of what was taken.
    last_at: Option<WallTime>,
    /// The memory of its buffers.
    _memory: Share,
}

/// One chunk, and what was lost before it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) chunk: Chunk,
    /// So many of its packets were taken before.
    pub(super) taken: usize,
    pub(super) loss: Loss,
}

impl Opening {
    /// Opens a live device; half of the memory is the kernel's buffer, half the chunks'.
    pub(super) fn of_device(
        name: &str,
        settings: PrivateSettings,
        budget: &Arc<Budget>,
    ) -> Result<Self, Error> {
        let memory = budget.take("the buffers of a device", settings.memory_bytes)?;
        let index = interface::index(name);
        let source = opener::open_device(&DeviceSettings {
            name: name.to_owned(),
            promiscuous: settings.promiscuous,
            // The filter is evaluated again on what is given, so nothing is cut here.
            bytes_per_packet: 0,
            buffer_bytes: settings.memory_bytes / 2,
            retire: RETIRE,
        })?;
        Ok(Self {
            source,
            name: name.to_owned(),
            index,
            is_file: false,
            memory_bytes: settings.memory_bytes / 2,
            memory,
        })
    }

    /// Opens a file of packets.
    pub(super) fn of_file(path: &Path, budget: &Arc<Budget>) -> Result<Self, Error> {
        let memory = budget.take("the packets of a file", FILE_MEMORY_BYTES)?;
        Ok(Self {
            source: Source::open_file(path)?,
            name: path.display().to_string(),
            index: None,
            is_file: true,
            memory_bytes: FILE_MEMORY_BYTES,
            memory,
        })
    }

    pub(super) const fn link_type(&self) -> LinkType {
        self.source.link_type()
    }

    /// Begins to take packets from `from` on; the bell rings at each new chunk. Of a live device
    /// only those that the expression selects are taken, if possible: that is for speed, and the
    /// capture judges them again.
    pub(super) fn start(
        mut self,
        expression: &str,
        from: WallTime,
        bell: &Arc<Bell>,
    ) -> Result<Device, Error> {
        let link = self.link_type();
        // The kernel sees cooked frames without their VLAN tag, and could refuse what is selected.
        if !self.is_file && !chunk::is_cooked(link) && !expression.is_empty() {
            self.source.filter(expression)?;
        }
        let begun = clock::wall_time();
        let queue = Arc::new(Queue::new(self.memory_bytes, self.is_file, Arc::clone(bell)));
        let pump =
            Pump::new(self.source, Arc::clone(&queue), self.name.clone(), self.index, self.is_file);
        let thread_name = format!("pcap {}", self.name);
        let thread = spawn::thread(&thread_name, move || pump.run())
            .map_err(|source| Error::Thread { name: thread_name, source })?;
        let held_from = if self.is_file {
            queue.wait_for_first(FIRST_PACKET_WAIT).unwrap_or(begun)
        } else {
            begun.max(from)
        };
        Ok(Device {
            queue,
            thread: Some(thread),
            name: self.name,
            link,
            held_from,
            is_file: self.is_file,
            told: Loss::default(),
            rest: None,
            last_at: None,
            _memory: self.memory,
        })
    }
}

impl Device {
    pub(super) const fn link_type(&self) -> LinkType {
        self.link
    }

    /// From here on every packet is given or counted as lost; of a file the stamp of its first.
    pub(super) const fn held_from(&self) -> WallTime {
        self.held_from
    }

    /// The latest stamp of all that was taken.
    pub(super) const fn last_at(&self) -> Option<WallTime> {
        self.last_at
    }

    /// The stamp of the first packet in the chunk that [`step`](Self::step) will give; none while
    /// there is none.
    pub(super) fn next_opened_at(&self) -> Option<WallTime> {
        let rest = self.rest.as_ref().and_then(|(chunk, _taken)| chunk.opened_at());
        rest.or_else(|| self.queue.next_opened_at())
    }

    /// The next chunk; none while there is none.
    pub(super) fn step(&mut self) -> Option<Step> {
        if let Some((chunk, taken)) = self.rest.take() {
            return Some(Step { chunk, taken, loss: Loss::default() });
        }
        let chunk = self.queue.take()?;
        self.last_at = self.last_at.max(chunk.last_at());
        let loss = self.untold(chunk.lost_before());
        Some(Step { chunk, taken: 0, loss })
    }

    /// Takes back the chunk of the last step, of which only so many packets were taken: the next
    /// step goes on behind them.
    pub(super) fn put_back(&mut self, chunk: Chunk, taken: usize) {
        self.rest = Some((chunk, taken));
    }

    /// What was lost between the last chunk that was taken and the next one, as far as it is known.
    pub(super) fn last_loss(&mut self) -> Loss {
        let total = self.queue.lost_before_next();
        self.untold(total)
    }

    /// What of these running totals was not told yet.
    fn untold(&mut self, total: Loss) -> Loss {
        let told = std::mem::replace(&mut self.told, total);
        Loss {
            dropped_by_kernel: total.dropped_by_kernel - told.dropped_by_kernel,
            overrun: total.overrun - told.overrun,
        }
    }

    /// Whether every packet that arrived before this instant was taken. Of a file: every packet.
    pub(super) fn is_past(&self, at: WallTime) -> bool {
        match self.next_opened_at() {
            Some(opened_at) => !self.is_file && opened_at >= at,
            None => self.queue.is_read_up(at + SETTLED),
        }
    }

    /// How long [`is_past`](Self::is_past) may take to become true, at most, while all is well.
    pub(super) const fn settle_time() -> Duration {
        SETTLED.saturating_add(PERIOD)
    }

    /// Why nothing more comes, if that is not how it should be.
    pub(super) fn lost(&self) -> Option<String> {
        self.queue.lost()
    }

    pub(super) const fn is_file(&self) -> bool {
        self.is_file
    }

    /// Whether nothing more comes and all was taken.
    pub(super) fn is_exhausted(&self) -> bool {
        self.rest.is_none() && self.queue.is_exhausted()
    }

    /// Ends the pump and waits for it, but not for ever.
    pub(super) fn stop(mut self) {
        self.queue.stop();
        let Some(thread) = self.thread.take() else { return };
        if !self.queue.wait_for_end(STOP_PATIENCE) {
            warn!(source = self.name, "it is still being read from, and left to itself");
        } else if thread.join().is_err() {
            warn!(source = self.name, "reading from it had stopped unexpectedly");
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.queue.stop();
    }
}

#[cfg(test)]
mod tests;
