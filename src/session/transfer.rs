//! What leaves the host, and what follows: uploads, the removal of local copies, notices.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::{BootTime, Now};
use crate::model::{Change, Delivery, Notice, NoticeId, Receipt, Segment, SegmentState, State};

use super::machine::{Machine, REFUSALS_UNTIL_GIVEN_UP, SegmentKey};
use super::{Action, Effects, Failure};

/// A notice that could not be delivered for so long, and that often in this run, is dead.
const NOTICE_BUDGET: Duration = Duration::from_secs(24 * 3600);

/// A notice on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    notice: Notice,
    /// By the clock that nobody sets: one that is put right must not end what has just begun.
    give_up_at: BootTime,
}

impl Machine {
    pub(super) fn start_uploads(&mut self, now: Now, effects: &mut Effects) {
        for key in self.uploads.take_due(now.boot) {
            let Some(capture) = self.captures.get(&key.0) else { continue };
            let Some(segment) = capture.segments.iter().find(|s| s.file.index == key.1) else {
                continue;
            };
            effects.actions.push(Action::Upload {
                storage: capture.plan.storage.clone(),
                segment: Box::new(segment.clone()),
            });
            if capture.state == State::Sealed {
                self.change(&key.0, |capture| capture.state = State::Uploading);
            }
        }
    }

    pub(super) fn start_removals(&mut self, now: Now, effects: &mut Effects) {
        for key in self.removals.take_due(now.boot) {
            let segments = self.captures.get(&key.0).map(|capture| &capture.segments);
            if let Some(segment) = segments.and_then(|s| s.iter().find(|s| s.file.index == key.1)) {
                let path = segment.file.path.clone();
                effects.actions.push(Action::Remove { capture: key.0, index: key.1, path });
            }
        }
    }

    pub(super) fn start_sends(&mut self, now: Now, effects: &mut Effects) {
        for id in self.sends.take_due(now.boot) {
            if let Some(outgoing) = self.notices.get(&id) {
                effects.actions.push(Action::Send(Box::new(outgoing.notice.clone())));
            }
        }
    }

    pub(super) fn uploaded(&mut self, key: SegmentKey, result: Result<Receipt, Failure>, now: Now) {
        let Some(capture) = self.captures.get(&key.0) else {
            self.uploads.finish(&key);
            return;
        };
        let storage = capture.plan.storage.clone();
        self.storages.note(&storage, result.as_ref().map(|_| ()), now.wall);
        match result {
            Ok(receipt) => {
                self.uploads.finish(&key);
                self.change_segment(&key, |segment| {
                    segment.state = SegmentState::Stored;
                    segment.receipt = Some(receipt);
                });
                self.removals.add(key, now.boot);
            }
            Err(failure) => {
                let random = self.random.next();
                let failures = self.uploads.retry(&key, Backoff::REMOTE, now.boot, random);
                if !failure.transient && failures >= REFUSALS_UNTIL_GIVEN_UP {
                    self.uploads.finish(&key);
                    self.change_segment(&key, |segment| segment.state = SegmentState::Stranded);
                    self.change(&key.0, |capture| {
                        capture.error =
                            Some(format!("storage '{storage}' refuses it: {}", failure.message));
                    });
                }
            }
        }
    }

    pub(super) fn removed(&mut self, key: SegmentKey, result: &Result<(), Failure>, now: Now) {
        match result {
            Ok(()) => {
                self.removals.finish(&key);
                self.change_segment(&key, |segment| segment.state = SegmentState::Retired);
            }
            Err(_) => {
                let random = self.random.next();
                self.removals.retry(&key, Backoff::REMOTE, now.boot, random);
            }
        }
    }

    pub(super) fn notified(
        &mut self,
        id: &NoticeId,
        result: Result<(), Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(Outgoing { notice, give_up_at }) = self.notices.get_mut(id) else {
            self.sends.finish(id);
            return;
        };
        self.notifiers.note(&notice.notifier, result.as_ref().map(|_| ()), now.wall);
        notice.delivery = match result {
            Ok(()) => Delivery::Delivered,
            Err(failure) => {
                let random = self.random.next();
                let failures = self.sends.retry(id, Backoff::REMOTE, now.boot, random);
                let is_hopeless = !failure.transient || now.boot >= *give_up_at;
                if failures < REFUSALS_UNTIL_GIVEN_UP || !is_hopeless {
                    return;
                }
                effects.actions.push(Action::GivenUp(Box::new(notice.clone())));
                Delivery::Dead
            }
        };
        effects.changes.push(Change::Notice(Box::new(notice.clone())));
        self.notices.remove(id);
        self.sends.finish(id);
    }

    /// Puts a notice into the outbox.
    pub(super) fn send(&mut self, notice: Notice, now: Now) {
        let left = NOTICE_BUDGET.saturating_sub(now.wall.since(notice.created_at));
        let id = notice.id.clone();
        self.sends.add(id.clone(), now.boot);
        self.notices.insert(id, Outgoing { notice, give_up_at: now.boot + left });
    }

    fn change_segment(&mut self, key: &SegmentKey, change: impl FnOnce(&mut Segment)) {
        self.change(&key.0, |capture| {
            if let Some(segment) = capture.segments.iter_mut().find(|s| s.file.index == key.1) {
                change(segment);
            }
        });
    }
}
