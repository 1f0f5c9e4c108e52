//! Log set-up, and what is counted ([`metrics`]).
//!
//! Every record of the log is one line on standard error, whatever the text in it: promise P7. The environment
//! is not read here; the level comes from the configuration.

mod escape;
mod line;
pub mod metrics;

use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{EnvFilter, reload};

pub use escape::escape;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line, for collectors.
    Json,
    /// As text, for journald: it has the time by itself, and takes the priority from the beginning of
    /// the line. Source: sd-daemon(3).
    Journald,
}

/// Settings of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A tracing filter such as `info` or `hindsight=debug`.
    pub level: String,
    pub format: LogFormat,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "'{level}' is no log level; write error, warn, info, debug or trace, or one for each \
         part, as in info,hindsight::upload=debug"
    )]
    Level { level: String },
    #[error("the log of this process is set up already")]
    Twice,
}

impl Settings {
    /// Checks the level without setting up anything.
    ///
    /// # Errors
    /// [`Error::Level`].
    pub fn check(&self) -> Result<(), Error> {
        self.filter().map(|_filter| ())
    }

    fn filter(&self) -> Result<EnvFilter, Error> {
        EnvFilter::try_new(&self.level)
            .map_err(|_unhelpful| Error::Level { level: escape(&self.level).into_owned() })
    }
}

/// Starts the log of this process, on standard error.
///
/// # Errors
/// The level is none, or there is a log already.
pub fn start(settings: &Settings) -> Result<(), Error> {
    let (subscriber, level) =
        subscriber(settings.filter()?, settings.format, line::Lines::new(settings.format));
    tracing::subscriber::set_global_default(subscriber).map_err(|_already_set| Error::Twice)?;
    // Whoever set the subscriber is the only one to come here.
    LEVEL.set(level).map_err(|_already_set| Error::Twice)
}

/// Gives the log of this process another level. Where no log was started, as in a test, nothing
/// happens.
///
/// # Errors
/// The level is none.
pub fn change_level(settings: &Settings) -> Result<(), Error> {
    let filter = settings.filter()?;
    if let Some(level) = LEVEL.get() {
        level(filter);
    }
    Ok(())
}

/// Sets the level of the running log.
type Level = Box<dyn Fn(EnvFilter) + Send + Sync>;

static LEVEL: OnceLock<Level> = OnceLock::new();

fn subscriber<W>(
    filter: EnvFilter,
    format: LogFormat,
    writer: W,
) -> (Box<dyn Subscriber + Send + Sync>, Level)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // The line guard would escape colours like every other control character.
        .with_ansi(false)
        // It reports a failing writer by `eprintln!`, which panics when standard error is closed.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            (Box::new(builder.finish()), setter(move |filter| handle.reload(filter)))
        }
        LogFormat::Journald => {
            let builder = builder.without_time().with_level(false).with_filter_reloading();
            let handle = builder.reload_handle();
            (Box::new(builder.finish()), setter(move |filter| handle.reload(filter)))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            (Box::new(builder.finish()), setter(move |filter| handle.reload(filter)))
        }
    }
}

fn setter(set: impl Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync + 'static) -> Level {
    Box::new(move |filter| {
        if let Err(error) = set(filter) {
            tracing::error!(%error, "the level of the log stays as it was");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_checked_with_a_remedy() {
        let settings =
            |level: &str| Settings { level: level.to_owned(), format: LogFormat::default() };
        for right in ["info", "warn,hindsight=debug", "off"] {
            settings(right).check().unwrap();
        }
        let error = settings("hindsight=loud").check().unwrap_err();
        assert!(error.to_string().starts_with("'hindsight=loud' is no log level"), "{error}");
    }
}
