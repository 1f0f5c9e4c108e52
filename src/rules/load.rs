//! The rule files: found, read and compiled together, all or nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::rules::compile::Compiler;
use crate::rules::index::Index;
use crate::rules::{Known, RuleSet, Settings, raw};
use crate::yaml::{self, File, Problem};

/// The most rule files: a directory of more is not one of rules.
const MAX_FILES: usize = 1_000;

/// The most problems of one file after which no further rule of it is compiled: who has more mends
/// these first.
const MAX_PROBLEMS: usize = 50;

/// Reads and compiles all rules. Blocks: reads files, and has filters compiled.
///
/// # Errors
/// All problems that could be found, over all files.
pub fn load(settings: &Settings, known: &Known) -> Result<RuleSet, Vec<Problem>> {
    let mut compiler = Compiler::new(settings, known);
    let mut rules = Vec::new();
    for path in find(&settings.paths, &mut compiler.problems) {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(problem) => {
                compiler.problems.push(problem);
                continue;
            }
        };
        read(&file, &mut compiler, &mut rules);
    }
    if !compiler.problems.is_empty() {
        return Err(compiler.problems);
    }
    Ok(RuleSet {
        index: Index::new(&rules),
        // Reading them has scattered what belongs to one rule all over the memory; a copy is in one
        // place, and an event that meets a rule fetches less.
        rules: rules.clone(),
        interfaces: known.interfaces.clone(),
        host: known.host.clone(),
    })
}

/// The JSON Schema of a rule file.
pub fn schema() -> serde_json::Value {
    yaml::schema_of::<raw::RuleFile>("Hindsight rules")
}

fn read(file: &File, compiler: &mut Compiler<'_>, rules: &mut Vec<crate::rules::Rule>) {
    let before = compiler.problems.len();
    let (value, problems) = file.read::<raw::RuleFile>();
    compiler.problems.extend(problems);
    for rule in value.iter().flat_map(|value| &value.rules) {
        if compiler.problems.len() - before >= MAX_PROBLEMS {
            break;
        }
        rules.push(compiler.rule(file, rule));
    }
    // Reading and compiling found them; people read a file from its top.
    compiler.problems[before..].sort_by_key(|problem| problem.place);
}

/// The rule files under the paths, in the order of the paths, directories in the order of names.
fn find(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        match files_of(path) {
            Ok(found) => {
                // A file that is named twice would clash with itself.
                files.extend(
                    found.into_iter().filter(|file| !files.contains(file)).collect::<Vec<_>>(),
                );
            }
            Err(error) => problems.push(
                Problem::of_file(path, format!("rules cannot be read: {error}"))
                    .with_hint("create the directory, or change `rules` in the configuration"),
            ),
        }
    }
    if files.len() > MAX_FILES {
        let message = format!("is one of {} rule files; at most {MAX_FILES} are read", files.len());
        problems.push(Problem::of_file(&files[MAX_FILES], message));
        files.truncate(MAX_FILES);
    }
    files
}

/// The rule files that a path leads to: itself, or those of a folder in the order of their names.
///
/// # Errors
/// The path is not there, or cannot be read.
pub fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if is_rule_file(&file) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Hidden files are what editors and mounted Kubernetes volumes leave beside the real ones.
fn is_rule_file(file: &Path) -> bool {
    let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    yaml && !hidden && file.is_file()
}
