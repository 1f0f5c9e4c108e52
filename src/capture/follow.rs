//! The way of a capture from its first block to the end of its window.
//!
//! ```text
//! read what the rings hold --first packets written--> --synced, Started--> read what comes
//!         <--Progress, sync, once a second--       |  time is up, an order, a limit, a lost interface
//!                                                  v
//!                                read what arrived before the end
//! ```
//!
//! Invariant: no file I/O happens while a block of a ring is pinned.

use std::time::Duration;

use tracing::warn;

use crate::capture::Error;
use crate::capture::feed::{Feed, Selection, Taken, totals};
use crate::capture::files::Series;
use crate::capture::line::Line;
use crate::capture::log::SETTLE;
use crate::capture::window::Window;
use crate::clock::{self, BootTime, Now, WallTime};
use crate::model::{CapturePlan, Report, StopReason};

/// How often progress is told and what was written is synced: a crash loses about so much.
const TICK: Duration = Duration::from_secs(1);

/// How soon the past is on the disk: the packets from before the alert are those that nobody can
/// capture again.
const FIRST_TICK: Duration = Duration::from_millis(100);

/// How often a capture asks whether all is there once its window has ended: a few times for each
/// look of a recorder.
const DRAIN_WAIT: Duration = Duration::from_millis(5);

/// How long after the end, beyond the time that they usually take, the last packets are waited
/// for. Reached only if a recorder hangs.
const DRAIN_SLACK: Duration = Duration::from_millis(500);

/// The end of the window: packets from this instant on are not taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) reason: StopReason,
    pub(super) at: WallTime,
    /// When waiting for packets from before it is given up.
    give_up_at: BootTime,
}

/// How far a capture has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No packet was written.
    Opening,
    /// The first packets are in the file.
    Written,
    /// They are on the disk, and this was told.
    Started,
}

/// A capture that goes on.
pub(super) struct Follow<'c> {
    line: &'c Line,
    feeds: &'c mut [Feed],
    series: &'c mut Series,
    selection: Selection,
    window: Window,
    /// The packets come from a file: it alone says where they end.
    is_file: bool,
    /// From here on every packet was held when the capture began.
    held_from: WallTime,
    stage: Stage,
    tick_at: BootTime,
}

impl<'c> Follow<'c> {
    pub(super) fn new(
        line: &'c Line,
        plan: &CapturePlan,
        feeds: &'c mut [Feed],
        series: &'c mut Series,
        (begun, held_from): (Now, WallTime),
    ) -> Self {
        let is_file = feeds.iter().any(|feed| feed.tap().is_file());
        let (selection, window) = if is_file {
            (Selection::whole_file(plan), Window::whole_file(begun))
        } else {
            (Selection::new(plan), Window::new(plan, begun))
        };
        let tick_at = begun.boot + FIRST_TICK;
        let stage = Stage::Opening;
        Self { line, feeds, series, selection, window, is_file, held_from, stage, tick_at }
    }

    /// Reads until the window is closed and all that belongs to it was read.
    pub(super) fn run(mut self) -> Result<Closing, Error> {
        let closing = self.read()?;
        if self.stage != Stage::Started {
            self.tell_started();
        }
        Ok(closing)
    }

    fn read(&mut self) -> Result<Closing, Error> {
        let mut closing: Option<Closing> = None;
        loop {
            let now = clock::now();
            // Before it is looked whether the time is up, so that an order in time never comes late.
            if let Some(duration) = self.line.extended() {
                self.window.extend(duration);
            }
            self.window.widen(&mut self.selection, now);
            closing = closing.or_else(|| self.closing(now));
            if let Some(closing) = closing.filter(|_closing| self.is_file) {
                return Ok(closing);
            }
            self.selection.until = closing.map_or(self.selection.until, |closing| closing.at);
            let (selection, is_closing) = (&self.selection, closing.is_some());
            self.feeds.iter_mut().for_each(|feed| feed.attend(selection, is_closing));
            if now.boot >= self.tick_at {
                self.tick(now)?;
            }
            self.series.make_room()?;
            let Some(feed) = next_feed(self.feeds, closing) else {
                if self.stage != Stage::Started {
                    self.start()?;
                    continue;
                }
                self.series.pass_on()?;
                match closing {
                    Some(closing) if self.is_drained(closing, now) => return Ok(closing),
                    Some(_) => self.line.bell().wait(DRAIN_WAIT),
                    None => self.wait_for_news(now),
                }
                continue;
            };
            match feed.take_block(&mut self.selection, self.series) {
                Taken::Block if self.stage == Stage::Opening && self.series.packets() > 0 => {
                    self.series.write_all()?;
                    self.stage = Stage::Written;
                }
                Taken::Block => {}
                Taken::SegmentFull => self.rotate(now)?,
                Taken::End(reason) => {
                    return Ok(Closing { reason, at: self.reached(now), give_up_at: now.boot });
                }
            }
        }
    }

