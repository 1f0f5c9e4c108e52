//! What is said of a capture at its end: pure functions from the capture to its last state and its
//! notices.

use crate::clock::WallTime;
use crate::model::{AboutCapture, Body, Capture, File, Kind, Segment, SegmentState, State, Window};

/// The end that a capture has reached, or nothing while work on it is left. An end needs every
/// segment stored and verified, or refused for good.
pub(super) fn end_of(capture: &Capture) -> Option<State> {
    let reason = capture.stop_reason?;
    let mut stranded = false;
    for segment in &capture.segments {
        match segment.state {
            SegmentState::Sealed => return None,
            SegmentState::Stranded => stranded = true,
            SegmentState::Stored | SegmentState::Retired => {}
        }
    }
    let cut = capture.segments.iter().any(|segment| segment.file.partial);
    Some(if capture.segments.is_empty() || stranded {
        State::Failed
    } else if !reason.is_whole() || cut || capture.error.is_some() {
        State::Partial
    } else {
        State::Done
    })
}

/// The kind of notice that an end calls for.
pub(super) const fn kind_of(end: State) -> Kind {
    match end {
        State::Done => Kind::Completed,
        State::Partial => Kind::Partial,
        State::Failed | State::Pending | State::Capturing | State::Sealed | State::Uploading => {
            Kind::Failed
        }
    }
}

/// All that a notice says of a capture.
pub(super) fn body_of(capture: &Capture) -> Body {
    let plan = &capture.plan;
    let held_until = capture.stopped_at.map(|stopped| stopped.min(plan.until()));
    Body::Capture(Box::new(AboutCapture {
        capture: capture.id.clone(),
        name: capture.given_name().to_owned(),
        rule: plan.rule.clone(),
        incident: plan.incident.to_string(),
        event: plan.event.to_string(),
        event_name: plan.event_name.clone(),
        host: plan.host.clone(),
        state: capture.state,
        stop_reason: capture.stop_reason,
        error: capture.error.clone(),
        trigger_at: plan.trigger_at,
        asked: Window { from: plan.from(), until: plan.until() },
        held: window(capture.held_from, held_until),
        totals: capture.totals,
        interfaces: capture.interfaces.clone(),
        left_out: plan.left_out.clone(),
        coalesced_events: capture.coalesced,
        storage: plan.storage.clone(),
        files: capture.segments.iter().map(file_of).collect(),
    }))
}

fn window(from: Option<WallTime>, until: Option<WallTime>) -> Option<Window> {
    Some(Window { from: from?, until: until? })
}

fn file_of(segment: &Segment) -> File {
    let spool = segment.file.path.display().to_string();
    File {
        object: segment.object.clone(),
        location: segment.receipt.as_ref().map_or(spool, |receipt| receipt.location.clone()),
        size_bytes: segment.file.size_bytes,
        sha256: segment.file.sha256.clone(),
        packets: segment.file.packets,
        partial: segment.file.partial,
        link: None,
    }
}
