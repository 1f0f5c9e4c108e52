//! The capture engine on a bench: recorders in the namespace where it is started, captures that a
//! test begins, and what the reports say of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hindsight::capture::{Engine, PrivateSettings, RecorderSettings, Settings};
use hindsight::clock::{self, WallTime};
use hindsight::filter::Filter;
use hindsight::model::{
    CaptureId, CapturePlan, EventId, FileForm, IncidentId, InterfaceTotals, Limits, Report,
    SealedFile, StopReason, Totals,
};
use tempfile::TempDir;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::namespaces::INTERFACE;
use super::traffic::PORT;

/// How long a report may take: a debug build on a busy machine writes and hashes slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reports that nobody has looked at yet. A test with many captures looks seldom.
const REPORTS: usize = 16 * 1024;

/// What the rings and buffers of a test may take, in bytes.
const MEMORY_BYTES: u64 = 4 << 30;

/// The smallest ring that there is; a larger one is asked for in bytes.
pub(crate) const SMALLEST_RING: u64 = 0;

/// A limit that no test reaches.
pub(crate) const MUCH: Duration = Duration::from_secs(600);

/// An engine, its spool, and what it has reported.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) engine: Arc<Engine>,
    pub(crate) spool: TempDir,
    reports: mpsc::Receiver<Report>,
    /// Of captures that have begun, from when on each is complete.
    started: BTreeMap<CaptureId, WallTime>,
    files: BTreeMap<CaptureId, Vec<SealedFile>>,
    ended: BTreeMap<CaptureId, Ended>,
    progress: usize,
}

/// How a capture ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) files: Vec<SealedFile>,
    pub(crate) reason: StopReason,
    pub(crate) totals: Totals,
    pub(crate) interfaces: Vec<InterfaceTotals>,
    pub(crate) error: Option<String>,
    /// None if it never started.
    pub(crate) held_from: Option<WallTime>,
}

impl Ended {
    /// Of a capture that was not divided.
    pub(crate) fn file(&self) -> &SealedFile {
        let [file] = &self.files[..] else { panic!("one file was expected: {self:?}") };
        file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file().path
    }

    /// Packets that it says were lost.
    pub(crate) const fn lost(&self) -> u64 {
        self.totals.dropped_by_kernel + self.totals.overrun
    }
}

/// A recorder with nothing out of the ordinary.
pub(crate) fn recorder(interface: &str, memory_bytes: u64) -> RecorderSettings {
    RecorderSettings {
        interface: interface.to_owned(),
        memory_bytes,
        bytes_per_packet: 0,
        promiscuous: false,
    }
}

pub(crate) fn settings(spool: &Path, recorders: Vec<RecorderSettings>) -> Settings {
    let private = PrivateSettings { memory_bytes: 16 << 20, promiscuous: false };
    Settings { spool: spool.to_owned(), recorders, private, memory_bytes: MEMORY_BYTES }
}

impl Bench {
    /// With one recorder, on [`INTERFACE`] of the calling thread's namespace.
    pub(crate) fn start(memory_bytes: u64) -> Self {
        Self::with(vec![recorder(INTERFACE, memory_bytes)])
    }

    /// With these recorders, or none.
    pub(crate) fn with(recorders: Vec<RecorderSettings>) -> Self {
        Self::with_settings(recorders, |settings| settings)
    }

    /// With these recorders, and what else is set.
    pub(crate) fn with_settings(
        recorders: Vec<RecorderSettings>,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let spool = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder of its own");
        let (sender, reports) = mpsc::channel(REPORTS);
        let engine = Engine::start(change(settings(spool.path(), recorders)), sender);
        let engine = Arc::new(engine.unwrap_or_else(|error| panic!("{}", error.sentence())));
        let (started, files, ended) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { engine, spool, reports, started, files, ended, progress: 0 }
    }

    pub(crate) fn begin(&self, id: &str, plan: CapturePlan) -> CaptureId {
        let capture = CaptureId::from_text(id);
        let begun = self.engine.begin(capture.clone(), format!("test-{id}"), plan);
        begun.unwrap_or_else(|error| panic!("{}", error.sentence()));
        capture
    }

    /// Begins a capture and waits until it reads its interfaces.
    pub(crate) fn begin_and_wait(&mut self, id: &str, plan: CapturePlan) -> CaptureId {
        let capture = self.begin(id, plan);
        self.wait_until_started(&capture);
        capture
    }

