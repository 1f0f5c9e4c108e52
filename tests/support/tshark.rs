//! What Wireshark's programs say about a file: the judges of everything that is written.

use std::path::Path;
use std::process::Command;

use hindsight::clock::WallTime;

/// Figures of a file, as `capinfos` reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) packets: u64,
    /// Of the file.
    pub(crate) bytes: u64,
}

pub(crate) fn figures(file: &Path) -> Figures {
    // A table without header, tab-separated, machine-readable: name, packets, file size.
    let table = read(Command::new("capinfos").args(["-T", "-r", "-M", "-c", "-s"]).arg(file));
    let columns: Vec<&str> = table.trim_end().split('\t').collect();
    let number = |column: usize| {
        let text = columns.get(column).copied().unwrap_or_default();
        text.parse().unwrap_or_else(|_| panic!("capinfos: no number in column {column}: {table:?}"))
    };
    Figures { packets: number(1), bytes: number(2) }
}

/// The comment of the section, as `capinfos` shows it.
pub(crate) fn section_comment(file: &Path) -> String {
    let text = read(Command::new("capinfos").args(["-k"]).arg(file));
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
    let rows = read(&mut command);
    rows.lines().map(|row| row.split('\t').map(str::to_owned).collect()).collect()
}

/// The numbers in the packets of [`traffic`](super::traffic), in the file's order.
pub(crate) fn numbers(file: &Path) -> Vec<u64> {
    let rows = fields(file, "udp.payload", &["udp.payload"]);
    rows.iter().map(|row| number(&row[0])).collect()
}

/// The number that a payload of [`traffic`](super::traffic) begins with, from hexadecimal.
pub(crate) fn number(payload: &str) -> u64 {
    let number = payload.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.unwrap_or_else(|| panic!("no number: {payload:?}"))
}

/// The times of the packets that the display filter selects, from a file that has nanoseconds.
pub(crate) fn stamps(file: &Path, display_filter: &str) -> Vec<WallTime> {
    let stamp = |row: &Vec<String>| {
        let text = row.concat();
        let nanos = text.split_once('.').filter(|(_, decimals)| decimals.len() == 9);
        let nanos =
            nanos.and_then(|(seconds, decimals)| format!("{seconds}{decimals}").parse().ok());
        WallTime::from_nanos(nanos.unwrap_or_else(|| panic!("no time in nanoseconds: {text:?}")))
    };
    fields(file, display_filter, &["frame.time_epoch"]).iter().map(stamp).collect()
}

/// What tshark has to say against the file, over all packets; empty where all is well.
pub(crate) fn complaints(file: &Path) -> Vec<String> {
    ask(&mut tshark(file)).1
}

fn tshark(file: &Path) -> Command {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(file);
    command
}

/// What one of the programs prints; it must neither fail nor complain.
fn read(command: &mut Command) -> String {
    let (text, complaints) = ask(command);
    assert!(complaints.is_empty(), "{command:?}: {complaints:?}");
    text
}

/// What one of the programs prints, and what it has to say against the file.
fn ask(command: &mut Command) -> (String, Vec<String>) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    let root_is_named = |line: &&str| !line.starts_with("Running as user");
    let mut complaints: Vec<String> =
        said.lines().filter(root_is_named).map(str::to_owned).collect();
    if !output.status.success() {
        complaints.push(output.status.to_string());
    }
    (String::from_utf8(output.stdout).expect("Wireshark's programs print UTF-8"), complaints)
}
