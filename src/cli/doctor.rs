//! `hindsight doctor`: what keeps the worker from its work, and how to mend it.
//!
//! Where a worker runs, it is asked: it sees what its own user may and reaches. Where none does, the
//! configuration is read, and each part of it is tried from here.

mod host;
mod parts;
mod running;

use clap::Args;
use serde::Serialize;

use super::client::{self, Client, Reach};
use super::output::{chain, print};
use super::{ConfigFile, Error};
use crate::config::Config;
use crate::worker::Status;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    reach: Reach,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// The worker does its work, but not as it was perhaps meant.
    Warning,
    /// The worker cannot do some of its work.
    Failed,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// `privilege`, `interface`, `broker`, `storage`, `clock`, `disk` and the like.
    check: &'static str,
    /// Which one of several; empty where there is one.
    subject: String,
    verdict: Verdict,
    what: String,
    /// How to mend it; empty where nothing has to be.
    fix: String,
}

impl Finding {
    fn ok(check: &'static str, subject: &str, what: impl Into<String>) -> Self {
        Self {
            check,
            subject: subject.to_owned(),
            verdict: Verdict::Ok,
            what: what.into(),
            fix: String::new(),
        }
    }

    fn warning(
        check: &'static str,
        subject: &str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Warning, fix: fix.into(), ..Self::ok(check, subject, what) }
    }

    fn failed(
        check: &'static str,
        subject: &str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Failed, fix: fix.into(), ..Self::ok(check, subject, what) }
    }
}

/// All that was looked at.
#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<Finding>,
}

pub(super) async fn run(arguments: &Arguments) -> Result<(), Error> {
    let reach = &arguments.reach;
    let (worker, status) = running::ask(reach).await;
    let mut findings = Vec::new();
    if reach.is_local() {
        let config = Config::load(arguments.file.config.as_deref());
        findings.push(configuration(&config));
        findings.push(worker);
        match (&config, &status) {
            (Ok(config), None) => findings.extend(parts::tried(config).await),
            (Ok(_) | Err(_), Some(_)) => {}
            (Err(_), None) => findings.push(parts::privilege()),
        }
        findings.push(host::clock());
        if let (Ok(config), None) = (&config, &status) {
            findings.extend(host::disk(&config.state_directory));
        }
    } else {
        findings.push(worker);
    }
    if let Some(status) = &status {
        findings.extend(running::findings(status));
        findings.extend(running::storages(reach).await);
    }
    let findings = Findings { findings };
    print(reach.output, &findings, text)?;
    let is_failed = |finding: &&Finding| finding.verdict == Verdict::Failed;
    match findings.findings.iter().filter(is_failed).count() {
        0 => Ok(()),
        failed => Err(Error::Findings(failed)),
    }
}

fn configuration(config: &Result<Config, Vec<crate::yaml::Problem>>) -> Finding {
    match config {
        Ok(config) => {
            let file = match &config.file {
                Some(file) => file.display().to_string(),
                None => "built in".to_owned(),
            };
            let rules = config.rules.len();
            if rules == 0 {
                let what = format!("{file}: no rules, so no event makes a capture");
                return Finding::warning(
                    "configuration",
                    "",
                    what,
                    "write a rule; see rules in the configuration",
                );
            }
            Finding::ok("configuration", "", format!("{file}, {rules} rules"))
        }
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            let what = format!(
                "{} problems; the first: {}",
                problems.len(),
                first.lines().next().unwrap_or_default()
            );
            Finding::failed("configuration", "", what, "'hindsight check' names each with its line")
        }
    }
}

/// A line for each finding, with how to mend it below.
fn text(findings: &Findings) -> String {
    let name = |finding: &Finding| format!("{} {}", finding.check, finding.subject);
    let width = findings.findings.iter().map(|finding| name(finding).chars().count()).max();
    let width = width.unwrap_or_default();
    let mut lines = Vec::new();
    for finding in &findings.findings {
        // What came from outside may hold line breaks; a finding is one line.
        let what = finding.what.replace(['\n', '\r'], " ");
        lines.push(format!("{:<8} {:<width$}  {what}", finding.verdict.word(), name(finding)));
        if !finding.fix.is_empty() {
            lines.push(format!("{:<8} {:<width$}  fix: {}", "", "", finding.fix));
        }
    }
    lines.join("\n")
}

/// An error with all its causes, on one line.
fn told(error: &dyn std::error::Error) -> String {
    chain(error).join(": ")
}

/// The exit code of a client's error, in words: whether it is that no worker runs.
const fn is_absent(error: &client::Error) -> bool {
    matches!(error, client::Error::NoSocket { .. } | client::Error::Refused { .. })
}

/// What the worker says of itself.
async fn status(reach: &Reach) -> Result<Status, client::Error> {
    Client::new(reach)?.get(&["status"], &[]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_and_the_fix_stands_below() {
        let findings = vec![
            Finding::ok("clock", "", "in step"),
            Finding::failed("broker", "plant", "connection refused\nforged", "start it"),
        ];
        let shown = text(&Findings { findings });
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines,
            [
                "ok       clock         in step",
                "FAILED   broker plant  connection refused forged",
                "                       fix: start it"
            ]
        );
    }
}
