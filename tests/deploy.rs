//! What is shipped beside the program is well-formed, and says what the project promises.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hindsight::config::Config;

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
fn a_service_that_hangs_is_noticed_and_a_reload_reaches_it() {
    assert_eq!(unit_values("Type"), ["notify"]);
    assert_eq!(unit_values("WatchdogSec"), ["60s"]);
    assert_eq!(unit_values("ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    assert_eq!(unit_values("DynamicUser"), ["yes"]);
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

/// The text with its commented settings in force: `# key: ...` and `# - ...`. Prose stays a comment.
fn uncommented(text: &str) -> String {
    let of_keys = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let setting = |line: &str| {
        let (indent, rest) =
            line.split_once("# ").filter(|(indent, _)| indent.trim().is_empty())?;
        let body = rest.trim_start();
        let key = body.split_once(':').map_or("", |(key, _)| key);
        let is_key = !key.is_empty() && key.bytes().all(of_keys);
        (is_key || body.starts_with("- ")).then(|| format!("{indent}{rest}"))
    };
    text.lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

/// Loads the shipped configuration and rule from a folder that stands for `/etc/hindsight`.
fn load_shipped(change: impl Fn(&str, &str) -> String) -> Config {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let here = folder.path().display().to_string();
    fs::create_dir(folder.path().join("rules")).expect("the temporary folder can be written");
    for path in ["config.yaml", "rules/example.yaml"] {
        let text = fs::read_to_string(shipped("deploy/etc/hindsight").join(path));
        let text = change(path, &text.expect("it is in the repository"));
        let secrets = text.split("/etc/hindsight/").skip(1).filter_map(|rest| {
            rest.split(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c))).next()
        });
        for secret in secrets {
            fs::write(folder.path().join(secret), "secret").expect("the folder can be written");
        }
        fs::write(folder.path().join(path), text.replace("/etc/hindsight", &here))
            .expect("the temporary folder can be written");
    }
    Config::load(Some(&folder.path().join("config.yaml"))).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", problems.join("\n\n"))
    })
}

#[test]
fn the_shipped_configuration_loads_with_its_test_rule() {
    let config = load_shipped(|_path, text| text.to_owned());
    assert_eq!(config.rules.len(), 1);
    assert_eq!(config.sources.keys().collect::<Vec<_>>(), ["hook"]);
    assert_eq!(config.storages.keys().collect::<Vec<_>>(), ["local"]);
}

#[test]
fn every_setting_that_the_shipped_configuration_suggests_is_valid() {
    let config = load_shipped(|_path, text| uncommented(text));
    assert_eq!(config.rules.len(), 2);
    assert_eq!(config.host, "edge-7");
    assert_eq!(config.sources.keys().collect::<Vec<_>>(), ["hook", "plant"]);
    assert_eq!(config.storages.keys().collect::<Vec<_>>(), ["archive", "bucket", "local"]);
    assert_eq!(config.notifiers.keys().collect::<Vec<_>>(), ["bus", "team"]);
}

/// A text that stands in a YAML file as a block: `key: |` and what is indented under it.
fn block(yaml: &str, key: &str) -> String {
    let start = format!("  {key}: |\n");
    let rest = yaml.split_once(&start).map_or("", |(_, rest)| rest);
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.map(|line| format!("{}\n", line.get(4..).unwrap_or_default())).collect()
}

#[test]
fn the_configuration_of_the_daemon_set_loads_with_its_rule() {
    let manifest = fs::read_to_string(shipped("deploy/kubernetes/daemonset.yaml")).unwrap();
    let config = load_shipped(|path, _text| match path {
        "config.yaml" => block(&manifest, "config.yaml"),
        _ => block(&manifest, "rules.yaml"),
    });
    assert_eq!(config.rules.len(), 1);
    assert_eq!(config.control.listen.len(), 1);
}

#[test]
fn containers_have_the_one_capability_and_can_gain_none() {
    let manifest = fs::read_to_string(shipped("deploy/kubernetes/daemonset.yaml")).unwrap();
    for line in [
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "drop: [ALL]",
        "add: [NET_RAW]",
    ] {
        assert!(manifest.contains(line), "{line}");
    }
    assert!(!manifest.contains("privileged: true"));
}

#[test]
fn the_rule_of_the_readme_loads() {
    let readme = fs::read_to_string(shipped("README.md")).expect("it is in the repository");
    let rule = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let rule = rule.expect("the README shows a rule");
    let config = load_shipped(|path, text| match path {
        "rules/example.yaml" => rule.to_owned(),
        _ => uncommented(text),
    });
    assert_eq!(config.rules.len(), 1);
}
