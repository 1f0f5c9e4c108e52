//! What stands against a capture: open incidents, cooldowns, ceilings.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clock::{BootTime, Now, WallTime};
use crate::model::{CaptureId, Group, GroupKey, Proposal, Suppression};

use super::Ceilings;

/// The hourly ceiling looks back this far.
const HOUR: Duration = Duration::from_secs(3600);

/// How often groups that nothing holds open any more are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// How a group's incident stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    /// It has a capture that runs.
    Runs(&'a CaptureId),
    /// Its capture has ended, and the cooldown is not over.
    Cooldown,
    Closed,
}

/// Groups with an open incident, and the captures of the last hour.
///
/// All waiting counts by the clock that nobody sets: a wall clock that is put right by hours would
/// otherwise keep every capture out until it has caught up, or let cooldowns end at once. Wall
/// time only carries what is left over a restart.
///
/// Bounded: a group is here only because a capture began, and no more begin than the hourly
/// ceiling allows; it goes when its capture has stopped and its cooldown is over. What rules that are
/// only tried out would begin is counted beside that, and takes no capture's place: a trial
/// is held to what captures and trials leave of the ceiling together.
#[derive(Debug)]
pub(super) struct Gate {
    ceilings: Ceilings,
    groups: BTreeMap<GroupKey, Open>,
    /// When each capture of the last hour ceases to count, the next one first; at most
    /// `captures_per_hour`.
    counted_until: VecDeque<BootTime>,
    /// The same of what trials would have begun.
    trials_until: VecDeque<BootTime>,
    sweep_at: BootTime,
}

/// A group with an open incident.
#[derive(Debug)]
struct Open {
    rule: String,
    /// Absent where the rule is only tried out.
    capture: Option<CaptureId>,
    cooldown_until: BootTime,
}

impl Gate {
    pub(super) fn new(ceilings: Ceilings) -> Self {
        Self {
            ceilings,
            groups: BTreeMap::new(),
            counted_until: VecDeque::new(),
            trials_until: VecDeque::new(),
            sweep_at: BootTime::default(),
        }
    }

    /// Takes back what was kept over a restart.
    pub(super) fn restore(&mut self, groups: Vec<Group>, mut began: Vec<WallTime>, now: Now) {
        let open = |group: Group| {
            // Where the wall clock went back meanwhile, no more is left than there ever was.
            let whole = group.cooldown_until.since(group.opened_at);
            let left = group.cooldown_until.since(now.wall).min(whole);
            let cooldown_until = now.boot + left;
            (group.key, Open { rule: group.rule, capture: group.capture, cooldown_until })
        };
        let counted_until = |began| now.boot + HOUR.saturating_sub(now.wall.since(began));
        let trials = groups.iter().filter(|group| group.capture.is_none());
        let mut tried: Vec<WallTime> = trials.map(|group| group.opened_at).collect();
        tried.sort_unstable();
        self.trials_until = tried.into_iter().map(counted_until).collect();
        self.groups = groups.into_iter().map(open).collect();
        began.sort_unstable();
        self.counted_until = began.into_iter().map(counted_until).collect();
    }

