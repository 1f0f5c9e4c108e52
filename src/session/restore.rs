//! From what the journal kept back to a running machine.

use crate::clock::{Now, WallTime};
use crate::model::{Capture, Group, Notice, SegmentState, State};

use super::Machine;

impl Machine {
    /// Takes up the work that an earlier worker left, however it ended.
    ///
    /// `captures` are those on which work is left, `notices` those that wait, `began` when the
    /// captures of the last hour began. What is left of captures that were taking packets is sealed;
    /// uploads, removals and notices go on. All of it starts at the next [`settle`](Self::settle).
    pub fn restore(
        &mut self,
        captures: Vec<Capture>,
        notices: Vec<Notice>,
        groups: Vec<Group>,
        began: Vec<WallTime>,
        now: Now,
    ) {
        self.gate.restore(groups, began, now);
        for capture in captures {
            self.take_up(capture, now);
        }
        for notice in notices {
            self.send(notice, now);
        }
    }

    fn take_up(&mut self, capture: Capture, now: Now) {
        let id = capture.id.clone();
        for segment in &capture.segments {
            let key = (id.clone(), segment.file.index);
            match segment.state {
                SegmentState::Sealed => self.uploads.add(key, now.boot),
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
}
