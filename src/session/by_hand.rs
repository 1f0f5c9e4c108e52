//! What people do to captures: begin one, delete one, have one tried again.

use crate::clock::Now;
use crate::model::{
    Capture, CaptureId, CapturePlan, Change, Delivery, Notice, SegmentState, State, StopReason,
    Suppression,
};

use super::transfer::without_refusal;
use super::{Action, Effects, Machine};

/// Why a capture by hand was not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCreated {
    /// A capture of this name is kept.
    NameTaken,
    /// A ceiling is reached.
    Suppressed(Suppression),
}

/// What is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    pub segments: usize,
    pub notices: usize,
}

impl Machine {
    /// Begins a capture that a person asks for. It passes the ceilings as every other does, but
    /// belongs to no incident: no event joins it, and no cooldown holds it back. `name` holds no `~`.
    ///
    /// # Errors
    /// See [`NotCreated`]; nothing has changed then.
    pub fn create(
        &mut self,
        name: String,
        plan: CapturePlan,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Capture, NotCreated> {
        if self.names.contains_key(&name) {
            return Err(NotCreated::NameTaken);
        }
        let running = self.running().count();
        let refused = self.gate.refuses(running, false, now);
        if let Some(why) = refused.or_else(|| self.room.refuses(plan.limits.bytes)) {
            return Err(NotCreated::Suppressed(why));
        }
        let id = CaptureId::mint(now.wall, [self.random.next(), self.random.next()]);
        self.gate.count(now);
        let capture = Capture::pending(id, name, plan, now.wall);
        self.begin(capture.clone(), effects);
        Ok(capture)
    }

    /// Deletes a capture on which work is left: it is stopped if it runs, hidden at once, its name is
    /// free, and its row goes with its last work. Neither the stored object nor a local file is
    /// touched. False where no such capture is open; [`delete_ended`](Self::delete_ended) is for the
    /// others.
    pub fn delete(&mut self, key: &CaptureId, effects: &mut Effects) -> bool {
        let Some(capture) = self.captures.get(key).filter(|capture| !capture.deleted) else {
            return false;
        };
        self.names.remove(&capture.name);
        if self.is_running(key) {
            let (capture, reason) = (key.clone(), StopReason::Manual);
            effects.actions.push(Action::Stop { capture, reason });
        }
        self.change(key, Capture::delete);
        true
    }

    /// Deletes a capture that the journal gave because it is not open. A file of it that no storage
    /// took stays in the spool, and the hidden row goes on explaining it.
    pub fn delete_ended(&mut self, mut capture: Capture, effects: &mut Effects) {
        // It may have been taken up again, or deleted, while the journal was asked.
        if self.delete(&capture.id, effects) || self.names.get(&capture.name) != Some(&capture.id) {
            return;
        }
        self.names.remove(&capture.name);
        effects.changes.push(if capture.has_stranded() {
            capture.delete();
            Change::Capture(Box::new(capture))
        } else {
            Change::CaptureGone(capture.id)
        });
    }

    /// Tries again what was given up of a capture: its stranded segments, and its `dead` notices as
    /// the journal has them. What still waits for its next attempt waits no longer.
    pub fn drive_again(
        &mut self,
        capture: Capture,
        dead: Vec<Notice>,
        now: Now,
        effects: &mut Effects,
    ) -> Redriven {
        let id = capture.id.clone();
        // It may have been deleted while the journal was asked.
        if self.names.get(&capture.name) != Some(&id) {
            return Redriven::default();
        }
        if capture.has_stranded() {
            self.captures.entry(id.clone()).or_insert(capture);
        }
        let segments = self.upload_again(&id, now);
        let mut notices = 0;
        for mut notice in dead {
            if notice.delivery != Delivery::Dead || self.notices.contains_key(&notice.id) {
                continue;
            }
            notice.delivery = Delivery::Waiting;
            effects.changes.push(Change::Notice(Box::new(notice.clone())));
            self.send_anew(notice, now);
            notices += 1;
        }
        Redriven { segments, notices }
    }

    /// Lets every segment that is not stored be tried at once; returns how many these are.
    fn upload_again(&mut self, id: &CaptureId, now: Now) -> usize {
        let Some(capture) = self.captures.get(id) else { return 0 };
        let storage = capture.plan.storage.clone();
        let give_up_at = now.boot + self.settings.upload_budget;
        let mut waiting = Vec::new();
        let mut stranded = false;
        for segment in &capture.segments {
            match segment.state {
                SegmentState::Sealed => waiting.push(segment.file.index),
                SegmentState::Stranded => {
                    stranded = true;
                    waiting.push(segment.file.index);
                }
                SegmentState::Stored | SegmentState::Retired => {}
            }
        }
        for index in &waiting {
            let key = (id.clone(), *index);
            self.uploads.hurry(&key, now.boot, give_up_at);
            self.uploads.add_to(&storage, key, now.boot, give_up_at);
        }
        if stranded {
            self.change(id, |capture| {
                for segment in &mut capture.segments {
                    if segment.state == SegmentState::Stranded {
                        segment.state = SegmentState::Sealed;
                    }
                }
                capture.error = without_refusal(capture.error.take());
                if capture.state.is_end() {
                    capture.state = State::Sealed;
                }
            });
        }
        waiting.len()
    }
}
