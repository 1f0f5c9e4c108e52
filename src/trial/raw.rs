//! What a fixture file may say. All else is a mistake.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{Status, StopReason};
use crate::units::Span;
use crate::yaml::{List, Named, Placed, Version};

use super::moment::Moment;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FixtureFile {
    #[serde(rename = "version")]
    pub(super) _version: Option<Version<1>>,
    pub(super) rules: Option<List<Placed<String>>>,
    pub(super) interfaces: Option<Vec<Placed<String>>>,
    pub(super) host: Option<Placed<Host>>,
    pub(super) tests: Placed<Vec<Placed<Test>>>,
}

/// The host that the rules are tried on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: Option<String>,
    pub(super) labels: Option<Named<String>>,
    pub(super) aliases: Option<List<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    pub(super) name: Placed<String>,
    pub(super) start: Option<WallTime>,
    pub(super) steps: Placed<Vec<Placed<Step>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) at: Placed<Span>,
    #[serde(default)]
    pub(super) events: Vec<Placed<Event>>,
    pub(super) expect: Option<Vec<Placed<Expected>>>,
    #[serde(default)]
    pub(super) captures: Vec<Placed<Expected>>,
    pub(super) ended: Option<Vec<Placed<Ended>>>,
}

/// An event in our own words, or the message of a producer as it was sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    pub(super) source: Option<String>,
    pub(super) name: Option<String>,
    pub(super) status: Option<Status>,
    pub(super) severity: Option<String>,
    pub(super) labels: Option<Named<String>>,
    pub(super) annotations: Option<Named<String>>,
    pub(super) value: Option<Number>,
    pub(super) starts_at: Option<Moment>,
    pub(super) fingerprint: Option<String>,
    pub(super) payload: Option<Placed<String>>,
    pub(super) file: Option<Placed<String>>,
    pub(super) format: Option<Placed<String>>,
}

impl Event {
    /// Whether it says anything in our own words.
    pub(super) const fn has_fields(&self) -> bool {
        self.name.is_some()
            || self.status.is_some()
            || self.severity.is_some()
            || self.labels.is_some()
            || self.annotations.is_some()
            || self.value.is_some()
            || self.starts_at.is_some()
            || self.fingerprint.is_some()
    }
}

/// What has to be decided, and of the plan what matters to the test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) rule: Option<Placed<String>>,
    pub(super) decision: Option<Word>,
    /// Since the start of the test.
    pub(super) at: Option<Span>,
    pub(super) reason: Option<String>,
    pub(super) interfaces: Option<Vec<String>>,
    pub(super) filters: Option<Vec<Placed<Entry>>>,
    pub(super) bpf: Option<String>,
    pub(super) look_back: Option<Span>,
    pub(super) duration: Option<Span>,
    pub(super) storage: Option<String>,
    pub(super) notify: Option<Vec<String>>,
    pub(super) left_out: Option<Vec<String>>,
}

/// An entry of a filter, its places filled.
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

/// A capture that has ended since the step before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    pub(super) rule: Placed<String>,
    pub(super) reason: Option<EndReason>,
    /// How long after its trigger.
    pub(super) after: Option<Span>,
}

/// Why a pretended capture ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndReason {
    Time,
    Resolved,
}

/// [`Decision::word`](crate::model::Decision::word), of those that an event can meet here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    #[default]
    Capture,
    Coalesced,
    Extended,
    Queued,
    Held,
    DryRun,
    Suppressed,
    Refused,
    Expired,
    NoMatch,
    Rejected,
}

impl Word {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Coalesced => "coalesced",
            Self::Extended => "extended",
            Self::Queued => "queued",
            Self::Held => "held",
            Self::DryRun => "dry_run",
            Self::Suppressed => "suppressed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::NoMatch => "no_match",
            Self::Rejected => "rejected",
        }
    }

    /// Whether it is said of a rule.
    pub(super) const fn is_of_a_rule(self) -> bool {
        !matches!(self, Self::NoMatch | Self::Rejected)
    }
}

/// A number as people write it: the YAML room gives text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                let wrong = || E::custom(format!("`{text}` is no number, as in 0.07 or 12e3"));
                number.map(Number).ok_or_else(wrong)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// The pairs of a mapping of names.
pub(super) fn pairs(named: Option<&Named<String>>) -> BTreeMap<String, String> {
    let pairs = named.into_iter().flat_map(|named| &named.0);
    pairs.map(|(name, value)| (name.value.clone(), value.clone())).collect()
}

impl EndReason {
    /// The reason in the words of a fixture; nothing where it has none.
    pub(super) const fn of(reason: StopReason) -> Option<Self> {
        if matches!(reason, StopReason::TimeExceeded) {
            Some(Self::Time)
        } else if matches!(reason, StopReason::AlertResolved) {
            Some(Self::Resolved)
        } else {
            None
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Resolved => "resolved",
        }
    }
}
