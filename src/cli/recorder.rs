//! `hindsight recorder`: what is held in memory.

use clap::Subcommand;

use super::Error;
use super::client::{Client, Reach};
use super::output::{Rows, print};
use crate::control::Recorders;
use crate::model::RecorderStatus;
use crate::units::Bytes;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the recorders, with the time that each holds.
    List(Reach),
}

pub(super) async fn run(command: Command) -> Result<(), Error> {
    let Command::List(reach) = command;
    let answer: Recorders = Client::new(&reach)?.get(&["recorders"], &[]).await?;
    print(reach.output, &answer, |answer| table(&answer.recorders))
}

pub(super) fn table(recorders: &[RecorderStatus]) -> String {
    if recorders.is_empty() {
        return "No interface is recorded: captures begin at the event, without look-back."
            .to_owned();
    }
    let mut rows = Rows::with_header(&[
        "INTERFACE",
        "STATE",
        "HELD",
        "PACKETS",
        "SIZE",
        "MEMORY",
        "RECEIVED",
        "DROPPED",
        "READERS",
    ]);
    for recorder in recorders {
        rows.row([
            &recorder.interface,
            &recorder.state,
            &seconds(recorder.window_ms),
            &recorder.held_packets.to_string(),
            &Bytes(recorder.held_bytes).rounded(),
            &Bytes(recorder.memory_bytes).rounded(),
            &recorder.received.to_string(),
            &recorder.dropped.to_string(),
            &recorder.readers.to_string(),
        ]);
    }
    rows.finish()
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}
