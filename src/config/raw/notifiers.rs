//! What a file may say of notifiers.

use std::path::PathBuf;

use serde::Deserialize;

use crate::yaml::Placed;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Notifier {
    Mqtt(MqttNotifier),
    Webhook(WebhookNotifier),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct MqttNotifier {
    pub(in crate::config) url: Placed<String>,
    pub(in crate::config) topic: Placed<String>,
    pub(in crate::config) client_id: Option<Placed<String>>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password_file: Option<Placed<PathBuf>>,
    pub(in crate::config) ca_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct WebhookNotifier {
    pub(in crate::config) url: Option<Placed<String>>,
    pub(in crate::config) url_file: Option<Placed<PathBuf>>,
    pub(in crate::config) bearer_file: Option<Placed<PathBuf>>,
}
