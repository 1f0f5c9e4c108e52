//! What survives a crash: the rows of the journal, and the files of the spool.

use std::collections::{BTreeMap, BTreeSet};

use hindsight::clock::WallTime;
use hindsight::model::{
    Begun, Body, Capture, CaptureId, Change, Decision, Delivery, Group, GroupKey, Kind, Notice,
    NoticeId, Outcome, Saved, SealedFile, Suppression, Transfer, Unsaid, Waiting,
};

/// Closed captures that are kept: few, so that names come free while a history goes on.
const KEPT_CAPTURES: usize = 12;

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) captures: BTreeMap<CaptureId, Capture>,
    pub(crate) notices: BTreeMap<NoticeId, Notice>,
    pub(crate) groups: BTreeMap<GroupKey, Group>,
    pub(crate) waiting: BTreeMap<GroupKey, Waiting>,
    pub(crate) seen: BTreeMap<GroupKey, Vec<WallTime>>,
    pub(crate) begun: Vec<Begun>,
    /// What was decided on what came due, by rule.
    pub(crate) came_due: Vec<(String, Decision)>,
    /// How often the proposal of a group that waits was written.
    pub(crate) proposals_written: usize,
    /// Captures of the rule that may make only so many.
    limited: usize,
    /// Captures of the rule that waits for its time.
    held: usize,
    pub(crate) transfers: BTreeMap<(CaptureId, u32), Transfer>,
    pub(crate) sessions: BTreeSet<String>,
    pub(crate) unsaid: BTreeMap<(Kind, String), Unsaid>,
    pub(crate) outcomes: Vec<Outcome>,
    began: Vec<WallTime>,
    /// Sealed files of the spool, and files that are still being written.
    pub(crate) sealed: BTreeMap<(CaptureId, u32), SealedFile>,
    pub(crate) open: BTreeSet<(CaptureId, u32)>,
}

