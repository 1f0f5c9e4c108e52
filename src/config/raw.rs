//! What a configuration file may say. All else is a mistake.
//!
//! Every key is optional but `version`: what is absent comes from the embedded default, key by key;
//! a list or a mapping of names replaces the default's as a whole.

mod free;
mod notifiers;
mod sources;
mod storages;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use free::Free;
pub(super) use notifiers::{
    EmailNotifier, HeaderText, MqttNotifier, Notifier, Signing, Template, WebhookNotifier,
};
pub(super) use sources::{Fields, Format, Hmac, MqttSource, Protocol, Source, WebhookSource};
pub(super) use storages::{Azure, Http, S3, Storage, Verify};

use super::interfaces::Interfaces;
use super::listen::RawListen;
use crate::model::{Compression, FileFormat, OnResolved};
use crate::rules::{OnMissing, OnRunning};
use crate::telemetry::LogFormat;
use crate::units::{Bytes, Span};
use crate::yaml::{List, Named, Placed, Version};

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
    pub(super) dry_run: Option<bool>,
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(default)]
    pub(super) ceilings: Ceilings,
    #[serde(default)]
    pub(super) retention: Retention,
    #[serde(default)]
    pub(super) control: Control,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: Option<Placed<String>>,
    pub(super) labels: Option<Placed<Named<Placed<String>>>>,
    pub(super) aliases: Option<Placed<List<Placed<String>>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<Placed<String>>,
    pub(super) format: Option<LogFormat>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OnDemand {
    pub(super) memory: Option<Placed<Bytes>>,
    pub(super) promiscuous: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    #[serde(default)]
    pub(super) capture: DefaultCapture,
    pub(super) on_resolved: Option<OnResolved>,
    pub(super) while_running: Option<OnRunning>,
    pub(super) storage: Option<Placed<String>>,
    pub(super) notify: Option<Vec<Placed<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultCapture {
    pub(super) look_back: Option<Placed<Span>>,
    pub(super) on_missing: Option<OnMissing>,
    #[serde(default)]
    pub(super) limits: DefaultLimits,
    pub(super) format: Option<FileFormat>,
    pub(super) compression: Option<Compression>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultLimits {
    pub(super) duration: Option<Placed<Span>>,
    pub(super) max_duration: Option<Placed<Span>>,
    pub(super) bytes: Option<Placed<Bytes>>,
    pub(super) segment_bytes: Option<Placed<Bytes>>,
    pub(super) keep_segments: Option<Placed<u32>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ceilings {
    pub(super) duration: Option<Placed<Span>>,
    pub(super) bytes: Option<Placed<Bytes>>,
    pub(super) memory: Option<Placed<Bytes>>,
    pub(super) concurrent: Option<Placed<u32>>,
    pub(super) captures_per_hour: Option<Placed<u32>>,
    pub(super) spool: Option<Placed<Bytes>>,
    pub(super) free_disk: Option<Placed<Free>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retention {
    pub(super) age: Option<Span>,
    pub(super) size: Option<Bytes>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    pub(super) socket: Option<Placed<PathBuf>>,
    pub(super) listen: Option<Vec<Placed<RawListen>>>,
}
