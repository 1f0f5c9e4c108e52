//! Things that are tried until they succeed: when each is due, and how many are under way.

use std::collections::{BTreeMap, BTreeSet};

use crate::backoff::Backoff;
use crate::clock::BootTime;

/// Work is given up after so many failures in a row at the earliest: about five minutes, long enough
/// for somebody to repair a credential.
pub(super) const REFUSALS_UNTIL_GIVEN_UP: u32 = 12;

/// Work that is retried with back-off, at most so many at one time in all and in one lane.
///
/// A lane is the remote party that the work goes to: one that hangs takes its own places only.
/// Bounded by what the caller adds; a lane is here while it has work.
#[derive(Debug)]
pub(super) struct Attempts<K> {
    entries: BTreeMap<K, Attempt>,
    lanes: BTreeMap<String, Lane<K>>,
    under_way: usize,
    /// The most at one time in all.
    limit: usize,
    /// The most at one time in one lane.
    lane_limit: usize,
}

#[derive(Debug)]
struct Attempt {
    lane: String,
    due: BootTime,
    under_way: bool,
    failures: u32,
    /// Nothing: tried for ever.
    give_up_at: Option<BootTime>,
}

#[derive(Debug)]
struct Lane<K> {
    /// What is not under way, the next one first.
    waiting: BTreeSet<(BootTime, K)>,
    under_way: usize,
}

impl<K: Ord + Clone> Attempts<K> {
    /// Work that all goes one way.
    pub(super) fn new(limit: usize) -> Self {
        Self::in_lanes(limit, limit)
    }

    /// At most `limit` at one time, and at most `lane_limit` of one lane.
    pub(super) const fn in_lanes(limit: usize, lane_limit: usize) -> Self {
        Self { entries: BTreeMap::new(), lanes: BTreeMap::new(), under_way: 0, limit, lane_limit }
    }

    /// Adds work that is due at once and tried for ever. Work that is there already stays as it is.
    pub(super) fn add(&mut self, key: K, now: BootTime) {
        self.insert("", key, now, None);
    }

    /// Adds work of a lane that is due at once and [over](Self::is_over) at `give_up_at`. Work that
    /// is there already stays as it is.
    pub(super) fn add_to(&mut self, lane: &str, key: K, now: BootTime, give_up_at: BootTime) {
        self.insert(lane, key, now, Some(give_up_at));
    }

    fn insert(&mut self, lane: &str, key: K, now: BootTime, give_up_at: Option<BootTime>) {
        if self.entries.contains_key(&key) {
            return;
        }
        let lane = lane.to_owned();
        self.lane(&lane).waiting.insert((now, key.clone()));
        let attempt = Attempt { lane, due: now, under_way: false, failures: 0, give_up_at };
        self.entries.insert(key, attempt);
    }

    fn lane(&mut self, name: &str) -> &mut Lane<K> {
        let empty = || Lane { waiting: BTreeSet::new(), under_way: 0 };
        self.lanes.entry(name.to_owned()).or_insert_with(empty)
    }

    /// The lanes that have a place, each with the one that waits for it.
    fn next_of_lanes(&self) -> impl Iterator<Item = &(BootTime, K)> {
        let has_place = self.under_way < self.limit;
        let lanes =
            self.lanes.values().filter(move |lane| has_place && lane.under_way < self.lane_limit);
        lanes.filter_map(|lane| lane.waiting.first())
    }

    /// Takes the work that is due, as far as the limits allow, and marks it as under way. The
    /// longest waiting comes first, so that one that keeps failing starves nobody.
    pub(super) fn take_due(&mut self, now: BootTime) -> Vec<K> {
        let mut taken = Vec::new();
        while let Some((due, key)) = self.next_of_lanes().min().cloned() {
            if due > now {
                break;
            }
            if let Some(attempt) = self.entries.get_mut(&key) {
                attempt.under_way = true;
                let lane = attempt.lane.clone();
                let lane = self.lane(&lane);
                lane.waiting.remove(&(due, key.clone()));
                lane.under_way += 1;
                self.under_way += 1;
            }
            taken.push(key);
        }
        taken
    }

    /// The work is done, one way or the other.
    pub(super) fn finish(&mut self, key: &K) {
        let Some(attempt) = self.entries.remove(key) else { return };
        if attempt.under_way {
            self.under_way -= 1;
        }
        let Some(lane) = self.lanes.get_mut(&attempt.lane) else { return };
        if attempt.under_way {
            lane.under_way -= 1;
        } else {
            lane.waiting.remove(&(attempt.due, key.clone()));
        }
        if lane.under_way == 0 && lane.waiting.is_empty() {
            self.lanes.remove(&attempt.lane);
        }
    }

