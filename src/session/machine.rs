//! The one owner of the state.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::{BootTime, Now};
use crate::model::{
    Capture, CaptureId, Change, Decision, Health, Notice, NoticeId, Outcome, Rejected, State,
    Transfer,
};
use crate::random::Sequence;

use super::admission::Gate;
use super::attempts::Attempts;
use super::health::Board;
use super::quota::Quotas;
use super::room::Room;
use super::summaries::Summaries;
use super::waits::Waits;
use super::{Action, Effects, Input, Settings};

/// Uploads at one time: eight storages may hang before one that does not has to wait.
const UPLOADS_AT_ONCE: usize = 16;

/// Uploads to one storage at one time: enough to use a slow line, few enough to leave the host its
/// own.
const UPLOADS_TO_ONE: usize = 2;

/// Notices at one time, and to one notifier.
const NOTICES_AT_ONCE: usize = 16;
const NOTICES_TO_ONE: usize = 2;

/// Removals of local copies at one time.
const REMOVALS_AT_ONCE: usize = 4;

/// Captures whose leftovers are sealed at one time: each reads its files once.
const RECOVERIES_AT_ONCE: usize = 2;

/// One segment: its capture and its index.
pub(super) type SegmentKey = (CaptureId, u32);

/// All state of the worker. See the module's page for how it is driven.
#[derive(Debug)]
pub struct Machine {
    pub(super) settings: Settings,
    pub(super) gate: Gate,
    pub(super) quotas: Quotas,
    pub(super) waits: Waits,
    pub(super) room: Room,
    /// Captures on which work is left; a capture leaves when its end is recorded and its segments
    /// are retired or stranded. Bounded by the ceilings and by what the spool holds.
    pub(super) captures: BTreeMap<CaptureId, Capture>,
    /// The names of all captures that are kept and not deleted. Bounded by what the journal keeps.
    pub(super) names: BTreeMap<String, CaptureId>,
    /// Captures that differ from what the journal has; written at the next [`settle`](Self::settle).
    dirty: BTreeSet<CaptureId>,
    /// Captures of an earlier run that were taking packets when it died.
    pub(super) leftovers: Attempts<CaptureId>,
    pub(super) uploads: Attempts<SegmentKey>,
    /// How far uploads in parts have come; only of segments in `uploads`.
    pub(super) transfers: BTreeMap<SegmentKey, Transfer>,
    pub(super) removals: Attempts<SegmentKey>,
    pub(super) notices: BTreeMap<NoticeId, Notice>,
    pub(super) sends: Attempts<NoticeId>,
    pub(super) summaries: Summaries,
    /// The broker sessions that we have had.
    pub(super) sessions: BTreeSet<String>,
    pub(super) storages: Board,
    pub(super) notifiers: Board,
    pub(super) random: Sequence,
    stopping: bool,
}

