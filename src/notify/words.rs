//! What a notice says, in words for people. Texts that events have chosen may be in them: whoever
//! shows them makes them [`plain`](super::plain::plain) first.

use crate::clock::WallTime;
use crate::model::{AboutCapture, Body, Kind, Notice, StopReason, Window};
use crate::units::{Bytes, Span};

/// A begin that is later than asked for by less than this is not worth a sentence, in milliseconds.
const NOTEWORTHY_MS: u128 = 1000;

/// One thing that a notice says, with its name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// One line that says it all.
pub(super) fn title(notice: &Notice) -> String {
    let what = match (&notice.body, notice.kind) {
        (Body::Capture(about), kind) => outcome(kind, about),
        (Body::Summary(_), Kind::UpstreamLoss) => "events may have been lost".to_owned(),
        (Body::Summary(summary), _) => {
            let events = summary.counts.iter().map(|counted| counted.events).sum();
            format!("{} made no capture", count(events, "event"))
        }
    };
    format!("{}: {}: {what}", notice.body.host(), notice.body.subject())
}

fn outcome(kind: Kind, about: &AboutCapture) -> String {
    let packets = match about.totals.packets {
        0 => "0 packets matched".to_owned(),
        packets => format!("{} captured", count(packets, "packet")),
    };
    match kind {
        Kind::Started => "capture started".to_owned(),
        Kind::Failed => format!("capture failed, {packets}"),
        Kind::Partial => format!("capture cut short, {packets}"),
        Kind::Completed | Kind::Suppressed | Kind::UpstreamLoss => packets,
    }
}

/// A few sentences: what came of it, and what should not be overlooked.
pub(super) fn message(notice: &Notice) -> String {
    match &notice.body {
        Body::Capture(about) if notice.kind == Kind::Started => beginning(about),
        Body::Capture(about) => ending(about),
        Body::Summary(summary) => summary.text.clone(),
    }
}

fn beginning(about: &AboutCapture) -> String {
    let mut sentences = vec![format!(
        "The capture runs until {} or until it meets another of its limits.",
        to_the_second(about.asked.until)
    )];
    sentences.extend(missing_past(about));
    sentences.join(" ")
}

fn ending(about: &AboutCapture) -> String {
    let received: u64 = about.interfaces.iter().map(|totals| totals.received).sum();
    let mut sentences = Vec::new();
    sentences.push(match (about.totals.packets, received) {
        (0, 0) => "0 packets matched: none passed in the window.".to_owned(),
        (0, received) => format!(
            "0 packets matched: {} passed, and the filter selected none.",
            count(received, "packet")
        ),
        (packets, _) => {
            format!(
                "{} captured, {}.",
                count(packets, "packet"),
                Bytes(about.totals.bytes).rounded()
            )
        }
    });
    let lost = about.totals.dropped_by_kernel.saturating_add(about.totals.overrun);
    if lost > 0 {
        sentences.push(format!(
            "{} lost before the filter: some of them may belong in the capture.",
            count(lost, "packet")
        ));
    }
    sentences.extend(missing_past(about));
    sentences.extend(about.stop_reason.map(|reason| ended(reason).to_owned()));
    sentences.extend(about.error.as_ref().map(|error| format!("Error: {error}.")));
    if about.coalesced_events > 0 {
        let events = count(about.coalesced_events, "more event");
        sentences.push(format!("{events} of the same incident came meanwhile."));
    }
    sentences.join(" ")
}

/// What the ring no longer held of the past that was asked for.
fn missing_past(about: &AboutCapture) -> Option<String> {
    let missing = about.held?.from.since(about.asked.from);
    let is_noteworthy = missing.as_millis() >= NOTEWORTHY_MS;
    is_noteworthy.then(|| format!("It begins {} later than asked for.", Span(missing)))
}

const fn ended(reason: StopReason) -> &'static str {
    match reason {
        StopReason::TimeExceeded => "It ended at its time limit.",
        StopReason::BytesExceeded => "It ended at its limit of bytes.",
        StopReason::PacketsExceeded => "It ended at its limit of packets.",
        StopReason::Manual => "It was stopped by hand.",
        StopReason::AlertResolved => "It ended because the alert was resolved.",
        StopReason::InterfaceLost => "It ended because the interface went away.",
        StopReason::NoSpace => "It ended because the disk had no room.",
        StopReason::EndOfFile => "It ended at the end of the file.",
        StopReason::AgentStopped => "It ended because the worker was stopped.",
        StopReason::Interrupted => {
            "The worker was interrupted; what had reached the disk is there."
        }
        StopReason::Error => "It ended with an error.",
    }
}

