//! CloudEvents 1.0 in JSON, structured mode: the whole event is the message.
//! Source: cloudevents/spec, `spec.md` and `formats/json-format.md`.

use serde::Serialize;

use crate::clock::WallTime;
use crate::model::{Body, Notice, NoticeId};

/// The media type of a structured event.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json";

#[derive(Serialize)]
struct CloudEvent<'n> {
    specversion: &'static str,
    /// With `source`, what receivers know repetitions by.
    id: &'n NoticeId,
    source: String,
    r#type: String,
    time: WallTime,
    subject: &'n str,
    datacontenttype: &'static str,
    data: &'n Body,
}

/// The notice as every attempt sends it, byte for byte.
pub(super) fn encode(notice: &Notice) -> Vec<u8> {
    let event = CloudEvent {
        specversion: "1.0",
        id: &notice.id,
        // Host names in notices are safe in paths.
        source: format!("/hindsight/{}", notice.body.host()),
        r#type: format!("io.hindsight.capture.{}", notice.kind.word()),
        time: notice.created_at,
        subject: notice.body.subject(),
        datacontenttype: "application/json",
        data: &notice.body,
    };
    serde_json::to_vec(&event).expect("texts, numbers and lists of them are always JSON")
}
