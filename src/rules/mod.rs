//! Rules: from YAML text to verdicts on events.
//!
//! [`load`] reads and compiles the whole set, all or nothing; [`RuleSet::decide`] is pure: no
//! clock, no state, no I/O, the same verdicts for the same event every time. What admission needs
//! (cooldowns, ceilings on counts) is not known here.
//!
//! No byte of an event becomes a part of an expression, a path or a name: an event only fills the
//! typed places that a rule left open ([`placeholder`]).

mod compile;
mod decide;
mod digest;
mod explain;
mod index;
mod limits;
mod load;
mod matcher;
mod placeholder;
mod raw;
mod segments;
mod shown;
mod template;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{FileForm, OnResolved, SegmentLimits};
use crate::rules::index::Index;
use crate::rules::matcher::Matcher;
use crate::rules::template::Template;

pub use load::{files_of, load};
pub use segments::{SegmentsKey, SegmentsMistake, segments};

/// Where rules are, and what they inherit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Files, or directories whose `*.yaml` and `*.yml` files are read; all have to exist.
    pub paths: Vec<PathBuf>,
    pub defaults: Defaults,
}

/// What a rule takes where it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    pub look_back: Duration,
    /// How long a capture goes on after its trigger.
    pub duration: Duration,
    /// The most that a capture's files hold.
    pub bytes: u64,
    pub segments: Option<SegmentLimits>,
    pub file: FileForm,
    /// What the end of the alert does to a capture that runs for it.
    pub on_resolved: OnResolved,
    pub storage: String,
    pub notify: Vec<String>,
}

/// What a rule may refer to, and what it may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether the names below are all there are. Where the configuration has mistakes they may
    /// not be, and references to them are not checked: only their mistakes are worth telling.
    pub complete: bool,
    pub sources: BTreeSet<String>,
    pub storages: BTreeSet<String>,
    pub notifiers: BTreeSet<String>,
    /// The recorded interfaces: what a rule without interfaces captures on.
    pub interfaces: Vec<String>,
    /// The ceiling of a capture's duration after its trigger.
    pub duration: Duration,
    /// The ceiling of the bytes of a capture's files.
    pub bytes: u64,
    /// The host's name, for plans.
    pub host: String,
}

/// The compiled rules.
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    index: Index,
    /// What rules without interfaces capture on.
    interfaces: Vec<String>,
    host: String,
}

impl RuleSet {
    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Says which interfaces are recorded: what rules that name none capture on.
    pub fn capture_on(&mut self, interfaces: Vec<String>) {
        self.interfaces = interfaces;
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Each rule's name and description, in the order of the files.
    pub fn summaries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.iter().map(|rule| (rule.name.as_str(), rule.description.as_str()))
    }
}

/// One compiled rule.
#[derive(Clone, Debug)]
struct Rule {
    name: String,
    /// Empty where the file gives none.
    description: String,
    /// Names of sources; empty means any.
    sources: Vec<String>,
    /// All of them have to hold.
    matchers: Vec<Matcher>,
    /// Names of labels; empty means the event's fingerprint.
    group_by: Vec<String>,
    cooldown: Duration,
    on_resolved: OnResolved,
    template: Template,
    storage: String,
    notify: Vec<String>,
}
