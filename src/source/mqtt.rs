//! Events from an MQTT broker: QoS 1, persistent session, acknowledged after the commit.

use std::path::PathBuf;

use super::format::Format;

/// Settings of one MQTT source.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `mqtt://host:1883` or `mqtts://host:8883`.
    pub url: String,
    /// Fixed, so that the broker keeps the session; defaults to `hindsight-<host>-<source>`.
    pub client_id: String,
    pub topics: Vec<Topic>,
    pub username: Option<String>,
    /// Read at each connect, so that a rotated password is picked up.
    pub password_file: Option<PathBuf>,
    /// A file of PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// One subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// An MQTT topic filter, as in `alerts/#`.
    pub filter: String,
    pub format: Format,
}
