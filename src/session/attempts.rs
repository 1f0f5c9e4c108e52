//! Things that are tried until they succeed: when each is due, and how many are under way.

use std::collections::BTreeMap;

use crate::backoff::Backoff;
use crate::clock::BootTime;

/// Work that is retried with back-off, at most so many at one time.
#[derive(Debug)]
pub(super) struct Attempts<K> {
    entries: BTreeMap<K, Attempt>,
    under_way: usize,
    /// The most at one time.
    limit: usize,
}

#[derive(Debug)]
struct Attempt {
    due: BootTime,
    under_way: bool,
    failures: u32,
}

impl<K: Ord + Clone> Attempts<K> {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: BTreeMap::new(), under_way: 0, limit }
    }

    /// Adds work that is due at once. Work that is there already stays as it is.
    pub(super) fn add(&mut self, key: K, now: BootTime) {
        self.entries.entry(key).or_insert(Attempt { due: now, under_way: false, failures: 0 });
    }

    /// Takes the work that is due, as far as the limit allows, and marks it as under way.
    pub(super) fn take_due(&mut self, now: BootTime) -> Vec<K> {
        let room = self.limit.saturating_sub(self.under_way);
        let mut due: Vec<(BootTime, K)> = self
            .entries
            .iter()
            .filter(|(_, attempt)| !attempt.under_way && attempt.due <= now)
            .map(|(key, attempt)| (attempt.due, key.clone()))
            .collect();
        // The longest waiting first, so that one that keeps failing starves nobody.
        due.sort();
        due.truncate(room);
        for (_, key) in &due {
            if let Some(attempt) = self.entries.get_mut(key) {
                attempt.under_way = true;
                self.under_way += 1;
            }
        }
        due.into_iter().map(|(_, key)| key).collect()
    }

    /// The work is done, one way or the other.
    pub(super) fn finish(&mut self, key: &K) {
        if self.entries.remove(key).is_some_and(|attempt| attempt.under_way) {
            self.under_way -= 1;
        }
    }

    /// The attempt failed and another one follows; returns how often it has failed in a row.
    pub(super) fn retry(&mut self, key: &K, backoff: Backoff, now: BootTime, random: u64) -> u32 {
        let Some(attempt) = self.entries.get_mut(key) else {
            return 0;
        };
        if attempt.under_way {
            attempt.under_way = false;
            self.under_way -= 1;
        }
        attempt.failures = attempt.failures.saturating_add(1);
        attempt.due = now + backoff.delay(attempt.failures, random);
        attempt.failures
    }

    /// When the next work can start: nothing while the limit is reached.
    pub(super) fn next_due(&self) -> Option<BootTime> {
        if self.under_way >= self.limit {
            return None;
        }
        self.entries.values().filter(|attempt| !attempt.under_way).map(|attempt| attempt.due).min()
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn is_under_way(&self, key: &K) -> bool {
        self.entries.get(key).is_some_and(|attempt| attempt.under_way)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: BootTime = BootTime::from_duration(Duration::from_secs(100));

    #[test]
    fn no_more_than_the_limit_is_under_way() {
        let mut attempts = Attempts::new(2);
        for key in 0..5 {
            attempts.add(key, START);
        }
        assert_eq!(attempts.take_due(START), [0, 1]);
        assert_eq!(attempts.take_due(START), [] as [i32; 0]);
        assert_eq!(attempts.next_due(), None);
        attempts.finish(&0);
        assert_eq!(attempts.take_due(START), [2]);
        assert_eq!(attempts.len(), 4);
    }

    #[test]
    fn a_failure_waits_its_back_off_and_counts() {
        let mut attempts = Attempts::new(1);
        attempts.add("a", START);
        attempts.take_due(START);
        assert_eq!(attempts.retry(&"a", Backoff::REMOTE, START, 700_000_000), 1);
        assert_eq!(attempts.next_due(), Some(START + Duration::from_millis(700)));
        assert!(attempts.take_due(START).is_empty());
        assert_eq!(attempts.take_due(START + Duration::from_secs(1)), ["a"]);
        assert_eq!(attempts.retry(&"a", Backoff::REMOTE, START, 0), 2);
    }

    #[test]
    fn adding_again_does_not_reset_a_failure() {
        let mut attempts = Attempts::new(1);
        attempts.add("a", START);
        attempts.take_due(START);
        attempts.retry(&"a", Backoff::REMOTE, START, 900_000_000);
        attempts.add("a", START);
        assert!(attempts.take_due(START).is_empty());
    }
}
