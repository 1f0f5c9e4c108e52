//! What `hindsight dump` may be told, with tcpdump's letters where tcpdump has them.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::units::{Bytes, Span};

#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    /// The interface to capture on; several with ',' between them or several times. Default: that of
    /// the default route.
    #[arg(
        short = 'i',
        long = "interface",
        value_name = "IFACE",
        value_delimiter = ',',
        conflicts_with = "read"
    )]
    pub(super) interfaces: Vec<String>,
    /// The file to write; `-` is standard output. It has its name once it is whole, and ends in
    /// `.part` until then.
    #[arg(short, long, value_name = "FILE")]
    pub(super) write: Option<PathBuf>,
    /// Take the packets of this file instead of an interface; `-` is standard input.
    #[arg(
        short,
        long,
        value_name = "FILE",
        conflicts_with_all = ["arm", "duration", "memory", "no_promiscuous"]
    )]
    pub(super) read: Option<PathBuf>,
    /// End after so many packets.
    #[arg(short, long, value_name = "COUNT")]
    pub(super) count: Option<NonZeroU64>,
    /// Keep so many bytes of each packet; 0 keeps the whole packet.
    #[arg(short, long = "snapshot-length", value_name = "BYTES", default_value_t = 0)]
    pub(super) snapshot_bytes: u32,
    /// Do not ask the interface for packets that are addressed to others.
    #[arg(short = 'p', long = "no-promiscuous-mode")]
    pub(super) no_promiscuous: bool,
    /// End after this time. Default: never.
    #[arg(long, value_name = "TIME")]
    pub(super) duration: Option<Span>,
    /// End before the files are larger than this together. Default: never.
    #[arg(long, value_name = "SIZE")]
    pub(super) bytes: Option<Bytes>,
    /// Begin another file before one is larger than this: FILE, FILE-1, FILE-2, the number before
    /// the ending.
    #[arg(long, value_name = "SIZE")]
    pub(super) segment_bytes: Option<Bytes>,
    /// Keep only so many files, the newest, at least 2; `--bytes` counts these.
    #[arg(
        long,
        value_name = "COUNT",
        requires = "segment_bytes",
        value_parser = clap::value_parser!(u32).range(2..)
    )]
    pub(super) keep_segments: Option<u32>,
    /// The format of the file. Default: by its ending, else pcapng.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) format: Option<FormatName>,
    /// How the file is packed once it is whole. Default: zstd if its name ends in `.zst`.
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) compression: Option<CompressionName>,
    /// The memory of each interface's ring. With --arm it holds the past, else bursts.
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub(super) memory: Bytes,
    /// Entries that select packets, as JSON: an object or a list of objects with protocol,
    /// localIPAddress, remoteIPAddress, localPort and remotePort.
    #[arg(long, value_name = "JSON")]
    pub(super) filter: Option<String>,
    /// A file with such entries; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) filter_file: Option<PathBuf>,
    /// Record in memory only, until Enter or SIGUSR1: then write the past and what follows.
    #[arg(long)]
    pub(super) arm: bool,
    /// How far the file reaches back from Enter or SIGUSR1. Default: 30s.
    #[arg(long, value_name = "TIME", requires = "arm")]
    pub(super) look_back: Option<Span>,
    /// Say nothing while it runs.
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// The form of the last line.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    pub(super) output: LastLine,
    /// Which packets, in tcpdump's language (pcap-filter(7)).
    #[arg(value_name = "EXPRESSION")]
    pub(super) expression: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  hindsight dump -i eth0 -w web.pcapng tcp port 443
  hindsight dump -i eth0 -w - not port 22 | tcpdump -nr -
  hindsight dump --arm --look-back 30s --duration 1m -w incident.pcapng";

/// A format, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatName {
    /// With comments, the counts of what was lost, and several interfaces.
    Pcapng,
    /// The classic one, for older programs.
    Pcap,
}

/// A compression, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CompressionName {
    None,
    Zstd,
}

/// The form of the last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LastLine {
    /// For people, on standard error.
    #[default]
    Text,
    /// For programs, on standard output; on standard error where packets go to standard output.
    Json,
}
