//! What a rule file may say. All else is a mistake.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::model::{Compression, FileFormat, OnResolved};
use crate::rules::{OnMissing, OnRunning};
use crate::units::{self, Bytes, Span};
use crate::yaml::{List, Place, Placed, Version};

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
    /// Unique in the whole set: lower-case letters, digits, `.`, `_` and `-`, at most 64.
    pub(super) name: Placed<String>,
    /// What it is for, in a sentence for people.
    pub(super) description: Option<String>,
    /// `false`: the rule is listed and never acts.
    pub(super) enabled: Option<bool>,
    /// Names of sources; absent: any.
    pub(super) source: Option<Placed<List<Placed<String>>>>,
    /// Alertmanager's matchers, such as `severity =~ "warning|critical"`; all have to hold.
    #[serde(rename = "match")]
    pub(super) matchers: Option<Placed<Vec<Placed<String>>>>,
    /// A condition in CEL over the event, asked after `match`: `value > 0.05 && labels.env == "prod"`.
    pub(super) when: Option<Placed<String>>,
    /// Which hosts the rule is for.
    pub(super) host: Option<Placed<Host>>,
    /// The group has to go on so long after its first event.
    #[serde(rename = "for")]
    pub(super) hold: Option<Placed<Span>>,
    /// The group has to come so often; with `for` as well, what comes first is enough.
    pub(super) times: Option<Placed<Times>>,
    /// Labels whose values make events one incident; absent: each alert is one.
    pub(super) group_by: Option<Placed<Vec<Placed<String>>>>,
    /// How long after a capture began its group makes no other one; needs `group_by`.
    pub(super) cooldown: Option<Placed<Span>>,
    /// How many captures the rule begins within any such time, over all its groups.
    pub(super) max_captures: Option<Placed<MaxCaptures>>,
    /// What further events of the group do to the capture that runs.
    pub(super) while_running: Option<Placed<OnRunning>>,
    /// What the end of the alert does to the capture that runs.
    pub(super) on_resolved: Option<Placed<OnResolved>>,
    /// When the rule lets events through; absent: always.
    pub(super) active: Option<Placed<Active>>,
    /// When the rule captures by itself; stands instead of `source`, `match` and what belongs to them.
    pub(super) schedule: Option<Placed<Schedule>>,
    /// `true`: decide, record and tell, and capture nothing.
    pub(super) dry_run: Option<bool>,
    /// What is captured.
    #[serde(default)]
    pub(super) capture: Capture,
    /// The name of a storage.
    pub(super) storage: Option<Placed<String>>,
    /// Names of notifiers.
    pub(super) notify: Option<Vec<Placed<String>>>,
}

/// Which hosts a rule is for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    /// Matchers over the labels of this host; all have to hold.
    #[serde(rename = "match")]
    pub(super) matchers: Option<Placed<Vec<Placed<String>>>>,
    /// The label of the event that has to name this host.
    pub(super) named_by: Option<Placed<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Times {
    /// 2 to 1000 events.
    pub(super) count: Placed<u32>,
    /// At most 24 hours.
    pub(super) within: Placed<Span>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MaxCaptures {
    /// 1 to 1000 captures.
    pub(super) count: Placed<u32>,
    /// At most 31 days.
    pub(super) per: Placed<Span>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Active {
    /// Cron expressions with seconds first; what arrives in a second of one of them is let through.
    pub(super) cron: Placed<List<Placed<String>>>,
    /// A zone such as `Europe/Berlin`; absent: UTC.
    pub(super) timezone: Option<Placed<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Schedule {
    /// A cron expression with seconds first: `second minute hour day month weekday`.
    pub(super) cron: Placed<String>,
    /// A zone such as `Europe/Berlin`; absent: UTC.
    pub(super) timezone: Option<Placed<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Capture {
    /// Names of interfaces, or `${labels.dev | iface}`; absent: all that are recorded.
    pub(super) interfaces: Option<Placed<Vec<Placed<String>>>>,
    /// How far it reaches back: before the event, or before the instant at which the alert began.
    pub(super) look_back: Option<Placed<LookBack>>,
    /// What is done where the event lacks a value that a placeholder asks for.
    pub(super) on_missing: Option<OnMissing>,
    /// Which packets: the fields of an entry all hold, one of the entries is enough.
    #[serde(default)]
    pub(super) filters: Vec<Placed<Entry>>,
    /// A tcpdump expression; it holds beside `filters`.
    pub(super) bpf: Option<Placed<String>>,
    /// What ends it, whichever comes first.
    #[serde(default)]
    pub(super) limits: Limits,
    /// `pcapng`, or `pcap` for one interface.
    pub(super) format: Option<Placed<FileFormat>>,
    /// `none` or `zstd`.
    pub(super) compression: Option<Compression>,
}

/// How far back a capture reaches.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum LookBack {
    /// A duration before the event.
    Length(OpenSpan),
    /// A duration before what the event names.
    From(Before),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    #[serde(rename = "from")]
    pub(super) _from: Anchor,
    /// How far before that instant.
    pub(super) by: Placed<Span>,
}

/// An instant that an event names.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// `tcp`, `udp`, `icmp`, ... or a number.
    pub(super) protocol: Option<Placed<String>>,
    /// An address of this host: an address, a network, `a-b`, a list `a;b`, or `${labels.x | ip}`.
    pub(super) local_ip: Option<Placed<String>>,
    /// An address of the other side, in the same forms.
    pub(super) remote_ip: Option<Placed<String>>,
    /// A port of this host: `443`, `8000-8999`, `80;443`, or `${labels.x | port}`.
    pub(super) local_port: Option<Placed<String>>,
    /// A port of the other side, in the same forms.
    pub(super) remote_port: Option<Placed<String>>,
    /// A hardware address of either side, or `${labels.x | mac}`.
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// How long it goes on after its trigger.
    pub(super) duration: Option<Placed<OpenSpan>>,
    /// How long at most where it is extended; absent: 5 times `duration`.
    pub(super) max_duration: Option<Placed<Span>>,
    /// The most that its files hold together.
    pub(super) bytes: Option<Placed<Bytes>>,
    /// The most packets that it writes.
    pub(super) packets: Option<Placed<u64>>,
    /// How much of each packet is kept; 0: all of it.
    pub(super) bytes_per_packet: Option<u32>,
    /// The most that one file holds; it goes on in the next.
    pub(super) segment_bytes: Option<Placed<Bytes>>,
    /// A ring of files: only so many are kept, the newest.
    pub(super) keep_segments: Option<Placed<u32>>,
}

/// A duration, or the placeholder of one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = r"^(([0-9]+(w|d|h|m|s|ms))+|\$\{.*\})$"))]
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
