//! Exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015).
//!
//! Pure: it is told how often something failed and given random bits, and says how long to wait.

use std::time::Duration;

/// Waits between `0` and `first * 2^(failures-1)`, at most `ceiling`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The most that is waited after the first failure.
    pub first: Duration,
    /// The most that is ever waited.
    pub ceiling: Duration,
}

impl Backoff {
    /// For remote parties: at most 1 s after the first failure, never more than a minute.
    pub const REMOTE: Self =
        Self { first: Duration::from_secs(1), ceiling: Duration::from_secs(60) };

    /// The wait after the `failures`-th failure in a row (the first is 1).
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        let widest = self.first.saturating_mul(2u32.saturating_pow(doublings)).min(self.ceiling);
        let nanos = u64::try_from(widest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random % nanos.saturating_add(1).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_never_passes_its_bound(failures in 0u32..200, random: u64) {
            let delay = Backoff::REMOTE.delay(failures, random);
            prop_assert!(delay <= Backoff::REMOTE.ceiling);
            if failures <= 1 {
                prop_assert!(delay <= Backoff::REMOTE.first);
            }
        }
    }

    #[test]
    fn the_widest_delay_doubles_until_the_ceiling() {
        let longest = |failures| {
            (0..64).map(|bit| Backoff::REMOTE.delay(failures, u64::MAX >> bit)).max().unwrap()
        };
        assert!(longest(3) > Duration::from_secs(2));
        assert!(longest(12) > Duration::from_secs(30));
    }
}
