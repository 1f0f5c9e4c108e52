//! This host: what it is called, by itself and by others, and what it is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::environment::Environment;
use super::notes::Notes;
use super::{check, raw};
use crate::rules::Host;
use crate::yaml::Placed;

/// The most labels, and the most aliases: people keep them by hand.
const MAX_COUNT: usize = 64;

/// The longest value of a label, in bytes.
const MAX_VALUE_BYTES: usize = 256;

/// The longest alias, in bytes. Source: RFC 1035, section 2.3.4.
const MAX_ALIAS_BYTES: usize = 253;

pub(super) fn read(notes: &mut Notes, given: &raw::Host, environment: &Environment) -> Host {
    let name = match &given.name {
        Some(name) => {
            check_name(notes, name);
            name.value.clone()
        }
        None => check::safe_host(environment.host.as_deref().unwrap_or_default()),
    };
    let labels = labels(notes, given);
    let aliases = given.aliases.iter().flat_map(|aliases| &aliases.value.0);
    if let Some(list) = &given.aliases
        && list.value.0.len() > MAX_COUNT
    {
        notes.note(list.place, format!("a host has at most {MAX_COUNT} aliases"), "leave some out");
    }
    for alias in aliases.clone() {
        check_alias(notes, alias);
    }
    Host::new(&name, labels, aliases.map(|alias| alias.value.as_str()))
}

fn check_name(notes: &mut Notes, name: &Placed<String>) {
    if !check::is_host(&name.value) {
        let message = format!("`{}` cannot be a part of a file name", name.value);
        let hint = "take letters, digits, `.`, `_` and `-`, at most 64";
        notes.note(name.place, message, hint);
    }
}

fn check_alias(notes: &mut Notes, alias: &Placed<String>) {
    let text = &alias.value;
    let is_name = !text.is_empty()
        && text.len() <= MAX_ALIAS_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_name && text.parse::<IpAddr>().is_err() {
        let message = format!("`{text}` is neither a name nor an address");
        notes.note(alias.place, message, "write it without a port, as in edge-7.example.org");
    }
}

fn labels(notes: &mut Notes, given: &raw::Host) -> BTreeMap<String, String> {
    let Some(given) = &given.labels else {
        return BTreeMap::new();
    };
    if given.value.0.len() > MAX_COUNT {
        notes.note(given.place, format!("a host has at most {MAX_COUNT} labels"), "leave some out");
    }
    for (label, value) in &given.value.0 {
        if label.value == "name" {
            let hint = "set host.name, or call the label otherwise";
            notes.note(label.place, "the label `name` is the name of the host", hint);
        } else if !check::is_label(&label.value) {
            let message = format!("`{}` is no label", label.value);
            let hint = "take letters, digits, `_`, `.`, `-`, `/` and `:`, a letter or `_` first";
            notes.note(label.place, message, hint);
        }
        if value.value.len() > MAX_VALUE_BYTES || value.value.chars().any(char::is_control) {
            let message = "this cannot be the value of a label";
            let hint = format!("take at most {MAX_VALUE_BYTES} bytes without control characters");
            notes.note(value.place, message, hint);
        }
    }
    let pairs = given.value.0.iter();
    pairs.map(|(label, value)| (label.value.clone(), value.value.clone())).collect()
}
