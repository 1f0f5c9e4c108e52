//! From what the journal kept back to a running machine.

use crate::backoff::Backoff;
use crate::clock::Now;
use crate::model::{
    Capture, CaptureId, GroupKey, Saved, SealedFile, SegmentState, State, StopReason,
};

use super::attempts::REFUSALS_UNTIL_GIVEN_UP;
use super::progress::joined;
use super::{Action, Effects, Machine};

impl Machine {
    /// Takes up the work that an earlier worker left, however it ended.
    ///
    /// What is left of captures that were taking packets is sealed; uploads, removals and notices go
    /// on. All of it starts at the next [`settle`](Self::settle).
    pub fn restore(&mut self, saved: Saved, now: Now) {
        self.gate.restore(saved.groups, saved.began, now);
        self.quotas.restore(saved.begun, now);
        let cooldown_until = |group: &GroupKey| self.gate.cooldown_until(group);
        self.waits.restore(saved.waiting, saved.seen, cooldown_until, now);
        if let Some(rules) = &self.settings.rules {
            self.waits.retain(|rule| rules.contains_key(rule));
        }
        self.names = saved.names;
        self.sessions = saved.sessions;
        self.summaries.restore(saved.unsaid, now);
        for capture in saved.captures {
            self.take_up(capture, now);
        }
        for transfer in saved.transfers {
            let key = (transfer.capture.clone(), transfer.index);
            if self.uploads.contains(&key) {
                self.transfers.insert(key, transfer);
            }
        }
        for notice in saved.notices {
            self.send(notice, now);
        }
    }

    fn take_up(&mut self, capture: Capture, now: Now) {
        let id = capture.id.clone();
        let sealed_by = capture.stopped_at.unwrap_or(capture.created_at);
        let left = self.settings.upload_budget.saturating_sub(now.wall.since(sealed_by));
        for segment in &capture.segments {
            let key = (id.clone(), segment.file.index);
            match segment.state {
                SegmentState::Sealed => {
                    let storage = &capture.plan.storage;
                    self.uploads.add_to(storage, key, now.boot, now.boot + left);
                }
                SegmentState::Stored => self.removals.add(key, now.boot),
                SegmentState::Retired | SegmentState::Stranded => {}
            }
        }
        let was_running = matches!(capture.state, State::Pending | State::Capturing);
        self.captures.insert(id.clone(), capture);
        if was_running {
            self.leftovers.add(id, now.boot);
        } else {
            // Marks it for a look at the next settle: its end may be all that is missing.
            self.change(&id, |_| {});
        }
    }

    /// Has what is left of interrupted captures sealed.
    pub(super) fn start_recoveries(&mut self, now: Now, effects: &mut Effects) {
        for id in self.leftovers.take_due(now.boot) {
            if let Some(capture) = self.captures.get(&id) {
                let recorded = capture.segments.iter().map(|segment| segment.file.index).collect();
                effects.actions.push(Action::SealLeftovers { capture: id, recorded });
            }
        }
    }

    /// Takes what was sealed of an interrupted capture; once that is all, it is at its end.
    pub(super) fn recovered(
        &mut self,
        id: &CaptureId,
        files: Vec<SealedFile>,
        error: Option<String>,
        now: Now,
    ) {
        for file in files {
            self.sealed(id, file, now);
        }
        if error.is_some() {
            let random = self.random.next();
            let failures = self.leftovers.retry(id, Backoff::REMOTE, now.boot, random);
            if failures < REFUSALS_UNTIL_GIVEN_UP {
                return;
            }
        }
        self.leftovers.finish(id);
        self.change(id, |capture| {
            let files = || capture.segments.iter().map(|segment| &segment.file);
            let (packets, bytes) = files()
                .fold((0, 0), |(packets, bytes), f| (packets + f.packets, bytes + f.size_bytes));
            capture.totals.packets = packets;
            capture.totals.bytes = bytes;
            capture.stopped_at = files().filter_map(|file| file.last_packet).max();
            capture.state = State::Sealed;
            capture.stop_reason = Some(StopReason::Interrupted);
            let why = match error {
                Some(error) => format!(
                    "the worker died while it was capturing, and not all that it left could be \
                     sealed: {error}; that stays in the spool"
                ),
                None if capture.segments.is_empty() => {
                    "the worker died before any packet had reached the disk".to_owned()
                }
                None => "the worker died while it was capturing; the file ends where it had been \
                         synced"
                    .to_owned(),
            };
            capture.error = joined(Some(why), capture.error.take());
        });
    }
}
