//! What commands write: tables for people, JSON for programs.
//!
//! Text that came from outside is escaped, so that no event steers the terminal of whoever lists
//! it. A reader that goes away (`| head`) is no error.

use std::error::Error;
use std::io::{self, ErrorKind, Write as _};

use clap::ValueEnum;
use comfy_table::{Cell, Table, presets};
use serde::Serialize;

use crate::clock::WallTime;
use crate::telemetry::escape;

/// Spaces between the columns of a table.
const GAP: u16 = 2;

/// The form of a command's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: the answer of the control API as it is.
    Json,
}

/// Writes `answer` to standard output, in the form asked for.
pub(super) fn print<T: Serialize>(
    format: Format,
    answer: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), super::Error> {
    let text = match format {
        Format::Table => table(answer),
        Format::Json => serde_json::to_string_pretty(answer).map_err(super::Error::Json)?,
    };
    let mut lines = escape_lines(&text);
    lines.push('\n');
    let mut stdout = io::stdout().lock();
    match stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(super::Error::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes an error and what caused it to standard error, each on lines of its own.
pub(super) fn complain(error: &dyn Error) {
    note(&format!("error: {}", escape_lines(&chain(error).join("\nerror:   because "))));
}

/// An error and its causes. One that the text before it ends with is not said again.
pub(super) fn chain(error: &dyn Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !texts.last().is_some_and(|last| last.ends_with(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    texts
}

/// Writes a warning to standard error.
pub(super) fn warn(text: &str) {
    note(&format!("warning: {}", escape_lines(text)));
}

/// Says something to whoever sits there, on standard error; the answer stands on standard output.
pub(super) fn say(text: &str) {
    note(&escape_lines(text));
}

fn note(text: &str) {
    // Where standard error is closed, nobody is left to tell.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Escapes each line, and keeps the line feeds between them.
fn escape_lines(text: &str) -> String {
    let lines: Vec<_> = text.trim_end_matches('\n').split('\n').map(escape).collect();
    lines.join("\n")
}

/// A table without lines around it: columns that `awk` and people read.
pub(super) struct Rows {
    table: Table,
}

impl Rows {
    pub(super) fn with_header(names: &[&str]) -> Self {
        let mut rows = Self::plain();
        rows.table.set_header(names.iter().copied().map(Cell::new));
        rows
    }

    pub(super) fn plain() -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        Self { table }
    }

    /// Adds a row. A cell is one line: what would break it is escaped; an empty one shows `-`.
    pub(super) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        let shown = |cell: &str| match cell {
            "" => Cell::new("-"),
            text => Cell::new(escape(text)),
        };
        self.table.add_row(cells.into_iter().map(shown));
    }

    pub(super) fn finish(mut self) -> String {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        self.table.trim_fmt()
    }
}

/// Puts `text` under a heading, indented.
pub(super) fn section(heading: &str, text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("  {line}")).collect();
    format!("{heading}\n{}", lines.join("\n"))
}

/// A time to the second, as in `2026-11-22T17:30:00Z`.
pub(super) fn second(time: WallTime) -> String {
    time.second()
}

/// As [`second`]; empty where there is none.
pub(super) fn maybe_second(time: Option<WallTime>) -> String {
    time.map(second).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_cell_breaks_its_row() {
        let mut rows = Rows::with_header(&["NAME", "STATE"]);
        rows.row(["a\nforged\u{1b}[2J", "done"]);
        rows.row(["b", ""]);
        let expected =
            ["NAME                STATE", "a\\nforged\\u001b[2J  done", "b                   -"];
        assert_eq!(rows.finish().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("reading x: {source}")]
        struct Says {
            source: io::Error,
        }
        #[derive(Debug, thiserror::Error)]
        #[error("no start")]
        struct Silent(#[source] Says);
        let error = Silent(Says { source: io::Error::other("broken") });
        assert_eq!(chain(&error), ["no start", "reading x: broken"]);
    }

    #[test]
    fn a_time_is_cut_to_the_second() {
        assert_eq!(second(WallTime::from_nanos(1_795_368_600_999_999_999)), "2026-11-22T17:30:00Z");
    }
}
