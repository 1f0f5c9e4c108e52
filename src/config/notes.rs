//! The problems found so far, and the file that they are in.

use std::path::{Path, PathBuf};

use super::check;
use crate::yaml::{File, Place, Placed, Problem};

/// The place of what the embedded default says, in the eyes of somebody who reads another file.
const NOT_IN_THE_FILE: Place = Place { line: 0, column: 0 };

/// What to do about a problem, if that is not plain from its message.
pub(super) struct Hint(Option<String>);

impl From<Option<String>> for Hint {
    fn from(hint: Option<String>) -> Self {
        Self(hint)
    }
}

impl From<String> for Hint {
    fn from(hint: String) -> Self {
        Self(Some(hint))
    }
}

impl From<&str> for Hint {
    fn from(hint: &str) -> Self {
        Self(Some(hint.to_owned()))
    }
}

/// The file that is being checked.
pub(super) struct Notes {
    file: File,
    /// Where relative paths start.
    folder: PathBuf,
    problems: Vec<Problem>,
}

impl Notes {
    pub(super) fn new(file: File, folder: PathBuf) -> Self {
        Self { file, folder, problems: Vec::new() }
    }

    pub(super) fn add(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.extend(problems);
    }

    /// Notes a mistake at a place, with its remedy.
    pub(super) fn note(&mut self, place: Place, message: impl Into<String>, hint: impl Into<Hint>) {
        let mut problem = if Self::is_in_file(place) {
            self.file.problem(place, message)
        } else {
            Problem::of_file(self.file.path(), message)
        };
        problem.hint = hint.into().0;
        self.problems.push(problem);
    }

    /// Whether a place is one in the file, and not in the embedded default.
    pub(super) fn is_in_file(place: Place) -> bool {
        place != NOT_IN_THE_FILE
    }

    /// A path of the file, from where relative ones start.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// A secret's file, noted where it cannot be read.
    pub(super) fn secret(&mut self, path: Option<&Placed<PathBuf>>) -> Option<PathBuf> {
        let placed = path?;
        let path = self.path(&placed.value);
        if let Err((message, hint)) = check::readable(&path) {
            self.note(placed.place, message, hint);
        }
        Some(path)
    }

    /// Notes why a text has not the form that it should have.
    pub(super) fn refuse<E: Into<String>>(&mut self, place: Place, result: Result<(), E>) {
        if let Err(message) = result {
            self.note(place, message, None);
        }
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// All problems: first those of the file in its order, then those that have no place in it.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        let own = self.file.path().to_owned();
        self.problems.sort_by_key(|problem| (problem.file != own, problem.place.is_none()));
        let count = self.problems.iter().take_while(|problem| problem.file == own).count();
        self.problems[..count].sort_by_key(|problem| (problem.place.is_none(), problem.place));
        self.problems
    }
}

/// What the file says, or else what the embedded default says.
pub(super) fn or_default<T: Clone>(
    given: Option<&Placed<T>>,
    default: Option<&Placed<T>>,
) -> Placed<T> {
    match (given, default) {
        (Some(given), _) => given.clone(),
        (None, Some(default)) => Placed { place: NOT_IN_THE_FILE, ..default.clone() },
        (None, None) => unreachable!("the embedded default says it; a test loads it"),
    }
}
