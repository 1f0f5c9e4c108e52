//! What a configuration file may say. All else is a mistake.
//!
//! Every key is optional but `version`: what is absent comes from the embedded default, key by key;
//! a list or a mapping of names replaces the default's as a whole.

use std::path::PathBuf;

use serde::Deserialize;

use super::interfaces::Interfaces;
use crate::model::{Compression, FileFormat};
use crate::telemetry::LogFormat;
use crate::units::{Bytes, Span};
use crate::yaml::{Named, Placed, Version};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(rename = "version")]
    pub(super) _version: Version<1>,
    #[serde(default)]
    pub(super) host: Host,
    pub(super) state: Option<Placed<PathBuf>>,
    #[serde(default)]
    pub(super) log: Log,
    #[serde(default)]
    pub(super) recorder: Recorder,
    pub(super) sources: Option<Named<Placed<Source>>>,
    pub(super) storages: Option<Named<Placed<Storage>>>,
    pub(super) notifiers: Option<Named<Placed<Notifier>>>,
    pub(super) rules: Option<Vec<Placed<PathBuf>>>,
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(default)]
    pub(super) ceilings: Ceilings,
    #[serde(default)]
    pub(super) control: Control,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: Option<Placed<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<Placed<String>>,
    pub(super) format: Option<LogFormat>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorder {
    pub(super) interfaces: Option<Placed<Interfaces>>,
    pub(super) memory: Option<Placed<Bytes>>,
    pub(super) bytes_per_packet: Option<u32>,
    pub(super) promiscuous: Option<bool>,
    #[serde(default)]
    pub(super) on_demand: OnDemand,
}

/// The rings that are made for one capture, on interfaces without a recorder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnDemand {
    pub(super) memory: Option<Placed<Bytes>>,
    pub(super) promiscuous: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    Mqtt(MqttSource),
    Webhook(WebhookSource),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MqttSource {
    pub(super) url: Placed<String>,
    pub(super) topics: Placed<Vec<Topic>>,
    pub(super) client_id: Option<Placed<String>>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<Placed<PathBuf>>,
    pub(super) ca_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Topic {
    pub(super) filter: Placed<String>,
    pub(super) format: Format,
    pub(super) fields: Option<Placed<Fields>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Alertmanager,
    Json,
}

/// Which fields of a JSON object say what, as dotted paths.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    pub(super) name: Option<String>,
    pub(super) status: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) value: Option<String>,
    pub(super) starts_at: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) labels: Option<String>,
    pub(super) annotations: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookSource {
    pub(super) path: Placed<String>,
    pub(super) format: Format,
    pub(super) fields: Option<Placed<Fields>>,
    pub(super) bearer_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Storage {
    Directory(Directory),
    Azure(Azure),
    S3(S3),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Directory {
    pub(super) path: Placed<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Azure {
    pub(super) account: String,
    pub(super) container: String,
    pub(super) endpoint: Option<Placed<String>>,
    pub(super) account_key_file: Option<Placed<PathBuf>>,
    pub(super) sas_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct S3 {
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) endpoint: Option<Placed<String>>,
    pub(super) access_key_id: Option<Placed<String>>,
    pub(super) secret_access_key_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Notifier {
    Mqtt(MqttNotifier),
    Webhook(WebhookNotifier),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MqttNotifier {
    pub(super) url: Placed<String>,
    pub(super) topic: Placed<String>,
    pub(super) client_id: Option<Placed<String>>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<Placed<PathBuf>>,
    pub(super) ca_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookNotifier {
    pub(super) url: Option<Placed<String>>,
    pub(super) url_file: Option<Placed<PathBuf>>,
    pub(super) bearer_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    #[serde(default)]
    pub(super) capture: DefaultCapture,
    pub(super) storage: Option<Placed<String>>,
    pub(super) notify: Option<Vec<Placed<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultCapture {
    pub(super) look_back: Option<Span>,
    #[serde(default)]
    pub(super) limits: DefaultLimits,
    pub(super) format: Option<FileFormat>,
    pub(super) compression: Option<Compression>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultLimits {
    pub(super) duration: Option<Placed<Span>>,
    pub(super) bytes: Option<Placed<Bytes>>,
    pub(super) segment_bytes: Option<Placed<Bytes>>,
    pub(super) keep_segments: Option<Placed<u32>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ceilings {
    pub(super) duration: Option<Placed<Span>>,
    pub(super) bytes: Option<Placed<Bytes>>,
    pub(super) memory: Option<Placed<Bytes>>,
    pub(super) concurrent: Option<Placed<u32>>,
    pub(super) captures_per_hour: Option<Placed<u32>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    pub(super) socket: Option<Placed<PathBuf>>,
    pub(super) listen: Option<Vec<Placed<String>>>,
}
