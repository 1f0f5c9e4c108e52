//! Sources: what events come through.

use std::path::PathBuf;
use std::time::Duration;

use super::check;
use super::notes::Notes;
use super::parts::{Client, Parts, check_name, client_certificate};
use super::raw;
use crate::rules::SCHEDULE_SOURCE;
use crate::source;
use crate::source::format::{Format, json};
use crate::source::{mqtt, webhook};
use crate::units::Span;
use crate::yaml::{Named, Placed};

/// The least that clocks differ by.
const MIN_TOLERANCE: Duration = Duration::from_secs(1);

/// The longest that a message which somebody has seen may be sent again.
const MAX_TOLERANCE: Duration = Duration::from_secs(3600);

impl Parts {
    pub(super) fn add_sources(&mut self, notes: &mut Notes, named: &Named<Placed<raw::Source>>) {
        for (name, source) in &named.0 {
            check_name(notes, name);
            if name.value == SCHEDULE_SOURCE {
                let message = "`schedule` is the source of the events that schedules make";
                notes.note(name.place, message, "take another name");
            }
            let settings = match &source.value {
                raw::Source::Mqtt(raw) => {
                    source::Settings::Mqtt(self.mqtt_source(notes, name, raw, source.whole))
                }
                raw::Source::Webhook(raw) => {
                    source::Settings::Webhook(self.webhook_source(notes, name, raw))
                }
            };
            self.sources.insert(name.value.clone(), settings);
        }
    }

    fn mqtt_source(
        &mut self,
        notes: &mut Notes,
        name: &Placed<String>,
        raw: &raw::MqttSource,
        whole: bool,
    ) -> mqtt::Settings {
        let client_id = self.client(
            notes,
            &Client {
                owner: format!("sources.{}", name.value),
                place: name.place,
                url: &raw.url,
                client_id: raw.client_id.as_ref(),
                default_id: format!("hindsight-{}-{}", self.host, name.value),
                username: raw.username.as_ref(),
                username_file: raw.username_file.as_ref(),
                password_file: raw.password_file.as_ref(),
                whole,
            },
        );
        if raw.topics.whole && raw.topics.value.is_empty() {
            notes.note(raw.topics.place, "no topic is named", "subscribe to one at least");
        }
        let (certificate, key) = (raw.client_cert_file.as_ref(), raw.client_key_file.as_ref());
        let (client_cert_file, client_key_file) =
            client_certificate(notes, &raw.url, certificate, key, whole);
        let topics = raw.topics.value.iter().map(|topic| {
            notes.refuse(topic.filter.place, check::topic_filter(&topic.filter.value));
            mqtt::Topic {
                filter: topic.filter.value.clone(),
                format: format(notes, topic.format, topic.fields.as_ref()),
            }
        });
        mqtt::Settings {
            topics: topics.collect(),
            url: raw.url.value.clone(),
            client_id,
            protocol: match raw.protocol {
                None | Some(raw::Protocol::V5) => mqtt::Protocol::V5,
                Some(raw::Protocol::V311) => mqtt::Protocol::V311,
            },
            username: raw.username.clone(),
            username_file: notes.secret(raw.username_file.as_ref()),
            password_file: notes.secret(raw.password_file.as_ref()),
            ca_file: notes.secret(raw.ca_file.as_ref()),
            client_cert_file,
            client_key_file,
            retained: raw.retained.unwrap_or(false),
            max_event_age: max_event_age(notes, raw.max_event_age.as_ref()),
        }
    }

    fn webhook_source(
        &mut self,
        notes: &mut Notes,
        name: &Placed<String>,
        raw: &raw::WebhookSource,
    ) -> webhook::Settings {
        notes.refuse(raw.path.place, check::webhook_path(&raw.path.value));
        if let Some(other) = self.paths.insert(raw.path.value.clone(), name.value.clone()) {
            let message = format!("the source `{other}` has the path `{}` already", raw.path.value);
            notes.note(raw.path.place, message, "give each webhook a path of its own");
        }
        if !self.listens {
            let message = "a webhook can be reached at no address: control.listen is empty";
            notes.note(name.place, message, "give it one, as in listen: [\"127.0.0.1:9188\"]");
        }
        webhook::Settings {
            path: raw.path.value.clone(),
            format: format(notes, raw.format, raw.fields.as_ref()),
            auth: self.webhook_auth(notes, raw),
            max_event_age: max_event_age(notes, raw.max_event_age.as_ref()),
        }
    }

