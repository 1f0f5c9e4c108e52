//! Nouns for the tests of this room.

use std::time::Duration;

use crate::clock::{BootTime, Now, WallTime};
use crate::filter::Filter;
use crate::model::{
    Capture, CaptureId, CapturePlan, EventId, FileForm, IncidentId, Limits, OnResolved, Placing,
    SealedFile,
};

/// `seconds` after a machine was started, in January 2027.
pub(super) fn at(seconds: u64) -> Now {
    let wall = WallTime::from_nanos(0) + Duration::from_secs(1_800_000_000 + seconds);
    Now { boot: BootTime::from_duration(Duration::from_secs(seconds)), wall }
}

pub(super) fn plan(rule: &str) -> CapturePlan {
    CapturePlan {
        rule: rule.to_owned(),
        incident: IncidentId::from_text("00112233aabbccdd"),
        event: EventId::from_text("e"),
        event_name: String::new(),
        event_json: "{}".to_owned(),
        host: "edge-7".to_owned(),
        interfaces: vec!["eth0".to_owned()],
        trigger_at: at(0).wall,
        look_back: Duration::ZERO,
        filter: Filter::default(),
        limits: Limits {
            duration: Duration::from_secs(10),
            bytes: 1_000,
            packets: None,
            bytes_per_packet: 0,
            segments: None,
        },
        file: FileForm::default(),
        storage: "store".to_owned(),
        notify: vec!["bus".to_owned()],
        placing: Placing::default(),
        on_resolved: OnResolved::default(),
        left_out: Vec::new(),
    }
}

pub(super) fn capture(name: &str) -> Capture {
    Capture::pending(CaptureId::from_text("c1"), name.to_owned(), plan("web"), at(0).wall)
}

pub(super) fn file(name: &str, index: u32) -> SealedFile {
    SealedFile {
        index,
        path: format!("/spool/{name}").into(),
        size_bytes: 1_000,
        sha256: "00".repeat(32),
        packets: 10,
        first_packet: None,
        last_packet: None,
        partial: false,
    }
}
