//! What a rule file may say. All else is a mistake.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::model::{Compression, FileFormat, OnResolved};
use crate::rules::{OnMissing, OnRunning};
use crate::units::{self, Bytes, Span};
use crate::yaml::{List, Place, Placed, Version};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    #[serde(rename = "version")]
    pub(super) _version: Version<1>,
    pub(super) rules: Vec<Placed<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: Placed<String>,
    pub(super) description: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) source: Option<Placed<List<Placed<String>>>>,
    #[serde(rename = "match")]
    pub(super) matchers: Option<Placed<Vec<Placed<String>>>>,
    pub(super) when: Option<Placed<String>>,
    pub(super) host: Option<Placed<Host>>,
    #[serde(rename = "for")]
    pub(super) hold: Option<Placed<Span>>,
    pub(super) times: Option<Placed<Times>>,
    pub(super) group_by: Option<Placed<Vec<Placed<String>>>>,
    pub(super) cooldown: Option<Placed<Span>>,
    pub(super) max_captures: Option<Placed<MaxCaptures>>,
    pub(super) while_running: Option<Placed<OnRunning>>,
    pub(super) on_resolved: Option<Placed<OnResolved>>,
    pub(super) active: Option<Placed<Active>>,
    pub(super) schedule: Option<Placed<Schedule>>,
    pub(super) dry_run: Option<bool>,
    #[serde(default)]
    pub(super) capture: Capture,
    pub(super) storage: Option<Placed<String>>,
    pub(super) notify: Option<Vec<Placed<String>>>,
}

/// Which hosts a rule is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    #[serde(rename = "match")]
    pub(super) matchers: Option<Placed<Vec<Placed<String>>>>,
    pub(super) named_by: Option<Placed<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Times {
    pub(super) count: Placed<u32>,
    pub(super) within: Placed<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MaxCaptures {
    pub(super) count: Placed<u32>,
    pub(super) per: Placed<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Active {
    pub(super) cron: Placed<List<Placed<String>>>,
    pub(super) timezone: Option<Placed<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Schedule {
    pub(super) cron: Placed<String>,
    pub(super) timezone: Option<Placed<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capture {
    pub(super) interfaces: Option<Placed<Vec<Placed<String>>>>,
    pub(super) look_back: Option<Placed<LookBack>>,
    pub(super) on_missing: Option<OnMissing>,
    #[serde(default)]
    pub(super) filters: Vec<Placed<Entry>>,
    pub(super) bpf: Option<Placed<String>>,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) format: Option<Placed<FileFormat>>,
    pub(super) compression: Option<Compression>,
}

/// How far back a capture reaches.
#[derive(Debug)]
pub(super) enum LookBack {
    /// A duration before the event.
    Length(OpenSpan),
    /// A duration before what the event names.
    From(Before),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    #[serde(rename = "from")]
    pub(super) _from: Anchor,
    pub(super) by: Placed<Span>,
}

/// An instant that an event names.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Anchor {
    StartsAt,
}

impl<'de> Deserialize<'de> for LookBack {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = LookBack;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration, or { from: starts_at, by: DURATION }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<LookBack, E> {
                OpenSpan::try_from(text.to_owned()).map(LookBack::Length).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LookBack, A::Error> {
                Before::deserialize(MapAccessDeserializer::new(map)).map(LookBack::From)
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) protocol: Option<Placed<String>>,
    pub(super) local_ip: Option<Placed<String>>,
    pub(super) remote_ip: Option<Placed<String>>,
    pub(super) local_port: Option<Placed<String>>,
    pub(super) remote_port: Option<Placed<String>>,
    pub(super) mac: Option<Placed<String>>,
}

impl Entry {
    /// The texts of its fields, where they are given.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Placed<String>> {
        let fields = [
            &self.protocol,
            &self.local_ip,
            &self.remote_ip,
            &self.local_port,
            &self.remote_port,
            &self.mac,
        ];
        fields.into_iter().flatten()
    }
}

impl Capture {
    /// Where an event would have to fill something in.
    pub(super) fn open_places(&self) -> impl Iterator<Item = Place> {
        let interfaces = self.interfaces.iter().flat_map(|names| &names.value);
        let fields = self.filters.iter().flat_map(|entry| entry.value.texts());
        let texts = interfaces.chain(fields).map(|text| (text.value.as_str(), text.place));
        let open = texts.filter(|(text, _)| text.contains("${")).map(|(_, place)| place);
        let look_back = self.look_back.iter().filter_map(|given| match &given.value {
            LookBack::Length(OpenSpan::Open(_)) => Some(given.place),
            LookBack::Length(OpenSpan::Given(_)) | LookBack::From(_) => None,
        });
        let duration = self.limits.duration.iter().filter_map(|given| match &given.value {
            OpenSpan::Open(_) => Some(given.place),
            OpenSpan::Given(_) => None,
        });
        open.chain(look_back).chain(duration)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) duration: Option<Placed<OpenSpan>>,
    pub(super) max_duration: Option<Placed<Span>>,
    pub(super) bytes: Option<Placed<Bytes>>,
    pub(super) packets: Option<Placed<u64>>,
    pub(super) bytes_per_packet: Option<u32>,
    pub(super) segment_bytes: Option<Placed<Bytes>>,
    pub(super) keep_segments: Option<Placed<u32>>,
}

/// A duration, or the placeholder of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum OpenSpan {
    Given(Span),
    Open(String),
}

impl TryFrom<String> for OpenSpan {
    type Error = units::Error;

    fn try_from(text: String) -> Result<Self, units::Error> {
        if text.contains("${") { Ok(Self::Open(text)) } else { text.parse().map(Self::Given) }
    }
}
