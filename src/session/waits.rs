//! Groups that wait: by `for` and `times` before they capture, in a queue behind a capture that runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::clock::{BootTime, Now, WallTime};
use crate::model::{Change, GroupKey, Hold, Proposal, Wait, Waiting};

/// Groups that wait at one time, by whatever: with the largest event each, 700 MiB.
pub(super) const MAX_WAITING: usize = 10_000;

/// How often newer proposals are written, and of how many groups each time: with the largest event
/// each, 2 MiB a second.
const REFRESH: Duration = Duration::from_secs(1);
const REFRESHED: usize = 32;

/// What an event means to the `for` and `times` of its rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nothing is waited for any longer.
    Enough,
    Held(Hold),
    /// As many groups wait as are remembered.
    Full,
}

/// A proposal whose time has come.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) proposal: Box<Proposal>,
    pub(super) at: BootTime,
}

/// All groups that wait, at most [`MAX_WAITING`].
///
/// What waits counts by the clock that nobody sets; wall time only carries what is left over a
/// restart. With `for` and `times`, what comes first is enough. A group that waits by `times` alone
/// is forgotten once none of its events counts any more.
///
/// That a group waits, since when, and each event that `times` has counted is written with the batch
/// that brought it. The proposal of a later event replaces an earlier one at once here, but in the
/// journal only every second and 32 groups at a time: a storm would otherwise write each of its
/// events as a whole. So a crash never loses a capture, but may let it be made by the proposal of an
/// earlier event of the group.
#[derive(Debug, Default)]
pub(super) struct Waits {
    groups: BTreeMap<GroupKey, Held>,
    /// When each of `groups` is to be looked at, but for those in `blocked`.
    due: BTreeSet<(BootTime, GroupKey)>,
    /// Queued groups whose cooldown is over and whose capture still runs.
    blocked: BTreeSet<GroupKey>,
    /// Groups of which the journal has an older proposal; those that have waited longest first.
    stale: BTreeSet<(u64, GroupKey)>,
    next_stale: u64,
    refresh_at: BootTime,
    /// Groups that the journal has otherwise, or not at all.
    changed: BTreeSet<GroupKey>,
    /// Groups that the journal has, and that wait no longer.
    gone: BTreeSet<GroupKey>,
}

#[derive(Debug)]
struct Held {
    wait: Wait,
    proposal: Box<Proposal>,
    /// Until when each event counts for `times`, the next one first; at most [`Times::MAX_TIMES`].
    ///
    /// [`Times::MAX_TIMES`]: crate::model::Times::MAX_TIMES
    seen: VecDeque<BootTime>,
    due: Due,
    is_written: bool,
    stale: Option<u64>,
}

/// What happens to a group that waits, and when.
#[derive(Clone, Copy, Debug)]
enum Due {
    Begins(BootTime),
    Forgotten(BootTime),
}

impl Due {
    const fn at(self) -> BootTime {
        match self {
            Self::Begins(at) | Self::Forgotten(at) => at,
        }
    }
}

impl Waits {
    /// Takes back what was kept over a restart. `cooldown_until` is that of an open incident.
    pub(super) fn restore(
        &mut self,
        waiting: Vec<Waiting>,
        mut seen: BTreeMap<GroupKey, Vec<WallTime>>,
        cooldown_until: impl Fn(&GroupKey) -> Option<BootTime>,
        now: Now,
    ) {
        for Waiting { wait, since, proposal } in waiting {
            let key = proposal.group.clone();
            let seen = seen.remove(&key).unwrap_or_default();
            let policy = &proposal.policy;
            let counted_until = |at: WallTime| {
                let within = policy.times?.within;
                Some(now.boot + within.saturating_sub(now.wall.since(at)))
            };
            let mut seen: VecDeque<BootTime> = seen.into_iter().filter_map(counted_until).collect();
            seen.make_contiguous().sort_unstable();
            let begins = match wait {
                Wait::Queue => Some(cooldown_until(&key).unwrap_or(now.boot)),
                // Where the wall clock went back meanwhile, no more is left than there ever was.
                Wait::Hold => {
                    policy.hold.map(|hold| now.boot + hold.saturating_sub(now.wall.since(since)))
                }
            };
            let forgotten = seen.back().copied().unwrap_or(now.boot);
            let due = begins.map_or(Due::Forgotten(forgotten), Due::Begins);
            let proposal = Box::new(proposal);
            self.put(key, Held { wait, proposal, seen, due, is_written: true, stale: None });
        }
    }

