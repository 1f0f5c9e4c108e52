//! How a rule stands, as people read it: its state, what its groups are in, and the sentence why.
//!
//! Made of what the rules say of themselves, what the machine tells of its state and what the journal
//! has counted; asks nobody. Knows nothing of the loop.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{CaptureId, LastDecision, RuleState, Tally};
use crate::rules::RuleInfo;
use crate::units::Span;

/// One rule as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    pub name: String,
    /// Empty where the file gives none.
    pub description: String,
    pub file: String,
    /// Where its entry begins, from 1.
    pub line: u32,
    pub state: RuleMode,
    /// The sentence why it is so, and what stands against its next capture.
    pub why: String,
    /// The sources whose events concern it; none: any.
    pub sources: Vec<String>,
    /// When it is active; absent: always.
    pub active: Option<String>,
    /// When it makes events of its own.
    pub schedule: Option<String>,
    pub next_at: Option<WallTime>,
    pub dry_run: bool,
    pub last: Option<LastView>,
    /// Groups whose cooldown is not over, and the longest time that one of these goes on.
    pub in_cooldown: usize,
    pub cooldown_left_ms: Option<u64>,
    /// Groups that wait by `for` or `times`, and when the first of those that wait by `for` is due.
    pub waiting: usize,
    pub next_due: Option<WallTime>,
    /// Groups for which another capture begins after the one that runs.
    pub queued: usize,
    /// Where the rule has `max_captures`.
    pub quota: Option<QuotaView>,
    /// Its captures that take packets, oldest first.
    pub running: Vec<CaptureId>,
    /// How often each decision was made, since the journal began.
    pub decisions: BTreeMap<String, u64>,
}

/// Whether a rule acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleMode {
    Active,
    Disabled,
    /// It is not for this host.
    OtherHost,
    /// It is not active at this time.
    OutsideWindow,
    /// It acts by its schedule alone.
    Scheduled,
    /// It is only tried out.
    DryRun,
}

/// The last word on an event of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastView {
    pub at: WallTime,
    pub decision: String,
    /// Empty where the word says it all.
    pub reason: String,
}

/// How much of its `max_captures` a rule has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaView {
    pub counted: u32,
    pub max: u32,
    pub per_ms: u64,
    /// How long until one of those that count counts no longer.
    pub next_free_ms: Option<u64>,
}

impl RuleMode {
    /// As tables have it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::OtherHost => "not for this host",
            Self::OutsideWindow => "outside its window",
            Self::Scheduled => "scheduled",
            Self::DryRun => "dry run",
        }
    }
}

/// Adds what the journal knows.
pub(super) fn remember(views: &mut [RuleView], last: Vec<LastDecision>, tallies: Vec<Tally>) {
    let mut last: BTreeMap<String, LastDecision> =
        last.into_iter().map(|last| (last.rule.clone(), last)).collect();
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for Tally { rule, decision, count } in tallies {
        counts.entry(rule).or_default().insert(decision, count);
    }
    for view in views {
        view.decisions = counts.remove(&view.name).unwrap_or_default();
        view.last = last.remove(&view.name).map(|last| LastView {
            at: last.at,
            decision: last.decision,
            reason: last.reason,
        });
    }
}

/// What is known of a rule without the journal.
pub(super) fn view(
    info: RuleInfo,
    is_active: bool,
    next: Option<WallTime>,
    state: RuleState,
) -> RuleView {
    let mode = mode(&info, is_active);
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let quota = info.policy.max_captures.map(|quota| QuotaView {
        counted: state.quota.map_or(0, |used| used.counted),
        max: quota.count,
        per_ms: millis(quota.per),
        next_free_ms: state.quota.and_then(|used| used.next_free).map(millis),
    });
    RuleView {
        state: mode,
        why: why(mode, &info, next, &state),
        name: info.name,
        description: info.description,
        file: info.file.display().to_string(),
        line: info.line,
        sources: info.sources,
        active: info.active,
        schedule: info.schedule,
        next_at: next,
        dry_run: info.dry_run,
        last: None,
        in_cooldown: state.in_cooldown,
        cooldown_left_ms: state.cooldown_left.map(millis),
        waiting: state.waiting,
        next_due: state.next_due,
        queued: state.queued,
        quota,
        running: state.running,
        decisions: BTreeMap::new(),
    }
}

const fn mode(info: &RuleInfo, is_active: bool) -> RuleMode {
    if !info.enabled {
        RuleMode::Disabled
    } else if info.why_not.is_some() {
        RuleMode::OtherHost
    } else if !is_active {
        RuleMode::OutsideWindow
    } else if info.dry_run {
        RuleMode::DryRun
    } else if info.schedule.is_some() {
        RuleMode::Scheduled
    } else {
        RuleMode::Active
    }
}

