//! `hindsight capture`: begin, list, show, follow, stop, fetch and delete captures.

mod create;
mod download;
mod follow;
mod show;

use clap::{Args, Subcommand};

pub use download::Error as DownloadError;

use super::Error;
use super::client::{Client, Reach};
use super::output::{Format, Rows, print, say, second};
use crate::control::{CaptureView, Captures};
use crate::units::Bytes;
use crate::worker::{DeleteAnswer, RedriveAnswer, StopAnswer};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begin a capture by hand.
    Create(Box<create::Arguments>),
    /// List captures, newest first.
    List(List),
    /// Show all of one capture: its window, packets, losses and files.
    Show(One),
    /// Follow one capture until its files are stored.
    Watch(One),
    /// Stop one capture; what it holds by then is sealed and uploaded.
    Stop(One),
    /// Fetch the files of one capture, and verify them.
    Download(download::Arguments),
    /// Try again the uploads and notices of one capture that were given up.
    Upload(One),
    /// Take one capture off the list, after stopping it if it runs; what is stored stays.
    Delete(One),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// How many captures to list, at most 1000.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N")]
    limit: u16,
    /// Only captures in one of these states, with ',' between them: pending, capturing, sealed,
    /// uploading, done, partial, failed.
    #[arg(long, value_name = "STATES")]
    state: Option<String>,
    /// Only captures of this rule; '' lists those by hand.
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The capture's name or id, as `capture list` shows it.
    #[arg(value_name = "NAME|ID", value_parser = key)]
    capture: String,
    #[command(flatten)]
    reach: Reach,
}

/// Names and ids begin with a letter or a digit, so none is a dot segment of a path.
fn key(text: &str) -> Result<String, String> {
    if text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err("names and ids begin with a letter or a digit".to_owned())
    }
}

pub(super) async fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Create(arguments) => create::run(*arguments).await,
        Command::List(arguments) => list(&arguments).await,
        Command::Show(One { capture, reach }) => {
            let answer: CaptureView =
                Client::new(&reach)?.get(&["captures", &capture], &[]).await?;
            print(reach.output, &answer, show::text)
        }
        Command::Watch(One { capture, reach }) => {
            follow::until_end(&Client::new(&reach)?, &capture, reach.output).await
        }
        Command::Stop(One { capture, reach }) => {
            let path = ["captures", capture.as_str(), "stop"];
            let answer: StopAnswer = Client::new(&reach)?.post(&path, &[], Vec::new()).await?;
            quietly(reach.output, &answer)
        }
        Command::Download(arguments) => download::run(arguments).await,
        Command::Upload(One { capture, reach }) => {
            let path = ["captures", capture.as_str(), "upload"];
            let answer: RedriveAnswer = Client::new(&reach)?.post(&path, &[], Vec::new()).await?;
            print(reach.output, &answer, tried_again)
        }
        Command::Delete(One { capture, reach }) => {
            let path = ["captures", capture.as_str()];
            match Client::new(&reach)?.delete::<DeleteAnswer>(&path).await? {
                Some(answer) => quietly(reach.output, &answer),
                None => {
                    say(&format!("there was no capture with the name or id '{capture}'"));
                    Ok(())
                }
            }
        }
    }
}

/// Says nothing to people where all went as it was asked.
fn quietly<T: serde::Serialize>(format: Format, answer: &T) -> Result<(), Error> {
    match format {
        Format::Table => Ok(()),
        Format::Json => print(format, answer, |_| String::new()),
    }
}

async fn list(List { limit, state, rule, reach }: &List) -> Result<(), Error> {
    let limit = limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(state.as_deref().map(|state| ("state", state)));
    query.extend(rule.as_deref().map(|rule| ("rule", rule)));
    let answer: Captures = Client::new(reach)?.get(&["captures"], &query).await?;
    print(reach.output, &answer, |answer| table(&answer.captures))
}

fn table(captures: &[CaptureView]) -> String {
    if captures.is_empty() {
        return "No captures.".to_owned();
    }
    let mut rows = Rows::with_header(&[
        "NAME",
        "STATE",
        "STOPPED BY",
        "BEGAN",
        "PACKETS",
        "SIZE",
        "LOST",
        "FILES",
        "RULE",
    ]);
    for CaptureView { capture, .. } in captures {
        let lost = capture.totals.dropped_by_kernel.saturating_add(capture.totals.overrun);
        let rule = if capture.plan.is_by_hand() { "(by hand)" } else { &capture.plan.rule };
        rows.row([
            &capture.name,
            &capture.state.to_string(),
            &capture.stop_reason.map(|reason| reason.to_string()).unwrap_or_default(),
            &second(capture.created_at),
            &capture.totals.packets.to_string(),
            &Bytes(capture.totals.bytes).rounded(),
            &lost.to_string(),
            &capture.segments.len().to_string(),
            rule,
        ]);
    }
    rows.finish()
}

fn tried_again(answer: &RedriveAnswer) -> String {
    let RedriveAnswer { name, segments, notices, .. } = answer;
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    match (*segments, *notices) {
        (0, 0) => format!("Nothing of {name} was given up."),
        (files, notices) => format!(
            "{} and {} of {name} are tried again.",
            counted(files, "file"),
            counted(notices, "notice")
        ),
    }
}
