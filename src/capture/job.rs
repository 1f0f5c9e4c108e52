//! One capture at work: a thread that reads its interfaces, writes its file and says how it goes.
//!
//! ```text
//! open feeds, create file --Started--> follow <--Progress, sync, once a second
//!                                        |  time is up, an order, a limit, a lost interface
//!                                        v
//!                         read what arrived before the end --> seal --Sealed--> --Ended-->
//! ```
//!
//! Invariant: no file I/O happens while a block of a ring is pinned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::capture::bell::Bell;
use crate::capture::feed::{Feed, Selection};
use crate::capture::log::SETTLE;
use crate::capture::reader::Reader;
use crate::capture::recorder::Recorder;
use crate::capture::recovery::seal_leftovers;
use crate::capture::segment::{Beginning, Segment};
use crate::capture::window::Window;
use crate::capture::{Error, interface, private, section};
use crate::clock::{self, BootTime, Now, WallTime};
use crate::filter::{self, LinkType};
use crate::model::{
    CaptureId, CapturePlan, InterfaceTotals, Report, SealedFile, StopReason, Totals,
};

/// How often progress is told and what was written is synced: a crash loses about so much.
const TICK: Duration = Duration::from_secs(1);

/// How soon the past is on the disk: the packets from before the alert are those that nobody can
/// capture again.
const FIRST_TICK: Duration = Duration::from_millis(100);

/// How often a capture asks whether all is there once its window has ended: twice for each look
/// of a recorder.
const DRAIN_WAIT: Duration = Duration::from_millis(5);

/// How long after the end, beyond two retire times, the last packets are waited for. Reached only
/// if a recorder hangs.
const DRAIN_SLACK: Duration = Duration::from_millis(500);

/// What the outside tells a capture.
#[derive(Debug, Default)]
pub(super) struct Orders {
    bell: Arc<Bell>,
    stop: Mutex<Option<(StopReason, WallTime)>>,
}

impl Orders {
    /// Ends the capture at this instant. The first order stands.
    pub(super) fn stop(&self, reason: StopReason, at: WallTime) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((reason, at));
        self.bell.ring();
    }

    fn stopped(&self) -> Option<(StopReason, WallTime)> {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that a capture needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) capture: CaptureId,
    pub(super) name: String,
    pub(super) plan: CapturePlan,
    pub(super) spool: PathBuf,
    pub(super) recorders: Arc<[Recorder]>,
    pub(super) orders: Arc<Orders>,
    pub(super) reports: mpsc::Sender<Report>,
}

/// How it ended.
#[derive(Debug)]
struct End {
    reason: StopReason,
    error: Option<String>,
    totals: Totals,
    interfaces: Vec<InterfaceTotals>,
}

impl End {
    fn failed(reason: StopReason, error: String) -> Self {
        let (totals, interfaces) = (Totals::default(), Vec::new());
        Self { reason, error: Some(error), totals, interfaces }
    }
}

/// The end of the window: packets from this instant on are not taken.
#[derive(Clone, Copy, Debug)]
struct Closing {
    reason: StopReason,
    at: WallTime,
    /// When waiting for packets from before it is given up.
    give_up_at: BootTime,
}

