//! This host: its clock and its disk.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::{Finding, told};
use crate::clock;
use crate::units::Bytes;

/// The clock cannot be before this version was written: 2026-01-01T00:00:00Z, in nanoseconds.
const OLDEST_NANOS: i64 = 1_767_225_600_000_000_000;

/// What systemd-timesyncd touches when it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";

/// Less free space than so many hundredths is little.
const LITTLE_PERCENT: u64 = 10;

/// Whether the clock is right: names, look-backs from an alert's own start, and signatures of
/// storages go by it.
pub(super) fn clock() -> Finding {
    let now = clock::wall_time();
    let fix = "set up time synchronisation, as in: timedatectl set-ntp true";
    if now.as_nanos() < OLDEST_NANOS {
        return Finding::failed("clock", "", format!("it says {now}"), fix);
    }
    match is_synchronised() {
        Some(true) => Finding::ok("clock", "", "in step with a time server"),
        Some(false) => Finding::warning("clock", "", "in step with no time server", fix),
        None => Finding::ok("clock", "", format!("it says {now}; nobody here knows how exactly")),
    }
}

/// What systemd knows of it, whichever program keeps the clock.
fn is_synchronised() -> Option<bool> {
    if Path::new(TIMESYNC).exists() {
        return Some(true);
    }
    let asked = ["show", "--property=NTPSynchronized", "--value"];
    let output = Command::new("timedatectl").args(asked).output().ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Where the journal and the spool are: writable, and with room.
pub(super) fn disk(state: &Path) -> Vec<Finding> {
    let shown = state.display().to_string();
    // The worker makes the folder; until then the one that it will be made in counts.
    let there = state.ancestors().find(|path| fs::metadata(path).is_ok()).unwrap_or(state);
    let mut findings = Vec::new();
    if let Err(error) = access(there, AccessFlags::W_OK | AccessFlags::X_OK) {
        let what = format!("{} cannot be written by this user: {error}", there.display());
        let fix =
            format!("chown it to the worker's user, or set state to another folder than {shown}");
        findings.push(Finding::failed("disk", "state", what, fix));
    }
    match statvfs(there) {
        Ok(found) => {
            let block = u64::from(found.fragment_size());
            let free = u64::from(found.blocks_available()).saturating_mul(block);
            let all = u64::from(found.blocks()).saturating_mul(block);
            let what =
                format!("{} of {} free at {shown}", Bytes(free).rounded(), Bytes(all).rounded());
            findings.push(if free < all / 100 * LITTLE_PERCENT {
                Finding::warning("disk", "space", what, "free some, or move state to another disk")
            } else {
                Finding::ok("disk", "space", what)
            });
        }
        Err(error) => {
            let fix = format!("see whether 'df {}' works", there.display());
            findings.push(Finding::failed("disk", "space", told(&error), fix));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_the_one_above() {
        let directory = tempfile::tempdir().unwrap();
        let findings = disk(&directory.path().join("a/b"));
        assert!(findings.iter().all(|finding| finding.verdict != Verdict::Failed), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.what.contains("free at")), "{findings:?}");
    }

    #[test]
    fn the_clock_of_a_host_that_runs_tests_is_no_failure() {
        assert_ne!(clock().verdict, Verdict::Failed);
    }
}
