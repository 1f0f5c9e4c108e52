//! What the run loop owns, and what comes back to it of work that it has begun.
//!
//! The state alone: what is done with it stands in the files with `impl Loop`, one for each matter.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::capture::Engine;
use crate::clock::{BootTime, WallTime};
use crate::config::{Config, Stamps, Watched};
use crate::journal::Journal;
use crate::model::{Capture, CapturePlan, Notice};
use crate::notify::Notifiers;
use crate::session::{Input, Machine, Space};
use crate::source::webhook::Receiver;
use crate::upload::Storages;

use super::explain::{ExplainAnswer, Explained, NotExplained};
use super::request::{DeleteAnswer, NotCreated, RedriveAnswer, ReloadAnswer};
use super::retention;
use super::sources::Sources;

/// The way back of a capture that somebody asks for.
pub(super) type CreateAsker = oneshot::Sender<Result<Box<Capture>, NotCreated>>;

/// Where to send the answer to a reload.
pub(super) type ReloadAsker = oneshot::Sender<Result<ReloadAnswer, Vec<String>>>;

/// What a payload was found to be, and who asked.
#[derive(Debug)]
pub(super) struct ToPreview {
    pub(super) events: Result<Vec<Explained>, NotExplained>,
    pub(super) asker: ExplainAsker,
}

/// Where to send the answer to an explain.
pub(super) type ExplainAsker = oneshot::Sender<Result<ExplainAnswer, NotExplained>>;

/// What had to be asked of files, programs or the journal before the machine can be told.
#[derive(Debug)]
pub(super) enum Prepared {
    /// A capture by hand, checked.
    Create { name: String, plan: Box<CapturePlan>, asker: CreateAsker },
    /// The capture that is to be deleted was not open.
    Delete { capture: Box<Capture>, asker: oneshot::Sender<Option<DeleteAnswer>> },
    /// What was given up of a capture.
    DriveAgain {
        capture: Box<Capture>,
        dead: Vec<Notice>,
        asker: oneshot::Sender<Option<RedriveAnswer>>,
    },
    /// A configuration, or why it does not load.
    Reloaded(Result<Box<Fresh>, Vec<String>>),
    /// A payload that somebody wants explained.
    Explained(ToPreview),
    /// What retention has removed.
    Swept(retention::Swept),
}

/// Everything of a new configuration that can fail has been done.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) config: Config,
    pub(super) storages: Storages,
    /// Where a notifier has changed.
    pub(super) notifiers: Option<Notifiers>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) answer: ReloadAnswer,
}

/// The loop and all that it acts through.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) machine: Machine,
    /// The configuration that acts.
    pub(super) config: Config,
    pub(super) journal: Journal,
    /// Shared with the stop, which shuts it down.
    pub(super) engine: Arc<Engine>,
    pub(super) storages: Arc<Storages>,
    pub(super) notifiers: Arc<Notifiers>,
    /// Shared with the stop, too.
    pub(super) sources: Arc<Sources>,
    /// The ways back for work that the loop starts.
    pub(super) results: mpsc::Sender<Input>,
    pub(super) prepared: mpsc::Sender<Prepared>,
    /// Tells the watch over the files what was read.
    pub(super) acting: watch::Sender<(Watched, Stamps)>,
    pub(super) reload: Reload,
    pub(super) upkeep: Upkeep,
    /// Payloads that are being explained.
    pub(super) explaining: usize,
    pub(super) spool: PathBuf,
    /// The disk of the spool when it was last looked at.
    pub(super) space: Option<Space>,
    /// Files that stood in the spool at the start and that no capture names.
    pub(super) unexplained_files: usize,
    pub(super) started_at: WallTime,
    /// The journal's disk was full: its last batches are written, and the worker ends.
    pub(super) disk_full: bool,
}

/// Where reading the configuration again stands.
#[derive(Debug, Default)]
pub(super) struct Reload {
    pub(super) loaded_at: WallTime,
    /// Why the last attempt failed.
    pub(super) error: Option<String>,
    pub(super) needs_restart: Vec<String>,
    /// Those who asked for the attempt that is under way.
    pub(super) under_way: Option<Vec<ReloadAsker>>,
    /// Those who have asked since it began.
    pub(super) waiting: Vec<ReloadAsker>,
}

/// An answer that may be given once the batch is durable.
pub(super) type Reply = Box<dyn FnOnce() + Send>;

/// Between two rounds, where the service manager does not want to hear of us more often. Histograms
/// take memory until a round folds them.
const EVERY: Duration = Duration::from_secs(2);

/// When what is due.
#[derive(Debug)]
pub(super) struct Upkeep {
    pub(super) every: Duration,
    pub(super) round_at: BootTime,
    pub(super) sweep_at: BootTime,
    pub(super) sweeping: bool,
}

impl Upkeep {
    /// `watchdog` is how often the service manager wants a sign of life at least.
    pub(super) fn new(watchdog: Option<Duration>, now: BootTime) -> Self {
        // Four times as often: one that is late is no death.
        let every = watchdog.map_or(EVERY, |interval| (interval / 4).min(EVERY));
        Self { every, round_at: now, sweep_at: now, sweeping: false }
    }

    pub(super) const fn due(&self) -> BootTime {
        self.round_at
    }

    /// A sweep is due now: what is kept has changed.
    pub(super) const fn sweep_again(&mut self, now: BootTime) {
        self.sweep_at = now;
    }

    /// A sweep has ended.
    pub(super) const fn swept(&mut self) {
        self.sweeping = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_sign_of_life_comes_well_within_the_patience_of_the_service_manager() {
        let now = clock::boot_time();
        let every = |watchdog| Upkeep::new(watchdog, now).every;
        assert_eq!(every(None), EVERY);
        assert_eq!(every(Some(Duration::from_secs(60))), EVERY);
        assert_eq!(every(Some(Duration::from_secs(2))), Duration::from_millis(500));
    }
}
