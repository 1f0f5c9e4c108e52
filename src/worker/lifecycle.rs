//! Start and stop: in which order the parts come up, and how they go down again.
//!
//! Up: journal, machine (what an earlier run left), storages and notifiers, engine; the caller
//! puts the control server on the handle; then the sources. Down, each step bounded: the loop takes
//! no more events, sources (what was answered is acknowledged), engine (every capture sealed as
//! `AgentStopped`), the loop's last batch, notifiers, journal; last the caller's control server.
//! Uploads and notices that are under way are left to the next start, which finds them in the
//! journal.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::capture::{self, Engine};
use crate::config::{Config, Stamps, Watched};
use crate::journal::{self, Journal};
use crate::notify::{self, Notifiers};
use crate::session::Machine;
use crate::source::{Receivers, webhook};
use crate::upload::{self, Storages};
use crate::{clock, random, service, spawn};

use super::handle::Handle;
use super::reload::{schedules_of, settings_of};
use super::run_loop::{Halt, Inbox};
use super::settle::settle;
use super::sources::Sources;
use super::state::{Loop, Reload, Upkeep};
use super::watch as looks;
use super::{retention, spool};

/// Deliveries between the sources and the loop: a few batches, so that neither waits for the other.
const DELIVERIES: usize = 1024;

/// Reports between the engine and the loop: a second of progress of every capture, many times.
const REPORTS: usize = 1024;

/// Results of uploads, removals and notices: more than may be under way.
const RESULTS: usize = 64;

/// Requests from outside; control admits no more at one time.
const REQUESTS: usize = 64;

/// Why the worker could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("creating the folder '{path}' for the spool: {source}")]
    Spool { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error(transparent)]
    Capture(#[from] capture::Error),
    #[error(transparent)]
    Upload(#[from] upload::Error),
    #[error(transparent)]
    Notify(#[from] notify::Error),
    #[error(transparent)]
    Source(#[from] webhook::Error),
}

impl Error {
    /// Whether the configuration, or a file that it names, is what has to change.
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Upload(_) | Self::Notify(_) | Self::Source(_) => true,
            Self::Spool { .. } | Self::Journal(_) | Self::Capture(_) => false,
        }
    }
}

/// Everything that is up before the first event is taken.
#[derive(Debug)]
pub struct Started {
    pub worker: Worker,
    /// The way to the run loop, for the control server.
    pub handle: Handle,
    /// The webhook sources, for the control server to mount. Others take their place at a reload.
    pub webhooks: Receivers,
}

/// The worker, up but not yet taking events.
#[derive(Debug)]
pub struct Worker {
    run_loop: Loop,
    inbox: Inbox,
    drained: oneshot::Sender<()>,
    /// For the watch over the configuration's files.
    watching: watch::Receiver<(Watched, Stamps)>,
    handle: Handle,
}

/// Starts all parts but the MQTT sources, and takes up what an earlier run left.
///
/// # Errors
/// A part could not start; the message says which and what to do.
pub fn start(config: Config) -> Result<Started, Error> {
    // The journal first: it makes the state directory, in which the spool is, for its owner alone.
    let kept = retention::kept(&config);
    let (journal, saved) = Journal::open_keeping(&config.state_directory, kept)?;
    let spool = config.capture.spool.clone();
    spool::make(&spool).map_err(|source| Error::Spool { path: spool.clone(), source })?;

    let mut machine = Machine::new(settings_of(&config), random::seed());
    let now = clock::now();
    machine.restore(saved, now);

    let storages = Arc::new(Storages::build(&config.storages)?);
    let notifiers = Arc::new(Notifiers::build(&config.notifiers)?);
    let (reports, reports_in) = mpsc::channel(REPORTS);
    let engine = Arc::new(Engine::start(config.capture.clone(), reports)?);

    let (requests, requests_in) = mpsc::channel(REQUESTS);
    let (deliveries, deliveries_in) = mpsc::channel(DELIVERIES);
    let (results, results_in) = mpsc::channel(RESULTS);
    let (prepared, prepared_in) = mpsc::channel(REQUESTS);
    let (drained, drained_in) = oneshot::channel();
    let sources = Arc::new(Sources::new(deliveries));
    sources.mount(sources.build(&config.sources)?);
    let webhooks = sources.receivers();
    let (acting, watching) = watch::channel((config.watched().clone(), config.stamps().clone()));
    let run_loop = Loop {
        machine,
        config,
        journal,
        engine,
        storages,
        notifiers,
        sources,
        results,
        prepared,
        acting,
        reload: Reload { loaded_at: now.wall, ..Reload::default() },
        upkeep: Upkeep::new(service::watchdog(), now.boot),
        explaining: 0,
        spool,
        space: None,
        unexplained_files: 0,
        started_at: now.wall,
        disk_full: false,
    };
    let inbox = Inbox {
        results: results_in,
        prepared: prepared_in,
        reports: reports_in,
        requests: requests_in,
        deliveries: deliveries_in,
        drained: drained_in,
    };
    let handle = Handle::new(requests);
    let worker = Worker { run_loop, inbox, drained, watching, handle: handle.clone() };
    Ok(Started { worker, handle, webhooks })
}

impl Worker {
    /// Takes events until `stop` is cancelled, then goes down in order.
    ///
    /// # Errors
    /// The journal failed.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Self { run_loop, inbox, drained, watching, handle } = self;
        let (engine, sources) = (Arc::clone(&run_loop.engine), Arc::clone(&run_loop.sources));
        sources.set(&run_loop.config.sources);
        sources.schedule(schedules_of(&run_loop.config));
        let space = looks::sample_space(run_loop.spool.clone(), run_loop.results.clone());
        let looking = [
            spawn::task("disk watch", space),
            spawn::task("configuration watch", looks::watch_files(watching, handle)),
        ];
        let halt = Halt { stop, drain: CancellationToken::new() };
        let drain = halt.drain.clone();
        spawn::task("stop", async move {
            drain.cancelled().await;
            tracing::info!("stopping: sources, then captures");
            looking.iter().for_each(tokio::task::JoinHandle::abort);
            settle("sources", sources.shutdown()).await;
            settle("captures", engine.shutdown()).await;
            if drained.send(()).is_err() {
                tracing::debug!("the run loop had ended before");
            }
        });

        // A task, as the sources are: what one of them hands over is mostly taken up on its own thread.
        let running = spawn::task("run loop", run_loop.run(inbox, halt));
        let ended = running.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => unreachable!("nobody cancels the run loop"),
        })?;
        // One that is still sending is cut off; its notice waits in the journal.
        if let Some(notifiers) = Arc::into_inner(ended.notifiers) {
            settle("notifiers", notifiers.shutdown()).await;
        }
        settle("journal", ended.journal.close()).await;
        if ended.disk_full { Err(journal::Error::Full.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn what_a_first_start_makes_is_not_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let text = "version: 1\nstate: state\nrecorder: { interfaces: [] }\nrules: []\n";
        std::fs::write(&file, text).unwrap();
        let started = start(Config::load(Some(&file)).unwrap()).unwrap();
        let mode = |path: &str| {
            std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode("state"), 0o700);
        assert_eq!(mode("state/spool"), 0o750);
        drop(started);
    }
}
