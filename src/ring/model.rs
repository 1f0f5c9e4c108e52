//! A model of the kernel and of the memory that it shares, in which loom tries every order of what
//! kernel, recorder and readers do. The ledger, the handover and the methods of [`Ring`] are the
//! real ones. Run by `tests/sanitize loom`.
//!
//! A block's bytes stand in a cell by which loom sees who looks while somebody writes, or with
//! nothing that orders the two. What a reader finds in it is the image of the block that the kernel
//! closed under the sequence number that the reader's thread can see.
//!
//! [`Ring`]: super::Ring

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::ring::geometry::Geometry;
use crate::ring::ledger::Claim;

/// The most blocks that the kernel closes in one run of a model.
const MOST_CLOSED: u64 = 8;

#[derive(Debug)]
struct Slot {
    status: AtomicU32,
    packets: AtomicU32,
    sequence: AtomicU64,
    bytes: UnsafeCell<()>,
}

/// Stands in for the memory of a ring.
#[derive(Debug)]
pub(super) struct Mapping {
    slots: Vec<Slot>,
    /// By sequence number: a block with one packet, which holds that number.
    images: Vec<Vec<u8>>,
    socket: OwnedFd,
}

impl Mapping {
    #[expect(clippy::unnecessary_wraps, reason = "the real one can fail")]
    pub(super) fn new(socket: OwnedFd, geometry: &Geometry) -> io::Result<Self> {
        let slot = |_slot| Slot {
            status: AtomicU32::new(libc::TP_STATUS_KERNEL),
            packets: AtomicU32::new(0),
            sequence: AtomicU64::new(0),
            bytes: UnsafeCell::new(()),
        };
        let slots = (0..geometry.blocks).map(slot).collect();
        Ok(Self { slots, images: (0..=MOST_CLOSED).map(image).collect(), socket })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn slot(&self, slot: u32) -> &Slot {
        &self.slots[usize::try_from(slot).expect("a slot is a small number")]
    }

    pub(super) fn status(&self, slot: u32) -> &AtomicU32 {
        &self.slot(slot).status
    }

    pub(super) fn packets(&self, slot: u32) -> &AtomicU32 {
        &self.slot(slot).packets
    }

    pub(super) fn sequence(&self, slot: u32) -> &AtomicU64 {
        &self.slot(slot).sequence
    }

    /// A look at the bytes of a claimed block.
    pub(super) fn block<'a>(&'a self, claim: &'a Claim) -> &'a [u8] {
        let slot = self.slot(claim.slot());
        slot.bytes.with(|_bytes| ());
        let sequence = slot.sequence.load(Ordering::Relaxed);
        &self.images[usize::try_from(sequence).expect("sequence numbers are small")]
    }

    /// The kernel opens the block of a sequence number, fills and closes it. False: it is not the
    /// kernel's, the queue is frozen.
    #[cfg(test)]
    pub(super) fn fill(&self, sequence: u64) -> bool {
        let place = usize::try_from(sequence - 1).expect("sequence numbers are small");
        let slot = &self.slots[place % self.slots.len()];
        // prb_dispatch_next_block. Acquire stands for the branch between this load and the stores.
        if slot.status.load(Ordering::Acquire) & libc::TP_STATUS_USER != 0 {
            return false;
        }
        // prb_open_block
        slot.sequence.store(sequence, Ordering::Relaxed);
        slot.packets.store(0, Ordering::Relaxed);
        slot.bytes.with_mut(|_bytes| ());
        // prb_fill_curr_block
        slot.packets.store(1, Ordering::Relaxed);
        // prb_close_block. Release stands for its smp_wmb().
        slot.status.store(libc::TP_STATUS_USER, Ordering::Release);
        true
    }
}

/// A closed block as the kernel makes it, with one packet of 8 bytes: the sequence number.
fn image(sequence: u64) -> Vec<u8> {
    let packet = 48 + 72;
    let mut block = vec![0; packet + 8];
    let mut put = |offset: usize, bytes: &[u8]| {
        block[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    for (offset, value) in [(12, 1_u32), (16, 48), (20, 128), (48 + 12, 8), (48 + 16, 8)] {
        put(offset, &value.to_ne_bytes());
    }
    put(24, &sequence.to_ne_bytes());
    put(48 + 24, &72_u16.to_ne_bytes());
    put(packet, &sequence.to_ne_bytes());
    block
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use loom::model::Builder;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::*;
    use crate::ring::ledger::Ledger;
    use crate::ring::{Block, Pin, Ring};

    /// More switches from a thread that could go on than a mistake in so small a protocol needs.
    const PREEMPTIONS: usize = 3;

    fn explore(run: impl Fn() + Send + Sync + 'static) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        builder.check(run);
    }

    fn ring(blocks: u32) -> Arc<Ring> {
        let geometry = Geometry { block_bytes: 4096, blocks, retire_ms: 100 };
        let socket = File::open("/dev/null").unwrap().into();
        let mapping = Mapping::new(socket, &geometry).unwrap();
        Arc::new(Ring { mapping, ledger: Mutex::new(Ledger::new(blocks)), geometry })
    }

    /// Fills blocks in order, in so many attempts.
    fn kernel(ring: &Ring, attempts: u32) {
        let mut next = 1;
        for _ in 0..attempts {
            if ring.mapping.fill(next) {
                next += 1;
            }
            thread::yield_now();
        }
    }

    /// Keeps at most `keep` blocks, in so many rounds.
    fn recorder(ring: &Ring, keep: u32, rounds: u32) {
        let mut next = 1;
        for _ in 0..rounds {
            if ring.held() > keep {
                ring.give_back_oldest();
            }
            if let Some(header) = ring.take_closed() {
                assert_eq!(header.sequence, next, "no block is passed over or taken twice");
                next += 1;
            }
            thread::yield_now();
        }
    }

    /// Reads the block twice, as a reader that is interrupted in the middle of it does.
    fn read(block: &Block<'_>) {
        for _ in 0..2 {
            let mut frames = block.frames();
            let frame = frames.next().unwrap();
            assert_eq!(frame.data, block.sequence().to_ne_bytes());
            assert_eq!(frames.next(), None);
        }
    }

    fn reader(ring: &Ring, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            if let Pin::Held(block) = ring.pin(sequence) {
                read(&block);
            }
        }
    }

    #[test]
    fn a_reader_finds_in_a_pinned_block_what_was_closed_while_the_kernel_laps_the_ring() {
        explore(|| {
            let ring = ring(2);
            let threads = [
                thread::spawn({
                    let ring = ring.clone();
                    move || kernel(&ring, 4)
                }),
                thread::spawn({
                    let ring = ring.clone();
                    move || reader(&ring, [1, 2, 3])
                }),
            ];
            recorder(&ring, 1, 4);
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn two_readers_of_one_block_both_keep_it() {
        explore(|| {
            let ring = ring(1);
            assert!(ring.mapping.fill(1));
            assert!(ring.take_closed().is_some());
            let readers = [(), ()].map(|()| {
                let ring = ring.clone();
                thread::spawn(move || reader(&ring, [1]))
            });
            let kernel = thread::spawn({
                let ring = ring.clone();
                move || ring.mapping.fill(2)
            });
            ring.give_back_oldest();
            for reader in readers {
                reader.join().unwrap();
            }
            kernel.join().unwrap();
        });
    }

    #[test]
    fn a_block_that_is_being_given_back_is_not_taken_over_again_unfilled() {
        explore(|| {
            let ring = ring(1);
            assert!(ring.mapping.fill(1));
            assert!(ring.take_closed().is_some());
            let giver = thread::spawn({
                let ring = ring.clone();
                move || ring.give_back_oldest()
            });
            let kernel = thread::spawn({
                let ring = ring.clone();
                move || ring.mapping.fill(2)
            });
            if let Some(header) = ring.take_closed() {
                assert_eq!(header.sequence, 2);
            }
            reader(&ring, [2]);
            assert!(giver.join().unwrap());
            kernel.join().unwrap();
        });
    }
}
