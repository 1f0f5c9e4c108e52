//! Start and stop: in which order the parts come up, and how they go down again.
//!
//! Up: journal, machine (what an earlier run left), storages and notifiers, engine; the caller
//! puts the control server on the handle; then the sources. Down, each step bounded: the loop takes
//! no more events, sources (what was answered is acknowledged), engine (every capture sealed as
//! `AgentStopped`), the loop's last batch, notifiers, journal; last the caller's control server.
//! Uploads and notices that are under way are left to the next start, which finds them in the
//! journal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::capture::{self, Engine};
use crate::clock;
use crate::config::Config;
use crate::journal::{self, Journal};
use crate::model::Health;
use crate::notify::{self, Notifiers};
use crate::session::{self, Machine};
use crate::source::{self, Delivery, mqtt, webhook};
use crate::upload::{self, Storages};
use crate::{random, spawn};

use super::handle::Handle;
use super::run_loop::{Halt, Inbox, Loop};
use super::spool;

/// Deliveries between the sources and the loop: a few batches, so that neither waits for the other.
const DELIVERIES: usize = 1024;

/// Reports between the engine and the loop: a second of progress of every capture, many times.
const REPORTS: usize = 1024;

/// Results of uploads, removals and notices: more than may be under way.
const RESULTS: usize = 64;

/// Requests from outside; control admits no more at one time.
const REQUESTS: usize = 64;

/// How long a part may take to stop before it is left behind: longer than the engine's own patience
/// with a slow disk.
const GRACE: Duration = Duration::from_secs(25);

/// How long a source that failed inside rests before it begins anew: a message that it fails on comes
/// again, and must not keep the host busy.
const REVIVAL: Duration = Duration::from_secs(10);

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
    /// The webhook sources, for the control server to mount.
    pub webhooks: Vec<webhook::Receiver>,
}

/// The worker, up but not yet taking events.
#[derive(Debug)]
pub struct Worker {
    run_loop: Loop,
    inbox: Inbox,
    mqtt: Vec<MqttSource>,
    deliveries: mpsc::Sender<Delivery>,
    drained: oneshot::Sender<()>,
}

/// Starts all parts but the sources, and takes up what an earlier run left.
///
/// # Errors
/// A part could not start; the message says which and what to do.
pub fn start(config: Config) -> Result<Started, Error> {
    // The journal first: it makes the state directory, in which the spool is, for its owner alone.
    let (journal, saved) = Journal::open(&config.state_directory)?;
    let spool = config.capture.spool.clone();
    spool::make(&spool).map_err(|source| Error::Spool { path: spool.clone(), source })?;

    let mut machine = Machine::new(session::Settings::new(config.ceilings), random::seed());
    let now = clock::now();
    machine.restore(saved, now);

    let storages = Arc::new(Storages::build(&config.storages)?);
    let notifiers = Arc::new(Notifiers::build(&config.notifiers)?);
    let (reports, reports_in) = mpsc::channel(REPORTS);
    let engine = Arc::new(Engine::start(config.capture, reports)?);

    let (requests, requests_in) = mpsc::channel(REQUESTS);
    let (deliveries, deliveries_in) = mpsc::channel(DELIVERIES);
    let (results, results_in) = mpsc::channel(RESULTS);
    let (drained, drained_in) = oneshot::channel();
    let sources = Sources::build(config.sources, &deliveries)?;
    let run_loop = Loop {
        machine,
        rules: config.rules,
        journal,
        engine,
        storages,
        notifiers,
        results,
        sources: sources.health,
        spool,
        unexplained_files: 0,
        host: config.host,
        started_at: now.wall,
    };
    let inbox = Inbox {
        results: results_in,
        reports: reports_in,
        requests: requests_in,
        deliveries: deliveries_in,
        drained: drained_in,
    };
    let worker = Worker { run_loop, inbox, mqtt: sources.mqtt, deliveries, drained };
    Ok(Started { worker, handle: Handle::new(requests), webhooks: sources.webhooks })
}

impl Worker {
    /// Takes events until `stop` is cancelled, then goes down in order.
    ///
    /// # Errors
    /// The journal failed.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Self { run_loop, inbox, mqtt, deliveries, drained } = self;
        let sources_stop = CancellationToken::new();
        let running = start_mqtt(mqtt, &deliveries, &sources_stop);
        drop(deliveries);

