//! What a rule is, for people who ask for a list of them.

use std::path::PathBuf;

use crate::model::Policy;
use crate::rules::Rule;

/// One rule of the set.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleInfo {
    pub name: String,
    /// Empty where the file gives none.
    pub description: String,
    pub file: PathBuf,
    /// Where its entry begins, from 1.
    pub line: u32,
    pub enabled: bool,
    /// Why it never acts on this host, where that is so: a sentence without its end.
    pub why_not: Option<String>,
    /// When it makes events of its own, with the zone.
    pub schedule: Option<String>,
    /// When it is active, with the zone; absent: always.
    pub active: Option<String>,
    pub policy: Policy,
    pub dry_run: bool,
    /// The sources whose events concern it; none: any.
    pub sources: Vec<String>,
}

impl RuleInfo {
    pub(super) fn of(rule: &Rule) -> Self {
        Self {
            name: rule.name.clone(),
            description: rule.description.clone(),
            file: rule.file.clone(),
            line: rule.line,
            enabled: rule.enabled,
            why_not: rule.idle().map(str::to_owned),
            schedule: rule.schedule.as_ref().map(ToString::to_string),
            active: rule.active.as_ref().map(ToString::to_string),
            policy: rule.policy.clone(),
            dry_run: rule.policy.dry_run,
            sources: rule.sources.clone(),
        }
    }
}
