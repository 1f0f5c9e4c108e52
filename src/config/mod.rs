//! The configuration: raw YAML in, every room's own settings out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{capture, control, notify, session, source, telemetry, upload};

/// All that `hindsight run` needs, checked.
#[derive(Clone, Debug)]
pub struct Config {
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
    pub control: control::Settings,
}
