//! Notices to try templates on: of each kind one that has all it can have, and one that has the least.

use std::time::Duration;

use crate::clock::WallTime;
use crate::model::{
    AboutCapture, Body, CaptureId, Counted, Delivery, File, InterfaceTotals, Kind, Notice,
    NoticeId, State, StopReason, Summary, Totals, Window,
};

/// 2026-11-22T17:30:00Z.
const AT: WallTime = WallTime::from_nanos(1_795_368_600_000_000_000);

/// What an event might say, with all that breaks a text which is put together without care.
const UNRULY: &str = "link \"down\" </script> {{ 7 }} {% x %} \\ '";

/// Samples of a kind of notice.
pub(super) fn of(kind: Kind) -> Vec<Notice> {
    match kind {
        Kind::Completed => vec![ended(kind, State::Done, true), ended(kind, State::Done, false)],
        Kind::Partial => {
            vec![ended(kind, State::Partial, true), ended(kind, State::Partial, false)]
        }
        Kind::Failed => vec![ended(kind, State::Failed, true), ended(kind, State::Failed, false)],
        Kind::Started => {
            let begun = AboutCapture {
                stop_reason: None,
                error: None,
                files: Vec::new(),
                totals: Totals::default(),
                ..capture(State::Capturing, true)
            };
            vec![notice(kind, Body::Capture(Box::new(begun)))]
        }
        Kind::Suppressed | Kind::UpstreamLoss => vec![
            summary(kind, vec![Counted { reason: "cooldown".to_owned(), events: 12 }]),
            summary(kind, Vec::new()),
        ],
    }
}

fn ended(kind: Kind, state: State, is_full: bool) -> Notice {
    notice(kind, Body::Capture(Box::new(capture(state, is_full))))
}

fn notice(kind: Kind, body: Body) -> Notice {
    Notice {
        id: NoticeId::from_text("01kav0000000000000000000aa"),
        notifier: "sample".to_owned(),
        kind,
        created_at: AT,
        delivery: Delivery::Waiting,
        body,
    }
}

fn summary(kind: Kind, counts: Vec<Counted>) -> Notice {
    let summary = Summary {
        subject: "sample-rule".to_owned(),
        host: "sample-host".to_owned(),
        from: AT - Duration::from_secs(900),
        until: AT,
        text: "12 events made no capture.".to_owned(),
        counts,
    };
    notice(kind, Body::Summary(summary))
}

fn capture(state: State, is_full: bool) -> AboutCapture {
    let some = |text: &str| if is_full { text.to_owned() } else { String::new() };
    let window = Window { from: AT - Duration::from_secs(10), until: AT + Duration::from_secs(60) };
    let file = File {
        object: "2026/11/22/0123456789abcdef/sample-host/sample-0.pcapng".to_owned(),
        location: "/var/lib/hindsight/captures/sample-0.pcapng".to_owned(),
        size_bytes: 1_234_567,
        sha256: "0123456789abcdef".repeat(4),
        packets: 1234,
        partial: false,
        link: Some("https://storage.example/sample-0.pcapng?signature=0".to_owned()),
    };
    let interface = InterfaceTotals {
        interface: "eth0".to_owned(),
        received: 4321,
        written: 1234,
        filter: "tcp port 443".to_owned(),
        ..InterfaceTotals::default()
    };
    AboutCapture {
        capture: CaptureId::from_text("01kav0000000000000000000bb"),
        name: "sample-rule-20261122t173000".to_owned(),
        rule: some("sample-rule"),
        incident: "0123456789abcdef".to_owned(),
        event: "01kav0000000000000000000cc".to_owned(),
        event_name: some(UNRULY),
        host: "sample-host".to_owned(),
        state,
        stop_reason: Some(StopReason::TimeExceeded),
        error: is_full.then(|| UNRULY.to_owned()),
        trigger_at: AT,
        asked: window,
        held: is_full.then_some(window),
        totals: if is_full {
            Totals { packets: 1234, bytes: 1_234_567, dropped_by_kernel: 1, overrun: 2 }
        } else {
            Totals::default()
        },
        interfaces: if is_full { vec![interface] } else { Vec::new() },
        left_out: if is_full { vec![UNRULY.to_owned()] } else { Vec::new() },
        coalesced_events: u64::from(is_full),
        storage: some("local"),
        files: if is_full { vec![file.clone(), File { link: None, ..file }] } else { Vec::new() },
    }
}