    /// What one more event of this proposal's group would mean; changes nothing.
    pub(super) fn weigh(&self, proposal: &Proposal, now: Now) -> Arrival {
        let policy = &proposal.policy;
        let held = self.held(&proposal.group);
        let seen = held.map_or(0, |held| held.seen_at(now.boot));
        let seen = u32::try_from(seen + 1).unwrap_or(u32::MAX);
        let begins = held.map_or_else(
            || policy.hold.map(|hold| now.boot + hold),
            |held| match held.due {
                Due::Begins(at) => Some(at),
                Due::Forgotten(_) => None,
            },
        );
        let is_over = begins.is_some_and(|at| at <= now.boot);
        let hold = match (begins, policy.times) {
            (_, Some(times)) if seen >= times.count => return Arrival::Enough,
            (Some(_), _) if is_over => return Arrival::Enough,
            (Some(at), _) => Hold::Until(now.wall + at.since(now.boot)),
            (None, Some(times)) => Hold::Seen { seen, of: times.count },
            (None, None) => return Arrival::Enough,
        };
        if self.has_room_for(&proposal.group) { Arrival::Held(hold) } else { Arrival::Full }
    }

    /// Whether this group waits, or may begin to.
    pub(super) fn has_room_for(&self, group: &GroupKey) -> bool {
        self.groups.len() < MAX_WAITING || self.groups.contains_key(group)
    }

    /// An event came, and its group goes on waiting or begins to.
    pub(super) fn hold(&mut self, proposal: Box<Proposal>, now: Now) {
        let key = proposal.group.clone();
        let policy = &proposal.policy;
        let until = policy.times.map(|times| now.boot + times.within);
        let begins = policy.hold.map(|hold| Due::Begins(now.boot + hold));
        let due = begins.unwrap_or_else(|| Due::Forgotten(until.unwrap_or(now.boot)));
        if self.held(&key).is_none() {
            let seen = until.into_iter().collect();
            self.begin_to_wait(Held {
                wait: Wait::Hold,
                proposal,
                seen,
                due,
                is_written: false,
                stale: None,
            });
            return;
        }
        if let (Some(until), Some(held)) = (until, self.groups.get_mut(&key)) {
            held.seen.retain(|until| now.boot < *until);
            held.seen.push_back(until);
            self.changed.insert(key.clone());
            if let Due::Forgotten(at) = held.due {
                held.due = Due::Forgotten(until);
                self.due.remove(&(at, key.clone()));
                self.due.insert((until, key.clone()));
            }
        }
        self.renew(key, proposal);
    }

    /// A capture of this group runs, and another one shall follow once the cooldown is over as well.
    pub(super) fn queue(&mut self, proposal: Box<Proposal>, cooldown_until: BootTime) {
        let waits = self.groups.get(&proposal.group).map(|held| held.wait);
        if waits == Some(Wait::Queue) {
            self.renew(proposal.group.clone(), proposal);
            return;
        }
        self.begin_to_wait(Held {
            wait: Wait::Queue,
            proposal,
            seen: VecDeque::new(),
            due: Due::Begins(cooldown_until),
            is_written: false,
            stale: None,
        });
    }

    /// What this group waits for in this way will not come. True where it did wait.
    pub(super) fn end(&mut self, group: &GroupKey, wait: Wait) -> bool {
        self.groups.get(group).is_some_and(|held| held.wait == wait) && self.take(group).is_some()
    }

    /// The alert has ended, or the condition failed: what `for` waits for will not come. A group that
    /// waits by `times` alone goes on counting: an alert that comes again and again ends in between.
    pub(super) fn break_off(&mut self, group: &GroupKey) {
        if self.held(group).is_some_and(|held| matches!(held.due, Due::Begins(_))) {
            self.take(group);
        }
    }

