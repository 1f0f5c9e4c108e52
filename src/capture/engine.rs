//! The engine's face: recorders that run, captures that begin and stop.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::capture::bell::Bell;
use crate::capture::budget::Budget;
use crate::capture::job::{Job, Surroundings};
use crate::capture::line::{Line, Orders};
use crate::capture::opener::Request;
use crate::capture::recorder::Recorder;
use crate::capture::{Destination, Error, Origin, RecorderSettings, Settings};
use crate::clock;
use crate::model::{CaptureId, CapturePlan, RecorderStatus, Report, StopReason};
use crate::spawn;

/// The most captures at a time. Admission allows fewer; this bounds threads and buffers (4 MiB
/// each) whatever asks.
const MAX_CAPTURES: usize = 128;

/// How long a shutdown waits for the captures to seal their files.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(20);

/// The running engine.
#[derive(Debug)]
pub struct Engine {
    around: Arc<Surroundings>,
    jobs: Mutex<BTreeMap<CaptureId, Running>>,
    /// Rings when a capture has ended.
    ended: Arc<Bell>,
    reports: mpsc::Sender<Report>,
}

/// A capture that is ready and waits for the word. Dropped without it, there is no capture: no file,
/// no report.
#[derive(Debug)]
#[must_use = "dropped, it is no capture"]
pub struct Standby {
    /// None of a capture that runs already.
    word: Option<SyncSender<()>>,
}

impl Standby {
    /// Lets it begin.
    pub fn begin(self) {
        // One that failed before the word came reports it itself.
        if let Some(word) = self.word {
            word.send(()).unwrap_or_default();
        }
    }
}

#[derive(Debug)]
struct Running {
    orders: Arc<Orders>,
    thread: JoinHandle<()>,
}

impl Engine {
    /// Opens the recorders. Blocking: up to a second per GiB of their memory. An interface that is
    /// not there yet is waited for.
    ///
    /// # Errors
    /// The privilege or the memory for a ring is missing, or an interface is of a kind that cannot
    /// be recorded.
    pub fn start(settings: Settings, reports: mpsc::Sender<Report>) -> Result<Self, Error> {
        let budget = Arc::new(Budget::new(settings.memory_bytes));
        let start = |settings| Recorder::start(request(settings), &budget, true);
        let recorders = settings.recorders.into_iter().map(start).collect::<Result<_, Error>>()?;
        let (spool, private) = (settings.spool, settings.private);
        Ok(Self {
            around: Arc::new(Surroundings { spool, recorders, private, budget }),
            jobs: Mutex::new(BTreeMap::new()),
            ended: Arc::default(),
            reports,
        })
    }

    /// Begins a capture of interfaces into the spool.
    ///
    /// # Errors
    /// As those of [`stand_by`](Self::stand_by).
    pub fn begin(&self, capture: CaptureId, name: String, plan: CapturePlan) -> Result<(), Error> {
        let (origin, destination) = (Origin::Interfaces, Destination::Spool);
        self.stand_by(capture, name, plan, origin, destination).map(Standby::begin)
    }

    /// Makes a capture ready, so that it begins at once when it may: its thread runs and its filter is
    /// compiled by then. Never blocks: what goes wrong comes as [`Report::Ended`] once it was to
    /// begin. A capture that runs already is left alone.
    ///
    /// # Errors
    /// It cannot begin, and no report of it comes: too many run, or there is no thread for it.
    pub fn stand_by(
        &self,
        capture: CaptureId,
        name: String,
        plan: CapturePlan,
        origin: Origin,
        destination: Destination,
    ) -> Result<Standby, Error> {
        let mut jobs = self.jobs();
        jobs.retain(|_capture, running| !running.thread.is_finished());
        if jobs.contains_key(&capture) {
            return Ok(Standby { word: None });
        }
        if jobs.len() >= MAX_CAPTURES {
            return Err(Error::TooMany { running: jobs.len() });
        }
        let orders = Arc::<Orders>::default();
        let job = Job {
            line: Line {
                capture: capture.clone(),
                orders: Arc::clone(&orders),
                reports: self.reports.clone(),
            },
            name,
            plan,
            origin,
            around: Arc::clone(&self.around),
        };
        let ended = Arc::clone(&self.ended);
        let thread_name = format!("cap {capture}");
        let (word, awaited) = sync_channel(1);
        let body = move || {
            job.run(destination, &awaited);
            ended.ring();
        };
        let thread = spawn::thread(&thread_name, body)
            .map_err(|source| Error::Thread { name: thread_name, source })?;
        jobs.insert(capture, Running { orders, thread });
        Ok(Standby { word: Some(word) })
    }

    /// Ends a capture now. One that has ended, or never was, is fine.
    pub fn stop(&self, capture: &CaptureId, reason: StopReason) {
        if let Some(running) = self.jobs().get(capture) {
            running.orders.stop(reason, clock::wall_time());
        }
    }

    /// Lets a capture's time end so long after its trigger, if that is later than it would. Nothing
    /// is missing in between, also where this comes just when its time is up. One that has ended, or
    /// is at its last packets, stays as it is.
    pub fn extend(&self, capture: &CaptureId, after_trigger: Duration) {
        if let Some(running) = self.jobs().get(capture) {
            running.orders.extend(after_trigger);
        }
    }

    /// What the recorders hold.
    pub fn recorders(&self) -> Vec<RecorderStatus> {
        // A capture that has ended would still count as a reader.
        self.jobs().retain(|_capture, running| !running.thread.is_finished());
        self.around.recorders.iter().map(Recorder::status).collect()
    }

    /// Ends every capture as `AgentStopped` and waits until their files are sealed, for a bounded
    /// time. Meanwhile the reports must be received, or their receiver be dropped.
    pub async fn shutdown(self: Arc<Self>) {
        let stopped = spawn::blocking(move || self.stop_all()).await;
        if let Err(panic) = stopped {
            error!("stopping the captures failed inside: {panic}");
        }
    }

    fn stop_all(&self) {
        let now = clock::now();
        for running in self.jobs().values() {
            running.orders.stop(StopReason::AgentStopped, now.wall);
        }
        let give_up_at = now.boot + SHUTDOWN_PATIENCE;
        loop {
            self.jobs().retain(|_capture, running| !running.thread.is_finished());
            let left = give_up_at.since(clock::boot_time());
            if self.jobs().is_empty() || left.is_zero() {
                break;
            }
            // A thread rings shortly before it is finished.
            self.ended.wait(left.min(Duration::from_millis(5)));
        }
        for capture in self.jobs().keys() {
            warn!(%capture, "the capture did not end in time; its file is sealed at the next start");
        }
        self.around.recorders.iter().for_each(Recorder::stop);
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<CaptureId, Running>> {
        // Entries are put in and taken out whole.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(settings: RecorderSettings) -> Request {
    Request {
        interface: settings.interface,
        memory_bytes: settings.memory_bytes,
        bytes_per_packet: settings.bytes_per_packet,
        promiscuous: settings.promiscuous,
        program: Vec::new(),
    }
}
