//! What a file may say of sources.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Span;
use crate::yaml::Placed;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Source {
    Mqtt(Box<MqttSource>),
    Webhook(Box<WebhookSource>),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct MqttSource {
    pub(in crate::config) url: Placed<String>,
    pub(in crate::config) topics: Placed<Vec<Topic>>,
    pub(in crate::config) client_id: Option<Placed<String>>,
    pub(in crate::config) protocol: Option<Protocol>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) username_file: Option<Placed<PathBuf>>,
    pub(in crate::config) password_file: Option<Placed<PathBuf>>,
    pub(in crate::config) ca_file: Option<Placed<PathBuf>>,
    pub(in crate::config) client_cert_file: Option<Placed<PathBuf>>,
    pub(in crate::config) client_key_file: Option<Placed<PathBuf>>,
    pub(in crate::config) retained: Option<bool>,
    pub(in crate::config) max_event_age: Option<Placed<Span>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(in crate::config) enum Protocol {
    #[serde(rename = "5")]
    V5,
    #[serde(rename = "3.1.1")]
    V311,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Topic {
    pub(in crate::config) filter: Placed<String>,
    #[serde(default)]
    pub(in crate::config) format: Format,
    pub(in crate::config) fields: Option<Placed<Fields>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Format {
    #[default]
    Auto,
    Alertmanager,
    Azure,
    CloudEvents,
    Telegraf,
    Suricata,
    Json,
}

/// Which fields of a JSON object say what, as dotted paths.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Fields {
    pub(in crate::config) name: Option<String>,
    pub(in crate::config) status: Option<String>,
    pub(in crate::config) severity: Option<String>,
    pub(in crate::config) value: Option<String>,
    pub(in crate::config) starts_at: Option<String>,
    pub(in crate::config) fingerprint: Option<String>,
    pub(in crate::config) labels: Option<String>,
    pub(in crate::config) annotations: Option<String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct WebhookSource {
    pub(in crate::config) path: Placed<String>,
    #[serde(default)]
    pub(in crate::config) format: Format,
    pub(in crate::config) fields: Option<Placed<Fields>>,
    pub(in crate::config) bearer_file: Option<Placed<PathBuf>>,
    pub(in crate::config) basic: Option<Placed<Basic>>,
    pub(in crate::config) hmac: Option<Placed<Hmac>>,
    pub(in crate::config) client_certificate: Option<Placed<ClientCertificate>>,
    pub(in crate::config) max_event_age: Option<Placed<Span>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Basic {
    pub(in crate::config) username: Placed<String>,
    pub(in crate::config) password_file: Placed<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hmac {
    pub(in crate::config) secret_file: Placed<PathBuf>,
    pub(in crate::config) header: Option<Placed<String>>,
    pub(in crate::config) timestamp_header: Option<Placed<String>>,
    pub(in crate::config) tolerance: Option<Placed<Span>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ClientCertificate {
    Required,
}
