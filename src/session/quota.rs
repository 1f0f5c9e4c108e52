//! How many captures each rule has begun: `max_captures`.

use std::collections::{BTreeMap, VecDeque};

use crate::clock::{BootTime, Now};
use crate::model::{Begun, Quota, QuotaUse};

/// The begins of rules with `max_captures`, over all their groups. What a rule that is tried out
/// would have begun counts for as long as it is tried out, and not against the captures that it
/// makes afterwards.
///
/// Counts by the clock that nobody sets, as the gate does. Bounded for each rule by
/// [`Quota::MAX_COUNT`], and over all of them by the begins of [`Quota::MAX_PER`].
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// By rule, the oldest first.
    rules: BTreeMap<String, VecDeque<Begin>>,
}

#[derive(Debug)]
struct Begin {
    /// When it is older than any rule may ask for.
    forgotten_at: BootTime,
    quota: Quota,
    dry_run: bool,
}

impl Begin {
    fn counts(&self, quota: Quota, now: BootTime) -> bool {
        self.forgotten_at.since(now) > Quota::MAX_PER.saturating_sub(quota.per)
    }
}

impl Quotas {
    /// Takes back what was kept over a restart.
    pub(super) fn restore(&mut self, begun: Vec<Begun>, now: Now) {
        for Begun { rule, at, quota, dry_run } in begun {
            // Where the wall clock went back meanwhile, it began just now.
            let left = Quota::MAX_PER.saturating_sub(now.wall.since(at));
            let begin = Begin { forgotten_at: now.boot + left, quota, dry_run };
            self.rules.entry(rule).or_default().push_back(begin);
        }
    }

    /// Whether the rule may begin one more.
    pub(super) fn allows(&self, rule: &str, quota: Quota, dry_run: bool, now: Now) -> bool {
        let Some(begins) = self.rules.get(rule) else { return quota.count > 0 };
        let counting = begins.iter().rev().filter(|begin| begin.dry_run == dry_run);
        let allowed = usize::try_from(quota.count).unwrap_or(usize::MAX);
        counting.take(allowed).filter(|begin| begin.counts(quota, now.boot)).count() < allowed
    }

    /// Counts one that begins.
    pub(super) fn count(&mut self, rule: &str, quota: Quota, dry_run: bool, now: Now) -> Begun {
        self.rules.retain(|_, begins| {
            begins.retain(|begin| now.boot < begin.forgotten_at);
            !begins.is_empty()
        });
        let begins = self.rules.entry(rule.to_owned()).or_default();
        begins.push_back(Begin { forgotten_at: now.boot + Quota::MAX_PER, quota, dry_run });
        while begins.len() > usize::try_from(Quota::MAX_COUNT).unwrap_or(usize::MAX) {
            begins.pop_front();
        }
        Begun { rule: rule.to_owned(), at: now.wall, quota, dry_run }
    }

    /// How much each rule has used of what it was allowed at its last begin.
    pub(super) fn uses(&self, now: Now) -> impl Iterator<Item = (&str, QuotaUse)> {
        self.rules.iter().filter_map(move |(rule, begins)| {
            let Begin { quota, dry_run, .. } = *begins.back()?;
            let mut counting = begins
                .iter()
                .filter(|begin| begin.dry_run == dry_run && begin.counts(quota, now.boot))
                .peekable();
            let beyond = Quota::MAX_PER.saturating_sub(quota.per);
            let next_free = counting
                .peek()
                .map(|begin| begin.forgotten_at.since(now.boot).saturating_sub(beyond));
            let counted = u32::try_from(counting.count()).unwrap_or(u32::MAX);
            Some((rule.as_str(), QuotaUse { counted, max: quota.count, next_free }))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::samples::at;

    const TWO_A_MINUTE: Quota = Quota { count: 2, per: Duration::from_secs(60) };

    #[test]
    fn a_begin_counts_for_its_whole_time_and_no_longer() {
        let mut quotas = Quotas::default();
        for second in [0, 20] {
            assert!(quotas.allows("a", TWO_A_MINUTE, false, at(second)));
            quotas.count("a", TWO_A_MINUTE, false, at(second));
        }
        assert!(!quotas.allows("a", TWO_A_MINUTE, false, at(59)));
        assert!(quotas.allows("a", TWO_A_MINUTE, false, at(60)));
        assert!(quotas.allows("b", TWO_A_MINUTE, false, at(59)), "another rule");
        let (rule, used) = quotas.uses(at(59)).next().unwrap();
        let next_free = Some(Duration::from_secs(1));
        assert_eq!((rule, used), ("a", QuotaUse { counted: 2, max: 2, next_free }));
    }

    #[test]
    fn what_a_trial_would_have_begun_holds_back_trials_only() {
        let mut quotas = Quotas::default();
        for _ in 0..2 {
            quotas.count("a", TWO_A_MINUTE, true, at(0));
        }
        assert!(!quotas.allows("a", TWO_A_MINUTE, true, at(1)));
        assert!(quotas.allows("a", TWO_A_MINUTE, false, at(1)));
    }

    #[test]
    fn a_restart_takes_up_what_is_left_also_where_the_wall_clock_was_set() {
        let mut before = Quotas::default();
        let begun: Vec<_> =
            [100, 120].map(|s| before.count("a", TWO_A_MINUTE, false, at(s))).into();
        let restored = |wall| {
            let mut quotas = Quotas::default();
            quotas.restore(begun.clone(), Now { wall, ..at(5) });
            quotas
        };
        let quotas = restored(at(130).wall);
        assert!(!quotas.allows("a", TWO_A_MINUTE, false, at(5 + 29)));
        assert!(quotas.allows("a", TWO_A_MINUTE, false, at(5 + 30)));
        let quotas = restored(at(100).wall - Duration::from_secs(1_000_000));
        assert!(!quotas.allows("a", TWO_A_MINUTE, false, at(5 + 59)));
        assert!(quotas.allows("a", TWO_A_MINUTE, false, at(5 + 60)));
        assert!(restored(at(9_999_999).wall).allows("a", TWO_A_MINUTE, false, at(5)));
    }

    #[test]
    fn no_more_is_remembered_than_a_rule_may_ask_for() {
        let month = Quota { count: Quota::MAX_COUNT, per: Quota::MAX_PER };
        let mut quotas = Quotas::default();
        for second in 0..1_500 {
            quotas.count("a", month, false, at(second));
        }
        assert_eq!(quotas.rules["a"].len(), 1_000);
        assert!(!quotas.allows("a", month, false, at(1_500)));
        quotas.count("b", month, false, at(31 * 86_400 + 2_000));
        assert_eq!(quotas.rules.len(), 1, "rules of which nothing counts are forgotten");
    }
}