    /// Waits for a bell, or until something is to be done. Nobody rings for a block that came just
    /// before a feed went to rest.
    fn wait_for_news(&mut self, now: Now) {
        let selection = &self.selection;
        let is_read = self.feeds.iter_mut().all(|feed| feed.rest(selection));
        if is_read {
            let wake_at = self.tick_at.min(self.window.time_is_up());
            self.line.bell().wait(wake_at.since(now.boot));
        }
    }

    /// All of the past was read, or a good part of it: from here on even a power cut leaves a file
    /// that says what it was to hold. Not before that, since the oldest blocks are those that the
    /// recorder gives back next, and they do not wait for a disk.
    fn start(&mut self) -> Result<(), Error> {
        self.series.sync()?;
        self.tell_started();
        Ok(())
    }

    fn tell_started(&mut self) {
        self.stage = Stage::Started;
        let capture = self.line.capture.clone();
        let interfaces = self.feeds.iter().map(Feed::totals).collect();
        self.line.tell(Report::Started { capture, held_from: self.held_from, interfaces });
    }

    fn tick(&mut self, now: Now) -> Result<(), Error> {
        if self.stage == Stage::Started {
            self.series.sync()?;
        } else {
            self.start()?;
        }
        self.tell_sealed()?;
        let totals = totals(self.feeds, self.series.bytes());
        self.line.mention(Report::Progress { capture: self.line.capture.clone(), totals });
        self.tick_at = now.boot + TICK;
        Ok(())
    }

    fn rotate(&mut self, now: Now) -> Result<(), Error> {
        let reached = self.reached(now);
        let statistics: Vec<_> =
            self.feeds.iter().map(|feed| feed.statistics(now.wall, reached)).collect();
        self.series.rotate(&statistics)?;
        self.tell_sealed()
    }

    fn tell_sealed(&mut self) -> Result<(), Error> {
        for file in self.series.take_sealed()? {
            self.line.tell(Report::Sealed { capture: self.line.capture.clone(), file });
        }
        Ok(())
    }

    /// How far the capture is by the stamps of its packets.
    fn reached(&self, now: Now) -> WallTime {
        if !self.is_file {
            return now.wall;
        }
        self.feeds.iter().filter_map(|feed| feed.tap().last_at()).max().unwrap_or(now.wall)
    }

    /// Whether the window ends here, and why.
    fn closing(&self, now: Now) -> Option<Closing> {
        if self.is_file {
            return self.closing_of_file(now);
        }
        let until = self.window.until(now).min(now.wall);
        let ordered = self.line.stopped().map(|(reason, at)| (reason, at.min(until)));
        let is_up = now.boot >= self.window.time_is_up();
        let timed = is_up.then_some((StopReason::TimeExceeded, until));
        let lost = || self.feeds.iter().any(|feed| feed.tap().lost().is_some());
        let lost = || lost().then_some((StopReason::InterfaceLost, until));
        let (reason, at) = ordered.or(timed).or_else(lost)?;
        let settle = self.feeds.iter().map(|feed| feed.tap().settle_time()).max();
        let give_up_at = now.boot + settle.unwrap_or_default() + DRAIN_SLACK;
        Some(Closing { reason, at, give_up_at })
    }

    fn closing_of_file(&self, now: Now) -> Option<Closing> {
        let is_read = || self.feeds.iter().all(|feed| feed.tap().is_exhausted());
        let is_cut = || self.feeds.iter().any(|feed| feed.tap().lost().is_some());
        let end = || if is_cut() { StopReason::Error } else { StopReason::EndOfFile };
        let ordered = self.line.stopped().map(|(reason, _at)| reason);
        let reason = ordered.or_else(|| is_read().then(end))?;
        Some(Closing { reason, at: self.reached(now), give_up_at: now.boot })
    }

    fn is_drained(&self, closing: Closing, now: Now) -> bool {
        let past = closing.at + SETTLE;
        if self.feeds.iter().all(|feed| feed.tap().is_past(past)) {
            return true;
        }
        let given_up = now.boot >= closing.give_up_at;
        if given_up {
            let capture = &self.line.capture;
            warn!(%capture, "a recorder hangs; the last packets may be missing");
        }
        given_up
    }
}

/// The feed whose next block is the oldest, of those that have one in the window.
fn next_feed(feeds: &mut [Feed], closing: Option<Closing>) -> Option<&mut Feed> {
    let awake = feeds.iter_mut().filter(|feed| !feed.is_resting());
    let ready = awake.filter_map(|feed| {
        let opened_at = feed.tap().next_opened_at()?;
        let past = closing.is_some_and(|closing| opened_at >= closing.at + SETTLE);
        (!past).then_some((opened_at, feed))
    });
    ready.min_by_key(|(opened_at, _feed)| *opened_at).map(|(_opened_at, feed)| feed)
}
