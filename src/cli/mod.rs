//! The command line: one file for each command.
//!
//! Commands other than `run`, `dump` and `check` talk to a running worker over its control socket and
//! hold no logic of their own.

mod capture;
mod check;
mod client;
mod doctor;
mod dump;
mod event;
mod exit;
mod manual;
mod output;
mod recorder;
mod reload;
mod rules;
mod run;
mod status;
mod storage;

use std::fmt;
use std::io;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use capture::DownloadError;
pub use client::{Error as ClientError, Place as WorkerPlace};
pub use dump::Error as DumpError;
pub use exit::Exit;

use crate::model::State;
use crate::{control, filter, source, telemetry, upload, worker, yaml};

/// Captures the packets before and after an alert.
///
/// Hindsight keeps the last seconds of traffic in memory. When an alert or a metric event matches a
/// rule, it writes the packets from before the event and after it to pcapng files, uploads them,
/// verifies the upload and says where they are.
#[derive(Debug, Parser)]
#[command(name = "hindsight", version, after_help = exit::HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the worker until SIGTERM or SIGINT.
    Run(ConfigFile),
    /// Capture in the foreground, without a worker; with tcpdump's habits.
    Dump(Box<dump::Arguments>),
    /// Check the configuration, the rules, the privilege to capture and the storages.
    Check(check::Arguments),
    /// Show how the worker and everything it talks to are doing.
    Status(client::Reach),
    /// Send events by hand.
    #[command(subcommand)]
    Event(event::Command),
    /// Begin captures by hand; list, show, follow, stop, fetch and delete captures.
    #[command(subcommand)]
    Capture(capture::Command),
    /// Show the recorders: what is held in memory, and how far back it reaches.
    #[command(subcommand)]
    Recorder(recorder::Command),
    /// Show how the rules stand and what they make of an event; test them.
    #[command(subcommand)]
    Rules(rules::Command),
    /// Show the storages, and whether they can be used.
    #[command(subcommand)]
    Storage(storage::Command),
    /// Have the worker read its configuration and rules again: all of it acts, or nothing.
    Reload(client::Reach),
    /// Look for what keeps the worker from its work, and say how to mend it.
    Doctor(doctor::Arguments),
    /// Print what a shell needs to complete the commands.
    Completions(manual::Completions),
    /// Write the pages of the manual.
    Man(manual::Man),
    /// Print the JSON Schema of a file, by which editors complete and check it.
    Schema(manual::Schema),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file. Default: the one that $HINDSIGHT_CONFIG names, else
    /// /etc/hindsight/config.yaml if there is one, else the built-in configuration.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", Problems(.0))]
    Configuration(Vec<yaml::Problem>),
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Dump(#[from] dump::Error),
    #[error("cannot set up the log")]
    Telemetry(#[from] telemetry::Error),
    #[error("cannot start the async runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("the worker failed")]
    Worker(#[from] worker::Error),
    #[error(
        "stopped by a second signal before the worker had ended; its work is recovered at the next start"
    )]
    Impatient,
    #[error("cannot read {path}")]
    Input { path: PathBuf, source: io::Error },
    #[error("{path} holds more than {limit} bytes, which no event has; send it in smaller parts")]
    InputTooLarge { path: PathBuf, limit: usize },
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("cannot write the answer as JSON")]
    Json(#[source] serde_json::Error),
    #[error("the storages cannot be set up")]
    Upload(#[from] upload::Error),
    #[error("the control server cannot start")]
    Control(#[from] control::Error),
    #[error("{0} of the storages cannot be used")]
    Storages(usize),
    #[error(transparent)]
    Filter(filter::JsonError),
    #[error("capture {name} does not hold all that was asked for ({state}): {why}")]
    NotWhole { name: String, state: State, why: String },
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error("cannot write to {path}")]
    Written { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Format(#[from] source::format::NotAFormat),
    #[error(transparent)]
    Explain(#[from] worker::NotExplained),
    #[error("{failed} of {all} tests failed")]
    Tests { failed: usize, all: usize },
    #[error("{0} of the findings keep the worker from its work")]
    Findings(usize),
}

/// All diagnostics, then how many there are.
struct Problems<'a>(&'a [yaml::Problem]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.0 {
            writeln!(f, "{}\n", problem.to_string().trim_end())?;
        }
        match self.0.len() {
            1 => f.write_str("1 problem; nothing was changed"),
            count => write!(f, "{count} problems; nothing was changed"),
        }
    }
}

impl Error {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) | Self::Telemetry(_) | Self::Upload(_) => Exit::Configuration,
            Self::Client(error) => error.exit(),
            Self::Dump(error) => error.exit(),
            Self::Download(error) => error.exit(),
            Self::Filter(_) | Self::Format(_) => Exit::Usage,
            Self::Explain(worker::NotExplained::NoSuchRule(_)) => Exit::NotFound,
            Self::Worker(error) if error.is_configuration() => Exit::Configuration,
            Self::Runtime(_)
            | Self::Signals(_)
            | Self::Worker(_)
            | Self::Impatient
            | Self::Input { .. }
            | Self::InputTooLarge { .. }
            | Self::Output(_)
            | Self::Json(_)
            | Self::Control(_)
            | Self::Storages(_)
            | Self::NotWhole { .. }
            | Self::Written { .. }
            | Self::Explain(_)
            | Self::Tests { .. }
            | Self::Findings(_) => Exit::Failed,
        }
    }

    /// Tells the user, on standard error.
    pub fn report(&self) {
        output::complain(self);
    }
}

/// Reads the arguments; where they are wrong, says so and exits with 2.
pub fn parse() -> Arguments {
    Arguments::parse()
}

impl Arguments {
    /// Does what was asked.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Run(file) => run::run(file.config.as_deref()),
            Command::Dump(arguments) => Ok(dump::run(&arguments)?),
            Command::Check(arguments) => check::run(&arguments),
            Command::Status(reach) => ask(status::run(&reach)),
            Command::Event(command) => ask(event::run(command)),
            Command::Capture(command) => ask(capture::run(command)),
            Command::Recorder(command) => ask(recorder::run(command)),
            Command::Rules(command) => rules::run(command),
            Command::Storage(command) => ask(storage::run(command)),
            Command::Reload(reach) => ask(reload::run(&reach)),
            Command::Doctor(arguments) => ask(doctor::run(&arguments)),
            Command::Completions(arguments) => manual::completions(&arguments),
            Command::Man(arguments) => manual::man(&arguments),
            Command::Schema(arguments) => manual::schema(&arguments),
        }
    }
}

/// Runs a short conversation on this thread.
fn ask(conversation: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    install_tls();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::Runtime)?.block_on(conversation)
}

/// Makes ring the process's TLS provider. Every client of the process is built without one.
fn install_tls() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("the process has a TLS provider already");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_is_documented() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} has no help", argument.get_id());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Arguments::command());
    }
}