    /// How the incident of a group stands for a rule that captures, or that is only tried out: what was
    /// opened by a trial holds back no capture.
    pub(super) fn standing(
        &self,
        group: &GroupKey,
        dry_run: bool,
        is_running: impl Fn(&CaptureId) -> bool,
        now: Now,
    ) -> Standing<'_> {
        match self.groups.get(group) {
            Some(Open { capture: Some(id), .. }) if is_running(id) => Standing::Runs(id),
            Some(Open { capture: None, .. }) if !dry_run => Standing::Closed,
            Some(open) if now.boot < open.cooldown_until => Standing::Cooldown,
            Some(_) | None => Standing::Closed,
        }
    }

    /// The ceiling that lets no capture begin, whoever wants it, where `running` take packets. A trial
    /// is one of a rule that is only tried out.
    pub(super) fn refuses(&self, running: usize, is_trial: bool, now: Now) -> Option<Suppression> {
        if running >= self.ceilings.concurrent {
            return Some(Suppression::ConcurrentCeiling);
        }
        let counting = |until: &VecDeque<BootTime>| {
            until.len() - until.partition_point(|until| *until <= now.boot)
        };
        let trials = if is_trial { counting(&self.trials_until) } else { 0 };
        let is_full = counting(&self.counted_until) + trials >= self.ceilings.captures_per_hour;
        is_full.then_some(Suppression::HourlyCeiling)
    }

    /// Counts a capture that begins.
    pub(super) fn count(&mut self, now: Now) {
        count(&mut self.counted_until, now);
    }

    pub(super) const fn set_ceilings(&mut self, ceilings: Ceilings) {
        self.ceilings = ceilings;
    }

    /// The capture of a group with an open incident, whether or not it still runs.
    pub(super) fn capture_of(&self, group: &GroupKey) -> Option<&CaptureId> {
        self.groups.get(group).and_then(|group| group.capture.as_ref())
    }

    /// Until when a group with an open incident makes no other capture.
    pub(super) fn cooldown_until(&self, group: &GroupKey) -> Option<BootTime> {
        self.groups.get(group).map(|group| group.cooldown_until)
    }

    /// The rule of each group whose cooldown is not over, and how much of that is left.
    pub(super) fn cooldowns(&self, now: Now) -> impl Iterator<Item = (&str, Duration)> {
        let left = move |open: &Open| open.cooldown_until.since(now.boot);
        let open = self.groups.values().map(move |open| (open.rule.as_str(), left(open)));
        open.filter(|(_, left)| !left.is_zero())
    }

    /// How much of a group's cooldown is left; none where it is over.
    pub(super) fn cooldown_left(&self, group: &GroupKey, now: Now) -> Option<Duration> {
        let left = self.groups.get(group)?.cooldown_until.since(now.boot);
        (!left.is_zero()).then_some(left)
    }

    /// Opens the incident of a proposal that was admitted, or would have been.
    pub(super) fn open(
        &mut self,
        proposal: &Proposal,
        capture: Option<&CaptureId>,
        now: Now,
    ) -> Group {
        let group = Group {
            key: proposal.group.clone(),
            rule: proposal.plan.rule.clone(),
            incident: proposal.plan.incident.clone(),
            capture: capture.cloned(),
            opened_at: now.wall,
            cooldown_until: now.wall + proposal.policy.cooldown,
        };
        let cooldown_until = now.boot + proposal.policy.cooldown;
        let open = Open { rule: group.rule.clone(), capture: capture.cloned(), cooldown_until };
        self.groups.insert(group.key.clone(), open);
        let counted = match capture {
            Some(_) => &mut self.counted_until,
            None => &mut self.trials_until,
        };
        count(counted, now);
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
        let is_over = |group: &Open| {
            now.boot >= group.cooldown_until && !group.capture.as_ref().is_some_and(&is_running)
        };
        self.groups.extract_if(.., |_, group| is_over(group)).map(|(key, _)| key).collect()
    }

    /// When [`sweep`](Self::sweep) wants to be called again.
    pub(super) fn next_sweep(&self) -> Option<BootTime> {
        (!self.groups.is_empty()).then_some(self.sweep_at)
    }
}