impl Disk {
    /// One transaction. Returns the captures that are kept no more.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Vec<CaptureId> {
        let before = self.came_due.len() + self.outcomes.len();
        let mut ended = Vec::new();
        for change in changes {
            if let Change::WaitingGone(group) = &change {
                let row = self.waiting.get(group).expect("a row that goes was there");
                // Events that count for `times` alone are forgotten without a word.
                if row.proposal.policy.times.is_none() {
                    ended.push(row.proposal.plan.rule.clone());
                }
            }
            self.write(change);
        }
        if before == self.came_due.len() + self.outcomes.len() {
            assert_eq!(ended, [""; 0], "a wait ended without a reason");
        }
        let waited = self
            .came_due
            .iter()
            .filter(|(rule, decision)| rule == "for" && matches!(decision, Decision::Capture(_)));
        assert_eq!(waited.count(), self.held, "a capture did not wait");
        assert_eq!(self.begun.len(), self.limited, "begins and captures differ");
        let freed = self.prune();
        let names: BTreeSet<_> = self.captures.values().map(|capture| &capture.name).collect();
        assert_eq!(names.len(), self.captures.len(), "two captures have one name");
        self.check_sums(Kind::Suppressed, |decision| match decision {
            Decision::Suppressed(why) => !matches!(why, Suppression::Resolved | Suppression::Unmet),
            Decision::Expired { .. } | Decision::Refused(_) | Decision::DryRun => true,
            _ => false,
        });
        self.check_sums(Kind::UpstreamLoss, |decision| *decision == Decision::UpstreamLoss);
        freed
    }

    fn write(&mut self, change: Change) {
        match change {
            Change::Outcome(outcome) => self.outcomes.push(outcome),
            Change::Rejected(_) | Change::Audit(_) | Change::FileGone { .. } => {}
            Change::Capture(capture) => {
                if !self.captures.contains_key(&capture.id) {
                    self.began.push(capture.created_at);
                    self.limited += usize::from(capture.plan.rule == "limited");
                    assert_ne!(capture.plan.rule, "trial", "a trial captures nothing");
                    self.held += usize::from(capture.plan.rule == "for");
                }
                drop(self.captures.insert(capture.id.clone(), *capture));
            }
            Change::CaptureGone(id) => {
                let gone = self.captures.remove(&id).expect("a row that goes was there");
                assert!(!gone.has_work() || gone.deleted, "work was forgotten");
                self.transfers.retain(|(capture, _), _| *capture != id);
            }
            Change::Notice(notice) => drop(self.notices.insert(notice.id.clone(), *notice)),
            Change::Group(group) => drop(self.groups.insert(group.key.clone(), group)),
            Change::GroupClosed(key) => drop(self.groups.remove(&key)),
            Change::Waiting(waiting) => {
                self.proposals_written += 1;
                drop(self.waiting.insert(waiting.proposal.group.clone(), *waiting));
            }
            Change::Seen { group, at } => drop(self.seen.insert(group, at)),
            Change::WaitingGone(group) => {
                self.waiting.remove(&group);
                self.seen.remove(&group);
            }
            Change::CameDue { rule, decision, .. } => self.came_due.push((rule, decision)),
            Change::Begun(begun) => self.begun.push(begun),
            Change::Transfer(transfer) => {
                let key = (transfer.capture.clone(), transfer.index);
                drop(self.transfers.insert(key, *transfer));
            }
            Change::TransferGone { capture, index } => {
                drop(self.transfers.remove(&(capture, index)));
            }
            Change::BrokerSession(key) => drop(self.sessions.insert(key)),
            Change::Unsaid(unsaid) => {
                let key = (unsaid.kind, unsaid.subject.clone());
                drop(self.unsaid.insert(key, *unsaid));
            }
            Change::Said { kind, subject } => drop(self.unsaid.remove(&(kind, subject))),
        }
    }

    fn prune(&mut self) -> Vec<CaptureId> {
        let is_closed = |capture: &&Capture| !capture.has_work() && !capture.has_stranded();
        let closed: Vec<_> =
            self.captures.values().filter(is_closed).map(|capture| capture.id.clone()).collect();
        let surplus = closed.len().saturating_sub(KEPT_CAPTURES);
        let gone = closed.into_iter().take(surplus);
        gone.inspect(|id| drop(self.captures.remove(id))).collect()
    }

    /// Every event that a summary is for is in one notice, or in what is still to be said: a crash
    /// neither doubles nor forgets it.
    fn check_sums(&self, kind: Kind, is_counted: impl Fn(&Decision) -> bool) {
        let outcomes = self.outcomes.iter().map(|outcome| &outcome.decision);
        let decisions = outcomes.chain(self.came_due.iter().map(|(_, decision)| decision));
        let happened = decisions.filter(|decision| is_counted(decision)).count();
        let said: u64 = self.summaries(kind).map(|notice| events_of(&notice.body)).sum();
        let unsaid = self.unsaid.values().filter(|unsaid| unsaid.kind == kind);
        let unsaid: u64 = unsaid.flat_map(|unsaid| unsaid.counts.values()).sum();
        assert_eq!(said + unsaid, happened as u64, "{kind:?}: {said} said, {unsaid} not yet");
    }

    /// The summaries to one notifier, in the order in which they were made.
    pub(crate) fn summaries(&self, kind: Kind) -> impl Iterator<Item = &Notice> {
        let of_kind = move |notice: &&Notice| notice.kind == kind && notice.notifier == "a";
        self.notices.values().filter(of_kind)
    }

    /// What the journal gives to a restart.
    pub(crate) fn saved(&self) -> Saved {
        let captures = self.captures.values();
        let waiting = |notice: &&Notice| notice.delivery == Delivery::Waiting;
        let shown = captures.clone().filter(|capture| !capture.deleted);
        Saved {
            captures: captures.filter(|capture| capture.has_work()).cloned().collect(),
            notices: self.notices.values().filter(waiting).cloned().collect(),
            groups: self.groups.values().cloned().collect(),
            waiting: self.waiting.values().cloned().collect(),
            seen: self.seen.clone(),
            begun: self.begun.clone(),
            began: self.began.clone(),
            transfers: self.transfers.values().cloned().collect(),
            sessions: self.sessions.clone(),
            unsaid: self.unsaid.values().cloned().collect(),
            names: shown.map(|capture| (capture.name.clone(), capture.id.clone())).collect(),
        }
    }

    pub(crate) fn seal_leftovers(
        &mut self,
        capture: &CaptureId,
        recorded: &[u32],
        at: WallTime,
    ) -> Vec<SealedFile> {
        let parts: Vec<_> = self.open.iter().filter(|key| key.0 == *capture).cloned().collect();
        for key in parts {
            self.open.remove(&key);
            let file = SealedFile {
                index: key.1,
                path: format!("/spool/{}-{}.pcap", key.0, key.1).into(),
                size_bytes: 500,
                sha256: format!("partial hash of {}", key.0),
                packets: 5,
                first_packet: Some(at),
                last_packet: Some(at),
                partial: true,
            };
            self.sealed.insert(key, file);
        }
        let of_it = |key: &(CaptureId, u32)| key.0 == *capture && !recorded.contains(&key.1);
        self.sealed.iter().filter(|(key, _)| of_it(key)).map(|(_, f)| f.clone()).collect()
    }
}

fn events_of(body: &Body) -> u64 {
    match body {
        Body::Capture(_) => 0,
        Body::Summary(summary) => summary.counts.iter().map(|counted| counted.events).sum(),
    }
}
