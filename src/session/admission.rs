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
/// Bounded: a group is here only because a capture began, and no more begin than the hourly
/// ceiling allows; it goes when its capture has stopped and its cooldown is over.
#[derive(Debug)]
pub(super) struct Gate {
    ceilings: Ceilings,
    groups: BTreeMap<GroupKey, Group>,
    /// When the captures of the last hour began, oldest first; at most `captures_per_hour`.
    began: VecDeque<WallTime>,
    sweep_at: BootTime,
}

impl Gate {
    pub(super) fn new(ceilings: Ceilings) -> Self {
        Self {
            ceilings,
            groups: BTreeMap::new(),
            began: VecDeque::new(),
            sweep_at: BootTime::default(),
        }
    }

    /// Takes back what was kept over a restart.
    pub(super) fn restore(&mut self, groups: Vec<Group>, mut began: Vec<WallTime>) {
        self.groups = groups.into_iter().map(|group| (group.key.clone(), group)).collect();
        began.sort_unstable();
        self.began = began.into();
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
            if now.wall < group.cooldown_until {
                return Admission::Suppressed(Suppression::Cooldown);
            }
        }
        if running >= self.ceilings.concurrent {
            return Admission::Suppressed(Suppression::ConcurrentCeiling);
        }
        while self.began.front().is_some_and(|began| now.wall.since(*began) >= HOUR) {
            self.began.pop_front();
        }
        if self.began.len() >= self.ceilings.captures_per_hour {
            return Admission::Suppressed(Suppression::HourlyCeiling);
        }
        Admission::Admitted
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
            cooldown_until: now.wall + proposal.cooldown,
        };
        self.groups.insert(group.key.clone(), group.clone());
        self.began.push_back(now.wall);
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
        let over = |group: &Group| now.wall >= group.cooldown_until && !is_running(&group.capture);
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
    use crate::filter::Filter;
    use crate::model::{CapturePlan, EventId, IncidentId, Limits};

    const CEILINGS: Ceilings = Ceilings {
        duration: Duration::from_secs(60),
        bytes: 1 << 20,
        concurrent: 2,
        captures_per_hour: 3,
    };

    fn at(seconds: u64) -> Now {
        let wall = WallTime::from_nanos(0) + Duration::from_secs(1_800_000_000 + seconds);
        Now { boot: BootTime::from_duration(Duration::from_secs(seconds)), wall }
    }

    fn proposal(group: &str, cooldown_s: u64) -> Proposal {
        let limits = Limits {
            duration: Duration::from_secs(1),
            bytes: 1,
            packets: None,
            bytes_per_packet: 0,
        };
        let plan = CapturePlan {
            rule: "rule".to_owned(),
            incident: IncidentId::from_text("0"),
            event: EventId::from_text("0"),
            event_name: String::new(),
            event_json: String::new(),
            host: String::new(),
            interfaces: Vec::new(),
            trigger_at: at(0).wall,
            look_back: Duration::ZERO,
            filter: Filter::default(),
            limits,
            storage: String::new(),
            notify: Vec::new(),
        };
        let cooldown = Duration::from_secs(cooldown_s);
        Proposal { group: GroupKey::from_text(group), cooldown, plan }
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
