//! How a memory budget becomes a ring: size and number of blocks, and the time after which the
//! kernel closes a block that is not full. Pure.

use std::time::Duration;

/// The block size that is wanted: a block holds the largest coalesced packet (64 KiB) with room to
/// spare, and is small enough that many of them make a fine-grained window.
const BLOCK_BYTES: u32 = 128 * 1024;

/// Blocks are not made smaller than this: 16 KiB holds a jumbo frame of 9,000 bytes.
const MIN_BLOCK_BYTES: u32 = 16 * 1024;

/// Blocks are not made larger than this, which bounds a ring to 64 GiB.
const MAX_BLOCK_BYTES: u32 = 1024 * 1024;

/// Fewer blocks would leave no window beside the reserve.
const MIN_BLOCKS: u32 = 32;

/// The kernel counts blocks in 16 bits (`kactive_blk_num`): blocks beyond them are never used, and
/// sequence numbers no longer tell the place of a block.
const MAX_BLOCKS: u32 = 65_535;

/// Blocks that stay free beyond the quarter that the kernel looks ahead (see [`Geometry::keep`]):
/// at least so many, and one in so many of the ring.
const SLACK_BLOCKS: u32 = 8;
const SLACK_SHARE: u32 = 8;

/// The window that trickling traffic shall reach, in which every block is closed by the timer.
const TRICKLE_WINDOW: Duration = Duration::from_secs(30);

/// The shortest and the longest time before an open block is closed. A stop waits for it, so it
/// stays below what people notice.
const RETIRE_MS: (u32, u32) = (100, 250);

/// The measures of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size of a block in bytes: a power of two, a multiple of the page size.
    pub block_bytes: u32,
    /// Number of blocks, 32 to 65,535.
    pub blocks: u32,
    /// After how many milliseconds the kernel closes a block that holds a packet.
    pub retire_ms: u32,
}

impl Geometry {
    /// The ring that fits into `memory` bytes. Budgets below 512 KiB are raised to it.
    pub fn for_memory(memory: u64) -> Self {
        let mut block_bytes = BLOCK_BYTES;
        while block_bytes > MIN_BLOCK_BYTES && memory / u64::from(block_bytes) < MIN_BLOCKS.into() {
            block_bytes /= 2;
        }
        while memory / u64::from(block_bytes) > MAX_BLOCKS.into() && block_bytes < MAX_BLOCK_BYTES {
            block_bytes *= 2;
        }
        let blocks = u32::try_from(memory / u64::from(block_bytes)).unwrap_or(u32::MAX);
        let blocks = blocks.clamp(MIN_BLOCKS, MAX_BLOCKS);
        let wanted = TRICKLE_WINDOW.as_millis() / u128::from(keep(blocks));
        let retire_ms = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(RETIRE_MS.0, RETIRE_MS.1);
        Self { block_bytes, blocks, retire_ms }
    }

    /// Size of the whole ring in bytes.
    pub fn bytes(&self) -> u64 {
        u64::from(self.block_bytes) * u64::from(self.blocks)
    }

    /// The most blocks that may be held back from the kernel. While block `active + N/4` is held,
    /// `tpacket_rcv` finds the ring low on room and looks at the active block instead, in a race
    /// with its closing on another CPU, and drops packets though blocks are free.
    pub fn keep(&self) -> u32 {
        keep(self.blocks)
    }

    /// The blocks that the kernel can fill before it finds the ring low on room, while nobody gives
    /// any back. Beyond them it loses single packets, though a quarter of the ring is still free.
    pub fn slack(&self) -> u32 {
        slack(self.blocks)
    }

    /// The longest time between a packet's arrival and the closing of its block: the timer of newer
    /// kernels runs free, older ones arm it when the block is opened.
    pub fn retire(&self) -> Duration {
        Duration::from_millis(self.retire_ms.into())
    }
}

const fn keep(blocks: u32) -> u32 {
    blocks - blocks / 4 - slack(blocks)
}

const fn slack(blocks: u32) -> u32 {
    let share = blocks / SLACK_SHARE;
    if share > SLACK_BLOCKS { share } else { SLACK_BLOCKS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_budget_reaches_back_30_seconds_over_a_trickle() {
        let geometry = Geometry::for_memory(64 << 20);
        assert_eq!((geometry.block_bytes, geometry.blocks), (128 * 1024, 512));
        let window = u64::from(geometry.keep()) * u64::from(geometry.retire_ms);
        assert!(window >= 30_000, "{window} ms");
        assert_eq!(geometry.retire_ms, 100);
    }

    proptest! {
        #[test]
        fn every_budget_gives_a_ring_that_the_kernel_takes_and_that_has_a_reserve(
            memory in 0_u64..1 << 42
        ) {
            let ring = Geometry::for_memory(memory);
            prop_assert!(ring.block_bytes.is_power_of_two() && ring.block_bytes >= 16 * 1024);
            prop_assert!((32..=65_535).contains(&ring.blocks));
            prop_assert!(ring.bytes() <= memory.max(512 * 1024));
            prop_assert!(ring.keep() >= 16);
            prop_assert!(ring.blocks - ring.keep() >= ring.blocks / 4 + ring.slack());
            prop_assert!(ring.slack() >= 8);
            prop_assert!((100..=250).contains(&ring.retire_ms));
        }

        #[test]
        fn little_of_a_budget_is_wasted(memory in 512_u64 * 1024..8 << 30) {
            let ring = Geometry::for_memory(memory);
            prop_assert!(ring.bytes() + u64::from(ring.block_bytes) > memory);
        }
    }
}
