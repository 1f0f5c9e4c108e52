//! The one owner of the state.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::{BootTime, Now};
use crate::model::{
    Capture, CaptureId, Change, Decision, Delivery, Event, GroupKey, Health, Notice, NoticeId,
    Outcome, Proposal, Rejected, Report, SealedFile, Segment, SegmentState, State, Suppression,
    Verdict,
};
use crate::random::Sequence;

use super::admission::{Admission, Gate};
use super::attempts::Attempts;
use super::health::Board;
use super::transfer::Outgoing;
use super::{Action, Ceilings, Effects, Input, closing};

/// Uploads at one time: enough to use a slow line, few enough to leave the host its own.
const UPLOADS_AT_ONCE: usize = 2;

/// Notices at one time.
const NOTICES_AT_ONCE: usize = 4;

/// Removals of local copies at one time.
const REMOVALS_AT_ONCE: usize = 4;

/// Captures whose leftovers are sealed at one time: each reads its files once.
const RECOVERIES_AT_ONCE: usize = 2;

/// Work is given up after so many failures in a row at the earliest: about five minutes, long enough
/// for somebody to repair a credential.
pub(super) const REFUSALS_UNTIL_GIVEN_UP: u32 = 12;

/// One segment: its capture and its index.
pub(super) type SegmentKey = (CaptureId, u32);

/// All state of the worker. See the module's page for how it is driven.
#[derive(Debug)]
pub struct Machine {
    pub(super) gate: Gate,
    /// Captures on which work is left; a capture leaves when its end is recorded and its segments
    /// are retired or stranded. Bounded by the ceilings and by what the spool holds.
    pub(super) captures: BTreeMap<CaptureId, Capture>,
    /// Captures that differ from what the journal has; written at the next [`settle`](Self::settle).
    dirty: BTreeSet<CaptureId>,
    /// Captures of an earlier run that were taking packets when it died.
    pub(super) leftovers: Attempts<CaptureId>,
    pub(super) uploads: Attempts<SegmentKey>,
    pub(super) removals: Attempts<SegmentKey>,
    pub(super) notices: BTreeMap<NoticeId, Outgoing>,
    pub(super) sends: Attempts<NoticeId>,
    pub(super) storages: Board,
    pub(super) notifiers: Board,
    pub(super) random: Sequence,
    stopping: bool,
}

impl Machine {
    /// An empty machine; `seed` feeds identifiers and jitter.
    pub fn new(ceilings: Ceilings, seed: u64) -> Self {
        Self {
            gate: Gate::new(ceilings),
            captures: BTreeMap::new(),
            dirty: BTreeSet::new(),
            leftovers: Attempts::new(RECOVERIES_AT_ONCE),
            uploads: Attempts::new(UPLOADS_AT_ONCE),
            removals: Attempts::new(REMOVALS_AT_ONCE),
            notices: BTreeMap::new(),
            sends: Attempts::new(NOTICES_AT_ONCE),
            storages: Board::default(),
            notifiers: Board::default(),
            random: Sequence::new(seed),
            stopping: false,
        }
    }

    /// Takes one piece of news; what has to happen is appended to `effects`.
    pub fn apply(&mut self, input: Input, now: Now, effects: &mut Effects) {
        match input {
            Input::Event { event, verdicts } => self.event(&event, verdicts, now, effects),
            Input::Rejected(rejected) => reject(rejected, effects),
            Input::Engine(report) => self.engine(report, now),
            Input::Leftovers { capture, files, error } => {
                self.recovered(&capture, files, error, now);
            }
            Input::Uploaded { capture, index, result } => {
                self.uploaded((capture, index), result, now);
            }
            Input::Removed { capture, index, result } => {
                self.removed((capture, index), &result, now);
            }
            Input::Notified { notice, result } => self.notified(&notice, result, now, effects),
            Input::Stop { capture, reason } => {
                if self.is_running(&capture) {
                    effects.actions.push(Action::Stop { capture, reason });
                }
            }
            Input::Shutdown => self.stopping = true,
        }
    }

    /// Once after each batch of inputs: ends what has reached its end, persists what has changed,
    /// starts what is due.
    pub fn settle(&mut self, now: Now, effects: &mut Effects) {
        self.reach_ends(now, effects);
        let (captures, leftovers) = (&self.captures, &self.leftovers);
        for key in self.gate.sweep(|id| is_running(captures, leftovers, id), now) {
            effects.changes.push(Change::GroupClosed(key));
        }
        // Nothing leaves the machine any more once it is stopping: a restart goes on with it.
        if !self.stopping {
            self.start_uploads(now, effects);
        }
        self.persist_dirty(effects);
        if !self.stopping {
            self.start_recoveries(now, effects);
            self.start_removals(now, effects);
            self.start_sends(now, effects);
        }
    }

