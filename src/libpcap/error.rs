//! What goes wrong with libpcap, in sentences for users.

use std::path::PathBuf;

/// Why an expression was not compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no packet can pass")]
    SelectsNothing,
    #[error("{reason}")]
    Expression { reason: String },
    #[error("unreadable instruction '{instruction}'")]
    Unreadable { instruction: String },
}

/// Why there are no packets, or no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "capturing on '{device}' needs {capability}: run `setcap {}+ep <path of hindsight>`, or set \
         AmbientCapabilities={capability} in the service unit", capability.to_lowercase()
    )]
    Privilege { device: String, capability: &'static str },
    #[error("libpcap cannot open '{device}': {reason}")]
    Device { device: String, reason: String },
    #[error("'{device}' cannot be the name of a device: it holds a zero byte")]
    Name { device: String },
    #[error("libpcap cannot read {}: {reason}; it takes pcap and pcapng files", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{} cannot be opened: libpcap takes only paths in UTF-8; rename the file", path.display())]
    Path { path: PathBuf },
    #[error("'{of}' has packets of a kind that files have no number for (DLT {number})")]
    LinkType { of: String, number: i32 },
    #[error("libpcap does not take the filter for '{device}' ({reason}): '{expression}'")]
    Filter { device: String, expression: String, reason: String },
    #[error("reading packets: {reason}")]
    Read { reason: String },
    #[error("reading the drop counter: {reason}")]
    Counts { reason: String },
}

/// libpcap's own words, without the crate's.
pub(super) fn reason(error: pcap::Error) -> String {
    if let pcap::Error::PcapError(text) = error {
        return text;
    }
    if matches!(error, pcap::Error::InvalidInputString) {
        return "the text holds a zero byte".to_owned();
    }
    error.to_string()
}
