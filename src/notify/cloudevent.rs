//! CloudEvents 1.0 in JSON, structured mode: the whole event is the message.
//! Source: cloudevents/spec, `spec.md` and `formats/json-format.md`.

use serde::Serialize;

use crate::clock::WallTime;
use crate::model::{Body, Kind, Notice, NoticeId};

use super::words;

/// The media type of a structured event.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The longest text of an event that is repeated, in characters.
const MAX_TEXT_CHARS: usize = 4096;

/// The most files that are listed; a capture in many small files has more.
const MAX_FILES: usize = 1000;

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
    data: Data,
}

#[derive(Serialize)]
struct Data {
    /// What happened, in sentences for people.
    message: String,
    #[serde(flatten)]
    body: Body,
    /// How many files are not in `files`.
    #[serde(skip_serializing_if = "Option::is_none")]
    more_files: Option<usize>,
}

/// The notice as an event. Attempts differ at most in the links, which are made anew.
pub(super) fn encode(notice: &Notice) -> Vec<u8> {
    let about = match notice.kind {
        Kind::Completed | Kind::Partial | Kind::Failed | Kind::Started => "capture",
        Kind::Suppressed => "rule",
        Kind::UpstreamLoss => "source",
    };
    let event = CloudEvent {
        specversion: "1.0",
        id: &notice.id,
        // Host names in notices are safe in paths.
        source: format!("/hindsight/{}", notice.body.host()),
        r#type: format!("io.hindsight.{about}.{}", notice.kind.word()),
        time: notice.created_at,
        subject: notice.body.subject(),
        datacontenttype: "application/json",
        data: data(notice),
    };
    serde_json::to_vec(&event).expect("texts, numbers and lists of them are always JSON")
}

fn data(notice: &Notice) -> Data {
    let mut body = notice.body.clone();
    let mut more_files = None;
    if let Body::Capture(about) = &mut body {
        cut(&mut about.event_name);
        about.error.iter_mut().for_each(cut);
        if about.files.len() > MAX_FILES {
            more_files = Some(about.files.len() - MAX_FILES);
            about.files.truncate(MAX_FILES);
        }
    }
    let mut message = words::message(&Notice { body: body.clone(), ..notice.clone() });
    cut(&mut message);
    Data { message, body, more_files }
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
        text.truncate(end);
        text.push('…');
    }
}
