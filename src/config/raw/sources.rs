//! What a file may say of sources.

use std::path::PathBuf;

use serde::Deserialize;

use crate::yaml::Placed;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Source {
    Mqtt(MqttSource),
    Webhook(WebhookSource),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct MqttSource {
    pub(in crate::config) url: Placed<String>,
    pub(in crate::config) topics: Placed<Vec<Topic>>,
    pub(in crate::config) client_id: Option<Placed<String>>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password_file: Option<Placed<PathBuf>>,
    pub(in crate::config) ca_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Topic {
    pub(in crate::config) filter: Placed<String>,
    #[serde(default)]
    pub(in crate::config) format: Format,
    pub(in crate::config) fields: Option<Placed<Fields>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
#[derive(Clone, Debug, Default, Deserialize)]
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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct WebhookSource {
    pub(in crate::config) path: Placed<String>,
    #[serde(default)]
    pub(in crate::config) format: Format,
    pub(in crate::config) fields: Option<Placed<Fields>>,
    pub(in crate::config) bearer_file: Option<Placed<PathBuf>>,
}
