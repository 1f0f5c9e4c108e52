//! From what a rule file says to compiled rules, noting every mistake.

mod calendar;
mod capture;
mod events;
mod here;
mod policy;

use crate::rules::compile::here::Here;
use crate::rules::{Rule, raw};
use crate::yaml::{File, Placed};

pub(super) use here::Compiler;

impl Compiler<'_> {
    /// Compiles a rule. With mistakes in it the result is not for use.
    pub(super) fn rule(&mut self, file: &File, rule: &Placed<raw::Rule>) -> Rule {
        let mut at = Here { compiler: self, file };
        let raw = &rule.value;
        at.name(&raw.name);
        let defaults = &at.compiler.settings.defaults;
        let known = at.compiler.known;
        let enabled = raw.enabled.unwrap_or(true);
        let other_host = raw.host.as_ref().and_then(|host| at.why_other_host(host));
        let chosen = match &raw.schedule {
            Some(_) => at.own_events(rule),
            None => at.events(rule),
        };
        let storage = match &raw.storage {
            Some(name) => at.reference("storage", name, &known.storages),
            None => defaults.storage.clone(),
        };
        let template = at.template(rule);
        let extension = at.extension(rule, &template);
        Rule {
            name: raw.name.value.clone(),
            description: raw.description.clone().unwrap_or_default(),
            file: file.path().to_owned(),
            line: rule.place.line,
            enabled,
            idle: if enabled { other_host } else { Some(SWITCHED_OFF.to_owned()) },
            sources: chosen.sources,
            matchers: chosen.matchers,
            named_by: raw.host.as_ref().and_then(|host| at.named_by(&host.value)),
            condition: raw.when.as_ref().and_then(|when| at.condition(when)),
            active: raw.active.as_ref().and_then(|active| at.active(&active.value)),
            schedule: at.schedule(raw),
            group_by: chosen.group_by,
            policy: at.policy(rule, extension.of(template.limits.duration)),
            extension,
            on_resolved: raw.on_resolved.as_ref().map_or(defaults.on_resolved, |given| given.value),
            template,
            storage,
            notify: match &raw.notify {
                Some(names) => at.references("notifier", names, &known.notifiers),
                None => defaults.notify.clone(),
            },
        }
    }
}

/// Why a rule that says `enabled: false` never acts.
const SWITCHED_OFF: &str = "the rule is switched off by `enabled: false`";
