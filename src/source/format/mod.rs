//! Event formats: one file each, bytes to [`Event`]s.
//!
//! A message is one JSON value, a list of values, or values one after the other (lines of a log); what
//! each of them means is the format's business.
//!
//! A message is read whole or refused whole: what is wrong with it, and where, becomes the reason of
//! a [`Rejected`]. Every part that a sender can make long has a bound, and nothing here panics on any
//! bytes. Knows nothing of how the bytes came.

pub mod alertmanager;
mod azure;
mod cloudevents;
mod digest;
mod draft;
pub mod json;
mod shape;
mod suricata;
mod telegraf;
mod word;

use serde_json::{Map, Value};

use crate::clock::WallTime;
use crate::model::{EventId, Rejected};
use crate::random;

use super::Content;
use shape::Shape;

/// The longest message that is read, in bytes. Alertmanager's largest payloads (hundreds of alerts in
/// one group) stay far below; a longer one is recorded as rejected.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How a message's bytes are read.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Each value by its fields: one of the formats below, else plain JSON with its own words.
    Auto,
    /// Alertmanager's webhook payload, version 4, or one of its alerts alone; Grafana's as well.
    Alertmanager,
    /// Azure Monitor's common alert schema, and its legacy schemas.
    Azure,
    /// CloudEvents 1.0, structured or as a batch.
    CloudEvents,
    /// Telegraf's JSON metrics.
    Telegraf,
    /// Suricata's EVE records.
    Suricata,
    /// Any JSON object, with a mapping of its fields.
    Json(json::Mapping),
}

/// A name that is no format, or one that takes no mapping.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAFormat {
    #[error(
        "'{0}' is not an event format; use auto, alertmanager, azure, cloudevents, telegraf, suricata \
         or json"
    )]
    Unknown(String),
    #[error("the format {0} has its own field names; 'fields' goes with the format json")]
    FixedFields(&'static str),
}

/// Why a message is no event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("the message has {size} bytes; at most {MAX_BODY_BYTES} are read")]
    TooLong { size: usize },
    #[error("the message is not JSON: {0}")]
    NotJson(String),
    /// `path` is the place in the message, as in `alerts[3].labels.port`.
    #[error("{path}: {problem}")]
    At { path: String, problem: String },
}

impl Format {
    /// The format with this name. `mapping` stays at its default for formats with fixed fields.
    ///
    /// # Errors
    /// No format has the name, or it takes no mapping.
    pub fn from_name(name: &str, mapping: json::Mapping) -> Result<Self, NotAFormat> {
        if name == "json" {
            return Ok(Self::Json(mapping));
        }
        let fixed = Self::FIXED.into_iter().find(|format| format.name() == name);
        match fixed {
            Some(fixed) if mapping != json::Mapping::default() => {
                Err(NotAFormat::FixedFields(fixed.name()))
            }
            Some(fixed) => Ok(fixed),
            None => Err(NotAFormat::Unknown(word::quoted(name))),
        }
    }

    /// The formats with field names of their own.
    const FIXED: [Self; 6] = [
        Self::Auto,
        Self::Alertmanager,
        Self::Azure,
        Self::CloudEvents,
        Self::Telegraf,
        Self::Suricata,
    ];

