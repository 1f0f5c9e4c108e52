//! `hindsight capture`: list, show and stop captures.

mod show;

use clap::{Args, Subcommand};

use super::Error;
use super::client::{Client, Reach};
use super::output::{Rows, print, second};
use crate::control::{CaptureView, Captures};
use crate::model::Capture;
use crate::units::Bytes;
use crate::worker::StopAnswer;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List captures, newest first.
    List(List),
    /// Show all of one capture: its window, packets, losses and files.
    Show(One),
    /// Stop one capture; what it holds by then is sealed and uploaded.
    Stop(One),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// How many captures to list, at most 1000.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N")]
    limit: u16,
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
        Command::List(List { limit, reach }) => {
            let limit = limit.to_string();
            let query = [("limit", limit.as_str())];
            let answer: Captures = Client::new(&reach)?.get(&["captures"], &query).await?;
            print(reach.output, &answer, |answer| table(&answer.captures))
        }
        Command::Show(One { capture, reach }) => {
            let answer: Capture = Client::new(&reach)?.get(&["captures", &capture], &[]).await?;
            print(reach.output, &answer, show::text)
        }
        Command::Stop(One { capture, reach }) => {
            let path = ["captures", capture.as_str(), "stop"];
            let answer: StopAnswer = Client::new(&reach)?.post(&path, &[], Vec::new()).await?;
            print(reach.output, &answer, stopped)
        }
    }
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
        rows.row([
            &capture.name,
            &capture.state.to_string(),
            &capture.stop_reason.map(|reason| reason.to_string()).unwrap_or_default(),
            &second(capture.created_at),
            &capture.totals.packets.to_string(),
            &Bytes(capture.totals.bytes).rounded(),
            &lost.to_string(),
            &capture.segments.len().to_string(),
            &capture.plan.rule,
        ]);
    }
    rows.finish()
}

fn stopped(answer: &StopAnswer) -> String {
    if answer.state.is_end() {
        format!("{} had ended before ({}).", answer.name, answer.state)
    } else {
        format!("{} is being stopped ({}).", answer.name, answer.state)
    }
}