    /// Lets only the groups of these rules go on waiting.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        let is_gone = |held: &Held| !is_kept(&held.proposal.plan.rule);
        let gone = self.groups.iter().filter(|(_, held)| is_gone(held));
        let gone: Vec<GroupKey> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.take(&key);
        }
    }

    /// Takes the next proposal whose time has come: by its instant, then by its group; after these the
    /// queued ones whose capture has only ended now.
    pub(super) fn next_ready(
        &mut self,
        now: BootTime,
        is_running: impl Fn(&GroupKey) -> bool,
    ) -> Option<Ready> {
        while let Some((at, _)) = self.due.first()
            && *at <= now
        {
            let (at, key) = self.due.pop_first()?;
            let (wait, due) = self.groups.get(&key).map(|held| (held.wait, held.due))?;
            match (wait, due) {
                (_, Due::Forgotten(_)) => drop(self.take(&key)),
                (Wait::Queue, Due::Begins(_)) if is_running(&key) => {
                    self.blocked.insert(key);
                }
                (Wait::Queue | Wait::Hold, Due::Begins(_)) => {
                    return self.take(&key).map(|held| Ready { proposal: held.proposal, at });
                }
            }
        }
        let key = self.blocked.iter().find(|key| !is_running(key))?.clone();
        self.take(&key).map(|held| Ready { proposal: held.proposal, at: now })
    }

    /// When [`next_ready`](Self::next_ready) wants to be called again.
    pub(super) fn next_due(&self) -> Option<BootTime> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes what the journal has to be told.
    pub(super) fn take_changes(&mut self, now: Now) -> Vec<Change> {
        let gone = std::mem::take(&mut self.gone).into_iter();
        let mut changes: Vec<Change> = gone.map(Change::WaitingGone).collect();
        for group in std::mem::take(&mut self.changed) {
            let Some(held) = self.groups.get_mut(&group) else { continue };
            if !held.is_written {
                held.is_written = true;
                changes.push(Change::Waiting(Box::new(held.waiting(now))));
            }
            if !held.seen.is_empty() {
                let at = held.seen_wall(now);
                changes.push(Change::Seen { group, at });
            }
        }
        if now.boot >= self.refresh_at && !self.stale.is_empty() {
            self.refresh_at = now.boot + REFRESH;
            for _ in 0..REFRESHED {
                let Some((_, key)) = self.stale.pop_first() else { break };
                let Some(held) = self.groups.get_mut(&key) else { continue };
                held.stale = None;
                changes.push(Change::Waiting(Box::new(held.waiting(now))));
            }
        }
        changes
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The rule of each group that waits, how it does, and when a capture begins by `for`.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Wait, Option<BootTime>)> {
        self.groups.values().map(|held| {
            let begins = match held.due {
                Due::Begins(at) => Some(at),
                Due::Forgotten(_) => None,
            };
            (held.proposal.plan.rule.as_str(), held.wait, begins)
        })
    }

    /// The state of a group that waits by `for` or `times`.
    fn held(&self, group: &GroupKey) -> Option<&Held> {
        self.groups.get(group).filter(|held| held.wait == Wait::Hold)
    }

    fn begin_to_wait(&mut self, held: Held) {
        let key = held.proposal.group.clone();
        self.take(&key);
        self.changed.insert(key.clone());
        self.put(key, held);
    }

    fn put(&mut self, key: GroupKey, held: Held) {
        self.due.insert((held.due.at(), key.clone()));
        self.groups.insert(key, held);
    }

    /// A newer event came: its proposal counts.
    fn renew(&mut self, key: GroupKey, proposal: Box<Proposal>) {
        let Some(held) = self.groups.get_mut(&key) else { return };
        held.proposal = proposal;
        if held.is_written && held.stale.is_none() {
            self.next_stale += 1;
            held.stale = Some(self.next_stale);
            self.stale.insert((self.next_stale, key));
        }
    }

    fn take(&mut self, key: &GroupKey) -> Option<Held> {
        let held = self.groups.remove(key)?;
        self.due.remove(&(held.due.at(), key.clone()));
        self.blocked.remove(key);
        self.changed.remove(key);
        if let Some(stale) = held.stale {
            self.stale.remove(&(stale, key.clone()));
        }
        if held.is_written {
            self.gone.insert(key.clone());
        }
        Some(held)
    }
}

impl Held {
    /// How many of its events still count.
    fn seen_at(&self, now: BootTime) -> usize {
        self.seen.len() - self.seen.partition_point(|until| *until <= now)
    }

    /// The row of it, in the wall time of now, so that a clock that was set meanwhile is none the
    /// matter.
    fn waiting(&self, now: Now) -> Waiting {
        let hold = self.proposal.policy.hold.unwrap_or_default();
        let waited = match self.due {
            Due::Begins(at) => hold.saturating_sub(at.since(now.boot)),
            Due::Forgotten(_) => Duration::ZERO,
        };
        let proposal = (*self.proposal).clone();
        Waiting { wait: self.wait, since: now.wall - waited, proposal }
    }

    fn seen_wall(&self, now: Now) -> Vec<WallTime> {
        let within = self.proposal.policy.times.map(|times| times.within).unwrap_or_default();
        let came = |until: &BootTime| now.wall - within.saturating_sub(until.since(now.boot));
        self.seen.iter().map(came).collect()
    }
}

#[cfg(test)]
mod tests;
