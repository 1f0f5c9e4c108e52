//! Medians, and tables as Markdown has them.

use std::time::Duration;

/// The middle one; the lower of two.
pub(crate) fn median<T: Copy + PartialOrd>(values: &[T]) -> T {
    at(values, 50)
}

/// The value below which so many per cent lie.
pub(crate) fn at<T: Copy + PartialOrd>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("figures are numbers"));
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

/// Least, middle and most, in seconds.
pub(crate) fn spread(values: &[f64]) -> String {
    format!("{:.3} ({:.3} to {:.3})", median(values), at(values, 0), at(values, 100))
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A count as a figure. All here are far below 2^52, which an `f64` holds exactly.
pub(crate) fn figure(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// A table that says its columns.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(|name| (*name).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    #[expect(clippy::print_stdout, reason = "what the benchmark is for")]
    pub(crate) fn print(&self) {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().enumerate();
            let padded: Vec<String> =
                cells.map(|(column, cell)| format!("{cell:<0$}", width(column))).collect();
            println!("| {} |", padded.join(" | "));
            if number == 0 {
                let lines: Vec<String> = (0..row.len()).map(|at| "-".repeat(width(at))).collect();
                println!("| {} |", lines.join(" | "));
            }
        }
    }
}

/// Says whether a figure is at most what is wanted.
#[expect(clippy::print_stdout, reason = "what the benchmark is for")]
pub(crate) fn judge(what: &str, figure: f64, at_most: f64) {
    let verdict = if figure <= at_most { "met" } else { "MISSED" };
    println!("{what}: {figure:.3}, wanted at most {at_most}: {verdict}");
}

/// A heading.
#[expect(clippy::print_stdout, reason = "what the benchmark is for")]
pub(crate) fn heading(text: &str) {
    println!("\n## {text}\n");
}

/// A line of text.
#[expect(clippy::print_stdout, reason = "what the benchmark is for")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
