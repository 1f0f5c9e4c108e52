//! A mistake in a file, told the way compilers tell theirs.

use std::fmt;
use std::path::PathBuf;

/// The most characters of a message that are shown: it may quote what the file says.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// Where something stands in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// One mistake, and where it is.
///
/// ```text
/// /etc/hindsight/rules/net.yaml:7:5: unknown key `cooldwon`; did you mean `cooldown`?
///   7 |     cooldwon: 15m
///     |     ^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// Absent where the file as a whole is the problem.
    pub place: Option<Place>,
    /// The line that [`place`](Self::place) points at, or the part of a long one around it.
    pub source_line: String,
    /// How many characters of it stand before the place.
    pub caret: usize,
    pub message: String,
    /// What to do about it, where that is not plain from the message.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the whole file.
    pub fn of_file(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            place: None,
            source_line: String::new(),
            caret: 0,
            message: message.into(),
            hint: None,
        }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", printable(&self.message, MAX_MESSAGE_CHARS))?;
        if let Some(hint) = &self.hint {
            write!(f, "; {}", printable(hint, MAX_MESSAGE_CHARS))?;
        }
        let Some(place) = self.place else {
            return Ok(());
        };
        let (line, caret) = (printed(&self.source_line), self.caret);
        let number = place.line.to_string();
        writeln!(f)?;
        writeln!(f, "  {number} | {line}")?;
        write!(f, "  {:width$} | {:caret$}^", "", "", width = number.len())
    }
}

/// A line as a terminal prints it: one column for each character, or the caret would point beside
/// the place.
fn printed(line: &str) -> String {
    let shown = line.chars().map(|c| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    });
    shown.collect()
}

/// A text that a terminal only prints: control characters escaped, cut at `max` characters.
fn printable(text: &str, max: usize) -> String {
    let mut shown = String::with_capacity(text.len());
    for (index, c) in text.chars().enumerate() {
        if index == max {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::File;

    fn problem(source_line: &str, column: u32) -> Problem {
        let text = format!("{}{source_line}", "\n".repeat(11));
        File::new("net.yaml", text)
            .problem(Place { line: 12, column }, "unknown key `x`")
            .with_hint("did you mean `y`?")
    }

    #[test]
    fn a_problem_reads_like_one_of_a_compiler() {
        assert_eq!(
            problem("    x: 1", 5).to_string(),
            "net.yaml:12:5: unknown key `x`; did you mean `y`?\n  12 |     x: 1\n     |     ^"
        );
    }

    #[test]
    fn a_problem_of_a_whole_file_has_one_line() {
        let problem = Problem::of_file("/a/b", "cannot be read").with_hint("make it readable");
        assert_eq!(problem.to_string(), "/a/b: cannot be read; make it readable");
    }

    #[test]
    fn the_caret_stays_under_its_column_in_a_long_line() {
        let line = format!("{}X{}", "a".repeat(300), "b".repeat(300));
        let shown = problem(&line, 301).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].find('X'), lines[2].find('^'), "{shown}");
        assert!(lines[1].len() < 140, "{shown}");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let mut problem = problem("a\u{1b}[31m\tb", 1);
        problem.message = "found `\u{1b}[2J\r\n`".to_owned();
        let shown = problem.to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\r'), "{shown:?}");
    }
}
