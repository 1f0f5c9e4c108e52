//! What a rule file may say. All else is a mistake.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Compression, FileFormat, OnResolved};
use crate::units::{Bytes, Span};
use crate::yaml::{List, Placed, Version};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    #[serde(rename = "version")]
    pub(super) _version: Version<1>,
    pub(super) rules: Vec<Placed<Rule>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: Placed<String>,
    pub(super) description: Option<String>,
    pub(super) source: Option<List<Placed<String>>>,
    #[serde(rename = "match", default)]
    pub(super) matchers: Vec<Placed<String>>,
    #[serde(default)]
    pub(super) group_by: Vec<Placed<String>>,
    pub(super) cooldown: Option<Placed<Span>>,
    pub(super) on_resolved: Option<OnResolved>,
    #[serde(default)]
    pub(super) capture: Capture,
    pub(super) storage: Option<Placed<String>>,
    pub(super) notify: Option<Vec<Placed<String>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Capture {
    pub(super) interfaces: Option<Placed<Vec<Placed<String>>>>,
    pub(super) look_back: Option<Span>,
    #[serde(default)]
    pub(super) filters: Vec<Placed<Entry>>,
    pub(super) bpf: Option<Placed<String>>,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) format: Option<Placed<FileFormat>>,
    pub(super) compression: Option<Compression>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) protocol: Option<Placed<String>>,
    pub(super) local_ip: Option<Placed<String>>,
    pub(super) remote_ip: Option<Placed<String>>,
    pub(super) local_port: Option<Placed<String>>,
    pub(super) remote_port: Option<Placed<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) duration: Option<Placed<Span>>,
    pub(super) bytes: Option<Placed<Bytes>>,
    pub(super) packets: Option<Placed<u64>>,
    pub(super) bytes_per_packet: Option<u32>,
    pub(super) segment_bytes: Option<Placed<Bytes>>,
    pub(super) keep_segments: Option<Placed<u32>>,
}
