//! What the engine says of a capture, from its first packet to its end.

use crate::clock::Now;
use crate::model::{Capture, CaptureId, Kind, Report, SealedFile, Segment, SegmentState, State};

use super::{Action, Effects, Machine, closing, placing};

impl Machine {
    pub(super) fn engine(&mut self, report: Report, now: Now, effects: &mut Effects) {
        match report {
            Report::Started { capture, held_from, interfaces } => {
                let was = self.captures.get(&capture).map(|capture| capture.state);
                self.change(&capture, |capture| {
                    capture.state = State::Capturing;
                    capture.held_from = Some(held_from);
                    capture.interfaces = interfaces;
                });
                if was == Some(State::Pending) {
                    self.tell(&capture, Kind::Started, now, effects);
                }
            }
            // Seen live, and persisted with the next thing worth a transaction.
            Report::Progress { capture, totals } => {
                if let Some(capture) = self.captures.get_mut(&capture) {
                    capture.totals = totals;
                }
            }
            Report::Sealed { capture, file } => self.sealed(&capture, file, now),
            Report::Ended { capture, reason, error, totals, interfaces } => {
                self.room.settle(&capture, totals.bytes);
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
                    capture.error = joined(error, capture.error.take());
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
        let Some(capture) = self.captures.get(id).filter(|capture| !known(capture)) else {
            return;
        };
        let object = placing::object_of(capture, &file);
        let storage = capture.plan.storage.clone();
        self.change(id, |capture| {
            capture.segments.push(Segment {
                capture: capture.id.clone(),
                file,
                state: SegmentState::Sealed,
                object,
                receipt: None,
            });
        });
        let give_up_at = now.boot + self.settings.upload_budget;
        self.uploads.add_to(&storage, (id.clone(), index), now.boot, give_up_at);
    }

    /// Captures whose last piece of work is done get their end, and their notices with it.
    pub(super) fn reach_ends(&mut self, now: Now, effects: &mut Effects) {
        for id in self.changed() {
            let Some(capture) = self.captures.get_mut(&id) else { continue };
            if capture.state.is_end() {
                continue;
            }
            let Some(end) = closing::end_of(capture) else { continue };
            capture.state = end;
            effects.actions.push(Action::Ended(Box::new(capture.clone())));
            self.tell(&id, closing::kind_of(end), now, effects);
        }
    }
}

/// What went wrong with the packets, and what went wrong with a segment that was sealed before.
pub(super) fn joined(first: Option<String>, then: Option<String>) -> Option<String> {
    match (first, then) {
        (Some(first), Some(then)) => Some(format!("{first}; {then}")),
        (first, then) => first.or(then),
    }
}