    fn webhook_auth(&self, notes: &mut Notes, raw: &raw::WebhookSource) -> webhook::Auth {
        if let (Some(basic), Some(_)) = (&raw.basic, &raw.bearer_file) {
            let message =
                "a sender can show one of the two only: a token, or a name and a password";
            notes.note(basic.place, message, "keep basic or bearer_file");
        }
        if let (Some(required), false) = (&raw.client_certificate, self.takes_certificates) {
            let message = "at no address can a client show a certificate";
            let hint = "give one of control.listen `tls` with `client_ca_file`";
            notes.note(required.place, message, hint);
        }
        let basic = raw.basic.as_ref().map(|basic| {
            let Placed { value: username, place, .. } = &basic.value.username;
            if username.is_empty() || username.contains(|c: char| c == ':' || c.is_control()) {
                notes.note(*place, "this cannot be a user name", "take one without a colon");
            }
            webhook::Basic {
                username: username.clone(),
                password_file: required(notes, &basic.value.password_file),
            }
        });
        webhook::Auth {
            bearer_file: notes.secret(raw.bearer_file.as_ref()),
            basic,
            signature: raw.hmac.as_ref().map(|hmac| signature(notes, &hmac.value)),
            client_certificate: raw.client_certificate.is_some(),
        }
    }
}

fn signature(notes: &mut Notes, raw: &raw::Hmac) -> webhook::Signature {
    let mut header = |given: &Option<Placed<String>>, default: &str| match given {
        Some(Placed { value, place, .. }) => {
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if value.is_empty() || value.len() > 64 || !value.bytes().all(is_token) {
                let hint = "take letters, digits, `-` and `_`, at most 64";
                notes.note(*place, format!("`{value}` is no name of a header"), hint);
            }
            value.clone()
        }
        None => default.to_owned(),
    };
    let name = header(&raw.header, webhook::SIGNATURE_HEADER);
    let timestamp = header(&raw.timestamp_header, webhook::TIMESTAMP_HEADER);
    let tolerance = match &raw.tolerance {
        Some(Placed { value: Span(tolerance), place, .. }) => {
            if *tolerance < MIN_TOLERANCE || *tolerance > MAX_TOLERANCE {
                let message = "a signature is taken for 1s to 1h around its time";
                notes.note(*place, message, "5m is usual");
            }
            *tolerance
        }
        None => webhook::TOLERANCE,
    };
    webhook::Signature {
        secret_file: required(notes, &raw.secret_file),
        header: name,
        timestamp_header: timestamp,
        tolerance,
    }
}

fn required(notes: &mut Notes, file: &Placed<PathBuf>) -> PathBuf {
    notes.secret(Some(file)).unwrap_or_else(|| file.value.clone())
}

/// How old events may be. None at all would let no event act.
fn max_event_age(notes: &mut Notes, given: Option<&Placed<Span>>) -> Option<Duration> {
    let Placed { value: Span(age), place, .. } = given?;
    if age.is_zero() {
        notes.note(*place, "with this age no event is acted on", "give more, or leave the key out");
    }
    Some(*age)
}

fn format(notes: &mut Notes, format: raw::Format, fields: Option<&Placed<raw::Fields>>) -> Format {
    let fixed = match format {
        raw::Format::Auto => Format::Auto,
        raw::Format::Alertmanager => Format::Alertmanager,
        raw::Format::Azure => Format::Azure,
        raw::Format::CloudEvents => Format::CloudEvents,
        raw::Format::Telegraf => Format::Telegraf,
        raw::Format::Suricata => Format::Suricata,
        raw::Format::Json => return Format::Json(mapping(fields)),
    };
    if let Some(fields) = fields {
        let hint = "remove the key, or take `format: json`";
        notes.note(fields.place, "`fields` goes with the format json only", hint);
    }
    fixed
}

fn mapping(fields: Option<&Placed<raw::Fields>>) -> json::Mapping {
    let raw = fields.map(|fields| fields.value.clone()).unwrap_or_default();
    json::Mapping {
        name: raw.name,
        status: raw.status,
        severity: raw.severity,
        value: raw.value,
        starts_at: raw.starts_at,
        fingerprint: raw.fingerprint,
        labels: raw.labels,
        annotations: raw.annotations,
    }
}