    pub const fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Alertmanager => "alertmanager",
            Self::Azure => "azure",
            Self::CloudEvents => "cloudevents",
            Self::Telegraf => "telegraf",
            Self::Suricata => "suricata",
            Self::Json(_) => "json",
        }
    }

    /// Reads one message of the source named `source`.
    pub fn decode(&self, source: &str, body: &[u8], received_at: WallTime) -> Content {
        let drafts = if body.len() > MAX_BODY_BYTES {
            Err(Error::TooLong { size: body.len() })
        } else {
            self.read(body)
        };
        match drafts {
            Ok(drafts) => Content::Events(
                drafts.into_iter().map(|draft| draft.into_event(source, received_at)).collect(),
            ),
            Err(error) => Content::Rejected(reject(source, body, received_at, error.to_string())),
        }
    }

    /// The events of a whole message; one mistake refuses all of it.
    fn read(&self, body: &[u8]) -> Result<Vec<draft::Draft>, Error> {
        let mut drafts = Vec::new();
        for (index, value) in draft::parse(body)?.into_iter().enumerate() {
            // The first value has no place of its own: most messages are one value.
            let line = if index == 0 { String::new() } else { format!("value {}", index + 1) };
            if let Value::Array(list) = &value {
                for (index, value) in list.iter().enumerate() {
                    let path = format!("{line}[{index}]");
                    drafts.extend(self.object(draft::record(value, &path)?, &path)?);
                    draft::check_count(drafts.len(), "the message")?;
                }
                continue;
            }
            let object = value.as_object().ok_or_else(|| {
                let kind = draft::kind(&value);
                let problem = format!("is {kind}; an object or a list of objects is needed");
                draft::at(if index == 0 { "the message" } else { &line }, problem)
            })?;
            drafts.extend(self.object(object, &line)?);
            draft::check_count(drafts.len(), "the message")?;
        }
        Ok(drafts)
    }

    fn object(&self, object: &Map<String, Value>, path: &str) -> Result<Vec<draft::Draft>, Error> {
        let shape = match self {
            Self::Auto => Shape::of(object),
            Self::Alertmanager => Shape::Alerts,
            Self::Azure => Shape::Azure,
            Self::CloudEvents => Shape::CloudEvent,
            Self::Telegraf => Shape::Telegraf,
            Self::Suricata => Shape::Suricata,
            Self::Json(mapping) => return json::read(object, mapping, path),
        };
        match shape {
            Shape::Alerts => alertmanager::read(object, path),
            Shape::Azure => azure::read(object, path),
            Shape::CloudEvent => cloudevents::read(object, path),
            Shape::Telegraf => telegraf::read(object, path),
            Shape::Suricata => suricata::read(object, path),
            Shape::Plain => json::read(object, &json::Mapping::default(), path),
        }
    }
}

/// The record of a message that is no event.
pub(crate) fn reject(source: &str, body: &[u8], received_at: WallTime, reason: String) -> Rejected {
    Rejected {
        id: EventId::mint(received_at, [random::seed(), random::seed()]),
        source: source.to_owned(),
        received_at,
        reason,
        sha256: digest::hexadecimal(body),
        size_bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
        head: word::head(body),
    }
}

