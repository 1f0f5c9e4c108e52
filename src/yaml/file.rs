//! A file of YAML, and the problems found in it.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::decode::Decoder;
use super::fault::Fault;
use super::problem::{Place, Problem};
use super::tree;

/// The largest file that is read, in bytes: a thousand rules take a tenth of it.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The most characters of a source line that are shown.
const MAX_SHOWN_CHARS: usize = 120;

/// The most problems that are told of one file: who has more mends these first.
const MAX_PROBLEMS: usize = 50;

/// The text of a file.
#[derive(Clone, Debug)]
pub struct File {
    path: PathBuf,
    text: String,
}

impl File {
    /// Reads a file from the disk.
    ///
    /// # Errors
    /// It cannot be read, is larger than 4 MiB, or is no UTF-8 text.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let cannot_read = |error: &io::Error| {
            let hint = if error.kind() == io::ErrorKind::NotFound {
                "create it, or name another one"
            } else {
                "make it a plain file that the user of the worker can read"
            };
            Problem::of_file(path, format!("cannot be read: {error}")).with_hint(hint)
        };
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| cannot_read(&error))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
            let problem = Problem::of_file(path, format!("is larger than {MAX_FILE_BYTES} bytes"));
            return Err(problem.with_hint("split it"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(path, text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let message = format!("is no UTF-8 text: byte {at} has no meaning");
                Err(Problem::of_file(path, message).with_hint("save it as UTF-8"))
            }
        }
    }

    /// A text that stands for a file; `path` is what problems call it.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value that the text holds, and all mistakes in it. With mistakes there still is a value
    /// where enough of it could be read: checks can go on to find more. It is not for use.
    pub fn read<T: DeserializeOwned>(&self) -> (Option<T>, Vec<Problem>) {
        let mut faults = Vec::new();
        let value = match tree::build(&self.text, &mut faults) {
            Ok(Some(root)) if !root.is_null() => read_tree(&root, &mut faults),
            Ok(_) => return (None, vec![Problem::of_file(&self.path, "holds nothing")]),
            Err(fault) => {
                faults.push(fault);
                None
            }
        };
        faults.sort_by_key(|(place, _)| *place);
        let problem = |(place, fault): (Place, Fault)| Problem {
            hint: fault.hint,
            ..self.problem(place, fault.message)
        };
        (value, faults.into_iter().map(problem).collect())
    }

    /// A problem at a place in this file.
    pub fn problem(&self, place: Place, message: impl Into<String>) -> Problem {
        let line = usize::try_from(place.line).unwrap_or(usize::MAX).saturating_sub(1);
        let line = without_credentials(lines(&self.text).nth(line).unwrap_or_default());
        let (source_line, caret) = excerpt(&line, place.column);
        Problem {
            file: self.path.clone(),
            place: Some(place),
            source_line,
            caret,
            message: message.into(),
            hint: None,
        }
    }
}

/// The lines of a text as YAML counts them: a carriage return alone ends one too.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            return rest.take();
        };
        let ending = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + ending..]);
        Some(&text[..end])
    })
}

/// The part of a line around a column, and the column in it. A line may be all of the file, and the
/// problems in it many: none of them holds it whole.
fn excerpt(line: &str, column: u32) -> (String, usize) {
    let line = line.trim_end();
    let column = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
    let from = if line.chars().nth(MAX_SHOWN_CHARS).is_none() {
        0
    } else {
        let chars = line.chars().count();
        column.saturating_sub(MAX_SHOWN_CHARS / 2).min(chars.saturating_sub(MAX_SHOWN_CHARS))
    };
    (line.chars().skip(from).take(MAX_SHOWN_CHARS).collect(), column.saturating_sub(from))
}

/// A line to be shown: what stands in an address before `@` is a user and a password. As many stars
/// stand for it, so that columns stay right.
fn without_credentials(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(scheme_end) = rest.find("://") {
        let (before, after) = rest.split_at(scheme_end + 3);
        shown.push_str(before);
        let authority = after.find(|c: char| "/\"' ".contains(c)).unwrap_or(after.len());
        let hidden = after[..authority].rfind('@').unwrap_or(0);
        shown.extend(after[..hidden].chars().map(|_| '*'));
        rest = &after[hidden..];
    }
    shown.push_str(rest);
    shown
}

/// Reads the tree, leaving out one mistake after the other, until it reads.
fn read_tree<T: DeserializeOwned>(
    root: &tree::Node,
    faults: &mut Vec<(Place, Fault)>,
) -> Option<T> {
    let mut left_out = BTreeSet::new();
    loop {
        let decoder = Decoder { node: root, left_out: &left_out };
        let fault = match T::deserialize(decoder) {
            Ok(value) => return Some(value),
            Err(fault) => root.tie(fault),
        };
        let (place, id) = fault.at.unwrap_or((root.place, root.id));
        if !fault.follows {
            faults.push((place, fault));
        }
        // Nothing can be read without the root, and every round has to take something out.
        if id == root.id || !left_out.insert(id) || faults.len() >= MAX_PROBLEMS {
            return None;
        }
    }
}
