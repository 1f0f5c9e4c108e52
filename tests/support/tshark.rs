//! What Wireshark's programs say about a file: the judges of everything that is written.

use std::path::Path;
use std::process::Command;

use super::process::run;

/// Figures of a file, as `capinfos` reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) packets: u64,
    /// Of the file.
    pub(crate) bytes: u64,
}

pub(crate) fn figures(file: &Path) -> Figures {
    // A table without header, tab-separated, machine-readable: name, packets, file size.
    let table = run(Command::new("capinfos").args(["-T", "-r", "-M", "-c", "-s"]).arg(file));
    let columns: Vec<&str> = table.trim_end().split('\t').collect();
    let number = |column: usize| {
        let text = columns.get(column).copied().unwrap_or_default();
        text.parse().unwrap_or_else(|_| panic!("capinfos: no number in column {column}: {table:?}"))
    };
    Figures { packets: number(1), bytes: number(2) }
}

/// The comment of the section, as `capinfos` shows it.
pub(crate) fn section_comment(file: &Path) -> String {
    let text = run(Command::new("capinfos").args(["-k"]).arg(file));
    let comment = text.lines().find_map(|line| line.strip_prefix("Capture comment:"));
    comment.unwrap_or_default().trim().to_owned()
}

/// The given fields of the packets that the display filter selects, a row each.
pub(crate) fn fields(file: &Path, display_filter: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut command = tshark(file);
    command.args(["-Y", display_filter, "-T", "fields", "-E", "separator=/t"]);
    for name in names {
        command.args(["-e", name]);
    }
    let rows = run(&mut command);
    rows.lines().map(|row| row.split('\t').map(str::to_owned).collect()).collect()
}

/// The numbers in the packets of [`traffic`](super::traffic), in the file's order.
pub(crate) fn numbers(file: &Path) -> Vec<u64> {
    let filter = format!("udp.dstport == {}", super::traffic::PORT);
    let number = |row: Vec<String>| {
        let text = row.concat();
        u64::from_str_radix(&text, 16).unwrap_or_else(|_| panic!("not a number: {text:?}"))
    };
    fields(file, &filter, &["udp.payload"]).into_iter().map(number).collect()
}

/// What tshark has to say against the file, over all packets; empty where all is well.
pub(crate) fn complaints(file: &Path) -> Vec<String> {
    let output = tshark(file).output().expect("tshark is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let root_is_named = |line: &&str| !line.starts_with("Running as user");
    let mut complaints: Vec<String> =
        said.lines().filter(root_is_named).map(str::to_owned).collect();
    if !output.status.success() {
        complaints.push(format!("tshark: {}", output.status));
    }
    complaints
}

fn tshark(file: &Path) -> Command {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(file);
    command
}
