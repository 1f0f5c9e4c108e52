//! All of one capture, in groups.

use std::time::Duration;

use crate::cli::output::{Rows, maybe_second, second, section};
use crate::clock::WallTime;
use crate::control::CaptureView;
use crate::model::{Capture, Compression, FileForm, FileFormat, Segment, SegmentState};
use crate::units::{Bytes, Span};

pub(super) fn text(view: &CaptureView) -> String {
    let capture = &view.capture;
    let left_out = &capture.plan.left_out;
    let without =
        if left_out.is_empty() { None } else { Some(section("Without", &left_out.join("\n"))) };
    let parts = [
        section(&capture.name, &what(view)),
        section("Window", &window(capture)),
        section("Limits", &limits(capture)),
        section("Filters", &filters(capture)),
    ];
    let parts = parts.into_iter().chain(without).chain([
        section("Packets", &packets(capture)),
        section("Interfaces", &interfaces(capture)),
        section("Files", &files(view)),
    ]);
    parts.collect::<Vec<_>>().join("\n\n")
}

fn what(view: &CaptureView) -> String {
    let capture = &view.capture;
    let plan = &capture.plan;
    let mut rows = Rows::plain();
    rows.row(["id", capture.id.as_str()]);
    rows.row(["etag", &view.etag]);
    rows.row(["provisioning", view.provisioning_state.word()]);
    rows.row(["status", view.status.word()]);
    rows.row(["state", &capture.state.to_string()]);
    rows.row(["started at", &second(plan.trigger_at)]);
    rows.row([
        "stopped by",
        &capture.stop_reason.map(|reason| reason.to_string()).unwrap_or_default(),
    ]);
    if view.errors.is_empty() {
        rows.row(["errors", "none"]);
    }
    for error in &view.errors {
        rows.row(["error", &format!("{}: {}", error.code.word(), error.message)]);
    }
    rows.row(["target", &plan.interfaces.join(", ")]);
    if plan.is_by_hand() {
        rows.row(["begun", "by hand"]);
    } else {
        rows.row(["rule", &plan.rule]);
        rows.row(["event", &format!("{} ({})", plan.event_name, plan.event)]);
        rows.row(["event at", &plan.trigger_at.to_string()]);
        rows.row(["later events", &format!("{} of the same incident", capture.coalesced)]);
        rows.row(["incident", plan.incident.as_str()]);
    }
    rows.row(["host", &plan.host]);
    let storage = if plan.storage.is_empty() { "none" } else { &plan.storage };
    rows.row(["storage", storage]);
    if let Some(object) = &plan.placing.object {
        rows.row(["storage path", object]);
    }
    if let Some(path) = &plan.placing.local_file {
        rows.row(["local file", &path.display().to_string()]);
    }
    rows.row(["notify", &plan.notify.join(", ")]);
    form(&mut rows, plan.file);
    rows.finish()
}

/// What was asked for; what it came to on each interface stands with the interfaces.
fn filters(capture: &Capture) -> String {
    let filter = &capture.plan.filter;
    // Which end is local is known per interface only.
    let words = filter.expression_for(&[]);
    if words.is_empty() { "every packet".to_owned() } else { words }
}

fn window(capture: &Capture) -> String {
    let plan = &capture.plan;
    let mut rows = Rows::with_header(&["", "FROM", "UNTIL", "REACH"]);
    rows.row([
        "asked",
        &second(plan.from()),
        &second(plan.until()),
        &format!(
            "{} before the {}, {} after",
            span(plan.look_back),
            trigger(capture),
            span(plan.limits.duration)
        ),
    ]);
    rows.row([
        "held",
        &maybe_second(capture.held_from),
        &maybe_second(capture.stopped_at),
        &capture.held_from.map(|from| reach(from, capture)).unwrap_or_default(),
    ]);
    rows.finish()
}

/// What the look-back counts from.
const fn trigger(capture: &Capture) -> &'static str {
    if capture.plan.is_by_hand() { "start" } else { "event" }
}

/// How far the recorder reached back when the capture began.
fn reach(held_from: WallTime, capture: &Capture) -> String {
    let before = capture.plan.trigger_at.since(held_from);
    let trigger = trigger(capture);
    if before.is_zero() {
        format!("nothing from before the {trigger}")
    } else {
        format!("{} before the {trigger}", span(before))
    }
}

