//! `hindsight dump`: a capture in the foreground, with the worker's engine and no worker.
//!
//! ```text
//! arguments -> request -> engine -> follow: reports and wishes until the end -> last line
//! ```
//!
//! What is wrong with the arguments, the filter or the files is said before anything is made.

mod account;
mod arguments;
mod error;
mod files;
mod follow;
mod request;
mod screen;
mod trigger;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::capture::{
    Engine, Origin, PrivateSettings, RecorderSettings, Settings, check_memory,
    default_route_interface,
};
use crate::clock;
use crate::model::RecorderStatus;
use crate::telemetry::{self, LogFormat};
use account::{RECORDING, Summary};
pub(super) use arguments::Arguments;
use arguments::LastLine;
pub use error::Error;
use follow::Follow;
use request::{Request, Source, Target};
use screen::Screen;
use trigger::Wishes;

/// Reports on their way: what ends a capture waits for room, and progress is told again.
const MAX_REPORTS: usize = 64;

/// What the buffers between rings and files may take beside the rings, in bytes.
const BUFFER_BYTES: u64 = 64 << 20;

pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let request = Request::new(arguments, files::entries(arguments)?)?;
    request.filter.check().map_err(Error::Filter)?;
    let found = files::look(&request)?;
    let (interfaces, origin) = origin(&request)?;
    let mut screen = Screen::new(request.quiet, clock::boot_time());
    if request.source == Source::DefaultInterface {
        screen.note(&format!("{} is the interface of the default route", interfaces.join(", ")));
    }
    let rings = rings_bytes(&request, &interfaces);
    check_memory(rings).map_err(Error::Engine)?;
    let (reports, received) = mpsc::channel(MAX_REPORTS);
    let settings = settings(&request, &interfaces, rings);
    let engine = Engine::start(settings, reports).map_err(Error::Engine)?;
    all_record(&engine.recorders())?;
    // Later than the recorders: what is wrong with them is an error here, and said once.
    let level = "warn".to_owned();
    telemetry::start(&telemetry::Settings { level, format: LogFormat::Text })?;
    let target = found.open(&mut screen)?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::Runtime)?;
    let summary = runtime.block_on(async {
        let wishes = Wishes::listen(request.look_back.is_some())?;
        let engine = Arc::new(engine);
        let follow = Follow::new(&request, interfaces, Arc::clone(&engine), wishes, &mut screen);
        let summary = follow.run(received, origin, target).await?;
        engine.shutdown().await;
        Ok::<Summary, Error>(summary)
    })?;
    screen.clear();
    tell(&summary, &request, &mut screen)?;
    summary.outcome()
}

/// The interfaces of the plan, and where packets come from.
fn origin(request: &Request) -> Result<(Vec<String>, Origin), Error> {
    match &request.source {
        Source::DefaultInterface => {
            let name = default_route_interface().ok_or(Error::NoDefaultRoute)?;
            Ok((vec![name], Origin::Interfaces))
        }
        Source::Interfaces(names) => Ok((names.clone(), Origin::Interfaces)),
        Source::File(path) => {
            files::look_at_source(path)?;
            Ok((Vec::new(), Origin::File(path.clone())))
        }
    }
}

/// What all rings take together, in bytes.
fn rings_bytes(request: &Request, interfaces: &[String]) -> u64 {
    let count = u64::try_from(interfaces.len()).unwrap_or(u64::MAX);
    count.saturating_mul(request.memory_bytes)
}

fn settings(request: &Request, interfaces: &[String], rings: u64) -> Settings {
    let (memory_bytes, promiscuous) = (request.memory_bytes, request.promiscuous);
    // What would select of a whole packet could refuse a cut one: the filter comes first.
    let cut = if request.filter.entries.is_empty() && request.filter.expression.is_none() {
        request.limits.bytes_per_packet
    } else {
        0
    };
    let recorder = |interface: &String| RecorderSettings {
        interface: interface.clone(),
        memory_bytes,
        bytes_per_packet: cut,
        promiscuous,
    };
    let armed = request.look_back.is_some();
    Settings {
        // Nothing goes there: the capture has a destination of its own.
        spool: PathBuf::new(),
        recorders: interfaces.iter().filter(|_| armed).map(recorder).collect(),
        private: PrivateSettings { memory_bytes, promiscuous },
        memory_bytes: rings.saturating_add(BUFFER_BYTES),
    }
}

/// A worker waits for an interface that is away; who stands in front of the program wants to know.
fn all_record(recorders: &[RecorderStatus]) -> Result<(), Error> {
    let away = recorders.iter().find(|recorder| recorder.state != RECORDING);
    away.map_or(Ok(()), |away| {
        let (interface, why) = (away.interface.clone(), away.state.clone());
        Err(Error::NotRecording { interface, why })
    })
}

/// Says how it ended: for people on standard error, for programs on standard output, unless
/// packets go there.
fn tell(
    summary: &Summary,
    request: &Request,
    screen: &mut Screen<io::Stderr>,
) -> Result<(), Error> {
    if request.output == LastLine::Text {
        // The error says all there is to say of a capture that never began.
        if summary.began() || summary.error.is_none() {
            screen.last(&summary.text());
        }
        return Ok(());
    }
    let mut line = serde_json::to_string(summary).map_err(|error| Error::Stdout(error.into()))?;
    line.push('\n');
    let told = match request.target {
        Target::Stdout => io::stderr().write_all(line.as_bytes()),
        Target::Path(_) => io::stdout().write_all(line.as_bytes()),
    };
    told.map_err(Error::Stdout)
}