    pub(crate) fn wait_until_started(&mut self, capture: &CaptureId) {
        while !self.started.contains_key(capture) {
            self.wait_for_report();
            assert!(!self.ended.contains_key(capture), "{:?}", self.ended);
        }
    }

    /// Waits for so many more reports of progress.
    pub(crate) fn wait_for_progress(&mut self, count: usize) {
        let wanted = self.progress + count;
        while self.progress < wanted {
            self.wait_for_report();
        }
    }

    /// Waits for the end of a capture.
    pub(crate) fn end(&mut self, capture: &CaptureId) -> Ended {
        loop {
            if let Some(ended) = self.ended.remove(capture) {
                return ended;
            }
            self.wait_for_report();
        }
    }

    /// Stops a capture as a person does, and waits for its end.
    pub(crate) fn stop(&mut self, capture: &CaptureId) -> Ended {
        self.engine.stop(capture, StopReason::Manual);
        self.end(capture)
    }

    /// The captures that have ended by now, without waiting.
    pub(crate) fn ended_by_now(&mut self) -> BTreeMap<CaptureId, Ended> {
        while let Ok(report) = self.reports.try_recv() {
            self.note(report);
        }
        std::mem::take(&mut self.ended)
    }

    /// Ends every capture as the agent's stop does, and hands out what became of them.
    pub(crate) fn shut_down(&mut self) -> BTreeMap<CaptureId, Ended> {
        block_on(Arc::clone(&self.engine).shutdown());
        self.ended_by_now()
    }

    fn wait_for_report(&mut self) {
        let report = block_on(async { timeout(PATIENCE, self.reports.recv()).await });
        let report = report.expect("the engine goes on reporting").expect("the engine is there");
        self.note(report);
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::Started { capture, held_from, .. } => {
                self.started.insert(capture, held_from);
            }
            Report::Progress { .. } => self.progress += 1,
            Report::Sealed { capture, file } => self.files.entry(capture).or_default().push(file),
            Report::Ended { capture, reason, error, totals, interfaces } => {
                let files = self.files.remove(&capture).unwrap_or_default();
                let held_from = self.started.remove(&capture);
                let ended = Ended { files, reason, totals, interfaces, error, held_from };
                self.ended.insert(capture, ended);
            }
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime for one wait").block_on(work)
}

/// A plan for everything on [`INTERFACE`], triggered now.
pub(crate) fn plan(look_back: Duration, duration: Duration) -> CapturePlan {
    CapturePlan {
        rule: "test".to_owned(),
        incident: IncidentId::from_text("0123456789abcdef"),
        event: EventId::from_text("event-1"),
        event_name: "TestAlert".to_owned(),
        event_json: r#"{"name":"TestAlert"}"#.to_owned(),
        host: "bench".to_owned(),
        interfaces: vec![INTERFACE.to_owned()],
        trigger_at: clock::wall_time(),
        look_back,
        filter: Filter::default(),
        limits: limits(duration),
        file: FileForm::default(),
        storage: "local".to_owned(),
        notify: Vec::new(),
        placing: Default::default(),
        on_resolved: Default::default(),
        left_out: Vec::new(),
    }
}

/// A plan for everything from now on, until it is stopped.
pub(crate) fn from_now_on() -> CapturePlan {
    plan(Duration::ZERO, MUCH)
}

/// No other limit than this.
pub(crate) const fn limits(duration: Duration) -> Limits {
    Limits { duration, bytes: 1 << 40, packets: None, bytes_per_packet: 0, segments: None }
}

pub(crate) fn on(interfaces: &[&str], plan: CapturePlan) -> CapturePlan {
    let interfaces = interfaces.iter().map(|&name| name.to_owned()).collect();
    CapturePlan { interfaces, ..plan }
}

pub(crate) fn filtered(expression: &str, plan: CapturePlan) -> CapturePlan {
    let expression = Some(expression.to_owned());
    CapturePlan { filter: Filter { entries: Vec::new(), expression }, ..plan }
}

/// Only packets with numbers, as [`traffic`](super::traffic) sends them.
pub(crate) fn numbered(plan: CapturePlan) -> CapturePlan {
    filtered(&format!("udp dst port {PORT}"), plan)
}
