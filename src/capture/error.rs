//! What goes wrong in the engine, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::{filter, libpcap, pcapng, ring};

/// Why the engine could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no interface '{name}'; this host has {known}")]
    NoInterface { name: String, known: String },
    #[error("interface '{name}' is neither Ethernet nor loopback; only these can be recorded")]
    LinkType { name: String },
    #[error("reading the list of interfaces")]
    Interfaces(#[source] io::Error),
    #[error("recording on '{interface}'")]
    Ring {
        interface: String,
        #[source]
        source: ring::Error,
    },
    /// Its own sentence names the device or the file.
    #[error(transparent)]
    Source(#[from] libpcap::Error),
    #[error("the filter for '{interface}'")]
    Filter {
        interface: String,
        #[source]
        source: filter::Error,
    },
    #[error("interface '{interface}' is away: {why}")]
    Away { interface: String, why: String },
    #[error("'{name}' was not read to its end: {why}")]
    Cut { name: String, why: String },
    #[error("{doing} {}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("finding the whole packets of {}", path.display())]
    Recovery {
        path: PathBuf,
        #[source]
        source: pcapng::Error,
    },
    #[error(
        "a limit of {limit} bytes leaves no room for packets; the file's own records take {own}"
    )]
    NoRoom { limit: u64, own: u64 },
    #[error("starting the thread '{name}'")]
    Thread {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "a pcap file has room for one interface, and the capture has {count}; write pcapng, or \
         capture each interface alone"
    )]
    OneInterface { count: usize },
    #[error(
        "rings of {wanted_mib} MiB are more than this host can give, which is {most_mib} MiB; write \
         less `memory` for each interface"
    )]
    HostMemory { wanted_mib: u64, most_mib: u64 },
    #[error("sealing a file failed inside; the log says where")]
    Sealing,
    #[error(
        "{wanted_mib} MiB for {purpose} would exceed the budget of {budget_mib} MiB, of which \
         {used_mib} MiB are in use; raise `ceilings.memory`, or capture less at one time"
    )]
    Budget { purpose: &'static str, wanted_mib: u64, used_mib: u64, budget_mib: u64 },
    #[error("{running} captures run already, the most that the engine takes")]
    TooMany { running: usize },
}

impl Error {
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }

    /// Whether the disk, or our share of it, is full.
    pub fn is_no_space(&self) -> bool {
        let Self::File { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the interface may come back by itself.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::NoInterface { .. } | Self::Away { .. })
    }

    /// The error and all its causes in one sentence.
    pub fn sentence(&self) -> String {
        let mut sentence = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            sentence.push_str(": ");
            sentence.push_str(&error.to_string());
            cause = error.source();
        }
        sentence
    }
}
