//! Which blocks of a ring are ours, and who reads them. Pure bookkeeping, and the ground on which
//! the safety of every slice over ring memory stands:
//!
//! - a [`Claim`] exists only for a block that was taken over from the kernel and was not given back;
//! - a [`Freed`] exists only for a block that no claim is out for, and it leaves the ledger with it.
//!
//! Neither can be copied or made elsewhere. Blocks are taken over and given back strictly in order,
//! because the kernel fills and looks at them in order only.

use std::collections::VecDeque;

/// The first sequence number that the kernel gives (`prb_setup_retire_blk`, `knxt_seq_num = 1`).
pub(super) const FIRST_SEQUENCE: u64 = 1;

/// The right to read one block. Goes back through [`Ledger::unpin`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    sequence: u64,
    slot: u32,
}

impl Claim {
    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) const fn slot(&self) -> u32 {
        self.slot
    }
}

/// The duty to give one block back to the kernel.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the block is lost to the kernel unless it is given back"]
pub(super) struct Freed {
    slot: u32,
}

impl Freed {
    pub(super) const fn slot(&self) -> u32 {
        self.slot
    }
}

/// What stands at a sequence number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It was given back; this is the oldest that is still there (or the next to come).
    Gone(u64),
    /// The kernel has not closed it yet.
    NotYet,
    Held(Claim),
}

/// The blocks between the oldest held one and the next that the kernel will close.
#[derive(Debug)]
pub(super) struct Ledger {
    blocks: u32,
    /// Sequence number of the next block to take over.
    next: u64,
    /// For each held block, oldest first, how many claims are out.
    held: VecDeque<u32>,
}

impl Ledger {
    pub(super) fn new(blocks: u32) -> Self {
        Self { blocks, next: FIRST_SEQUENCE, held: VecDeque::new() }
    }

    /// Sequence number of the next block to take over.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Where the next block lies; none while all blocks are held.
    pub(super) fn next_slot(&self) -> Option<u32> {
        (self.held() < self.blocks).then(|| self.slot(self.next))
    }

    /// How many blocks are held.
    pub(super) fn held(&self) -> u32 {
        u32::try_from(self.held.len()).unwrap_or(u32::MAX)
    }

    fn oldest(&self) -> u64 {
        self.next - u64::from(self.held())
    }

    fn slot(&self, sequence: u64) -> u32 {
        let slot = (sequence - FIRST_SEQUENCE) % u64::from(self.blocks);
        u32::try_from(slot).expect("a remainder is below its u32 divisor")
    }

    /// Takes over the next block, which the caller saw closed by the kernel, and claims it.
    pub(super) fn take_over(&mut self) -> Option<Claim> {
        let slot = self.next_slot()?;
        self.held.push_back(1);
        self.next += 1;
        Some(Claim { sequence: self.next - 1, slot })
    }

    /// Claims a block.
    pub(super) fn pin(&mut self, sequence: u64) -> Lookup {
        let oldest = self.oldest();
        if sequence >= self.next {
            return Lookup::NotYet;
        }
        let Some(age) = sequence.checked_sub(oldest) else { return Lookup::Gone(oldest) };
        let slot = self.slot(sequence);
        let position = usize::try_from(age).unwrap_or(usize::MAX);
        let claims =
            self.held.get_mut(position).expect("blocks from the oldest to the next are held");
        *claims = claims.checked_add(1).expect("each claim belongs to a thread, fewer than 2^32");
        Lookup::Held(Claim { sequence, slot })
    }

    /// Takes a claim back.
    #[expect(clippy::needless_pass_by_value, reason = "the claim ends here")]
    pub(super) fn unpin(&mut self, claim: Claim) {
        let age = claim.sequence.checked_sub(self.oldest());
        let position = age.and_then(|age| usize::try_from(age).ok());
        let claims = position
            .and_then(|position| self.held.get_mut(position))
            .expect("a claimed block is not given back");
        *claims = claims.checked_sub(1).expect("each claim was counted when it was made");
    }

    /// Lets go of the oldest block, unless it is claimed or there is none.
    pub(super) fn give_back_oldest(&mut self) -> Option<Freed> {
        let slot = self.slot(self.oldest());
        match self.held.front() {
            Some(0) => {
                self.held.pop_front();
                Some(Freed { slot })
            }
            Some(_) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(ledger: &mut Ledger) -> u32 {
        let claim = ledger.take_over().unwrap();
        let slot = claim.slot();
        ledger.unpin(claim);
        slot
    }

    #[test]
    fn blocks_come_round_robin_and_never_more_than_there_are() {
        let mut ledger = Ledger::new(4);
        assert_eq!([0, 1, 2, 3].map(|_| take(&mut ledger)), [0, 1, 2, 3]);
        assert_eq!(ledger.take_over(), None);
        assert_eq!(ledger.give_back_oldest(), Some(Freed { slot: 0 }));
        assert_eq!(take(&mut ledger), 0);
    }

    #[test]
    fn a_claimed_block_is_not_given_back_until_its_last_claim_is() {
        let mut ledger = Ledger::new(4);
        take(&mut ledger);
        let (Lookup::Held(one), Lookup::Held(two)) = (ledger.pin(1), ledger.pin(1)) else {
            panic!("block 1 is held");
        };
        assert_eq!(ledger.give_back_oldest(), None);
        ledger.unpin(one);
        assert_eq!(ledger.give_back_oldest(), None);
        ledger.unpin(two);
        assert_eq!(ledger.give_back_oldest(), Some(Freed { slot: 0 }));
    }

    #[test]
    fn the_past_is_gone_and_the_future_is_not_yet() {
        let mut ledger = Ledger::new(4);
        assert_eq!(ledger.pin(1), Lookup::NotYet);
        take(&mut ledger);
        take(&mut ledger);
        let _freed = ledger.give_back_oldest().unwrap();
        assert_eq!(ledger.pin(1), Lookup::Gone(2));
        assert_eq!(ledger.pin(3), Lookup::NotYet);
    }

    proptest! {
        #[test]
        fn no_history_gives_back_a_claimed_block_or_claims_one_that_was_given_back(
            steps in prop::collection::vec((0_u8..4, 0_u64..12), 1..400)
        ) {
            let mut ledger = Ledger::new(8);
            let mut claims: Vec<Claim> = Vec::new();
            let mut ours = std::collections::BTreeSet::new();
            for (step, argument) in steps {
                match step {
                    0 => {
                        if let Some(claim) = ledger.take_over() {
                            prop_assert!(ours.insert(claim.slot()));
                            claims.push(claim);
                        }
                    }
                    1 => {
                        let oldest = ledger.next().saturating_sub(9);
                        if let Lookup::Held(claim) = ledger.pin(oldest + argument) {
                            prop_assert!(ours.contains(&claim.slot()));
                            claims.push(claim);
                        }
                    }
                    2 if !claims.is_empty() => {
                        let position = usize::try_from(argument).unwrap() % claims.len();
                        ledger.unpin(claims.swap_remove(position));
                    }
                    _ => {
                        if let Some(freed) = ledger.give_back_oldest() {
                            prop_assert!(claims.iter().all(|claim| claim.slot() != freed.slot()));
                            prop_assert!(ours.remove(&freed.slot()));
                        }
                    }
                }
                prop_assert_eq!(ours.len(), usize::try_from(ledger.held()).unwrap());
            }
        }
    }
}
