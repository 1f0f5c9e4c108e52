//! All that a capture needs, resolved.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::filter::Filter;
use crate::model::{EventId, IncidentId};

/// What ends a capture, whichever comes first. Time and bytes always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long it goes on after the trigger.
    pub duration: Duration,
    /// The most that its files may hold together, in bytes of file.
    pub bytes: u64,
    /// The most packets it writes; absent: as many as come.
    pub packets: Option<u64>,
    /// How much of each packet is kept, in bytes; 0 keeps the whole packet.
    pub bytes_per_packet: u32,
    /// Absent: one file, however large.
    #[serde(default)]
    pub segments: Option<SegmentLimits>,
}

/// How a capture is divided into files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentLimits {
    /// The most that one file holds, in bytes.
    pub bytes: u64,
    /// A ring of files: only so many are kept, the newest, and [`Limits::bytes`] counts these.
    /// Absent: all are kept.
    pub keep: Option<u32>,
}

/// How the files of a capture are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileForm {
    pub format: FileFormat,
    pub compression: Compression,
}

/// The format of a file of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    #[default]
    Pcapng,
    /// The classic format with stamps in nanoseconds: one interface, no comments, no counts of what
    /// was lost.
    Pcap,
}

/// How a file is packed once it is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    None,
    Zstd,
}

impl FileForm {
    /// What the names of such files end in, without the first dot.
    pub const fn extension(self) -> &'static str {
        match (self.format, self.compression) {
            (FileFormat::Pcapng, Compression::None) => "pcapng",
            (FileFormat::Pcapng, Compression::Zstd) => "pcapng.zst",
            (FileFormat::Pcap, Compression::None) => "pcap",
            (FileFormat::Pcap, Compression::Zstd) => "pcap.zst",
        }
    }
}

/// What the end of the alert does to a capture that runs for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnResolved {
    /// It ends as [`StopReason::AlertResolved`](crate::model::StopReason::AlertResolved).
    Stop,
    /// It goes on to its limits.
    #[default]
    Keep,
}

/// Where a person wants the files of a capture; what a rule or an event says is never here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placing {
    /// The object's name in the storage, up to the number of the segment and the ending, instead of
    /// the one that is made of date, incident and host.
    pub object: Option<String>,
    /// An absolute path on this host that gets a copy as well; segments after the first have their
    /// number before the ending.
    pub local_file: Option<PathBuf>,
}

/// What to capture, where to put it and whom to tell: no placeholder and no default is left in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapturePlan {
    /// The rule that made it.
    pub rule: String,
    pub incident: IncidentId,
    /// The event that made it, with the name and the labels that are written into the file.
    pub event: EventId,
    pub event_name: String,
    /// The event as JSON, for the comment in the file: [`Event::shown`](crate::model::Event::shown).
    /// Empty for a capture that no event has caused, and in a plan that is only proposed.
    pub event_json: String,
    /// The host that captures.
    pub host: String,
    /// Names of interfaces; at least one, each once.
    pub interfaces: Vec<String>,
    /// The instant of the event's arrival: packets before it are the look-back.
    pub trigger_at: WallTime,
    /// How far before [`trigger_at`](Self::trigger_at) the capture reaches.
    pub look_back: Duration,
    pub filter: Filter,
    pub limits: Limits,
    #[serde(default)]
    pub file: FileForm,
    /// The name of a configured storage; empty where a person wants the local file alone.
    pub storage: String,
    /// The names of configured notifiers.
    pub notify: Vec<String>,
    /// Where else, and under which name, its files go.
    #[serde(default)]
    pub placing: Placing,
    #[serde(default)]
    pub on_resolved: OnResolved,
    /// What the rule asks for and the event could not fill in, each with the reason: printable ASCII,
    /// one place a line. The capture goes without it, as its rule allows.
    #[serde(default)]
    pub left_out: Vec<String>,
}

impl CapturePlan {
    /// The first instant asked for.
    pub fn from(&self) -> WallTime {
        self.trigger_at - self.look_back
    }

    /// Whether a person began it, and no event.
    pub const fn is_by_hand(&self) -> bool {
        self.event_json.is_empty()
    }

    /// The instant at which the time limit ends it.
    pub fn until(&self) -> WallTime {
        self.trigger_at + self.limits.duration
    }
}
