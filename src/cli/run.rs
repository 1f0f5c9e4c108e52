//! `hindsight run`: the worker, from the configuration to the last signal.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Error, install_tls};
use crate::config::Config;
use crate::control::Server;
use crate::worker::{self, Handle, Started};
use crate::{service, spawn, telemetry};

/// How long blocking work that is left over may hold up the end of the process. The worker has
/// waited for its own by then.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(config: Option<&Path>) -> Result<(), Error> {
    let config = Config::load(config).map_err(Error::Configuration)?;
    telemetry::start(&config.log)?;
    let file = config.file.as_deref().map_or_else(|| "built in".into(), Path::to_string_lossy);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), configuration = %file, "starting");
    install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("hindsight-async")
        .build()
        .map_err(Error::Runtime)?;
    let ended = runtime.block_on(work(config));
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    ended
}

async fn work(config: Config) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let mut signals = Signals::listen()?;
    let asked_twice = async {
        let first = signals.next().await;
        tracing::info!(signal = first, "stopping");
        service::stopping();
        stop.cancel();
        let second = signals.next().await;
        tracing::warn!(signal = second, "stopping at once");
    };
    tokio::select! {
        ended = serve(config, stop.clone()) => ended,
        () = asked_twice => Err(Error::Impatient),
    }
}

/// Runs the worker with the control server in front of it. The server goes last, so that `status`
/// and `/healthz` answer as long as there is something to say.
async fn serve(config: Config, stop: CancellationToken) -> Result<(), Error> {
    let control = config.control.clone();
    // From here on a SIGHUP no longer ends the process.
    let reloads = signal(SignalKind::hangup()).map_err(Error::Signals)?;
    let Started { worker, handle, webhooks } = worker::start(config)?;
    let server = Server::bind(&control, handle.clone(), webhooks).await?;
    let server_stop = CancellationToken::new();
    let served = spawn::task("control server", server.serve(server_stop.clone()));
    tracing::info!("ready");
    service::ready("takes events");
    let hung_up = spawn::task("hang-ups", hang_ups(reloads, handle));
    let ended = worker.run(stop).await;
    hung_up.abort();
    tracing::info!("stopped");
    server_stop.cancel();
    if let Err(error) = served.await {
        tracing::warn!(%error, "the control server did not stop in order");
    }
    ended.map_err(Error::Worker)
}

/// Has the configuration read again at every SIGHUP; what comes of it the worker tells.
async fn hang_ups(mut signals: Signal, handle: Handle) {
    while signals.recv().await.is_some() {
        tracing::info!(signal = "SIGHUP", "reading the configuration again");
        if let Err(error) = handle.reload().await {
            tracing::warn!(%error, "the configuration could not be read again");
        }
    }
}

/// The signals that end the worker.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
