//! Whether there is room on the disk: what is free, less what was promised to captures.

use std::collections::BTreeMap;

use crate::model::{CaptureId, Suppression};

use super::{Ceilings, Space};

/// The last sample of the disk, and what captures may have written since or will still write.
///
/// A sample and the engine's progress come at different instants. So what a running capture may
/// still write is reckoned once, at the sample, from an older progress: too much rather than too
/// little. Bounded by the captures of one or two seconds and those that run.
#[derive(Debug)]
pub(super) struct Room {
    ceilings: Ceilings,
    /// Nothing before the first sample: then the disk counts as empty.
    space: Option<Space>,
    promised: BTreeMap<CaptureId, u64>,
}

impl Room {
    pub(super) const fn new(ceilings: Ceilings) -> Self {
        Self { ceilings, space: None, promised: BTreeMap::new() }
    }

    pub(super) const fn set_ceilings(&mut self, ceilings: Ceilings) {
        self.ceilings = ceilings;
    }

    /// Takes a new sample, with what each running capture may still write.
    pub(super) fn sample(
        &mut self,
        space: Space,
        running: impl IntoIterator<Item = (CaptureId, u64)>,
    ) {
        self.space = Some(space);
        self.promised = running.into_iter().collect();
    }

    /// Why a capture of so many bytes would not fit; nothing where it does.
    pub(super) fn refuses(&self, bytes: u64) -> Option<Suppression> {
        let promised = self.promised.values().fold(bytes, |sum, more| sum.saturating_add(*more));
        let in_spool = self.space.map_or(0, |space| space.spool_bytes);
        if in_spool.saturating_add(promised) > self.ceilings.spool_bytes {
            return Some(Suppression::SpoolCeiling);
        }
        let is_enough =
            |space: Space| space.free_bytes >= self.kept_free(space).saturating_add(promised);
        self.space.is_some_and(|space| !is_enough(space)).then_some(Suppression::DiskCeiling)
    }

    /// A capture of so many bytes begins.
    pub(super) fn promise(&mut self, capture: CaptureId, bytes: u64) {
        self.promised.insert(capture, bytes);
    }

    /// A capture ended and wrote so many bytes in all; the next sample sees them.
    pub(super) fn settle(&mut self, capture: &CaptureId, wrote: u64) {
        if let Some(promised) = self.promised.get_mut(capture) {
            *promised = wrote.min(*promised);
        }
    }

    /// Whether less is free than has to stay so.
    pub(super) fn is_short(&self) -> bool {
        self.space.is_some_and(|space| space.free_bytes < self.kept_free(space))
    }

    fn kept_free(&self, space: Space) -> u64 {
        self.ceilings.free_disk.of(space.total_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::FreeDisk;

    const CEILINGS: Ceilings = Ceilings {
        duration: Duration::from_secs(60),
        bytes: 100,
        concurrent: 10,
        captures_per_hour: 10,
        spool_bytes: 1_000,
        free_disk: FreeDisk::Percent(5),
    };

    fn id(text: &str) -> CaptureId {
        CaptureId::from_text(text)
    }

    fn space(free_bytes: u64, spool_bytes: u64) -> Space {
        Space { free_bytes, total_bytes: 10_000, spool_bytes }
    }

    #[test]
    fn what_running_captures_may_still_write_counts_towards_the_spool() {
        let mut room = Room::new(CEILINGS);
        room.sample(space(9_000, 600), [(id("a"), 200)]);
        assert_eq!(room.refuses(200), None);
        assert_eq!(room.refuses(201), Some(Suppression::SpoolCeiling));
        room.promise(id("b"), 150);
        assert_eq!(room.refuses(51), Some(Suppression::SpoolCeiling));
        assert_eq!(room.refuses(50), None);
        // It wrote little; the next sample sees that little.
        room.settle(&id("b"), 10);
        assert_eq!(room.refuses(190), None);
        assert_eq!(room.refuses(191), Some(Suppression::SpoolCeiling));
        room.sample(space(9_000, 610), []);
        assert_eq!(room.refuses(390), None);
        assert_eq!(room.refuses(391), Some(Suppression::SpoolCeiling));
    }

    #[test]
    fn what_has_to_stay_free_stays_free() {
        let mut room = Room::new(CEILINGS);
        assert_eq!(room.refuses(1_000), None, "nothing is known yet");
        room.sample(space(700, 0), [(id("a"), 100)]);
        assert!(!room.is_short());
        assert_eq!(room.refuses(100), None);
        assert_eq!(room.refuses(101), Some(Suppression::DiskCeiling));
        room.sample(space(500, 0), []);
        assert!(!room.is_short());
        assert_eq!(room.refuses(1), Some(Suppression::DiskCeiling));
        room.sample(space(499, 0), []);
        assert!(room.is_short());
        let bytes = Ceilings { free_disk: FreeDisk::Bytes(499), ..CEILINGS };
        room.set_ceilings(bytes);
        assert!(!room.is_short());
    }

    #[test]
    fn a_share_of_the_largest_file_system_does_not_overflow() {
        assert_eq!(FreeDisk::Percent(100).of(u64::MAX), u64::MAX / 100 * 100);
        assert_eq!(FreeDisk::Percent(5).of(10_000), 500);
    }
}
