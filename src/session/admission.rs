//! Whether a proposal becomes a capture: open incidents, cooldowns, ceilings.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clock::{BootTime, Now, WallTime};
use crate::model::{CaptureId, Group, GroupKey, Proposal, Suppression};

use super::Ceilings;

/// The hourly ceiling looks back this far.
const HOUR: Duration = Duration::from_secs(3600);

/// How often groups that nothing holds open any more are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// The word on one proposal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Its incident has a capture that runs.
    Belongs(CaptureId),
    Suppressed(Suppression),
    Admitted,
}

/// Groups with an open incident, and the captures of the last hour.
///
/// All waiting counts by the clock that nobody sets: a wall clock that is put right by hours would
/// otherwise keep every capture out until it has caught up, or let cooldowns end at once. Wall
/// time only carries what is left over a restart.
///
/// Bounded: a group is here only because a capture began, and no more begin than the hourly
/// ceiling allows; it goes when its capture has stopped and its cooldown is over.
#[derive(Debug)]
pub(super) struct Gate {
    ceilings: Ceilings,
    groups: BTreeMap<GroupKey, Open>,
    /// When each capture of the last hour ceases to count, the next one first; at most
    /// `captures_per_hour`.
    counted_until: VecDeque<BootTime>,
    sweep_at: BootTime,
}

/// A group with an open incident.
#[derive(Debug)]
struct Open {
    capture: CaptureId,
    cooldown_until: BootTime,
}

impl Gate {
    pub(super) fn new(ceilings: Ceilings) -> Self {
        Self {
            ceilings,
            groups: BTreeMap::new(),
            counted_until: VecDeque::new(),
            sweep_at: BootTime::default(),
        }
    }

    /// Takes back what was kept over a restart.
    pub(super) fn restore(&mut self, groups: Vec<Group>, mut began: Vec<WallTime>, now: Now) {
        let open = |group: Group| {
            // Where the wall clock went back meanwhile, no more is left than there ever was.
            let whole = group.cooldown_until.since(group.opened_at);
            let left = group.cooldown_until.since(now.wall).min(whole);
            (group.key, Open { capture: group.capture, cooldown_until: now.boot + left })
        };
        self.groups = groups.into_iter().map(open).collect();
        began.sort_unstable();
        let counted_until = |began| now.boot + HOUR.saturating_sub(now.wall.since(began));
        self.counted_until = began.into_iter().map(counted_until).collect();
    }

    /// Judges a proposal. `running` says whether a capture still takes packets, and how many do.
    pub(super) fn judge(
        &mut self,
        proposal: &Proposal,
        is_running: impl Fn(&CaptureId) -> bool,
        running: usize,
        now: Now,
    ) -> Admission {
        if let Some(group) = self.groups.get(&proposal.group) {
            if is_running(&group.capture) {
                return Admission::Belongs(group.capture.clone());
            }
            if now.boot < group.cooldown_until {
                return Admission::Suppressed(Suppression::Cooldown);
            }
        }
        match self.refuses(running, now) {
            Some(why) => Admission::Suppressed(why),
            None => Admission::Admitted,
        }
    }

    /// The ceiling that lets no capture begin, whoever wants it, where `running` take packets.
    pub(super) fn refuses(&mut self, running: usize, now: Now) -> Option<Suppression> {
        if running >= self.ceilings.concurrent {
            return Some(Suppression::ConcurrentCeiling);
        }
        while self.counted_until.front().is_some_and(|until| now.boot >= *until) {
            self.counted_until.pop_front();
        }
        let is_full = self.counted_until.len() >= self.ceilings.captures_per_hour;
        is_full.then_some(Suppression::HourlyCeiling)
    }

    /// Counts a capture that begins.
    pub(super) fn count(&mut self, now: Now) {
        self.counted_until.push_back(now.boot + HOUR);
    }

    pub(super) const fn set_ceilings(&mut self, ceilings: Ceilings) {
        self.ceilings = ceilings;
    }

    /// The running capture of a group, if it has one.
    pub(super) fn capture_of(&self, group: &GroupKey) -> Option<&CaptureId> {
        self.groups.get(group).map(|group| &group.capture)
    }

    /// Opens the incident of an admitted proposal.
    pub(super) fn open(&mut self, proposal: &Proposal, capture: &CaptureId, now: Now) -> Group {
        let group = Group {
            key: proposal.group.clone(),
            rule: proposal.plan.rule.clone(),
            incident: proposal.plan.incident.clone(),
            capture: capture.clone(),
            opened_at: now.wall,
            cooldown_until: now.wall + proposal.policy.cooldown,
        };
        let cooldown_until = now.boot + proposal.policy.cooldown;
        let open = Open { capture: capture.clone(), cooldown_until };
        self.groups.insert(group.key.clone(), open);
        self.count(now);
        group
    }

    /// Closes the incidents that nothing holds open; returns their groups.
    pub(super) fn sweep(
        &mut self,
        is_running: impl Fn(&CaptureId) -> bool,
        now: Now,
    ) -> Vec<GroupKey> {
        if now.boot < self.sweep_at {
            return Vec::new();
        }
        self.sweep_at = now.boot + SWEEP;
        let over = |group: &Open| now.boot >= group.cooldown_until && !is_running(&group.capture);
        self.groups.extract_if(.., |_, group| over(group)).map(|(key, _)| key).collect()
    }

