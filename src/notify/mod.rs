//! Notices: CloudEvents over MQTT and HTTP, at least once, with a stable idempotency key.

use std::path::PathBuf;

/// Settings of one named notifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    Mqtt(MqttSettings),
    Webhook(WebhookSettings),
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
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

/// Notices by HTTP POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The address; not both of these are given.
    pub url: Option<String>,
    /// A file that holds the address, for addresses that are secrets.
    pub url_file: Option<PathBuf>,
    pub bearer_file: Option<PathBuf>,
}