/// The sentence: what keeps the rule as a whole from acting, then what its groups are in.
fn why(mode: RuleMode, info: &RuleInfo, next: Option<WallTime>, state: &RuleState) -> String {
    let mut parts = Vec::new();
    if matches!(mode, RuleMode::Disabled | RuleMode::OtherHost) {
        parts.extend(info.why_not.clone());
    }
    if mode == RuleMode::OutsideWindow {
        let window = info.active.as_deref().unwrap_or_default();
        parts.push(format!("it is active at {window} only"));
    }
    if info.dry_run {
        parts.push("it is only tried out: nothing is captured".to_owned());
    }
    parts.extend(next.map(|next| format!("its schedule is due next at {}", next.second())));
    match state.running.as_slice() {
        [] => {}
        [one] => parts.push(format!("capture {one} runs")),
        several => parts.push(format!("{} captures run", several.len())),
    }
    parts.extend(quota(state));
    if let Some(left) = state.cooldown_left {
        let left = seconds(left);
        parts.push(match state.in_cooldown {
            1 => format!("1 group is in its cooldown for {left} more"),
            groups => format!("{groups} groups are in their cooldown, the longest for {left} more"),
        });
    }
    match state.waiting {
        0 => {}
        1 => parts.push("1 group waits by for or times".to_owned()),
        groups => parts.push(format!("{groups} groups wait by for or times")),
    }
    if state.queued > 0 {
        parts.push(format!("{} more captures are queued", state.queued));
    }
    if parts.is_empty() {
        parts.push("nothing stands against it: it waits for an event that matches".to_owned());
    }
    parts.join("; ")
}

/// Where as many captures began as `max_captures` allows.
pub(super) fn quota(state: &RuleState) -> Option<String> {
    let used = state.quota.filter(|used| used.counted >= used.max)?;
    let next = used.next_free.map(|next| format!(", the next one in {}", seconds(next)));
    Some(format!("max_captures: {} of {}{}", used.counted, used.max, next.unwrap_or_default()))
}

/// In whole seconds, begun ones counted: what goes on for a moment is not over.
pub(super) fn seconds(time: Duration) -> Span {
    let begun = u64::from(time.subsec_nanos() > 0);
    Span(Duration::from_secs(time.as_secs().saturating_add(begun)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Policy, Quota, QuotaUse};

    fn info() -> RuleInfo {
        RuleInfo {
            name: "web".to_owned(),
            description: String::new(),
            file: "/rules.yaml".into(),
            line: 3,
            enabled: true,
            why_not: None,
            schedule: None,
            active: None,
            policy: Policy {
                max_captures: Some(Quota { count: 4, per: Duration::from_secs(86_400) }),
                ..Policy::default()
            },
            dry_run: false,
            sources: Vec::new(),
        }
    }

    #[test]
    fn what_keeps_a_rule_from_acting_is_its_state_and_its_sentence() {
        let idle = "the rule is for other hosts";
        for (info, is_active, state, part) in [
            (info(), true, RuleMode::Active, "nothing stands against it"),
            (
                RuleInfo { enabled: false, why_not: Some("off".to_owned()), ..info() },
                false,
                RuleMode::Disabled,
                "off",
            ),
            (
                RuleInfo { why_not: Some(idle.to_owned()), ..info() },
                true,
                RuleMode::OtherHost,
                idle,
            ),
            (
                RuleInfo { active: Some("* * 8 * * * (UTC)".to_owned()), ..info() },
                false,
                RuleMode::OutsideWindow,
                "active at * * 8 * * * (UTC) only",
            ),
            (RuleInfo { dry_run: true, ..info() }, true, RuleMode::DryRun, "tried out"),
            (
                RuleInfo { schedule: Some(String::new()), ..info() },
                true,
                RuleMode::Scheduled,
                "due",
            ),
        ] {
            let next = info.schedule.as_ref().map(|_| WallTime::from_nanos(0));
            let view = view(info, is_active, next, RuleState::default());
            assert_eq!(view.state, state);
            assert!(view.why.contains(part), "{}", view.why);
        }
    }

    #[test]
    fn what_stands_against_the_next_capture_is_said_with_its_time() {
        let state = RuleState {
            in_cooldown: 2,
            cooldown_left: Some(Duration::from_millis(199_001)),
            waiting: 1,
            queued: 3,
            quota: Some(QuotaUse {
                counted: 4,
                max: 4,
                next_free: Some(Duration::from_secs(7_200)),
            }),
            running: vec![CaptureId::from_text("c1")],
            ..RuleState::default()
        };
        let view = view(info(), true, None, state);
        assert_eq!(
            view.why,
            "capture c1 runs; max_captures: 4 of 4, the next one in 2h; 2 groups are in their \
             cooldown, the longest for 3m20s more; 1 group waits by for or times; 3 more captures \
             are queued"
        );
        assert_eq!(view.quota.map(|quota| (quota.counted, quota.max)), Some((4, 4)));
    }
}
