//! How much memory the engine takes: rings and buffers share one budget.
//!
//! The kernel charges a ring to nobody: no limit of a cgroup protects the host from it, so that this
//! does. Invariant: the shares that are out never add up to more than the budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::capture::Error;

const MIB: u64 = 1 << 20;

/// The memory that there is, in bytes.
#[derive(Debug)]
pub(super) struct Budget {
    total: u64,
    used: AtomicU64,
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) const fn new(total: u64) -> Self {
        Self { total, used: AtomicU64::new(0) }
    }

    /// Takes `bytes` for this purpose.
    pub(super) fn take(
        self: &Arc<Self>,
        purpose: &'static str,
        bytes: u64,
    ) -> Result<Share, Error> {
        let take = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.total);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_before) => Ok(Share { budget: Arc::clone(self), bytes }),
            Err(used) => Err(Error::Budget {
                purpose,
                wanted_mib: bytes.div_ceil(MIB),
                used_mib: used.div_ceil(MIB),
                budget_mib: self.total / MIB,
            }),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_can_be_taken_again_and_more_than_there_is_cannot() {
        let budget = Arc::new(Budget::new(100 * MIB));
        let first = budget.take("a ring", 60 * MIB).unwrap();
        let error = budget.take("a ring", 41 * MIB).unwrap_err().to_string();
        assert!(error.contains("41 MiB for a ring") && error.contains("60 MiB are"), "{error}");
        let rest = budget.take("a buffer", 40 * MIB).unwrap();
        drop(first);
        budget.take("a ring", 60 * MIB).unwrap();
        drop(rest);
    }
}