fn count(counted_until: &mut VecDeque<BootTime>, now: Now) {
    while counted_until.front().is_some_and(|until| now.boot >= *until) {
        counted_until.pop_front();
    }
    counted_until.push_back(now.boot + HOUR);
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

    fn judge(gate: &Gate, group: &str, running: usize, now: Now) -> Option<Suppression> {
        match gate.standing(&GroupKey::from_text(group), false, |_| false, now) {
            Standing::Cooldown => Some(Suppression::Cooldown),
            Standing::Runs(_) | Standing::Closed => gate.refuses(running, false, now),
        }
    }

    fn id(text: &str) -> CaptureId {
        CaptureId::from_text(text)
    }

    #[test]
    fn an_event_of_an_open_incident_belongs_to_its_capture() {
        let mut gate = Gate::new(CEILINGS);
        gate.open(&proposal("a", 0), Some(&id("1")), at(0));
        let standing = |group| gate.standing(&GroupKey::from_text(group), false, |_| true, at(5));
        assert_eq!(standing("a"), Standing::Runs(&id("1")));
        assert_eq!(standing("b"), Standing::Closed);
    }

    #[test]
    fn the_cooldown_counts_from_the_start_of_the_capture_and_ends_on_the_second() {
        let mut gate = Gate::new(CEILINGS);
        gate.open(&proposal("a", 60), Some(&id("1")), at(0));
        assert_eq!(judge(&gate, "a", 0, at(59)), Some(Suppression::Cooldown));
        assert_eq!(judge(&gate, "a", 0, at(60)), None);
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
                gate.open(&proposal(group, 60), Some(&id(group)), at(0));
            }
            let judge = |group, s| judge(&gate, group, 0, set(s, wall));
            assert_eq!(judge("a", 59), Some(Suppression::Cooldown));
            assert_eq!(judge("d", 3599), Some(Suppression::HourlyCeiling));
            assert_eq!(judge("d", 3600), None);
            assert_eq!(gate.sweep(|_| false, set(3600, wall)).len(), 3);
        }
    }

    #[test]
    fn a_restart_takes_up_what_is_left_and_never_more_than_there_was() {
        let opened = Gate::new(CEILINGS).open(&proposal("a", 60), Some(&id("1")), at(100));
        // Boot time starts anew with the machine, so that only differences may count.
        let restored = |wall: WallTime| {
            let mut gate = Gate::new(CEILINGS);
            gate.restore(vec![opened.clone()], vec![at(100).wall; 3], set(5, wall));
            gate
        };
        let judge = |gate: &Gate, group, s| judge(gate, group, 0, set(s, at(120).wall));
        let (cooldown, hourly) = (Some(Suppression::Cooldown), Some(Suppression::HourlyCeiling));
        let gate = restored(at(120).wall);
        assert_eq!(judge(&gate, "a", 5 + 39), cooldown);
        assert_eq!(judge(&gate, "a", 5 + 40), hourly);
        assert_eq!(judge(&gate, "b", 5 + 3579), hourly);
        assert_eq!(judge(&gate, "b", 5 + 3580), None);
        let gate = restored(at(100).wall - Duration::from_secs(1_000_000));
        assert_eq!(judge(&gate, "a", 5 + 59), cooldown);
        assert_eq!(judge(&gate, "a", 5 + 60), hourly);
    }

    #[test]
    fn the_ceilings_hold_across_groups() {
        let mut gate = Gate::new(CEILINGS);
        assert_eq!(judge(&gate, "a", 2, at(0)), Some(Suppression::ConcurrentCeiling));
        for group in ["a", "b", "c"] {
            gate.open(&proposal(group, 0), Some(&id(group)), at(0));
        }
        assert_eq!(judge(&gate, "d", 0, at(3599)), Some(Suppression::HourlyCeiling));
        assert_eq!(judge(&gate, "d", 0, at(3600)), None);
    }

    #[test]
    fn trials_are_held_to_the_ceilings_and_take_no_place_under_them() {
        let mut gate = Gate::new(CEILINGS);
        let groups: Vec<_> =
            ["a", "b"].map(|group| gate.open(&proposal(group, 60), None, at(0))).into();
        gate.open(&proposal("c", 60), Some(&id("c")), at(0));
        let hourly = Some(Suppression::HourlyCeiling);
        assert_eq!(gate.refuses(0, true, at(3599)), hourly);
        assert_eq!(gate.refuses(0, false, at(3599)), None);
        assert_eq!(gate.refuses(0, true, at(3600)), None);
        let standing = |dry_run| gate.standing(&groups[0].key, dry_run, |_| true, at(59));
        assert_eq!(standing(true), Standing::Cooldown);
        assert_eq!(standing(false), Standing::Closed, "the rule captures by now");
        let mut gate = Gate::new(CEILINGS);
        gate.restore(groups, vec![at(0).wall], at(3599));
        assert_eq!(gate.refuses(0, true, at(3599)), hourly);
    }

    #[test]
    fn a_group_closes_when_its_capture_has_stopped_and_its_cooldown_is_over() {
        let mut gate = Gate::new(CEILINGS);
        gate.open(&proposal("a", 10), Some(&id("1")), at(0));
        assert!(gate.sweep(|_| true, at(20)).is_empty());
        assert!(gate.sweep(|_| false, at(20)).is_empty(), "not before the next second");
        assert_eq!(gate.sweep(|_| false, at(22)), [GroupKey::from_text("a")]);
        assert_eq!(gate.next_sweep(), None);
    }
}
