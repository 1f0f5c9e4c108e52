//! The rules that are shipped: each does what it says to the events of its fixture, as the command that
//! people use finds, and a configuration with all of them passes `check`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_hindsight");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

/// The files of a folder that end in `.yaml`, by what stands before that.
fn yaml_files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let yaml = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

fn hindsight(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).env_remove("HINDSIGHT_CONFIG").output().unwrap()
}

fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// What the fixtures of all shipped rules came to, by the name of their files.
fn reports() -> BTreeMap<String, Value> {
    let fixtures = yaml_files(&folder().join("tests"));
    let mut arguments = vec!["rules", "test", "-o", "json"];
    arguments.extend(fixtures.values().map(|path| path.to_str().unwrap()));
    let output = hindsight(&arguments);
    assert!(output.status.success(), "{}", told(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = answer["files"].as_array().unwrap();
    assert_eq!(files.len(), fixtures.len());
    fixtures.into_keys().zip(files.iter().cloned()).collect()
}

#[test]
fn every_shipped_rule_has_its_file_and_its_fixture_which_passes() {
    let (rules, fixtures) = (yaml_files(&folder()), yaml_files(&folder().join("tests")));
    assert!(rules.len() >= 12, "{}", rules.len());
    assert_eq!(rules.keys().collect::<Vec<_>>(), fixtures.keys().collect::<Vec<_>>());
    for (name, path) in &rules {
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.matches("\n  - name: ").count(), 1, "{name}: a file is a rule");
        assert!(text.contains(&format!("\n  - name: {name}\n")), "{name}: the file is the name");
        assert!(text.contains("\n    description: "), "{name} says what it does");
        let comment = text.lines().take_while(|line| line.starts_with('#')).collect::<String>();
        assert!(comment.contains("make it fire") || comment.contains("makes it fire"), "{name}");
        // A copy of it must not depend on names of somebody's configuration.
        for key in ["\n    source:", "\n    storage:", "\n    notify:"] {
            assert!(!text.contains(key), "{name} has {key}");
        }
    }
    reports();
}

#[test]
fn every_shipped_rule_is_tried_with_events_that_match_and_events_that_do_not() {
    for (name, report) in reports() {
        let tests = report["tests"].as_array().unwrap();
        let decisions: Vec<&Value> =
            tests.iter().flat_map(|test| test["decisions"].as_array().unwrap()).collect();
        let captures = |decision: &&&Value| {
            decision["decision"] == "capture" && decision["rule"] == name.as_str()
        };
        assert!(decisions.iter().any(|decision| captures(&decision)), "{name} never captures");
        let is_passed_over = |decision: &&Value| decision["decision"] == "no_match";
        assert!(decisions.iter().any(is_passed_over), "{name} takes all that comes");
    }
}

#[test]
fn a_configuration_with_all_shipped_rules_passes_the_check() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("config.yaml");
    let state = place.path().join("state");
    let text = format!(
        "version: 1\nstate: {}\nrules: [{}]\nrecorder: {{ interfaces: [lo] }}\nstorages: {{ local: {{ directory: {{ path: {} }} }} }}\n",
        state.display(),
        folder().display(),
        state.join("captures").display()
    );
    fs::write(&config, text).unwrap();
    let output = hindsight(&["check", "--config", config.to_str().unwrap(), "-o", "json"]);
    assert!(output.status.success(), "{}", told(&output));
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(findings["rules"], yaml_files(&folder()).len());
}

#[test]
fn the_fixture_of_the_documentation_passes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let section = page.split_once("\n## Testing rules\n").unwrap().1;
    let fixture = section.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("fixture.yaml");
    let rule = folder().join("dns-failures.yaml").display().to_string();
    fs::write(&path, fixture.replace("../dns-failures.yaml", &rule)).unwrap();
    let output = hindsight(&["rules", "test", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn the_documentation_lists_every_shipped_rule() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    for name in yaml_files(&folder()).keys() {
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
    }
}
