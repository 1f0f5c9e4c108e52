//! `hindsight storage`: where captures go.

use clap::{Args, Subcommand};

use super::Error;
use super::client::{Client, Reach};
use super::output::{Rows, print, second};
use crate::control::Storages;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the storages, and how the work with each goes.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Ask each of them now whether it can be used.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) async fn run(command: Command) -> Result<(), Error> {
    let Command::List(List { check, reach }) = command;
    let query: &[(&str, &str)] = if check { &[("check", "true")] } else { &[] };
    let answer: Storages = Client::new(&reach)?.get(&["storages"], query).await?;
    print(reach.output, &answer, |answer| table(answer, check))?;
    let is_away = |error: Option<&String>| error.is_some();
    let away = answer
        .storages
        .iter()
        .filter(|storage| is_away(storage.check.as_ref().and_then(|check| check.error.as_ref())));
    match away.count() {
        0 => Ok(()),
        away => Err(Error::Storages(away)),
    }
}

fn table(answer: &Storages, checked: bool) -> String {
    if answer.storages.is_empty() {
        return "No storages.".to_owned();
    }
    let mut rows = if checked {
        Rows::with_header(&["NAME", "KIND", "STATE", "SINCE", "CHECK", "TOOK", "ERROR"])
    } else {
        Rows::with_header(&["NAME", "KIND", "STATE", "SINCE", "FAILURES", "ERROR"])
    };
    for storage in &answer.storages {
        let health = &storage.health;
        let since = second(health.since);
        match &storage.check {
            Some(check) => rows.row([
                &health.name,
                &health.kind,
                &health.state,
                &since,
                if check.error.is_none() { "ok" } else { "failed" },
                &format!("{} ms", check.millis),
                check.error.as_deref().unwrap_or_default(),
            ]),
            // It was not asked: the configuration no longer has it.
            None if checked => {
                let error = health.error.as_deref().unwrap_or_default();
                rows.row([&health.name, &health.kind, &health.state, &since, "", "", error]);
            }
            None => rows.row([
                &health.name,
                &health.kind,
                &health.state,
                &since,
                &health.failures.to_string(),
                health.error.as_deref().unwrap_or_default(),
            ]),
        }
    }
    rows.finish()
}
