//! What is shipped beside the program is well-formed, and says what the project promises.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNIT: &str = "deploy/usr/lib/systemd/system/hindsight.service";

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The values of one key of the unit.
fn unit_values(key: &str) -> Vec<String> {
    let unit = fs::read_to_string(shipped(UNIT)).expect("the unit is in the repository");
    let values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

#[test]
fn every_shell_script_is_complete_and_stops_at_its_first_error() {
    for path in [".ci/run", "deploy/demo", "deploy/install", "tests/run", "tests/tools"] {
        let text = fs::read_to_string(shipped(path)).unwrap();
        assert!(text.starts_with("#!/usr/bin/env bash\n"), "{path}");
        assert!(text.contains("\nset -euo pipefail\n"), "{path}");
        let checked = Command::new("bash").arg("-n").arg(shipped(path)).output().unwrap();
        assert!(checked.status.success(), "{path}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn the_service_has_one_capability_and_can_gain_none() {
    assert_eq!(unit_values("AmbientCapabilities"), ["CAP_NET_RAW"]);
    assert_eq!(unit_values("CapabilityBoundingSet"), ["CAP_NET_RAW"]);
    assert_eq!(unit_values("NoNewPrivileges"), ["yes"]);
    assert_eq!(unit_values("User"), ["hindsight"]);
}

#[test]
fn the_service_leaves_no_packet_in_a_core_dump_or_a_readable_file() {
    assert_eq!(unit_values("LimitCORE"), ["0"]);
    assert_eq!(unit_values("UMask"), ["0077"]);
}

#[test]
fn the_service_is_not_restarted_for_what_a_person_has_to_mend() {
    assert_eq!(unit_values("Restart"), ["on-failure"]);
    assert_eq!(unit_values("RestartPreventExitStatus"), ["2 78"]);
}