    /// When [`settle`](Self::settle) has something to do without any input.
    pub fn next_deadline(&self) -> Option<BootTime> {
        if self.stopping {
            // What is due stays due, and waking up for it would be all that happened.
            return None;
        }
        let work = [
            self.leftovers.next_due(),
            self.uploads.next_due(),
            self.removals.next_due(),
            self.sends.next_due(),
        ];
        work.into_iter().flatten().chain(self.gate.next_sweep()).min()
    }

    /// Whether it was told to stop: events are left to their senders then, who send them again.
    pub const fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Captures on which work is left.
    pub fn open_captures(&self) -> impl Iterator<Item = &Capture> {
        self.captures.values()
    }

    /// Storages and notifiers that have been tried: how they are doing.
    pub fn health(&self) -> (Vec<Health>, Vec<Health>) {
        (self.storages.all().cloned().collect(), self.notifiers.all().cloned().collect())
    }

    /// Segments not yet verified in their storage.
    pub fn segments_waiting(&self) -> usize {
        self.uploads.len()
    }

    /// Stored segments whose local copy is still to be removed.
    pub fn removals_waiting(&self) -> usize {
        self.removals.len()
    }

    /// Notices not yet delivered.
    pub fn notices_waiting(&self) -> usize {
        self.sends.len()
    }

    fn event(&mut self, event: &Event, verdicts: Vec<Verdict>, now: Now, effects: &mut Effects) {
        let outcome =
            |rule: Option<&str>, decision| Change::Outcome(Outcome::new(event, rule, decision));
        if verdicts.is_empty() {
            effects.changes.push(outcome(None, Decision::NoMatch));
        }
        for verdict in verdicts {
            let rule = verdict.rule().to_owned();
            let decision = match verdict {
                Verdict::Capture(proposal) => self.propose(*proposal, now, effects),
                Verdict::Resolved { group, .. } => self.resolved(&group),
                Verdict::Refused { reason, .. } => Decision::Refused(reason),
            };
            effects.changes.push(outcome(Some(&rule), decision));
        }
    }

    fn propose(&mut self, proposal: Proposal, now: Now, effects: &mut Effects) -> Decision {
        let (captures, leftovers) = (&self.captures, &self.leftovers);
        let is_running = |id: &CaptureId| is_running(captures, leftovers, id);
        let running = captures.keys().filter(|id| is_running(id)).count();
        match self.gate.judge(&proposal, is_running, running, now) {
            Admission::Belongs(id) => {
                self.change(&id, |capture| capture.coalesced += 1);
                Decision::Coalesced(id)
            }
            Admission::Suppressed(why) => Decision::Suppressed(why),
            Admission::Admitted => Decision::Capture(self.begin(proposal, now, effects)),
        }
    }

    fn begin(&mut self, proposal: Proposal, now: Now, effects: &mut Effects) -> CaptureId {
        let id = CaptureId::mint(now.wall, [self.random.next(), self.random.next()]);
        let group = self.gate.open(&proposal, &id, now);
        let tail = &id.as_str()[id.as_str().len() - 6..];
        let name = format!("{}-{}-{tail}", proposal.plan.rule, now.wall.compact());
        let capture = Capture::pending(id.clone(), name, proposal.plan, now.wall);
        effects.changes.push(Change::Capture(Box::new(capture.clone())));
        effects.changes.push(Change::Group(group));
        effects.actions.push(Action::Begin(Box::new(capture.clone())));
        self.captures.insert(id.clone(), capture);
        id
    }

    fn resolved(&mut self, group: &GroupKey) -> Decision {
        match self.gate.capture_of(group).cloned() {
            Some(id) if self.is_running(&id) => {
                self.change(&id, |capture| capture.coalesced += 1);
                Decision::Coalesced(id)
            }
            Some(_) | None => Decision::Suppressed(Suppression::Resolved),
        }
    }

