//! `hindsight rules test`: do the rules decide what their fixtures expect?

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::Error;
use crate::cli::output::{Format, print};
use crate::trial::{self, Report, TestReport};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The fixture files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The configuration that the rules are judged under. Default: of fixtures that name their rules,
    /// the built-in one, so that they mean the same everywhere; of others, the one that `check` takes.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The form of the answer.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
}

/// What came of all files.
#[derive(Debug, Serialize)]
struct Answer {
    passed: usize,
    failed: usize,
    files: Vec<Report>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let mut fixtures = Vec::with_capacity(arguments.files.len());
    let mut problems = Vec::new();
    for path in &arguments.files {
        match trial::load(path, arguments.config.as_deref()) {
            Ok(fixture) => fixtures.push(fixture),
            // Fixtures share rules: a mistake in these is told once.
            Err(more) => {
                for problem in more {
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
        }
    }
    if !problems.is_empty() {
        return Err(Error::Configuration(problems));
    }
    let files: Vec<Report> = fixtures.iter().map(trial::Fixture::run).collect();
    let all = files.iter().map(|file| file.tests.len()).sum::<usize>();
    let failed = files.iter().map(Report::failed).sum();
    let answer = Answer { passed: all - failed, failed, files };
    print(arguments.output, &answer, text)?;
    match failed {
        0 => Ok(()),
        failed => Err(Error::Tests { failed, all }),
    }
}

fn text(answer: &Answer) -> String {
    let mut lines = Vec::new();
    for file in &answer.files {
        let path = file.file.display();
        let passed = file.tests.len() - file.failed();
        lines.push(format!("{path}: {passed} of {} passed", file.tests.len()));
        for test in file.tests.iter().filter(|test| !test.passed) {
            lines.push(String::new());
            lines.extend(failure(&path.to_string(), test));
        }
    }
    lines.join("\n")
}

fn failure(path: &str, test: &TestReport) -> Vec<String> {
    let mut lines = vec![format!("{path}:{}: {}", test.line, test.name)];
    for difference in &test.differences {
        let (line, column) = (difference.line, difference.column);
        lines.push(format!("  {path}:{line}:{column}: at {}", difference.at));
        lines.push(format!("    wanted: {}", difference.wanted));
        lines.push(format!("    got:    {}", difference.got));
    }
    lines
}