fn limits(capture: &Capture) -> String {
    let limits = &capture.plan.limits;
    let mut rows = Rows::plain();
    rows.row(["duration", &span(limits.duration)]);
    rows.row(["bytes", &Bytes(limits.bytes).rounded()]);
    let packets = limits.packets.map_or_else(|| "no limit".to_owned(), |count| count.to_string());
    rows.row(["packets", &packets]);
    let bytes_per_packet = match limits.bytes_per_packet {
        0 => "whole packets".to_owned(),
        bytes => bytes.to_string(),
    };
    rows.row(["bytes per packet", &bytes_per_packet]);
    if let Some(segments) = limits.segments {
        rows.row(["bytes per file", &Bytes(segments.bytes).rounded()]);
        if let Some(keep) = segments.keep {
            rows.row(["files kept", &format!("the newest {keep}")]);
        }
    }
    rows.finish()
}

/// How the files are written, where that is not the usual way.
fn form(rows: &mut Rows, file: FileForm) {
    match file.format {
        FileFormat::Pcapng => {}
        FileFormat::Pcap => {
            rows.row(["format", "pcap; the event and what was lost are not in the files"]);
        }
    }
    match file.compression {
        Compression::None => {}
        Compression::Zstd => rows.row(["compression", "zstd"]),
    }
}

fn packets(capture: &Capture) -> String {
    let totals = &capture.totals;
    let matched = match totals.packets {
        0 => "0 packets matched".to_owned(),
        1 => "1 packet matched".to_owned(),
        count => format!("{count} packets matched"),
    };
    let mut rows = Rows::plain();
    rows.row(["written", &format!("{matched}, {} of files", Bytes(totals.bytes).rounded())]);
    rows.row([
        "lost",
        &format!(
            "{} dropped by the kernel, {} overrun; counted before the filter",
            totals.dropped_by_kernel, totals.overrun
        ),
    ]);
    let truncated: u64 = capture.interfaces.iter().map(|interface| interface.truncated).sum();
    if truncated > 0 {
        rows.row(["truncated", &format!("{truncated} were longer than what was kept of them")]);
    }
    rows.finish()
}

fn interfaces(capture: &Capture) -> String {
    if capture.interfaces.is_empty() {
        return format!(
            "{} (figures come when the capture ends)",
            capture.plan.interfaces.join(", ")
        );
    }
    let mut rows =
        Rows::with_header(&["NAME", "RECEIVED", "MATCHED", "DROPPED", "OVERRUN", "FILTER"]);
    for interface in &capture.interfaces {
        let filter = match interface.filter.as_str() {
            "" => "(every packet)",
            filter => filter,
        };
        rows.row([
            &interface.interface,
            &interface.received.to_string(),
            &interface.written.to_string(),
            &interface.dropped_by_kernel.to_string(),
            &interface.overrun.to_string(),
            filter,
        ]);
    }
    rows.finish()
}

fn files(view: &CaptureView) -> String {
    let segments = &view.capture.segments;
    if segments.is_empty() {
        return "none yet".to_owned();
    }
    let links = view.links.files.iter().map(String::as_str);
    let files: Vec<_> = segments.iter().zip(links).map(|(one, link)| file(one, link)).collect();
    files.join("\n\n")
}

fn file(segment: &Segment, link: &str) -> String {
    let file = &segment.file;
    let location = match &segment.receipt {
        Some(receipt) => receipt.location.clone(),
        None => format!("{} (in the spool)", file.path.display()),
    };
    let cut = if file.partial { ", cut short" } else { "" };
    let mut rows = Rows::plain();
    rows.row(["file", &location]);
    rows.row(["sha256", &file.sha256]);
    rows.row([
        "holds",
        &format!("{} packets, {}{cut}", file.packets, Bytes(file.size_bytes).rounded()),
    ]);
    rows.row(["first packet", &maybe_nanosecond(file.first_packet)]);
    rows.row(["last packet", &maybe_nanosecond(file.last_packet)]);
    rows.row(["state", state(segment.state)]);
    rows.row(["link", link]);
    rows.finish()
}

const fn state(state: SegmentState) -> &'static str {
    match state {
        SegmentState::Sealed => "sealed; waits for its upload",
        SegmentState::Stored => "stored and verified",
        SegmentState::Retired => "stored and verified; the local copy is removed",
        SegmentState::Stranded => "refused by the storage; the local copy stays",
    }
}

fn maybe_nanosecond(time: Option<WallTime>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

fn span(duration: Duration) -> String {
    Span(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))).to_string()
}
