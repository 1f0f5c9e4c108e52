//! What the loop counts as it goes; see [`metrics`] for what there is.

use crate::clock::Now;
use crate::model::{Capture, Change, Report, State, Totals};
use crate::session::Machine;
use crate::source::Content;
use crate::telemetry::metrics;

/// What counters call the source of events by hand, whatever whoever sends them calls it.
pub(super) const BY_HAND: &str = "control";

/// The states in which a capture is open.
const OPEN: [State; 4] = [State::Pending, State::Capturing, State::Sealed, State::Uploading];

/// A message came. `source` is what its source is called, where the message itself says it freely.
pub(super) fn delivery(content: &Content, source: Option<&'static str>) {
    match content {
        Content::Events(events) => {
            for event in events {
                metrics::EVENTS_RECEIVED.add(&[source.unwrap_or(&event.source)], 1);
            }
        }
        Content::Rejected(rejected) => {
            metrics::EVENTS_REJECTED.add(&[source.unwrap_or(&rejected.source)], 1);
        }
        Content::Session { .. } => {}
    }
}

pub(super) fn decisions(changes: &[Change]) {
    for change in changes {
        if let Change::CameDue { decision, .. } = change {
            metrics::DUE_DECISIONS.add(&[decision.word()], 1);
        } else if let Some(outcome) = change.outcome() {
            metrics::DECISIONS.add(&[outcome.decision.word()], 1);
        }
    }
}

/// News of the engine, before the machine has it.
pub(super) fn report(report: &Report, machine: &Machine, now: Now) {
    match report {
        Report::Started { capture, .. } => {
            if let Some(capture) = machine.open_captures().find(|open| open.id == *capture) {
                metrics::START_SECONDS.took(&[], now.wall.since(capture.plan.trigger_at));
            }
        }
        Report::Progress { .. } | Report::Sealed { .. } => {}
        Report::Ended { reason, totals, .. } => {
            let Totals { packets, bytes, dropped_by_kernel, overrun } = *totals;
            metrics::CAPTURES_STOPPED.add(&[&reason.to_string()], 1);
            metrics::PACKETS.add(&[], packets);
            metrics::CAPTURE_BYTES.add(&[], bytes);
            metrics::PACKETS_LOST.add(&["kernel"], dropped_by_kernel);
            metrics::PACKETS_LOST.add(&["overrun"], overrun);
        }
    }
}

pub(super) fn ended(capture: &Capture) {
    metrics::CAPTURES_ENDED.add(&[capture.state.word()], 1);
}

/// How many captures are in which state, and what waits.
pub(super) fn open(machine: &Machine) {
    for state in OPEN {
        let count = machine.open_captures().filter(|capture| capture.state == state).count();
        metrics::CAPTURES.set_count(&[state.word()], as_u64(count));
    }
    metrics::SEGMENTS_WAITING.set_count(&[], as_u64(machine.segments_waiting()));
    metrics::NOTICES_WAITING.set_count(&[], as_u64(machine.notices_waiting()));
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
