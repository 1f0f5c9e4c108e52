//! Rules: from YAML text to verdicts on events.
//!
//! [`load`] reads and compiles the whole set, all or nothing; [`RuleSet::decide`] is pure: no
//! clock, no state, no I/O, the same verdicts for the same event every time. What admission needs
//! (cooldowns, ceilings on counts) is not known here.
//!
//! No byte of an event becomes a part of an expression, a path or a name: an event only fills the
//! typed places that a rule left open ([`placeholder`]).

mod active;
mod compile;
mod conditions;
mod decide;
mod demand;
mod describe;
mod digest;
mod explain;
mod filling;
mod host;
mod index;
mod limits;
mod load;
mod look_back;
mod matcher;
mod pattern;
mod placeholder;
mod raw;
mod segments;
mod template;
pub mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::clock::calendar::{Cron, Zone};
use crate::model::{FileForm, OnResolved, Policy, SegmentLimits};
use crate::rules::active::{Active, Schedule};
use crate::rules::index::Index;
use crate::rules::limits::Extension;
use crate::rules::matcher::Matcher;
use crate::rules::template::Template;
use crate::rules::when::Condition;

pub use describe::RuleInfo;
pub use filling::OnMissing;
pub use host::Host;
pub use load::{files_of, load, schema};
pub use look_back::MAX_LOOK_BACK;
pub use segments::{SegmentsKey, SegmentsMistake, segments};

/// The source of the events that schedules make: no configured source has this name. Such an event is
/// named like its rule, and its label [`SCHEDULE_LABEL`] names the rule too.
pub const SCHEDULE_SOURCE: &str = "schedule";

/// The label of a schedule's event that names its rule.
pub const SCHEDULE_LABEL: &str = "rule";

/// Where rules are, and what they inherit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Files, or directories whose `*.yaml` and `*.yml` files are read; all have to exist.
    pub paths: Vec<PathBuf>,
    pub defaults: Defaults,
    /// Every rule is only tried out, whatever it says itself.
    pub dry_run: bool,
}

/// What another event of a group does to the capture that runs for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRunning {
    Extend,
    #[default]
    Ignore,
    Queue,
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
    /// What further events of the group do to it.
    pub while_running: OnRunning,
    /// How long after its trigger a capture may go on where events extend it. Absent: a multiple of
    /// its duration.
    pub max_duration: Option<Duration>,
    /// What a label does that cannot fill its place.
    pub on_missing: OnMissing,
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
    /// This host: its name for plans, and what rules ask for.
    pub host: Host,
}

/// The compiled rules.
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    index: Index,
    /// What rules without interfaces capture on.
    interfaces: Vec<String>,
    host: Host,
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

    /// The host that the rules were read for.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The schedules of the rules that act here: the rule's name, when, and in which zone.
    pub fn schedules(&self) -> impl Iterator<Item = (&str, &Cron, &Zone)> {
        self.rules.iter().filter(|rule| rule.idle.is_none()).filter_map(|rule| {
            let Schedule { cron, zone, .. } = rule.schedule.as_ref()?;
            Some((rule.name.as_str(), cron, zone))
        })
    }

    /// What each rule is, in the order of the files.
    pub fn describe(&self) -> Vec<RuleInfo> {
        self.rules.iter().map(RuleInfo::of).collect()
    }

    /// Each rule's name, with a number that is another one once anything in the rule has changed.
    pub fn fingerprints(&self) -> BTreeMap<String, u64> {
        let fingerprint = |rule: &Rule| {
            let mut hasher = DefaultHasher::new();
            // A compiled expression has no equality, but its text tells all of it.
            format!("{rule:?}").hash(&mut hasher);
            (rule.name.clone(), hasher.finish())
        };
        self.rules.iter().map(fingerprint).collect()
    }

    /// Each rule's name and description, in the order of the files.
    pub fn summaries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.iter().map(|rule| (rule.name.as_str(), rule.description.as_str()))
    }
}

/// One compiled rule.
///
/// Each of its conditions is asked alone, in the order of [`RuleSet::decide`], by a method of its own:
/// see `conditions.rs`.
#[derive(Clone, Debug)]
struct Rule {
    name: String,
    /// Empty where the file gives none.
    description: String,
    file: PathBuf,
    /// Where its entry begins, from 1.
    line: u32,
    enabled: bool,
    /// Why it never acts here, where that is so: a sentence without its end.
    idle: Option<String>,
    /// Names of sources; empty means any but the one of schedules.
    sources: Vec<String>,
    /// All of them have to hold.
    matchers: Vec<Matcher>,
    /// The label that has to name this host.
    named_by: Option<String>,
    condition: Option<Condition>,
    active: Option<Active>,
    schedule: Option<Schedule>,
    /// Names of labels; empty means the event's fingerprint.
    group_by: Vec<String>,
    /// As it is for a capture of the rule's own duration.
    policy: Policy,
    extension: Extension,
    on_resolved: OnResolved,
    template: Template,
    storage: String,
    notify: Vec<String>,
}
