//! Why `hindsight dump` did not do what it was told, or not all of it.

use std::io;
use std::path::PathBuf;

use crate::cli::exit::Exit;
use crate::units::Bytes;
use crate::{capture, filter, telemetry};

/// Each message names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "-w is missing: name the file to write, as in -w capture.pcapng; to look at packets on the \
         screen: {pipe}"
    )]
    NoTarget { pipe: String },
    #[error("-i: name an interface, as in -i eth0 or -i eth0,eth1")]
    NoName,
    #[error(
        "this network has no default route whose interface could be taken; name one, as in -i eth0"
    )]
    NoDefaultRoute,
    #[error(
        "a file in the format pcap holds packets of one interface; write one that ends in .pcapng, \
         or name one interface"
    )]
    OneInterface,
    #[error(
        "--compression zstd: a file is packed once it is whole, and {name} takes packets as they \
         come; leave it out, and put `| zstd` behind the command"
    )]
    PackedStream { name: String },
    #[error(
        "--segment-bytes: {name} cannot be divided into files; leave it out, or write to one with \
         -w FILE"
    )]
    DividedStream { name: String },
    #[error("--duration: in no time nothing can be captured; write a time as in 30s or 5m")]
    NoTime,
    #[error("--memory: {given} hold no packets; write at least 1MiB, as in --memory 64MiB")]
    TooLittleMemory { given: Bytes },
    #[error(
        "standard output is a terminal, which cannot show packets as they are; put `| tcpdump -r -` \
         behind the command, or name a file with -w"
    )]
    Terminal,
    #[error("{origin}: {source}")]
    Entries { origin: String, source: filter::JsonError },
    #[error("{path} holds more than {limit} bytes, which no list of entries has")]
    TooManyEntries { path: PathBuf, limit: usize },
    #[error("the packets to take cannot be told")]
    Filter(#[source] filter::Error),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is a directory; name a file in it, as in -w {}", path.display(), path.join("capture.pcapng").display())]
    Directory { path: PathBuf },
    #[error("cannot use standard output")]
    Stdout(#[source] io::Error),
    #[error("the log cannot be set up")]
    Telemetry(#[from] telemetry::Error),
    #[error("cannot start the async runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("{}", .0.sentence())]
    Engine(capture::Error),
    #[error("cannot record on {interface}: {why}")]
    NotRecording { interface: String, why: String },
    /// The capture said so itself.
    #[error("{0}")]
    Capture(String),
    #[error("the capture ended without a word; the log says why")]
    Silent,
    #[error("stopped by a second signal before the end of {target} was written")]
    Impatient { target: String },
}

impl Error {
    /// The exit code that says so.
    pub(in crate::cli) const fn exit(&self) -> Exit {
        match self {
            Self::NoTarget { .. }
            | Self::NoName
            | Self::OneInterface
            | Self::PackedStream { .. }
            | Self::DividedStream { .. }
            | Self::NoTime
            | Self::TooLittleMemory { .. }
            | Self::Terminal
            | Self::Entries { .. }
            | Self::TooManyEntries { .. }
            | Self::Filter(_)
            | Self::Directory { .. } => Exit::Usage,
            Self::NoDefaultRoute
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Stdout(_)
            | Self::Telemetry(_)
            | Self::Runtime(_)
            | Self::Signals(_)
            | Self::Engine(_)
            | Self::NotRecording { .. }
            | Self::Capture(_)
            | Self::Silent
            | Self::Impatient { .. } => Exit::Failed,
        }
    }
}
