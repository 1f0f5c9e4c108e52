//! Nouns for the tests of this room.

use std::time::Duration;

use crate::clock::WallTime;
use crate::filter::Filter;
use crate::model::{
    AboutCapture, Audit, Begun, Body, Capture, CaptureId, CapturePlan, Decision, Delivery, EventId,
    FileForm, Group, GroupKey, IncidentId, Kind, Limits, Notice, NoticeId, Outcome, Policy,
    Proposal, Quota, Receipt, Rejected, SealedFile, Segment, SegmentState, State, StoredFile,
    Totals, Transfer, Unsaid, Wait, Waiting, Window,
};

/// `n` seconds after noon of New Year's Day 2020.
pub(super) fn at(n: u64) -> WallTime {
    WallTime::from_nanos(1_577_880_000_000_000_000) + Duration::from_secs(n)
}

pub(super) fn outcome(n: u64, rule: Option<&str>, decision: Decision) -> Outcome {
    Outcome {
        event: EventId::mint(at(n), [0, n]),
        at: at(n),
        source: "plant".to_owned(),
        name: "TcpRetransmitsHigh".to_owned(),
        fingerprint: format!("{n:016x}"),
        rule: rule.map(str::to_owned),
        decision,
    }
}

pub(super) fn rejected(n: u64) -> Rejected {
    Rejected {
        id: EventId::mint(at(n), [1, n]),
        source: "plant".to_owned(),
        received_at: at(n),
        reason: "expected value at line 1 column 1".to_owned(),
        sha256: "0".repeat(64),
        size_bytes: 3,
        head: "abc".to_owned(),
    }
}

pub(super) fn capture(n: u64) -> Capture {
    let plan = CapturePlan {
        rule: "web".to_owned(),
        incident: IncidentId::from_text("00112233aabbccdd"),
        event: EventId::mint(at(n), [0, n]),
        event_name: "TcpRetransmitsHigh".to_owned(),
        event_json: "{}".to_owned(),
        host: "edge-7".to_owned(),
        interfaces: vec!["eth0".to_owned()],
        trigger_at: at(n),
        look_back: Duration::from_secs(10),
        filter: Filter::default(),
        limits: Limits {
            duration: Duration::from_secs(60),
            bytes: 1 << 20,
            packets: None,
            bytes_per_packet: 0,
            segments: None,
        },
        file: FileForm::default(),
        storage: "local".to_owned(),
        notify: vec!["bus".to_owned()],
        placing: Default::default(),
        on_resolved: Default::default(),
        left_out: Vec::new(),
    };
    Capture::pending(CaptureId::mint(at(n), [2, n]), format!("web-{n}"), plan, at(n))
}

pub(super) fn segment(capture: &Capture, state: SegmentState) -> Segment {
    Segment {
        capture: capture.id.clone(),
        file: SealedFile {
            index: 0,
            path: format!("/var/lib/hindsight/spool/{}-0.pcapng", capture.id).into(),
            size_bytes: 1_000,
            sha256: "0".repeat(64),
            packets: 10,
            first_packet: Some(capture.created_at),
            last_packet: Some(capture.created_at),
            partial: false,
        },
        state,
        object: format!("2026/11/22/00112233aabbccdd/edge-7/{}-0.pcapng", capture.name),
        receipt: None,
    }
}

/// A segment of it that this storage has.
pub(super) fn stored(capture: &Capture, storage: &str) -> Segment {
    let mut segment = segment(capture, SegmentState::Stored);
    segment.receipt = Some(Receipt {
        storage: storage.to_owned(),
        object: segment.object.clone(),
        location: segment.object.clone(),
        size_bytes: segment.file.size_bytes,
        sha256: segment.file.sha256.clone(),
        verified_at: capture.created_at + Duration::from_secs(60),
    });
    segment
}

/// What retention learns of it.
pub(super) fn stored_file(segment: &Segment) -> StoredFile {
    let receipt = segment.receipt.clone().unwrap();
    StoredFile {
        storage: receipt.storage,
        object: receipt.object,
        capture: segment.capture.clone(),
        index: segment.file.index,
        size_bytes: receipt.size_bytes,
        sha256: receipt.sha256,
        stored_at: receipt.verified_at,
    }
}

pub(super) fn transfer(n: u64, index: u32) -> Transfer {
    Transfer {
        capture: capture(n).id,
        index,
        storage: "archive".to_owned(),
        object: format!("{n}/{index}.pcapng"),
        upload: format!("upload {n}"),
        part_bytes: 8 << 20,
        parts: vec!["part 0".to_owned()],
    }
}

pub(super) fn unsaid(subject: &str) -> Unsaid {
    Unsaid {
        kind: Kind::Suppressed,
        subject: subject.to_owned(),
        since: at(1),
        until: at(2),
        notify: ["bus".to_owned()].into(),
        counts: [("cooldown".to_owned(), 7)].into(),
    }
}

pub(super) fn audit(n: u64) -> Audit {
    Audit {
        at: at(n),
        who: "uid 1000".to_owned(),
        action: "capture.create".to_owned(),
        subject: format!("web-{n}"),
        result: "ok".to_owned(),
    }
}

pub(super) fn notice(n: u64) -> Notice {
    let capture = capture(n);
    Notice {
        id: NoticeId::mint(at(n), [3, n]),
        notifier: "bus".to_owned(),
        kind: Kind::Completed,
        created_at: at(n),
        delivery: Delivery::Waiting,
        body: Body::Capture(Box::new(AboutCapture {
            capture: capture.id,
            name: capture.name,
            rule: capture.plan.rule,
            incident: capture.plan.incident.to_string(),
            event: capture.plan.event.to_string(),
            event_name: capture.plan.event_name,
            host: capture.plan.host,
            state: State::Done,
            stop_reason: None,
            error: None,
            trigger_at: at(n),
            asked: Window { from: at(n), until: at(n + 1) },
            held: None,
            totals: Totals::default(),
            interfaces: Vec::new(),
            left_out: Vec::new(),
            coalesced_events: 0,
            storage: "local".to_owned(),
            files: Vec::new(),
        })),
    }
}

pub(super) fn group(n: u64) -> Group {
    Group {
        key: GroupKey::from_text(format!("web|{n}")),
        rule: "web".to_owned(),
        incident: IncidentId::from_text("00112233aabbccdd"),
        capture: Some(capture(n).id),
        opened_at: at(n),
        cooldown_until: at(n + 900),
    }
}

pub(super) fn waiting(n: u64, wait: Wait) -> Waiting {
    let policy = Policy { hold: Some(Duration::from_secs(30)), ..Policy::default() };
    let group = GroupKey::from_text(format!("web|{n}"));
    Waiting { wait, since: at(n), proposal: Proposal { group, policy, plan: capture(n).plan } }
}

pub(super) fn begun(rule: &str, at: WallTime) -> Begun {
    let quota = Quota { count: 4, per: Duration::from_secs(86_400) };
    Begun { rule: rule.to_owned(), at, quota, dry_run: false }
}
