//! From what the journal kept back to a running machine.

use crate::clock::{Now, WallTime};
use crate::model::{Capture, Group, Notice, SegmentState, State};

use super::{Action, Effects, Machine};

impl Machine {
    /// Takes up the work that an earlier worker left, however it ended.
    ///
    /// `captures` are those on which work is left, `notices` those that wait, `began` when the
    /// captures of the last hour began. Captures that were taking packets are asked for what is
    /// left of them; uploads, removals and notices go on.
    pub fn restore(
        &mut self,
        captures: Vec<Capture>,
        notices: Vec<Notice>,
        groups: Vec<Group>,
        began: Vec<WallTime>,
        now: Now,
        effects: &mut Effects,
    ) {
        self.gate.restore(groups, began, now);
        for capture in captures {
            self.take_up(capture, now, effects);
        }
        for notice in notices {
            self.send(notice, now);
        }
    }

    fn take_up(&mut self, capture: Capture, now: Now, effects: &mut Effects) {
        let id = capture.id.clone();
        for segment in &capture.segments {
            let key = (id.clone(), segment.file.index);
            match segment.state {
                SegmentState::Sealed => self.uploads.add(key, now.boot),
                SegmentState::Stored => self.removals.add(key, now.boot),
                SegmentState::Retired | SegmentState::Stranded => {}
            }
        }
        let recorded = capture.segments.iter().map(|segment| segment.file.index).collect();
        let was_running = matches!(capture.state, State::Pending | State::Capturing);
        self.captures.insert(id.clone(), capture);
        if was_running {
            effects.actions.push(Action::SealLeftovers { capture: id, recorded });
        } else {
            // Marks it for a look at the next settle: its end may be all that is missing.
            self.change(&id, |_| {});
        }
    }
}
