//! Notices: who gets which, and their way out.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::Now;
use crate::model::{Body, CaptureId, Change, Delivery, Kind, Notice, NoticeId};

use super::attempts::REFUSALS_UNTIL_GIVEN_UP;
use super::{Action, Effects, Failure, Machine, closing, summaries};

/// A notice that could not be delivered for so long, and that often in this run, is dead.
const NOTICE_BUDGET: Duration = Duration::from_secs(24 * 3600);

impl Machine {
    /// Those of the notifiers that get notices of this kind.
    pub(super) fn wanting(&self, notify: &[String], kind: Kind) -> BTreeSet<String> {
        notify.iter().filter(|name| self.settings.wants(name, kind)).cloned().collect()
    }

    /// Tells those whom the plan names, and who want to know, of a capture.
    pub(super) fn tell(&mut self, id: &CaptureId, kind: Kind, now: Now, effects: &mut Effects) {
        let Some(capture) = self.captures.get(id) else { return };
        let wanting = self.wanting(&capture.plan.notify, kind);
        if !wanting.is_empty() {
            let body = closing::body_of(capture);
            self.post(wanting, kind, &body, now, effects);
        }
    }

    /// Says what was summed up long enough.
    pub(super) fn say_summaries(&mut self, now: Now, effects: &mut Effects) {
        for unsaid in self.summaries.take_due(now.boot) {
            let body = summaries::body_of(&unsaid, &self.settings.host);
            self.post(unsaid.notify, unsaid.kind, &body, now, effects);
            effects.changes.push(Change::Said { kind: unsaid.kind, subject: unsaid.subject });
        }
    }

    /// Puts one notice for each notifier into the outbox.
    fn post(
        &mut self,
        notifiers: BTreeSet<String>,
        kind: Kind,
        body: &Body,
        now: Now,
        effects: &mut Effects,
    ) {
        for notifier in notifiers {
            let random = [self.random.next(), self.random.next()];
            let notice = Notice {
                id: NoticeId::mint(now.wall, random),
                notifier,
                kind,
                created_at: now.wall,
                delivery: Delivery::Waiting,
                body: body.clone(),
            };
            effects.changes.push(Change::Notice(Box::new(notice.clone())));
            self.send(notice, now);
        }
    }

    /// Lets a notice go out; one that has waited longer has less time left.
    pub(super) fn send(&mut self, notice: Notice, now: Now) {
        let left = NOTICE_BUDGET.saturating_sub(now.wall.since(notice.created_at));
        self.send_within(notice, left, now);
    }

    /// Lets a notice go out with all the time that a new one has.
    pub(super) fn send_anew(&mut self, notice: Notice, now: Now) {
        self.send_within(notice, NOTICE_BUDGET, now);
    }

    fn send_within(&mut self, notice: Notice, left: Duration, now: Now) {
        let id = notice.id.clone();
        self.sends.add_to(&notice.notifier, id.clone(), now.boot, now.boot + left);
        self.notices.insert(id, notice);
    }

    pub(super) fn start_sends(&mut self, now: Now, effects: &mut Effects) {
        for id in self.sends.take_due(now.boot) {
            if let Some(notice) = self.notices.get(&id) {
                effects.actions.push(Action::Send(Box::new(notice.clone())));
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
        let Some(notice) = self.notices.get_mut(id) else {
            self.sends.finish(id);
            return;
        };
        self.notifiers.note(&notice.notifier, result.as_ref().map(|_| ()), now.wall);
        notice.delivery = match result {
            Ok(()) => Delivery::Delivered,
            Err(failure) => {
                let random = self.random.next();
                let is_hopeless = !failure.transient || self.sends.is_over(id, now.boot);
                let failures = self.sends.retry(id, Backoff::REMOTE, now.boot, random);
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
}