        let engine = Arc::clone(&run_loop.engine);
        let halt = Halt { stop, drain: CancellationToken::new() };
        let drain = halt.drain.clone();
        spawn::task("stop", async move {
            drain.cancelled().await;
            tracing::info!("stopping: sources, then captures");
            sources_stop.cancel();
            settle("sources", futures_util::future::join_all(running)).await;
            settle("captures", engine.shutdown()).await;
            if drained.send(()).is_err() {
                tracing::debug!("the run loop had ended before");
            }
        });

        let notifiers = Arc::clone(&run_loop.notifiers);
        let journal = run_loop.run(inbox, halt).await?;
        // One that is still sending is cut off; its notice waits in the journal.
        if let Some(notifiers) = Arc::into_inner(notifiers) {
            settle("notifiers", notifiers.shutdown()).await;
        }
        settle("journal", journal.close()).await;
        Ok(())
    }
}

/// One MQTT source that does not run yet: name, settings, and where it says how it is.
type MqttSource = (String, mqtt::Settings, watch::Sender<Health>);

/// The sources, built but not running.
struct Sources {
    mqtt: Vec<MqttSource>,
    webhooks: Vec<webhook::Receiver>,
    health: Vec<watch::Receiver<Health>>,
}

impl Sources {
    fn build(
        settings: BTreeMap<String, source::Settings>,
        deliveries: &mpsc::Sender<Delivery>,
    ) -> Result<Self, webhook::Error> {
        let mut built = Self { mqtt: Vec::new(), webhooks: Vec::new(), health: Vec::new() };
        for (name, settings) in settings {
            let (health, watched) = watch::channel(Health {
                name: name.clone(),
                kind: String::new(),
                ok: true,
                state: "starting".to_owned(),
                since: clock::wall_time(),
                error: None,
                failures: 0,
            });
            built.health.push(watched);
            match settings {
                source::Settings::Mqtt(settings) => {
                    health.send_modify(|health| health.kind = "mqtt".to_owned());
                    built.mqtt.push((name, settings, health));
                }
                source::Settings::Webhook(settings) => {
                    health.send_modify(|health| {
                        health.kind = "webhook".to_owned();
                        health.state = format!("listening on {}", settings.path);
                    });
                    let sender = deliveries.clone();
                    built.webhooks.push(webhook::Receiver::new(name, settings, sender)?);
                }
            }
        }
        Ok(built)
    }
}

fn start_mqtt(
    sources: Vec<MqttSource>,
    deliveries: &mpsc::Sender<Delivery>,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    sources
        .into_iter()
        .map(|(name, settings, health)| {
            let (deliveries, stop) = (deliveries.clone(), stop.clone());
            spawn::task("source", async move {
                let run = || {
                    let (settings, deliveries) = (settings.clone(), deliveries.clone());
                    mqtt::run(name.clone(), settings, deliveries, health.clone(), stop.clone())
                };
                keep_alive(&name, run, &health, &stop, REVIVAL).await;
            })
        })
        .collect()
}

/// Runs a source until it ends by itself. One that panics begins anew after `pause`: what it had not
/// acknowledged its broker sends again, and without it no event would come any more.
async fn keep_alive<F>(
    name: &str,
    run: impl Fn() -> F,
    health: &watch::Sender<Health>,
    stop: &CancellationToken,
    pause: Duration,
) where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(ended) = spawn::task("mqtt source", run()).await {
        tracing::error!(source = name, %ended, "the source failed inside; it begins anew");
        health.send_modify(|health| {
            health.ok = false;
            health.state = "failed inside".to_owned();
            health.since = clock::wall_time();
            health.error = Some("a bug of the worker; its log says where".to_owned());
            health.failures = health.failures.saturating_add(1);
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Waits for a part to stop, but not for ever.
async fn settle(part: &'static str, stopped: impl Future) {
    if tokio::time::timeout(GRACE, stopped).await.is_err() {
        tracing::warn!(part, "did not stop in {} s; leaving it behind", GRACE.as_secs());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_source_that_panics_is_reported_and_begins_anew() {
        let (health, seen) = watch::channel(Health {
            name: "plant".to_owned(),
            kind: "mqtt".to_owned(),
            ok: true,
            state: "connected".to_owned(),
            since: clock::wall_time(),
            error: None,
            failures: 0,
        });
        let runs = Arc::new(AtomicU32::new(0));
        let run = || {
            let runs = Arc::clone(&runs);
            async move { assert!(runs.fetch_add(1, Ordering::Relaxed) > 0, "a bug") }
        };
        keep_alive("plant", run, &health, &CancellationToken::new(), Duration::ZERO).await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        assert!(!seen.borrow().ok && seen.borrow().state == "failed inside");
    }

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