    fn engine(&mut self, report: Report, now: Now) {
        match report {
            Report::Started { capture, held_from } => self.change(&capture, |capture| {
                capture.state = State::Capturing;
                capture.held_from = Some(held_from);
            }),
            // Seen live, and persisted with the next thing worth a transaction.
            Report::Progress { capture, totals } => {
                if let Some(capture) = self.captures.get_mut(&capture) {
                    capture.totals = totals;
                }
            }
            Report::Sealed { capture, file } => self.sealed(&capture, file, now),
            Report::Ended { capture, reason, error, totals, interfaces } => {
                let uploads = &self.uploads;
                let is_under_way = |segment: &Segment| {
                    uploads.is_under_way(&(segment.capture.clone(), segment.file.index))
                };
                let known = self.captures.get(&capture);
                let is_uploading =
                    known.is_some_and(|known| known.segments.iter().any(is_under_way));
                self.change(&capture, |capture| {
                    // The upload may have begun as soon as the file was sealed.
                    capture.state = if is_uploading { State::Uploading } else { State::Sealed };
                    capture.stopped_at = Some(now.wall);
                    capture.stop_reason = Some(reason);
                    capture.error = error;
                    capture.totals = totals;
                    capture.interfaces = interfaces;
                });
            }
        }
    }

    pub(super) fn sealed(&mut self, id: &CaptureId, file: SealedFile, now: Now) {
        let index = file.index;
        let known = |capture: &Capture| capture.segments.iter().any(|s| s.file.index == index);
        // A capture that failed after its seal is searched for leftovers, and finds it again.
        if self.captures.get(id).is_none_or(known) {
            return;
        }
        self.change(id, |capture| {
            let (year, month, day) = capture.plan.trigger_at.date();
            let (incident, host) = (&capture.plan.incident, &capture.plan.host);
            let (name, extension) = (&capture.name, file.extension());
            let object =
                format!("{year}/{month}/{day}/{incident}/{host}/{name}-{index}.{extension}");
            let state = SegmentState::Sealed;
            let capture_id = capture.id.clone();
            capture.segments.push(Segment {
                capture: capture_id,
                file,
                state,
                object,
                receipt: None,
            });
        });
        self.uploads.add((id.clone(), index), now.boot);
    }

    /// Captures whose last piece of work is done get their end, and their notices with it.
    fn reach_ends(&mut self, now: Now, effects: &mut Effects) {
        let mut outgoing = Vec::new();
        for id in self.dirty.clone() {
            let Some(capture) = self.captures.get_mut(&id) else { continue };
            if capture.state.is_end() {
                continue;
            }
            let Some(end) = closing::end_of(capture) else { continue };
            capture.state = end;
            effects.actions.push(Action::Ended(Box::new(capture.clone())));
            let body = closing::body_of(capture);
            for notifier in capture.plan.notify.clone() {
                let random = [self.random.next(), self.random.next()];
                let notice = Notice {
                    id: NoticeId::mint(now.wall, random),
                    notifier,
                    kind: closing::kind_of(end),
                    created_at: now.wall,
                    delivery: Delivery::Waiting,
                    body: body.clone(),
                };
                effects.changes.push(Change::Notice(Box::new(notice.clone())));
                outgoing.push(notice);
            }
        }
        outgoing.into_iter().for_each(|notice| self.send(notice, now));
    }

    /// Writes what has changed, and lets go of captures on which nothing is left to do.
    fn persist_dirty(&mut self, effects: &mut Effects) {
        for id in std::mem::take(&mut self.dirty) {
            let Some(capture) = self.captures.get(&id) else { continue };
            effects.changes.push(Change::Capture(Box::new(capture.clone())));
            if !capture.has_work() {
                self.captures.remove(&id);
            }
        }
    }

    pub(super) fn change(&mut self, id: &CaptureId, change: impl FnOnce(&mut Capture)) {
        if let Some(capture) = self.captures.get_mut(id) {
            change(capture);
            self.dirty.insert(id.clone());
        }
    }

    fn is_running(&self, id: &CaptureId) -> bool {
        is_running(&self.captures, &self.leftovers, id)
    }
}

/// Whether a capture takes packets. One of an earlier run does not, whatever its state still says:
/// no later event may be counted as belonging to it.
fn is_running(
    captures: &BTreeMap<CaptureId, Capture>,
    leftovers: &Attempts<CaptureId>,
    id: &CaptureId,
) -> bool {
    let takes_packets =
        |capture: &Capture| matches!(capture.state, State::Pending | State::Capturing);
    captures.get(id).is_some_and(takes_packets) && !leftovers.contains(id)
}

fn reject(rejected: Rejected, effects: &mut Effects) {
    let outcome = Outcome {
        event: rejected.id.clone(),
        at: rejected.received_at,
        source: rejected.source.clone(),
        name: String::new(),
        fingerprint: rejected.sha256.clone(),
        rule: None,
        decision: Decision::Rejected(rejected.reason.clone()),
    };
    effects.changes.push(Change::Rejected(rejected));
    effects.changes.push(Change::Outcome(outcome));
}
