//! The compiler at one file: what it knows, and where it notes mistakes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::rules::{Known, Settings};
use crate::yaml::{File, Place, Placed, Problem, did_you_mean};

/// The longest name of a rule, in characters: it becomes a part of file names.
const MAX_NAME_CHARS: usize = 64;

/// Where compiling stands.
pub(in crate::rules) struct Compiler<'a> {
    pub(in crate::rules) settings: &'a Settings,
    pub(in crate::rules) known: &'a Known,
    pub(in crate::rules) problems: Vec<Problem>,
    /// Names that are taken, with the file and line of the rule that has them.
    names: BTreeMap<String, String>,
}

impl<'a> Compiler<'a> {
    pub(in crate::rules) fn new(settings: &'a Settings, known: &'a Known) -> Self {
        Self { settings, known, problems: Vec::new(), names: BTreeMap::new() }
    }
}

/// The compiler at one file.
pub(super) struct Here<'c, 'a> {
    pub(super) compiler: &'c mut Compiler<'a>,
    pub(super) file: &'c File,
}

/// A problem just noted, to be given a hint.
pub(super) struct Noted<'p>(&'p mut Problem);

impl Noted<'_> {
    pub(super) fn set_hint(self, hint: impl Into<String>) {
        self.0.hint = Some(hint.into());
    }
}

impl Here<'_, '_> {
    pub(super) fn note(&mut self, place: Place, message: impl fmt::Display) -> Noted<'_> {
        self.compiler.problems.push(self.file.problem(place, message.to_string()));
        Noted(self.compiler.problems.last_mut().expect("one was just pushed"))
    }

    pub(super) fn name(&mut self, name: &Placed<String>) {
        let text = &name.value;
        let has_right_form = text.len() <= MAX_NAME_CHARS
            && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        if !has_right_form {
            self.note(name.place, format!("`{text}` is no name for a rule")).set_hint(format!(
                "take lower-case letters, digits, `.`, `_` and `-`, at most {MAX_NAME_CHARS}"
            ));
        }
        let here = format!("{}:{}", self.file.path().display(), name.place.line);
        match self.compiler.names.get(text).cloned() {
            Some(first) => self
                .note(name.place, format!("the name `{text}` is taken by the rule at {first}"))
                .set_hint("names are unique in the whole set"),
            None => drop(self.compiler.names.insert(text.clone(), here)),
        }
    }

    pub(super) fn reference(
        &mut self,
        what: &str,
        name: &Placed<String>,
        known: &BTreeSet<String>,
    ) -> String {
        if self.compiler.known.complete && !known.contains(&name.value) {
            let hint = did_you_mean(&name.value, known.iter().map(String::as_str));
            self.note(name.place, format!("unknown {what} `{}`", name.value))
                .set_hint(hint.unwrap_or_else(|| format!("the configuration names no {what}")));
        }
        name.value.clone()
    }

    pub(super) fn references(
        &mut self,
        what: &str,
        names: &[Placed<String>],
        known: &BTreeSet<String>,
    ) -> Vec<String> {
        let mut list: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            let name = self.reference(what, name, known);
            if !list.contains(&name) {
                list.push(name);
            }
        }
        list
    }
}
