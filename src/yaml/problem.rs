//! A mistake in a file, told the way compilers tell theirs.

use std::fmt;
use std::path::PathBuf;

/// The most characters of a source line that are shown.
const MAX_SHOWN_CHARS: usize = 120;

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
    /// The line that [`place`](Self::place) points at, without its line break.
    pub source_line: String,
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
        let column = usize::try_from(place.column).unwrap_or(usize::MAX).saturating_sub(1);
        let (line, caret) = excerpt(&self.source_line, column);
        let number = place.line.to_string();
        writeln!(f)?;
        writeln!(f, "  {number} | {line}")?;
        write!(f, "  {:width$} | {:caret$}^", "", "", width = number.len())
    }
}

/// The part of a line around a column, and the column in it.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let chars: Vec<char> = line.trim_end().chars().collect();
    let from = if chars.len() <= MAX_SHOWN_CHARS {
        0
    } else {
        column.saturating_sub(MAX_SHOWN_CHARS / 2).min(chars.len() - MAX_SHOWN_CHARS)
    };
    // One column for each character, or the caret would point beside the place.
    let shown = chars.iter().skip(from).take(MAX_SHOWN_CHARS).map(|c| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => *c,
    });
    (shown.collect(), column.saturating_sub(from))
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

    fn problem(source_line: &str, column: u32) -> Problem {
        Problem {
            file: "net.yaml".into(),
            place: Some(Place { line: 12, column }),
            source_line: source_line.to_owned(),
            message: "unknown key `x`".to_owned(),
            hint: Some("did you mean `y`?".to_owned()),
        }
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