    /// When [`sweep`](Self::sweep) wants to be called again.
    pub(super) fn next_sweep(&self) -> Option<BootTime> {
        (!self.groups.is_empty()).then_some(self.sweep_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::FreeDisk;
    use crate::session::samples::{self, at};

    const CEILINGS: Ceilings = Ceilings {
        duration: Duration::from_secs(60),
        bytes: 1 << 20,
        concurrent: 2,
        captures_per_hour: 3,
        spool_bytes: 1 << 30,
        free_disk: FreeDisk::Percent(5),
    };

    fn proposal(group: &str, cooldown_s: u64) -> Proposal {
        let cooldown = Duration::from_secs(cooldown_s);
        let policy = crate::model::Policy { cooldown, ..crate::model::Policy::default() };
        Proposal { group: GroupKey::from_text(group), policy, plan: samples::plan("rule") }
    }

    fn id(text: &str) -> CaptureId {
        CaptureId::from_text(text)
    }

    #[test]
    fn an_event_of_an_open_incident_belongs_to_its_capture() {
        let mut gate = Gate::new(CEILINGS);
        gate.open(&proposal("a", 0), &id("1"), at(0));
        let word = gate.judge(&proposal("a", 0), |_| true, 1, at(5));
        assert_eq!(word, Admission::Belongs(id("1")));
        assert_eq!(gate.judge(&proposal("b", 0), |_| true, 1, at(5)), Admission::Admitted);
    }

    #[test]
    fn the_cooldown_counts_from_the_start_of_the_capture_and_ends_on_the_second() {
        let mut gate = Gate::new(CEILINGS);
        gate.open(&proposal("a", 60), &id("1"), at(0));
        let judge = |gate: &mut Gate, s| gate.judge(&proposal("a", 60), |_| false, 0, at(s));
        assert_eq!(judge(&mut gate, 59), Admission::Suppressed(Suppression::Cooldown));
        assert_eq!(judge(&mut gate, 60), Admission::Admitted);
    }

    /// An instant at which the wall clock has been set to another time.
    fn set(seconds: u64, wall: WallTime) -> Now {
        Now { wall, ..at(seconds) }
    }

    #[test]
    fn setting_the_wall_clock_changes_no_cooldown_and_no_ceiling() {
        let far = Duration::from_secs(10 * 365 * 86_400);
        for wall in [at(0).wall - far, at(0).wall + far] {
            let mut gate = Gate::new(CEILINGS);
            for group in ["a", "b", "c"] {
                gate.open(&proposal(group, 60), &id(group), at(0));
            }
            let judge = |gate: &mut Gate, group, s| {
                gate.judge(&proposal(group, 60), |_| false, 0, set(s, wall))
            };
            assert_eq!(judge(&mut gate, "a", 59), Admission::Suppressed(Suppression::Cooldown));
            let hourly = Admission::Suppressed(Suppression::HourlyCeiling);
            assert_eq!(judge(&mut gate, "d", 3599), hourly);
            assert_eq!(judge(&mut gate, "d", 3600), Admission::Admitted);
            assert_eq!(gate.sweep(|_| false, set(3600, wall)).len(), 3);
        }
    }

    #[test]
    fn a_restart_takes_up_what_is_left_and_never_more_than_there_was() {
        let opened = Gate::new(CEILINGS).open(&proposal("a", 60), &id("1"), at(100));
        // Boot time starts anew with the machine, so that only differences may count.
        let restored = |wall: WallTime| {
            let mut gate = Gate::new(CEILINGS);
            gate.restore(vec![opened.clone()], vec![at(100).wall; 3], set(5, wall));
            gate
        };
        let judge = |gate: &mut Gate, group, s| {
            gate.judge(&proposal(group, 60), |_| false, 0, set(s, at(120).wall))
        };
        let cooldown = Admission::Suppressed(Suppression::Cooldown);
        let hourly = Admission::Suppressed(Suppression::HourlyCeiling);
        let mut gate = restored(at(120).wall);
        assert_eq!(judge(&mut gate, "a", 5 + 39), cooldown);
        assert_eq!(judge(&mut gate, "a", 5 + 40), hourly);
        assert_eq!(judge(&mut gate, "b", 5 + 3579), hourly);
        assert_eq!(judge(&mut gate, "b", 5 + 3580), Admission::Admitted);
        let mut gate = restored(at(100).wall - Duration::from_secs(1_000_000));
        assert_eq!(judge(&mut gate, "a", 5 + 59), cooldown);
        assert_eq!(judge(&mut gate, "a", 5 + 60), hourly);
    }

    #[test]
    fn the_ceilings_hold_across_groups() {
        let mut gate = Gate::new(CEILINGS);
        let full = gate.judge(&proposal("a", 0), |_| true, 2, at(0));
        assert_eq!(full, Admission::Suppressed(Suppression::ConcurrentCeiling));
        for group in ["a", "b", "c"] {
            gate.open(&proposal(group, 0), &id(group), at(0));
        }
        let judge = |gate: &mut Gate, s| gate.judge(&proposal("d", 0), |_| false, 0, at(s));
        assert_eq!(judge(&mut gate, 3599), Admission::Suppressed(Suppression::HourlyCeiling));
        assert_eq!(judge(&mut gate, 3600), Admission::Admitted);
    }

    #[test]
    fn a_group_closes_when_its_capture_has_stopped_and_its_cooldown_is_over() {
        let mut gate = Gate::new(CEILINGS);
        gate.open(&proposal("a", 10), &id("1"), at(0));
        assert!(gate.sweep(|_| true, at(20)).is_empty());
        assert!(gate.sweep(|_| false, at(20)).is_empty(), "not before the next second");
        assert_eq!(gate.sweep(|_| false, at(22)), [GroupKey::from_text("a")]);
        assert_eq!(gate.next_sweep(), None);
    }
}
