//! `hindsight check`: would the worker run, with what, and does it reach its storages?

mod privilege;
mod summary;

use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;

use super::output::{Format, Rows, chain, print, section, warn};
use super::{ConfigFile, Error, ask};
use crate::config::Config;
use crate::upload::Storages;
use summary::Part;

/// How long one storage may take to answer.
const STORAGE_PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The form of the answer.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    rules: usize,
    parts: Vec<Part>,
    storages: Vec<Reached>,
    /// What the worker runs with, but not as it was meant.
    warnings: Vec<String>,
}

/// Whether a storage took and gave back what was asked of it.
#[derive(Debug, Serialize)]
struct Reached {
    name: String,
    ok: bool,
    error: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let config = Config::load(arguments.file.config.as_deref()).map_err(Error::Configuration)?;
    config.log.check()?;
    ask(async {
        let findings = Findings {
            rules: config.rules.len(),
            parts: summary::parts(&config),
            storages: reach(&config).await?,
            warnings: privilege::missing().into_iter().collect(),
        };
        print(arguments.output, &findings, table)?;
        if arguments.output == Format::Table {
            findings.warnings.iter().for_each(|warning| warn(warning));
        }
        match findings.storages.iter().filter(|storage| !storage.ok).count() {
            0 => Ok(()),
            unreachable => Err(Error::Storages(unreachable)),
        }
    })
}

async fn reach(config: &Config) -> Result<Vec<Reached>, Error> {
    let storages = Storages::build(&config.storages)?;
    let checks = config.storages.keys().map(|name| {
        let storages = &storages;
        async move {
            let error = match tokio::time::timeout(STORAGE_PATIENCE, storages.check(name)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(chain(&error).join(": ")),
                Err(_elapsed) => Some(format!("no answer within {} s", STORAGE_PATIENCE.as_secs())),
            };
            Reached { name: name.clone(), ok: error.is_none(), error }
        }
    });
    Ok(join_all(checks).await)
}

fn table(findings: &Findings) -> String {
    let mut parts = Rows::with_header(&["PART", "NAME", "KIND", "WHAT"]);
    for part in &findings.parts {
        parts.row([part.part, &part.name, part.kind, &part.what]);
    }
    let mut storages = Rows::with_header(&["NAME", "OK", "ERROR"]);
    for storage in &findings.storages {
        let ok = if storage.ok { "yes" } else { "no" };
        storages.row([&storage.name, ok, storage.error.as_deref().unwrap_or_default()]);
    }
    let rules = match findings.rules {
        0 => "no rules: events are recorded, and none makes a capture".to_owned(),
        1 => "1 rule".to_owned(),
        count => format!("{count} rules"),
    };
    [
        section("Configuration", &parts.finish()),
        section("Rules", &rules),
        section("Storages reached", &storages.finish()),
    ]
    .join("\n\n")
}
