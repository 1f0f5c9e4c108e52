//! `hindsight event`: events by hand.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::Error;
use super::client::{Client, Reach};
use super::output::{Rows, print};
use crate::control::Outcomes;
use crate::model::Decision;
use crate::source::format::MAX_BODY_BYTES;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send the events in a file, and show what the rules made of them.
    Send(Send),
}

#[derive(Debug, Args)]
pub(super) struct Send {
    /// The file that holds the payload; `-` reads standard input.
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// How the payload is written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// The source that rules see. Default: control.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Look at it, and see.
    #[default]
    Auto,
    /// Alertmanager's webhook payload, version 4; Grafana's too.
    Alertmanager,
    /// An alert of Azure Monitor.
    Azure,
    /// CloudEvents in JSON.
    #[value(name = "cloudevents")]
    CloudEvents,
    /// Metrics of Telegraf in JSON.
    Telegraf,
    /// Events of Suricata (EVE).
    Suricata,
    /// A JSON object with the event's own field names.
    Json,
}

impl Format {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Alertmanager => "alertmanager",
            Self::Azure => "azure",
            Self::CloudEvents => "cloudevents",
            Self::Telegraf => "telegraf",
            Self::Suricata => "suricata",
            Self::Json => "json",
        }
    }
}

pub(super) async fn run(command: Command) -> Result<(), Error> {
    let Command::Send(Send { file, format, source, reach }) = command;
    let payload = read(&file)?;
    let mut query = vec![("format", format.word())];
    query.extend(source.as_deref().map(|name| ("source", name)));
    let answer: Outcomes = Client::new(&reach)?.post(&["events"], &query, payload).await?;
    print(reach.output, &answer, table)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = if path == Path::new("-") {
        at_most(io::stdin().lock())
    } else {
        File::open(path).and_then(at_most)
    };
    let bytes = bytes.map_err(|source| Error::Input { path: path.to_owned(), source })?;
    if bytes.len() > MAX_BODY_BYTES {
        return Err(Error::InputTooLarge { path: path.to_owned(), limit: MAX_BODY_BYTES });
    }
    Ok(bytes)
}

/// Reads to the end, or to one byte more than is allowed.
fn at_most(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    from.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn table(answer: &Outcomes) -> String {
    if answer.outcomes.is_empty() {
        return "The payload holds no event.".to_owned();
    }
    let mut rows = Rows::with_header(&["EVENT", "NAME", "RULE", "DECISION", "CAPTURE OR REASON"]);
    for outcome in &answer.outcomes {
        rows.row([
            outcome.event.as_str(),
            &outcome.name,
            outcome.rule.as_deref().unwrap_or_default(),
            outcome.decision.word(),
            &consequence(&outcome.decision),
        ]);
    }
    rows.finish()
}

fn consequence(decision: &Decision) -> String {
    match decision {
        Decision::Capture(capture) => capture.to_string(),
        Decision::Coalesced(_)
        | Decision::Extended(_)
        | Decision::Queued(_)
        | Decision::Held(_)
        | Decision::DryRun
        | Decision::Suppressed(_)
        | Decision::Refused(_)
        | Decision::Expired { .. }
        | Decision::UpstreamLoss
        | Decision::NoMatch
        | Decision::Rejected(_) => decision.reason(),
    }
}
