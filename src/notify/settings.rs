//! What a notifier can be told, and whether a text has the form that its key asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::model::Kind;

/// Settings of one named notifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    Mqtt(MqttSettings),
    Webhook(WebhookSettings),
    Email(EmailSettings),
}

impl Settings {
    /// The kinds of notices that it gets.
    pub const fn events(&self) -> &BTreeSet<Kind> {
        match self {
            Self::Mqtt(settings) => &settings.events,
            Self::Webhook(settings) => &settings.events,
            Self::Email(settings) => &settings.events,
        }
    }
}

/// What a notifier gets that does not say what it wants: all but the beginnings of captures, which
/// would double the notices of every capture.
pub fn default_events() -> BTreeSet<Kind> {
    BTreeSet::from([
        Kind::Completed,
        Kind::Partial,
        Kind::Failed,
        Kind::Suppressed,
        Kind::UpstreamLoss,
    ])
}

/// Notices to a topic of an MQTT broker, QoS 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSettings {
    /// `mqtt://host:1883` or `mqtts://host:8883`.
    pub url: String,
    /// The topic, complete.
    pub topic: String,
    pub client_id: String,
    pub username: Option<String>,
    /// Instead of `username`.
    pub username_file: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    /// The PEM certificate that we show, and its key; both or neither, and only over TLS.
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub events: BTreeSet<Kind>,
}

/// Notices by HTTP POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The address; not both of these are given.
    pub url: Option<String>,
    /// A file that holds the address, for addresses that are secrets.
    pub url_file: Option<PathBuf>,
    pub bearer_file: Option<PathBuf>,
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    pub template: Template,
    /// Header fields of every request, by name.
    pub headers: BTreeMap<String, HeaderText>,
    pub hmac: Option<Hmac>,
    pub events: BTreeSet<Kind>,
}

impl MqttSettings {
    /// A topic of a broker that lets everybody in.
    pub fn to(
        url: impl Into<String>,
        topic: impl Into<String>,
        client_id: impl Into<String>,
    ) -> Self {
        Self {
            url: url.into(),
            topic: topic.into(),
            client_id: client_id.into(),
            username: None,
            username_file: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            events: default_events(),
        }
    }
}

impl WebhookSettings {
    /// CloudEvents to an address, and nothing else set.
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            url: Some(url.into()),
            url_file: None,
            bearer_file: None,
            ca_file: None,
            template: Template::CloudEvent,
            headers: BTreeMap::new(),
            hmac: None,
            events: default_events(),
        }
    }
}

/// What a webhook posts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// A CloudEvent with all that the notice says.
    CloudEvent,
    /// A message of an incoming webhook of Slack.
    Slack,
    /// A message with an Adaptive Card, for a workflow that posts it into a Teams channel.
    Teams,
    /// A file that makes JSON.
    File(PathBuf),
}

/// The value of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderText {
    Text(String),
    /// A file that holds it, for values that are secrets.
    File(PathBuf),
}

/// How requests are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmac {
    pub secret_file: PathBuf,
    /// The header field with the signature.
    pub header: String,
    /// The header field with the time of the signature, which is then signed, too.
    pub timestamp_header: Option<String>,
}

/// Notices by mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailSettings {
    /// `smtps://host[:465]`, `smtp+starttls://host[:587]`, or `smtp://host[:25]`, which encrypts nothing.
    pub url: String,
    pub from: String,
    pub to: Vec<String>,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Files that make the two bodies, instead of ours.
    pub text_template_file: Option<PathBuf>,
    pub html_template_file: Option<PathBuf>,
    pub events: BTreeSet<Kind>,
}
