//! The configuration: raw YAML in, every room's own settings out.
//!
//! Three stages: what the file may say ([`raw`]); the same over the embedded default, checked
//! ([`settings`], [`parts`]); the rooms' own settings and the compiled rules ([`Config`]). All
//! problems of the configuration and of the rules are told together, and nothing is changed.
//! Secrets are only seen to be readable here; the rooms that use them read them.

mod ceilings;
mod check;
mod described;
mod environment;
mod host;
mod interfaces;
mod listen;
mod notes;
mod notifiers;
mod parts;
mod raw;
mod recorder;
mod settings;
mod sources;
mod stamps;
mod storages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::rules::{self, RuleSet};
use crate::yaml::Problem;
use crate::{capture, notify, session, source, telemetry, upload};

pub use described::schema;
pub use environment::Environment;
pub use listen::{Listen, TlsFiles};
pub use stamps::{Stamps, Watched};

/// The configuration that is read where neither the command line nor the environment names one.
pub const DEFAULT_FILE: &str = "/etc/hindsight/config.yaml";

/// The embedded default, which is also the reference page of all keys.
pub const DEFAULT: &str = include_str!("default.yaml");

/// All that `hindsight run` needs, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from; absent for the embedded default.
    pub file: Option<PathBuf>,
    /// The host's name in files, object names and notices; safe in a path.
    pub host: String,
    /// Where the journal and the spool are.
    pub state_directory: PathBuf,
    pub log: telemetry::Settings,
    pub capture: capture::Settings,
    pub sources: BTreeMap<String, source::Settings>,
    pub storages: BTreeMap<String, upload::Settings>,
    pub notifiers: BTreeMap<String, notify::Settings>,
    pub ceilings: session::Ceilings,
    pub retention: Retention,
    /// What rules and captures by hand take where they say nothing.
    pub defaults: rules::Defaults,
    pub control: Control,
    pub rules: RuleSet,
    origin: Origin,
}

/// Where a configuration comes from: all that is needed to read it again.
#[derive(Clone, Debug)]
struct Origin {
    /// The file that was asked for by name.
    asked: Option<PathBuf>,
    environment: Environment,
    watched: Watched,
    /// Taken before the files were read.
    stamps: Stamps,
}

/// How long what this worker stored in local directories is kept, and how much of it. Absent: for
/// ever, and any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub age: Option<Duration>,
    /// Of all such files together.
    pub size_bytes: Option<u64>,
}

/// Where the worker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The Unix socket of the control API.
    pub socket: PathBuf,
    /// TCP addresses for webhook sources and `/healthz`; and for the control API, where callers can be
    /// told apart.
    pub listen: Vec<Listen>,
}

impl Config {
    /// Loads the file at `path`; without one, the file that `HINDSIGHT_CONFIG` names, else
    /// [`DEFAULT_FILE`] if it is there, else the embedded default. Blocks: reads files, and has
    /// the filters of rules compiled.
    ///
    /// # Errors
    /// All problems that could be found in the configuration and in the rules.
    pub fn load(path: Option<&Path>) -> Result<Self, Vec<Problem>> {
        Self::load_in(path, &Environment::read())
    }

    /// As [`load`](Self::load), in a given environment.
    ///
    /// # Errors
    /// All problems that could be found in the configuration and in the rules.
    pub fn load_in(path: Option<&Path>, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let default = Path::new(DEFAULT_FILE);
        let found =
            path.or(environment.config.as_deref()).or_else(|| default.exists().then_some(default));
        let mut config = settings::load(found, environment)?;
        config.origin.asked = path.map(Path::to_owned);
        Ok(config)
    }

    /// The embedded default alone, without rules: the same on every host, but for what is recorded.
    ///
    /// # Errors
    /// The host's interfaces cannot be read.
    pub fn built_in() -> Result<Self, Vec<Problem>> {
        settings::built_in()
    }

    /// Loads it again from where it came from; `self` is not changed. Blocks as
    /// [`load`](Self::load) does.
    ///
    /// # Errors
    /// All problems that could be found in the configuration and in the rules.
    pub fn load_again(&self) -> Result<Self, Vec<Problem>> {
        Self::load_in(self.origin.asked.as_deref(), &self.origin.environment)
    }

    /// What its files looked like when it was read.
    pub const fn stamps(&self) -> &Stamps {
        &self.origin.stamps
    }

    /// Its files.
    pub const fn watched(&self) -> &Watched {
        &self.origin.watched
    }
}