impl Job {
    /// Runs the capture to its end, on the calling thread.
    pub(super) fn run(self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.take()));
        let end = match outcome {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => End::failed(reason_of(&error), error.sentence()),
            // The panic's own text has gone to the log by then.
            Err(_panic) => self.salvage(),
        };
        self.tell(Report::Ended {
            capture: self.capture.clone(),
            reason: end.reason,
            error: end.error,
            totals: end.totals,
            interfaces: end.interfaces,
        });
    }

    /// After a panic: what had reached the disk is sealed as after a crash of the whole worker.
    fn salvage(&self) -> End {
        let error = "the capture failed inside; the log says where".to_owned();
        let mut end = End::failed(StopReason::Error, error);
        for file in seal_leftovers(&self.spool, &self.capture, &[]) {
            end.totals.packets += file.packets;
            end.totals.bytes += file.size_bytes;
            self.tell(Report::Sealed { capture: self.capture.clone(), file });
        }
        end
    }

    /// Reports, waiting for room: what ends a capture must arrive.
    fn tell(&self, report: Report) {
        if self.reports.blocking_send(report).is_err() {
            debug!(capture = %self.capture, "nobody listens to the reports any more");
        }
    }

    fn take(&self) -> Result<End, Error> {
        let begun = clock::now();
        let mut feeds = self.feeds()?;
        let oldest = feeds.iter().map(|feed| feed.reader().held_from()).min();
        let held_from = oldest.unwrap_or(begun.wall);
        let mut segment = self.create(&feeds, held_from)?;
        self.tell(Report::Started { capture: self.capture.clone(), held_from });

        let followed = self.follow(&mut feeds, &mut segment, begun);
        let (mut reason, end, mut error) = match followed {
            Ok(Closing { reason, at, .. }) => {
                let is_lost = reason == StopReason::InterfaceLost;
                let lost = feeds.iter().filter(|_feed| is_lost).find_map(Feed::lost);
                (reason, Some(at), lost.map(|error| error.sentence()))
            }
            Err(error) => (reason_of(&error), None, Some(error.sentence())),
        };
        if !is_limit(reason) {
            feeds.iter_mut().for_each(Feed::close);
        }
        let bytes = segment.len();
        let mut whole = None;
        if let Some(end) = end {
            match seal(&mut segment, &feeds, end) {
                Ok(file) => whole = Some(file),
                Err(why) => (reason, error) = (reason_of(&why), Some(why.sentence())),
            }
        }
        // Where writing is what failed, what has reached the disk is closed as it is.
        let sealed = whole.map_or_else(|| segment.salvage(), |file| Ok(Some(file)));
        let mut totals = totals(&feeds, bytes);
        match sealed {
            Ok(Some(file)) => {
                (totals.packets, totals.bytes) = (file.packets, file.size_bytes);
                self.tell(Report::Sealed { capture: self.capture.clone(), file });
            }
            Ok(None) => (totals.packets, totals.bytes) = (0, 0),
            Err(why) => error = Some(error.unwrap_or_else(|| why.sentence())),
        }
        let interfaces = feeds.iter().map(Feed::totals).collect();
        feeds.into_iter().for_each(Feed::stop);
        Ok(End { reason, error, totals, interfaces })
    }

    fn feeds(&self) -> Result<Vec<Feed>, Error> {
        let numbered = (0_u32..).zip(&self.plan.interfaces);
        numbered.map(|(number, name)| self.feed(number, name)).collect()
    }

    fn feed(&self, number: u32, name: &str) -> Result<Feed, Error> {
        let interface = interface::find(name)?;
        let program = filter::compile(&self.plan.filter, &interface.addresses, LinkType::Ethernet)
            .map_err(|source| Error::Filter { interface: name.to_owned(), source })?;
        let recorder = self.recorders.iter().find(|recorder| recorder.interface() == name);
        let (log, private) = match recorder {
            Some(recorder) => (recorder.log()?, None),
            None => {
                let recorder = Recorder::start(private::request(name, &program), false)?;
                (recorder.log()?, Some(recorder))
            }
        };
        let reader = Reader::new(log, self.plan.from(), &self.orders.bell);
        Ok(Feed::new(number, name.to_owned(), reader, program, private))
    }

    fn create(&self, feeds: &[Feed], held_from: WallTime) -> Result<Segment, Error> {
        let beginning = Beginning {
            comment: &section::comment(&self.capture, &self.name, &self.plan, held_from),
            interfaces: feeds.iter().map(|feed| (feed.name(), feed.filter())).collect(),
            bytes_per_packet: self.plan.limits.bytes_per_packet,
        };
        let block = feeds.iter().map(|feed| feed.reader().log().ring().geometry().block_bytes);
        let block = block.max().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        let first = (&self.capture, 0);
        Segment::create(&self.spool, first, &beginning, self.plan.limits.bytes, block)
    }

    /// Reads until the window is closed and all that belongs to it was read.
    fn follow(
        &self,
        feeds: &mut [Feed],
        segment: &mut Segment,
        begun: Now,
    ) -> Result<Closing, Error> {
        let mut selection = Selection::new(&self.plan);
        let window = Window::new(&self.plan, begun);
        let mut closing: Option<Closing> = None;
        let mut tick_at = begun.boot + FIRST_TICK;
        loop {
            let now = clock::now();
            window.widen(&mut selection, now);
            closing = closing.or_else(|| self.closing(feeds, now, &window));
            selection.until = closing.map_or(selection.until, |closing| closing.at);
            if now.boot >= tick_at {
                segment.sync()?;
                self.progress(feeds, segment);
                tick_at = now.boot + TICK;
            }
            segment.make_room()?;
            match next_feed(feeds, closing) {
                Some(feed) => {
                    if let Some(reason) = feed.take_block(&mut selection, segment) {
                        return Ok(Closing { reason, at: now.wall, give_up_at: now.boot });
                    }
                }
                None => match closing {
                    Some(closing) if self.is_drained(feeds, closing, now) => return Ok(closing),
                    Some(_) => self.orders.bell.wait(DRAIN_WAIT),
                    None => {
                        let wake_at = tick_at.min(window.time_is_up());
                        self.orders.bell.wait(wake_at.since(now.boot));
                    }
                },
            }
        }
    }

    /// Whether the window ends here, and why.
    fn closing(&self, feeds: &[Feed], now: Now, window: &Window) -> Option<Closing> {
        let until = window.until(now).min(now.wall);
        let ordered = self.orders.stopped().map(|(reason, at)| (reason, at.min(until)));
        let timed = (now.boot >= window.time_is_up()).then_some((StopReason::TimeExceeded, until));
        let lost = || feeds.iter().any(|feed| feed.reader().log().lost().is_some());
        let lost = || lost().then_some((StopReason::InterfaceLost, until));
        let (reason, at) = ordered.or(timed).or_else(lost)?;
        let retire = feeds.iter().map(|feed| feed.reader().log().ring().geometry().retire()).max();
        let patience = retire.unwrap_or_default() * 2 + DRAIN_SLACK;
        Some(Closing { reason, at, give_up_at: now.boot + patience })
    }

    fn is_drained(&self, feeds: &[Feed], closing: Closing, now: Now) -> bool {
        let past = closing.at + SETTLE;
        if feeds.iter().all(|feed| feed.reader().is_past(past)) {
            return true;
        }
        let given_up = now.boot >= closing.give_up_at;
        if given_up {
            warn!(capture = %self.capture, "a recorder hangs; the last packets may be missing");
        }
        given_up
    }

    /// Tells how far it is, if there is room for it: the next one says more.
    fn progress(&self, feeds: &[Feed], segment: &Segment) {
        let totals = totals(feeds, segment.len());
        let report = Report::Progress { capture: self.capture.clone(), totals };
        if self.reports.try_send(report).is_err() {
            debug!(capture = %self.capture, "progress was not told");
        }
    }
}

