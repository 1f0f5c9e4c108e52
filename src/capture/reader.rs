//! A cursor over one recorder's log of blocks: from the past into the present without a seam.
//!
//! It pins one block at a time. Blocks that were overwritten before it came to them are a gap, and
//! the gap is an exact count of packets.

use std::sync::Arc;

use crate::capture::bell::Bell;
use crate::capture::log::{Found, Log, Rested};
use crate::capture::rest::{Account, Name, Wish};
use crate::capture::scout;
use crate::clock::WallTime;
use crate::ring::Block;

/// A place in a recorder's log.
#[derive(Debug)]
pub(super) struct Reader {
    log: Arc<Log>,
    name: Name,
    /// Sequence number of the next block to read.
    next: u64,
    /// Packets of it that were taken already.
    taken: u32,
    /// Packets of the block that was read last.
    packets: u32,
    /// Packets of all blocks before it, and those that were taken of it.
    received: u64,
    /// Drops that were told.
    dropped: u64,
    held_from: WallTime,
}

/// One block, and what was lost before it.
#[derive(Debug)]
pub(super) struct Step<'r> {
    pub(super) block: Block<'r>,
    /// So many of its packets were taken before.
    pub(super) taken: u32,
    pub(super) loss: Loss,
}

/// What came by while a reader rested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// Packets of the window that the filter does not select.
    pub(super) seen: u64,
    pub(super) loss: Loss,
    /// There may be something in the next block.
    pub(super) is_called: bool,
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
            name: start.name,
            next: start.sequence,
            taken: 0,
            packets: 0,
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
                    self.taken = 0;
                }
                Found::Held(entry, block) => {
                    let dropped_by_kernel = entry.dropped_before - self.dropped;
                    self.next += 1;
                    self.packets = entry.packets;
                    self.received = entry.received_before + u64::from(entry.packets);
                    self.dropped = entry.dropped_before;
                    let taken = std::mem::take(&mut self.taken);
                    return Some(Step { block, taken, loss: Loss { dropped_by_kernel, overrun } });
                }
            }
        }
    }

    /// Goes back into the block of the last step, of which only so many packets were taken: the
    /// next step goes on behind them.
    pub(super) fn put_back(&mut self, taken: u32) {
        let taken = taken.min(self.packets);
        self.next -= 1;
        self.received -= u64::from(self.packets - taken);
        self.taken = taken;
    }

    /// What was lost between the last block that was read and the next one, as far as it is known.
    /// For a reader that ends where it was overrun this is too much, never too little: which of the
    /// overwritten packets came before the end of its window nobody knows any more.
    pub(super) fn last_loss(&mut self) -> Loss {
        let (dropped, received) = match self.log.find(self.next) {
            Found::NotYet { dropped } => (dropped, self.received),
            // Of a block that was put back, packets count as received already.
            Found::Held(entry, _) => (entry.dropped_before, self.received),
            Found::Gone(entry) => (entry.dropped_before, entry.received_before),
        };
        Loss {
            dropped_by_kernel: dropped - std::mem::replace(&mut self.dropped, dropped),
            overrun: received - std::mem::replace(&mut self.received, received),
        }
    }

    /// Rests, if it has read all there is and others read the same log. Its bell is not rung then
    /// for each block, but for one that may hold something for it.
    pub(super) fn rest(&mut self, wish: &Wish) -> Rested {
        if self.log.lacks_scout() {
            scout::start(&self.log);
        }
        let Self { next, received, dropped, .. } = *self;
        self.log.rest(self.name, Account { next, received, dropped, seen: 0 }, wish)
    }

    /// What came by since it rests, or since it asked last.
    pub(super) fn ask(&mut self) -> Option<Passed> {
        let (account, is_called) = self.log.ask(self.name)?;
        Some(Passed { is_called, ..self.pass(account) })
    }

    /// Reads again, behind what came by.
    pub(super) fn get_up(&mut self) -> Option<Passed> {
        let account = self.log.get_up(self.name)?;
        Some(self.pass(account))
    }

    fn pass(&mut self, account: Account) -> Passed {
        let Account { next, received, dropped, seen } = account;
        let dropped_by_kernel = dropped - self.dropped;
        (self.next, self.received, self.dropped) = (next, received, dropped);
        Passed { seen, loss: Loss { dropped_by_kernel, overrun: 0 }, is_called: false }
    }

    /// Whether every packet that arrived before this instant was read.
    pub(super) fn is_past(&self, at: WallTime) -> bool {
        match self.next_opened_at() {
            Some(opened_at) => opened_at >= at,
            None => self.log.is_read_up(self.next, at),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.log.leave(self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;
    use std::time::Duration;

    use nix::sched::{CloneFlags, unshare};

    use super::*;
    use crate::capture::log::SETTLE;
    use crate::capture::opener::{self, Request};
    use crate::clock;
    use crate::filter::{Filter, LinkType, compile};

    /// Runs `body` with a log of the smallest ring there is, which records the loopback device of a
    /// network namespace of its own, and with a function that sends a packet there.
    fn with_log(body: impl FnOnce(&Arc<Log>, &dyn Fn()) + Send) {
        thread::scope(|scope| {
            let inside = || {
                if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
                    println!("skipped: a network namespace needs CAP_SYS_ADMIN: {error}");
                    return;
                }
                let up = ["link", "set", "lo", "up"];
                assert!(std::process::Command::new("ip").args(up).status().unwrap().success());
                let request = Request {
                    interface: "lo".to_owned(),
                    memory_bytes: 0,
                    bytes_per_packet: 0,
                    promiscuous: false,
                    program: Vec::new(),
                };
                let log = Arc::new(Log::new(opener::open(&request).unwrap(), clock::wall_time()));
                let to = UdpSocket::bind("127.0.0.1:0").unwrap();
                let from = UdpSocket::bind("127.0.0.1:0").unwrap();
                from.connect(to.local_addr().unwrap()).unwrap();
                body(&log, &|| assert_eq!(from.send(&[0; 8_000]).unwrap(), 8_000));
            };
            let outcome = scope.spawn(inside).join();
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }

    #[test]
    fn what_was_overwritten_before_the_end_of_the_window_is_counted_though_nothing_follows() {
        with_log(|log, send| {
            let mut reader = Reader::new(Arc::clone(log), clock::wall_time(), &Arc::default());
            for _ in 0..10 {
                send();
            }
            let end = clock::wall_time() + SETTLE;
            thread::sleep(SETTLE);
            // On and on, until nothing is left of the window.
            while reader.next_opened_at().is_none_or(|opened_at| opened_at <= end) {
                send();
                log.look(clock::now()).unwrap();
            }
            assert!(reader.is_past(end));
            let Loss { overrun, dropped_by_kernel } = reader.last_loss();
            assert!(overrun >= 10 && dropped_by_kernel == 0, "{overrun}, {dropped_by_kernel}");
            assert_eq!(reader.last_loss(), Loss::default());
        });
    }

    /// Reads and counts what is there.
    fn read_up(reader: &mut Reader) -> u64 {
        let mut packets = 0;
        while let Some(step) = reader.step() {
            packets += u64::try_from(step.block.frames().count()).unwrap();
        }
        packets
    }

    fn wish(expression: &str) -> Wish {
        let filter = Filter { entries: Vec::new(), expression: Some(expression.to_owned()) };
        let program = compile(&filter, &[], LinkType::Ethernet).unwrap();
        let [from, until] = [i64::MIN, i64::MAX].map(WallTime::from_nanos);
        Wish { from, until, program: Arc::new(program) }
    }

    #[test]
    fn who_rests_is_called_for_the_block_with_its_packets_and_all_others_are_counted() {
        with_log(|log, send| {
            let bells: [Arc<Bell>; 2] = Default::default();
            let [mut tcp, mut udp] =
                bells.each_ref().map(|bell| Reader::new(Arc::clone(log), clock::wall_time(), bell));
            assert_eq!(tcp.rest(&wish("tcp")), Rested::Yes);
            assert_eq!(udp.rest(&wish("udp")), Rested::Yes);
            let mut sent = 0;
            while log.figures().received == 0 {
                send();
                sent += 1;
                log.look(clock::now()).unwrap();
            }
            let patience = Duration::from_secs(10);
            while !udp.ask().unwrap().is_called {
                bells[1].wait(patience);
            }
            assert_eq!(udp.rest(&wish("udp")), Rested::News, "its block is still to be read");
            assert_eq!(udp.get_up().unwrap().seen, 0);
            let mut seen = 0;
            let mut read = 0;
            while seen < sent || read < sent {
                log.look(clock::now()).unwrap();
                read += read_up(&mut udp);
                let passed = tcp.ask().unwrap();
                assert!(!passed.is_called && passed.loss == Loss::default());
                seen += passed.seen;
                thread::yield_now();
            }
            assert_eq!((seen, read), (sent, sent));
            assert_eq!(tcp.get_up().unwrap().seen, 0);
            assert!(tcp.step().is_none() && tcp.is_past(WallTime::from_nanos(0)));
        });
    }

    #[test]
    fn a_reader_that_is_alone_reads_itself() {
        with_log(|log, _send| {
            let bell = Arc::default();
            let mut reader = Reader::new(Arc::clone(log), clock::wall_time(), &bell);
            assert_eq!(reader.rest(&wish("tcp")), Rested::No);
        });
    }
}
