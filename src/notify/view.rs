//! What a template sees of a notice. Every text in it is one bounded line without control characters;
//! addresses in it are of the web.

use serde::Serialize;
use serde_json::Value;

use crate::model::{Body, File, Kind, Notice};
use crate::units::Bytes;

use super::plain::{MAX_TEXT_CHARS, all_plain, plain};
use super::words::{self, Fact};

/// The longest title in characters: what Slack and the subjects of mails take.
const MAX_TITLE_CHARS: usize = 150;

/// The longest message in characters.
const MAX_MESSAGE_CHARS: usize = 2000;

/// The most files that a message for people lists; the notice as an event has more.
const MAX_FILES: usize = 20;

/// The most items of any other list.
const MAX_ITEMS: usize = 100;

/// The longest address that is kept, in bytes; pre-signed ones have about 500.
const MAX_LINK_BYTES: usize = 2000;

/// The variables of a template.
#[derive(Debug, Serialize)]
pub(super) struct View {
    /// The idempotency key.
    id: String,
    /// `completed`, `partial`, `failed`, `started`, `suppressed` or `upstream_loss`.
    kind: &'static str,
    /// `good`, `warning` or `attention`.
    mood: &'static str,
    time: String,
    host: String,
    /// The name of the capture, the rule or the source.
    subject: String,
    title: String,
    message: String,
    facts: Vec<Fact>,
    files: Vec<ShownFile>,
    /// How many files are not in `files`.
    more_files: usize,
    /// The `data` of the notice as an event, where it is about a capture; without its files.
    capture: Option<Value>,
    /// The same, where it is about several events.
    summary: Option<Value>,
}

/// A file, as a template sees it.
#[derive(Debug, Serialize)]
struct ShownFile {
    name: String,
    /// Where it is: an address of the storage, or a path.
    location: String,
    /// An address to open it with; absent where there is none.
    link: Option<String>,
    size: String,
    size_bytes: u64,
    packets: u64,
    sha256: String,
    partial: bool,
}

impl View {
    pub(super) fn of(notice: &Notice) -> Self {
        let line = |text: &str| plain(text, MAX_TEXT_CHARS);
        let fact = |fact: Fact| Fact { value: line(&fact.value), ..fact };
        let files = notice.body.capture().map(|about| about.files.as_slice()).unwrap_or_default();
        let (capture, summary) = match &notice.body {
            Body::Capture(_) => (Some(data(&notice.body)), None),
            Body::Summary(_) => (None, Some(data(&notice.body))),
        };
        Self {
            id: line(notice.id.as_str()),
            kind: notice.kind.word(),
            mood: mood(notice),
            time: words::to_the_second(notice.created_at),
            host: line(notice.body.host()),
            subject: line(notice.body.subject()),
            title: plain(&words::title(notice), MAX_TITLE_CHARS),
            message: plain(&words::message(notice), MAX_MESSAGE_CHARS),
            facts: words::facts(notice).into_iter().map(fact).collect(),
            files: files.iter().take(MAX_FILES).map(ShownFile::of).collect(),
            more_files: files.len().saturating_sub(MAX_FILES),
            capture,
            summary,
        }
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }
}

impl ShownFile {
    fn of(file: &File) -> Self {
        let links = [file.link.as_deref(), Some(file.location.as_str())];
        Self {
            name: plain(&file.object, MAX_TEXT_CHARS),
            location: plain(&file.location, MAX_TEXT_CHARS),
            link: links.into_iter().flatten().find(|link| is_of_the_web(link)).map(str::to_owned),
            size: Bytes(file.size_bytes).rounded(),
            size_bytes: file.size_bytes,
            packets: file.packets,
            sha256: plain(&file.sha256, MAX_TEXT_CHARS),
            partial: file.partial,
        }
    }
}

/// Whether a text is an address that a browser opens, and cannot be taken for anything else in the
/// markup of a chat or a page.
fn is_of_the_web(link: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"'`|\\()[]{}".contains(&byte);
    (link.starts_with("https://") || link.starts_with("http://"))
        && link.len() <= MAX_LINK_BYTES
        && link.bytes().all(is_plain)
}

/// The body as JSON, harmless and bounded.
fn data(body: &Body) -> Value {
    let mut value = serde_json::to_value(body).unwrap_or_default();
    if let Some(entries) = value.as_object_mut() {
        entries.remove("files");
        for list in entries.values_mut().filter_map(Value::as_array_mut) {
            list.truncate(MAX_ITEMS);
        }
    }
    all_plain(value)
}

fn mood(notice: &Notice) -> &'static str {
    match notice.kind {
        Kind::Started => "good",
        Kind::Completed => {
            let has_packets = notice.body.capture().is_some_and(|about| about.totals.packets > 0);
            if has_packets { "good" } else { "warning" }
        }
        Kind::Partial | Kind::Suppressed => "warning",
        Kind::Failed | Kind::UpstreamLoss => "attention",
    }
}