impl Machine {
    /// An empty machine; `seed` feeds identifiers and jitter.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            gate: Gate::new(settings.ceilings),
            quotas: Quotas::default(),
            waits: Waits::default(),
            room: Room::new(settings.ceilings),
            settings,
            captures: BTreeMap::new(),
            names: BTreeMap::new(),
            dirty: BTreeSet::new(),
            leftovers: Attempts::new(RECOVERIES_AT_ONCE),
            uploads: Attempts::in_lanes(UPLOADS_AT_ONCE, UPLOADS_TO_ONE),
            transfers: BTreeMap::new(),
            removals: Attempts::new(REMOVALS_AT_ONCE),
            notices: BTreeMap::new(),
            sends: Attempts::in_lanes(NOTICES_AT_ONCE, NOTICES_TO_ONE),
            summaries: Summaries::default(),
            sessions: BTreeSet::new(),
            storages: Board::default(),
            notifiers: Board::default(),
            random: Sequence::new(seed),
            stopping: false,
        }
    }

    /// Takes other settings; what was admitted before goes on as it was. What waits for a rule that
    /// is gone or is another one now is dropped, without a word: its events were told that they wait.
    pub fn configure(&mut self, settings: Settings) {
        self.gate.set_ceilings(settings.ceilings);
        self.room.set_ceilings(settings.ceilings);
        if let (Some(before), Some(after)) = (&self.settings.rules, &settings.rules) {
            self.waits.retain(|rule| before.get(rule) == after.get(rule));
        }
        self.settings = settings;
    }

    /// Takes one piece of news; what has to happen is appended to `effects`.
    pub fn apply(&mut self, input: Input, now: Now, effects: &mut Effects) {
        match input {
            Input::Event { event, verdicts } => self.event(&event, verdicts, now, effects),
            Input::Expired { event, verdicts, age } => {
                self.expired(&event, &verdicts, age, now, effects);
            }
            Input::Session { source, key, present } => {
                self.session(source, key, present, now, effects);
            }
            Input::Rejected(rejected) => reject(rejected, effects),
            Input::Engine(report) => self.engine(report, now, effects),
            Input::Leftovers { capture, files, error } => {
                self.recovered(&capture, files, error, now);
            }
            Input::Transfer(transfer) => self.transferred(transfer, effects),
            Input::Uploaded { capture, index, result } => {
                self.uploaded((capture, index), result, now, effects);
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
            Input::Space(space) => self.sampled(space, effects),
            // By the identifier: another capture may have the name by now.
            Input::Freed(gone) if !gone.is_empty() => {
                let gone: BTreeSet<CaptureId> = gone.into_iter().collect();
                self.names.retain(|_, id| !gone.contains(id));
            }
            Input::Freed(_) => {}
            Input::Shutdown => self.stopping = true,
        }
    }

    /// Once after each batch of inputs: ends what has reached its end, persists what has changed,
    /// starts what is due.
    pub fn settle(&mut self, now: Now, effects: &mut Effects) {
        self.reach_ends(now, effects);
        self.begin_due(now, effects);
        let (captures, leftovers) = (&self.captures, &self.leftovers);
        for key in self.gate.sweep(|id| is_running(captures, leftovers, id), now) {
            effects.changes.push(Change::GroupClosed(key));
        }
        // Nothing leaves the machine any more once it is stopping: a restart goes on with it.
        if !self.stopping {
            self.say_summaries(now, effects);
            self.start_uploads(now, effects);
        }
        self.persist_dirty(effects);
        effects.changes.extend(self.waits.take_changes(now));
        let unsaid = self.summaries.take_changed().into_iter();
        effects.changes.extend(unsaid.map(|unsaid| Change::Unsaid(Box::new(unsaid))));
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
            self.summaries.next_due(),
            self.waits.next_due(),
        ];
        work.into_iter().flatten().chain(self.gate.next_sweep()).min()
    }

    /// Whether it was told to stop: events are left to their senders then, who send them again.
    pub const fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Captures on which work is left, also those that somebody has deleted.
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

    /// Writes what has changed, and lets go of captures on which nothing is left to do.
    fn persist_dirty(&mut self, effects: &mut Effects) {
        for id in std::mem::take(&mut self.dirty) {
            let Some(capture) = self.captures.get(&id) else { continue };
            let has_work = capture.has_work();
            effects.changes.push(if capture.deleted && !has_work && !capture.has_stranded() {
                Change::CaptureGone(id.clone())
            } else {
                Change::Capture(Box::new(capture.clone()))
            });
            if !has_work {
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

    /// Those that have changed since the last [`settle`](Self::settle).
    pub(super) fn changed(&self) -> Vec<CaptureId> {
        self.dirty.iter().cloned().collect()
    }

    pub(super) fn is_running(&self, id: &CaptureId) -> bool {
        is_running(&self.captures, &self.leftovers, id)
    }

    /// Captures that take packets.
    pub(super) fn running(&self) -> impl Iterator<Item = &Capture> {
        self.captures.values().filter(|capture| self.is_running(&capture.id))
    }
}

/// Whether a capture takes packets. One of an earlier run does not, whatever its state still says:
/// no later event may be counted as belonging to it.
pub(super) fn is_running(
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