    /// The attempt failed and another one follows; returns how often it has failed in a row.
    pub(super) fn retry(&mut self, key: &K, backoff: Backoff, now: BootTime, random: u64) -> u32 {
        let Some(attempt) = self.entries.get_mut(key) else {
            return 0;
        };
        let failures = attempt.failures.saturating_add(1);
        attempt.failures = failures;
        self.move_to(key, now + backoff.delay(failures, random));
        failures
    }

    /// Somebody has put right what was wrong: waits no longer, and its failures are forgotten.
    pub(super) fn hurry(&mut self, key: &K, now: BootTime, give_up_at: BootTime) {
        let Some(attempt) = self.entries.get_mut(key) else { return };
        attempt.failures = 0;
        attempt.give_up_at = Some(give_up_at);
        if !attempt.under_way {
            self.move_to(key, now);
        }
    }

    /// Lets the work wait until `due`.
    fn move_to(&mut self, key: &K, due: BootTime) {
        let Some(attempt) = self.entries.get_mut(key) else { return };
        let (was_due, was_under_way) = (attempt.due, attempt.under_way);
        attempt.due = due;
        attempt.under_way = false;
        let lane = attempt.lane.clone();
        let lane = self.lane(&lane);
        if was_under_way {
            lane.under_way -= 1;
        } else {
            lane.waiting.remove(&(was_due, key.clone()));
        }
        lane.waiting.insert((due, key.clone()));
        if was_under_way {
            self.under_way -= 1;
        }
    }

    /// Whether its time is over. A clock that nobody sets says so: one that is put right must not
    /// end what has just begun.
    pub(super) fn is_over(&self, key: &K, now: BootTime) -> bool {
        let give_up_at = self.entries.get(key).and_then(|attempt| attempt.give_up_at);
        give_up_at.is_some_and(|give_up_at| now >= give_up_at)
    }

    /// When the next work can start: nothing while the limits are reached.
    pub(super) fn next_due(&self) -> Option<BootTime> {
        self.next_of_lanes().map(|(due, _)| *due).min()
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

    #[test]
    fn a_party_that_hangs_takes_its_own_places_only() {
        let mut attempts = Attempts::in_lanes(5, 2);
        let never = START + Duration::from_secs(86_400);
        for key in 0..10 {
            attempts.add_to("slow", key, START, never);
        }
        assert_eq!(attempts.take_due(START), [0, 1]);
        assert_eq!(attempts.next_due(), None, "the lane is full: nothing may wake the loop");
        attempts.add_to("quick", 20, START + Duration::from_secs(1), never);
        assert_eq!(attempts.next_due(), Some(START + Duration::from_secs(1)));
        assert_eq!(attempts.take_due(START + Duration::from_secs(1)), [20]);
        for lane in ["c", "d", "e"] {
            attempts.add_to(lane, lane.len() + 30 + usize::from(lane.as_bytes()[0]), START, never);
        }
        assert_eq!(attempts.take_due(START + Duration::from_secs(1)).len(), 2, "five in all");
        attempts.finish(&0);
        assert_eq!(attempts.take_due(START + Duration::from_secs(1)).len(), 1);
    }

    #[test]
    fn work_is_over_at_its_time_and_never_without_one() {
        let mut attempts = Attempts::new(1);
        let day = Duration::from_secs(86_400);
        attempts.add("for ever", START);
        attempts.add_to("x", "a day", START, START + day);
        let year = START + 365 * day;
        assert!(!attempts.is_over(&"a day", START + day.saturating_sub(Duration::from_nanos(1))));
        assert!(attempts.is_over(&"a day", START + day));
        assert!(!attempts.is_over(&"for ever", year));
        attempts.hurry(&"a day", START + day, START + 2 * day);
        assert!(!attempts.is_over(&"a day", START + day));
    }

    #[test]
    fn what_is_put_right_is_due_at_once_with_no_failure_behind_it() {
        let mut attempts = Attempts::new(2);
        let later = START + Duration::from_secs(60);
        attempts.add("a", START);
        attempts.add("b", START);
        assert_eq!(attempts.take_due(START), ["a", "b"]);
        attempts.retry(&"a", Backoff::REMOTE, START, 900_000_000);
        attempts.hurry(&"a", START, later);
        attempts.hurry(&"b", START, later);
        assert_eq!(attempts.take_due(START), ["a"], "b is under way and stays so");
        assert_eq!(attempts.retry(&"a", Backoff::REMOTE, START, 0), 1);
    }
}