/// Adds the counts of each interface and publishes the file.
fn seal(segment: &mut Segment, feeds: &[Feed], end: WallTime) -> Result<SealedFile, Error> {
    let now = clock::wall_time();
    let statistics: Vec<_> = feeds.iter().map(|feed| feed.statistics(now, end)).collect();
    segment.seal(&statistics)
}

/// The reason of a capture that an error ends.
fn reason_of(error: &Error) -> StopReason {
    if error.is_no_space() { StopReason::NoSpace } else { StopReason::Error }
}

/// Whether the window ended at a packet, not at an instant.
const fn is_limit(reason: StopReason) -> bool {
    matches!(reason, StopReason::BytesExceeded | StopReason::PacketsExceeded)
}

fn totals(feeds: &[Feed], bytes: u64) -> Totals {
    let start = Totals { bytes, ..Totals::default() };
    feeds.iter().map(Feed::totals).fold(start, |sum, one| Totals {
        packets: sum.packets + one.written,
        bytes: sum.bytes,
        dropped_by_kernel: sum.dropped_by_kernel + one.dropped_by_kernel,
        overrun: sum.overrun + one.overrun,
    })
}

/// The feed whose next block is the oldest, of those that have one in the window.
fn next_feed(feeds: &mut [Feed], closing: Option<Closing>) -> Option<&mut Feed> {
    let ready = feeds.iter_mut().filter_map(|feed| {
        let opened_at = feed.reader().next_opened_at()?;
        let past = closing.is_some_and(|closing| opened_at >= closing.at + SETTLE);
        (!past).then_some((opened_at, feed))
    });
    ready.min_by_key(|(opened_at, _feed)| *opened_at).map(|(_opened_at, feed)| feed)
}