/// The record of a message that is too long, of which only the beginning was kept. `sha256` is of all that
/// was received, `size_bytes` its length.
pub(crate) fn reject_too_long(
    source: &str,
    beginning: &[u8],
    sha256: &[u8],
    size_bytes: u64,
    received_at: WallTime,
) -> Rejected {
    let size = usize::try_from(size_bytes).unwrap_or(usize::MAX);
    Rejected {
        sha256: digest::digits(sha256),
        size_bytes,
        ..reject(source, beginning, received_at, Error::TooLong { size }.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: WallTime = WallTime::from_nanos(1_795_368_600_000_000_000);

    fn formats() -> Vec<Format> {
        let plain = Format::Json(json::Mapping::default());
        Format::FIXED.into_iter().chain([plain]).collect()
    }

    fn rejected(format: &Format, body: &[u8]) -> Rejected {
        match format.decode("hook", body, NOW) {
            Content::Rejected(rejected) => rejected,
            other @ (Content::Events(_) | Content::Session { .. }) => panic!("read as {other:?}"),
        }
    }

    #[test]
    fn formats_go_by_the_names_that_users_write() {
        for format in formats() {
            let again = Format::from_name(format.name(), json::Mapping::default()).unwrap();
            assert_eq!(again, format);
        }
        let error = Format::from_name("xml", json::Mapping::default()).unwrap_err().to_string();
        assert!(error.starts_with("'xml' is not an event format; use auto, "), "{error}");
        let mapping = json::Mapping { name: Some("metric".into()), ..json::Mapping::default() };
        assert_eq!(
            Format::from_name("alertmanager", mapping),
            Err(NotAFormat::FixedFields("alertmanager"))
        );
    }

    #[test]
    fn a_rejected_message_is_recorded_by_digest_size_and_escaped_head() {
        let rejected = rejected(&Format::Alertmanager, b"abc\n\x1b[31m\xff");
        assert!(rejected.reason.starts_with("the message is not JSON: "), "{}", rejected.reason);
        assert_eq!(rejected.size_bytes, 10);
        assert_eq!(rejected.sha256.len(), 64);
        assert_eq!(rejected.head, "abc\\n\\u{1b}[31m\u{fffd}");
        assert_eq!((rejected.source.as_str(), rejected.received_at), ("hook", NOW));
    }

    #[test]
    fn a_message_above_the_limit_is_rejected_without_reading_it() {
        let body = vec![b' '; MAX_BODY_BYTES + 1];
        let rejected = rejected(&Format::Alertmanager, &body);
        assert_eq!(rejected.reason, "the message has 1048577 bytes; at most 1048576 are read");
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        let body = "[".repeat(500_000);
        for format in formats() {
            let reason = rejected(&format, body.as_bytes()).reason;
            assert!(reason.contains("recursion limit"), "{reason}");
        }
    }

    #[test]
    fn one_message_may_hold_lists_and_lines_of_different_forms() {
        let body = br#"[{"labels":{"alertname":"A"}},{"name":"B"}]
            {"event_type":"alert","src_ip":"192.0.2.7","alert":{"signature":"C"}}
            {"name":"net","fields":{"drops":3}}"#;
        let Content::Events(events) = Format::Auto.decode("hook", body, NOW) else {
            panic!("every value is an event")
        };
        let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["A", "B", "C", "net_drops"]);
    }

    #[test]
    fn one_mistake_refuses_the_whole_message_and_has_its_place() {
        let body = br#"{"name":"A"} [{"name":"B"},{"value":1}]"#;
        let reason = rejected(&Format::Auto, body).reason;
        assert!(reason.starts_with("value 2[1].name: is missing"), "{reason}");
        assert_eq!(rejected(&Format::Auto, b" ").reason, "the message is not JSON: it is empty");
        assert_eq!(
            rejected(&Format::Auto, b"7").reason,
            "the message: is a number; an object or a list of objects is needed"
        );
        assert_eq!(rejected(&Format::Auto, b"[1]").reason, "[0]: is a number; an object is needed");
    }

    #[test]
    fn more_values_than_are_taken_are_refused() {
        let body = "{\"name\":\"A\"}\n".repeat(draft::MAX_EVENTS + 1);
        let reason = rejected(&Format::Auto, body.as_bytes()).reason;
        assert!(reason.contains("at most 4096"), "{reason}");
    }

    /// JSON that looks like alerts more often than chance would.
    fn near_alerts() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            any::<f64>().prop_map(|n| format!("{n}")),
            any::<i64>().prop_map(|n| n.to_string()),
            "\"[a-zA-Z0-9:.-]{0,24}\"",
            Just("\"firing\"".to_owned()),
            Just("\"0001-01-01T00:00:00Z\"".to_owned()),
        ];
        let key = prop_oneof![
            Just("alerts"),
            Just("labels"),
            Just("annotations"),
            Just("status"),
            Just("startsAt"),
            Just("starts_at"),
            Just("fingerprint"),
            Just("name"),
            Just("value"),
            Just("version"),
            Just("schemaId"),
            Just("data"),
            Just("specversion"),
            Just("type"),
            Just("event_type"),
            Just("src_ip"),
            Just("fields"),
            Just("metrics"),
        ];
        scalar.prop_recursive(4, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                    let fields: Vec<_> =
                        fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(body: Vec<u8>) {
            for format in formats() {
                format.decode("hook", &body, NOW);
            }
        }

        #[test]
        fn json_that_is_nearly_an_alert_is_read_or_refused_with_a_bounded_record(
            body in near_alerts()
        ) {
            for format in formats() {
                match format.decode("hook", body.as_bytes(), NOW) {
                    Content::Events(events) => for event in events {
                        prop_assert!(!event.fingerprint.is_empty());
                        prop_assert!(event.value.is_none_or(f64::is_finite));
                    },
                    Content::Rejected(rejected) => {
                        prop_assert!(rejected.reason.len() < 1024, "{}", rejected.reason);
                        prop_assert!(!rejected.reason.chars().any(char::is_control));
                    }
                    Content::Session { .. } => prop_assert!(false, "no bytes are a session"),
                }
            }
        }
    }
}