/// All that can be said in a name and a value, the most asked for first.
pub(super) fn facts(notice: &Notice) -> Vec<Fact> {
    let facts = match &notice.body {
        Body::Capture(about) => of_capture(about),
        Body::Summary(summary) => {
            let about = if notice.kind == Kind::UpstreamLoss { "Source" } else { "Rule" };
            let window = Window { from: summary.from, until: summary.until };
            let mut facts = vec![
                ("Host", Some(summary.host.clone())),
                (about, Some(summary.subject.clone())),
                ("Time", Some(span(window))),
            ];
            let counts = summary.counts.iter();
            let counts: Vec<_> =
                counts.map(|counted| format!("{}: {}", counted.reason, counted.events)).collect();
            facts.push(("Events", (!counts.is_empty()).then(|| counts.join(", "))));
            facts
        }
    };
    facts.into_iter().filter_map(|(name, value)| value.map(|value| Fact { name, value })).collect()
}

fn of_capture(about: &AboutCapture) -> Vec<(&'static str, Option<String>)> {
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let names: Vec<_> = about.interfaces.iter().map(|totals| totals.interface.as_str()).collect();
    let has_ended = about.stop_reason.is_some();
    let totals = &about.totals;
    let lost = format!(
        "{} by the kernel, {} overrun",
        count(totals.dropped_by_kernel, "packet"),
        count(totals.overrun, "packet")
    );
    vec![
        ("Host", Some(about.host.clone())),
        ("Rule", Some(given(&about.rule).unwrap_or_else(|| "none: a capture by hand".to_owned()))),
        ("Event", given(&about.event_name)),
        ("Incident", given(&about.incident)),
        ("Interfaces", given(&names.join(", "))),
        ("Filter", filter(about)),
        ("Left out", given(&about.left_out.join("; "))),
        ("Packets", has_ended.then(|| totals.packets.to_string())),
        ("Bytes", has_ended.then(|| Bytes(totals.bytes).rounded())),
        ("Lost", has_ended.then_some(lost)),
        ("Stop reason", about.stop_reason.map(|reason| reason.to_string())),
        ("Window asked for", Some(span(about.asked))),
        ("Window held", about.held.map(span)),
        ("Storage", given(&about.storage)),
        ("Error", about.error.clone()),
    ]
}

/// The filter as it was compiled; of each interface where they differ.
fn filter(about: &AboutCapture) -> Option<String> {
    let shown = |filter: &str| match filter {
        "" => "none: every packet".to_owned(),
        filter => filter.to_owned(),
    };
    let first = about.interfaces.first()?;
    if about.interfaces.iter().all(|totals| totals.filter == first.filter) {
        return Some(shown(&first.filter));
    }
    let each = about.interfaces.iter();
    let each = each.map(|totals| format!("{}: {}", totals.interface, shown(&totals.filter)));
    Some(each.collect::<Vec<_>>().join("; "))
}

fn span(window: Window) -> String {
    format!("{} to {}", to_the_second(window.from), to_the_second(window.until))
}

/// `2026-11-22 17:30:00 UTC`.
pub(super) fn to_the_second(time: WallTime) -> String {
    let text = time.to_string();
    let date_and_time = text.get(..19).unwrap_or(&text);
    format!("{} UTC", date_and_time.replacen('T', " ", 1))
}

/// `1 packet`, `2 packets`.
fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InterfaceTotals, Totals};
    use crate::notify::samples;

    #[test]
    fn that_no_packet_matched_is_said_aloud_with_the_reason() {
        let mut notice = samples::of(Kind::Completed).remove(0);
        let Body::Capture(about) = &mut notice.body else { panic!() };
        about.totals = Totals::default();
        about.error = None;
        about.coalesced_events = 0;
        let seen = |received| InterfaceTotals { received, ..InterfaceTotals::default() };
        about.interfaces = vec![seen(7), seen(1)];
        let nothing = {
            let mut about = about.clone();
            about.interfaces = vec![seen(0)];
            Notice { body: Body::Capture(about), ..notice.clone() }
        };
        let end = "It ended at its time limit.";
        let expected = "0 packets matched: 8 packets passed, and the filter selected none.";
        assert_eq!(message(&notice), format!("{expected} {end}"));
        assert!(title(&notice).ends_with(": 0 packets matched"), "{}", title(&notice));
        let expected = "0 packets matched: none passed in the window.";
        assert_eq!(message(&nothing), format!("{expected} {end}"));
    }

    #[test]
    fn filters_that_differ_are_told_with_their_interfaces() {
        let mut notice = samples::of(Kind::Partial).remove(0);
        let Body::Capture(about) = &mut notice.body else { panic!() };
        let with = |interface: &str, filter: &str| InterfaceTotals {
            interface: interface.to_owned(),
            filter: filter.to_owned(),
            ..InterfaceTotals::default()
        };
        about.interfaces = vec![with("eth0", "udp"), with("eth1", "")];
        about.left_out = ["remote_ip", "remote_port"].map(str::to_owned).into();
        let told = facts(&notice);
        let of = |name: &str| &told.iter().find(|fact| fact.name == name).unwrap().value;
        assert_eq!(of("Filter"), "eth0: udp; eth1: none: every packet");
        assert_eq!(of("Interfaces"), "eth0, eth1");
        assert_eq!(of("Left out"), "remote_ip; remote_port");
    }
}
