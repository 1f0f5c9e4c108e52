//! `hindsight status`: how everything is doing.

use super::Error;
use super::client::{Client, Reach};
use super::output::{Rows, print, second, section};
use super::recorder;
use crate::model::{Health, Tally};
use crate::worker::Status;

pub(super) async fn run(reach: &Reach) -> Result<(), Error> {
    let status: Status = Client::new(reach)?.get(&["status"], &[]).await?;
    print(reach.output, &status, table)
}

fn table(status: &Status) -> String {
    let mut parts = vec![
        section("Worker", &worker(status)),
        section("Recorders", &recorder::table(&status.recorders)),
        section("Sources", &health(&status.sources)),
        section("Storages", &health(&status.storages)),
    ];
    if !status.notifiers.is_empty() {
        parts.push(section("Notifiers", &health(&status.notifiers)));
    }
    parts.push(section("Decisions", &decisions(&status.decisions)));
    parts.join("\n\n")
}

fn worker(status: &Status) -> String {
    let open: Vec<_> =
        status.captures_open.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
    let mut rows = Rows::plain();
    rows.row(["host", &status.host]);
    rows.row(["version", &status.version]);
    rows.row(["running since", &second(status.started_at)]);
    rows.row(["rules", &status.rules.to_string()]);
    rows.row(["open captures", &open]);
    rows.row(["files to upload", &status.segments_waiting.to_string()]);
    if status.removals_waiting > 0 {
        rows.row(["stored, to remove", &status.removals_waiting.to_string()]);
    }
    rows.row(["notices to send", &status.notices_waiting.to_string()]);
    if status.unexplained_files > 0 {
        let count = status.unexplained_files;
        rows.row([
            "unknown files",
            &format!("{count} in the spool; the log of the start names them"),
        ]);
    }
    rows.finish()
}

fn health(parties: &[Health]) -> String {
    if parties.is_empty() {
        return "none".to_owned();
    }
    let mut rows =
        Rows::with_header(&["NAME", "KIND", "OK", "STATE", "SINCE", "FAILURES", "ERROR"]);
    for party in parties {
        rows.row([
            &party.name,
            &party.kind,
            if party.ok { "yes" } else { "no" },
            &party.state,
            &second(party.since),
            &party.failures.to_string(),
            party.error.as_deref().unwrap_or_default(),
        ]);
    }
    rows.finish()
}

fn decisions(tallies: &[Tally]) -> String {
    if tallies.is_empty() {
        return "no event yet".to_owned();
    }
    let mut rows = Rows::with_header(&["RULE", "DECISION", "COUNT"]);
    for tally in tallies {
        rows.row([&tally.rule, &tally.decision, &tally.count.to_string()]);
    }
    rows.finish()
}
