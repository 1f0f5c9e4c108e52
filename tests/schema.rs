//! The JSON Schemas of the files: those that are shipped are those of this program, they take every
//! file that it takes, and an editor that has them marks what it refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jsonschema::Validator;
use serde_json::Value;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn validator(of: &str) -> Validator {
    let text = fs::read(shipped(&format!("deploy/usr/share/hindsight/{of}.schema.json"))).unwrap();
    jsonschema::validator_for(&serde_json::from_slice(&text).unwrap()).unwrap()
}

/// What an editor sees in a YAML file.
fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn complaints(validator: &Validator, text: &str) -> Vec<String> {
    let instance = yaml(text);
    validator.iter_errors(&instance).map(|error| error.to_string()).collect()
}

#[test]
fn the_shipped_schemas_are_those_of_this_program() {
    for of in ["rules", "config"] {
        let printed = Command::new(env!("CARGO_BIN_EXE_hindsight")).args(["schema", of]).output();
        let printed = String::from_utf8(printed.unwrap().stdout).unwrap();
        let path = shipped(&format!("deploy/usr/share/hindsight/{of}.schema.json"));
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == printed, "run: hindsight schema {of} > {}", path.display());
    }
}

#[test]
fn every_file_that_is_shipped_is_one_of_its_schema() {
    let configs = ["src/config/default.yaml", "deploy/etc/hindsight/config.yaml"];
    let mut rules: Vec<PathBuf> = fs::read_dir(shipped("rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    rules.push(shipped("deploy/etc/hindsight/rules/example.yaml"));
    let of_rules = rules.into_iter().map(|path| ("rules", path));
    for (of, path) in configs.map(|path| ("config", shipped(path))).into_iter().chain(of_rules) {
        let found = complaints(&validator(of), &fs::read_to_string(&path).unwrap());
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}

#[test]
fn texts_that_look_like_numbers_are_texts() {
    let config = "version: 1\nhost: { name: 17 }\nsources: { a: { mqtt: { url: x, protocol: 5, \
                  topics: [{ filter: 1 }] } } }\nceilings: { bytes: 1500, free_disk: 5% }\n";
    assert_eq!(complaints(&validator("config"), config), [""; 0]);
}

#[test]
fn an_editor_marks_what_the_program_refuses() {
    let rules = validator("rules");
    let rule = |line: &str| format!("version: 1\nrules: [{{ name: a, match: [a = b], {line} }}]\n");
    for line in [
        "cooldwon: 15m",
        "cooldown: 15",
        "cooldown: 15 minutes",
        "on_resolved: never",
        "capture: { limits: { packets: -1 } }",
        "capture: { limits: { bytes: 200mb } }",
        "capture: { filters: [{ remote: 10.0.0.7 }] }",
    ] {
        assert!(!complaints(&rules, &rule(line)).is_empty(), "{line}");
    }
    for (line, taken) in
        [("cooldown: 15m", true), ("source: plant", true), ("source: [plant, hook]", true)]
    {
        assert_eq!(complaints(&rules, &rule(line)).is_empty(), taken, "{line}");
    }
    for text in ["version: 2\nrules: []\n", "rules: []\n", "version: 1\nrules: [{}]\n"] {
        assert!(!complaints(&rules, text).is_empty(), "{text}");
    }
    let config = validator("config");
    for text in [
        "version: 1\nsources: { a: { mqtt: { url: x, topics: [] }, webhook: { path: / } } }\n",
        "version: 1\nstorages: { a: { ftp: {} } }\n",
        "version: 1\nlog: { format: xml }\n",
    ] {
        assert!(!complaints(&config, text).is_empty(), "{text}");
    }
}
