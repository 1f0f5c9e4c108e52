//! The window of a capture by the wall clock, which may be set while the capture runs.
//!
//! Packets carry the wall clock's stamps, and a capture lasts by the clock that nobody sets. Where
//! the two part, the window widens: a packet that came while the capture ran is in it, whatever
//! the clock said by then.

use std::time::Duration;

use crate::capture::feed::Selection;
use crate::clock::{BootTime, Now, WallTime};
use crate::model::CapturePlan;

/// A smaller difference of the clocks is none: they are read one after the other, and slewing moves
/// both.
const SMALLEST_STEP: Duration = Duration::from_secs(1);

/// From when to when, and when the capture began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    begun: Now,
    trigger_at: WallTime,
    from: WallTime,
    until: WallTime,
    time_is_up: BootTime,
}

/// How far the wall clock was set.
#[derive(Clone, Copy, Debug)]
enum Step {
    None,
    Forward(Duration),
    Back(Duration),
}

impl Window {
    pub(super) fn new(plan: &CapturePlan, begun: Now) -> Self {
        let (from, trigger_at) = (plan.from(), plan.trigger_at);
        let mut window =
            Self { begun, trigger_at, from, until: trigger_at, time_is_up: begun.boot };
        window.extend(plan.limits.duration);
        window
    }

    /// That of a file: it ends where the file does.
    pub(super) fn whole_file(begun: Now) -> Self {
        let (from, until) = (WallTime::from_nanos(i64::MIN), WallTime::from_nanos(i64::MAX));
        Self { begun, trigger_at: begun.wall, from, until, time_is_up: begun.boot + Duration::MAX }
    }

    /// Lets it end so long after the trigger, if that is later than it does.
    pub(super) fn extend(&mut self, duration: Duration) {
        let until = self.trigger_at + duration;
        // Never longer than the limit, should the clock have been set back since the trigger.
        let left = until.since(self.begun.wall).min(duration);
        self.until = self.until.max(until);
        self.time_is_up = self.time_is_up.max(self.begun.boot + left);
    }

    /// When the time limit ends the capture.
    pub(super) const fn time_is_up(&self) -> BootTime {
        self.time_is_up
    }

    /// The end of the window as the wall clock says it now.
    pub(super) fn until(&self, now: Now) -> WallTime {
        shifted(self.until, self.step(now))
    }

    /// Lets all stamps in that a packet of the window may carry, as far as is known by now.
    pub(super) fn widen(&self, selection: &mut Selection, now: Now) {
        let step = self.step(now);
        selection.from = selection.from.min(shifted(self.from, step));
        selection.until = selection.until.max(shifted(self.until, step));
    }

    fn step(&self, now: Now) -> Step {
        let expected = self.begun.wall + now.boot.since(self.begun.boot);
        let (forward, back) = (now.wall.since(expected), expected.since(now.wall));
        if forward >= SMALLEST_STEP {
            Step::Forward(forward)
        } else if back >= SMALLEST_STEP {
            Step::Back(back)
        } else {
            Step::None
        }
    }
}

fn shifted(at: WallTime, step: Step) -> WallTime {
    match step {
        Step::None => at,
        Step::Forward(by) => at + by,
        Step::Back(by) => at - by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::section::tests::plan;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    /// Half a second after the trigger.
    fn begun() -> Now {
        let boot = BootTime::from_duration(HOUR);
        Now { boot, wall: plan().trigger_at + SECOND / 2 }
    }

    fn later(by: Duration) -> Now {
        let Now { boot, wall } = begun();
        Now { boot: boot + by, wall: wall + by }
    }

    fn widened(now: Now) -> (WallTime, WallTime) {
        let plan = plan();
        let mut selection = Selection::new(&plan);
        let window = Window::new(&plan, begun());
        window.widen(&mut selection, now);
        (selection.from, selection.until)
    }

    #[test]
    fn while_nobody_sets_the_clock_the_window_is_that_of_the_plan() {
        let plan = plan();
        for by in [Duration::ZERO, SECOND, HOUR] {
            let now = later(by);
            let hiccup = Now { wall: now.wall + SECOND / 2, ..now };
            for now in [now, hiccup] {
                assert_eq!(widened(now), (plan.from(), plan.until()));
                assert_eq!(Window::new(&plan, begun()).until(now), plan.until());
            }
        }
    }

    #[test]
    fn a_packet_that_comes_after_the_clock_was_set_is_still_in_the_window() {
        let (plan, now) = (plan(), later(10 * SECOND));
        let forward = Now { wall: now.wall + HOUR, ..now };
        assert_eq!(widened(forward), (plan.from(), plan.until() + HOUR));
        let back = Now { wall: now.wall - HOUR, ..now };
        assert_eq!(widened(back), (plan.from() - HOUR, plan.until()));
        let until = Window::new(&plan, begun()).until(back);
        assert_eq!(until, plan.until() - HOUR);
    }

    #[test]
    fn an_extension_moves_the_end_only_forward() {
        let (plan, limit) = (plan(), plan().limits.duration);
        let end = |durations: &[Duration]| {
            let mut window = Window::new(&plan, begun());
            durations.iter().for_each(|duration| window.extend(*duration));
            let until = window.until(begun()).since(plan.trigger_at);
            (until, window.time_is_up().since(begun().boot) + SECOND / 2)
        };
        let longer = limit + 10 * SECOND;
        assert_eq!(end(&[]), (limit, limit));
        assert_eq!(end(&[limit - SECOND]), (limit, limit));
        assert_eq!(end(&[longer]), (longer, longer));
        assert_eq!(end(&[longer, limit + SECOND, Duration::ZERO]), (longer, longer));
        let mut of_file = Window::whole_file(begun());
        let before = (of_file.until(begun()), of_file.time_is_up());
        of_file.extend(longer);
        assert_eq!((of_file.until(begun()), of_file.time_is_up()), before);
    }

    #[test]
    fn a_clock_that_was_set_back_since_the_trigger_makes_no_capture_longer_than_its_limit() {
        let plan = plan();
        let set_back = Now { wall: plan.trigger_at - HOUR, ..begun() };
        let window = Window::new(&plan, set_back);
        assert_eq!(window.time_is_up(), begun().boot + plan.limits.duration);
        let half = SECOND / 2;
        assert_eq!(
            Window::new(&plan, begun()).time_is_up(),
            begun().boot + (plan.limits.duration - half)
        );
    }
}
