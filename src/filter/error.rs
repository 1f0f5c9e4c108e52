//! Why a filter is refused.

use std::io;
use std::time::Duration;

use super::program::Invalid;

/// How much of a refused text a message repeats, in characters.
const SHOWN_CHARS: usize = 120;

/// Each message names the field or the expression, the value, and the right form.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{field}: '{value}' is not an address; write an address as in 192.0.2.7, a range as in \
         192.0.2.1-192.0.2.9, a network as in 192.0.2.0/24, or several with ';' between them \
         (IPv6 as well; host names are never looked up)"
    )]
    NotAnAddress { field: String, value: String },
    #[error(
        "{field}: '{value}' is not a range of addresses; write two whole addresses, as in \
         192.0.2.1-192.0.2.9"
    )]
    NotARange { field: String, value: String },
    #[error(
        "{field}: the ends of the range '{value}' are swapped; write the lower one first: \
         {swapped}"
    )]
    Swapped { field: String, value: String, swapped: String },
    #[error(
        "{field}: the range '{value}' goes from one address family to the other; write one range \
         for IPv4, as in 192.0.2.1-192.0.2.9, and one for IPv6, as in 2001:db8::1-2001:db8::9"
    )]
    MixedFamilies { field: String, value: String },
    #[error(
        "{field}: '{value}' is not a network; write the bits of its prefix behind the address, \
         0 to {most}, as in {example}"
    )]
    NotANetwork { field: String, value: String, most: u8, example: &'static str },
    #[error(
        "{field}: '{value}' is not a port; write a number from 0 to 65535 as in 443, a range as \
         in 8000-8999, or several with ';' between them"
    )]
    NotAPort { field: String, value: String },
    #[error(
        "{field}: '{value}' is no Ethernet address; write six pairs of hexadecimal digits, as in \
         02:00:5e:10:00:01, or several with ';' between them"
    )]
    NotAMac { field: String, value: String },
    #[error(
        "filters: mac is an Ethernet address, and the frames here have none; leave it out, or \
         capture on an interface that has"
    )]
    NoMacs,
    #[error("{field}: '{value}' is not a protocol; write tcp, udp, icmp or any")]
    NotAProtocol { field: String, value: String },
    #[error(
        "{field}: '{value}' has nothing between two ';'; write a list as in {example}, or leave \
         the field out to let everything pass"
    )]
    EmptyPart { field: String, value: String, example: &'static str },
    #[error(
        "{field}: {count} alternatives are too many; write at most {most}, or a network or range instead"
    )]
    TooMany { field: String, count: usize, most: usize },
    #[error(
        "filters: the entries come to {terms} addresses, networks and ports, and at most {most} \
         can be compiled; write networks instead of lists and of ranges, which count as the \
         networks that cover them"
    )]
    TooManyTerms { terms: usize, most: usize },
    #[error(
        "filters: ICMP has no ports; leave out local_port and remote_port where protocol is icmp"
    )]
    PortsOfIcmp,
    #[error(
        "bpf: '{expression}' names '{word}', and names are never looked up; write an address, as \
         in host 192.0.2.7 or net 192.0.2.0/24"
    )]
    Name { expression: String, word: String },
    #[error(
        "bpf: '{expression}' uses 'gateway', which needs a host name, and names are never looked \
         up; write the router's address, as in ether host 02:00:00:00:00:01"
    )]
    Gateway { expression: String },
    #[error(
        "bpf: '{expression}' names the protocol '{word}', and this host has no {table} to find its \
         number in; write the number, as in ip proto 89, or install the package netbase"
    )]
    NoTable { expression: String, word: String, table: &'static str },
    #[error("bpf: the expression is {bytes} bytes long; write at most {most}")]
    TooLong { bytes: usize, most: usize },
    #[error("bpf: '{expression}' holds a zero byte; write it as plain text, as in tcp port 443")]
    ZeroByte { expression: String },
    #[error(
        "bpf: '{expression}' is not an expression that tcpdump takes ({reason}); write it as \
         pcap-filter(7) says, as in tcp port 443 and host 192.0.2.7"
    )]
    Expression { expression: String, reason: String },
    #[error(
        "filters: libpcap does not take the filter as a whole ({reason}): '{text}'; write fewer \
         or simpler alternatives"
    )]
    Whole { text: String, reason: String },
    #[error(
        "filters: no packet can pass '{text}'; its parts exclude each other, so change filters or \
         bpf"
    )]
    SelectsNothing { text: String },
    #[error("filters: '{text}' cannot be used: {source}")]
    Program { text: String, source: Invalid },
    #[error(
        "filters: '{text}' takes longer than {} s to compile; write fewer alternatives, or a \
         network or range instead", limit.as_secs()
    )]
    Slow { text: String, limit: Duration },
    #[error(
        "filters: '{text}' waited longer than {} s for earlier filters to be compiled; try again",
        limit.as_secs()
    )]
    Busy { text: String, limit: Duration },
    #[error("filters: cannot start the thread that compiles '{text}'; raise the limit of threads")]
    Thread { text: String, source: io::Error },
    #[error("filters: the compiler of libpcap ended without an answer for '{text}'")]
    Lost { text: String },
}

impl Error {
    /// Whether the same filter may well be taken later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Thread { .. })
    }
}

/// A refused text as a message may hold it: short, and on one line.
pub(super) fn shown(text: &str) -> String {
    let is_harmful = |c: char| {
        // What breaks lines and turns the direction of text as well, where a terminal shows it.
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() || turns
    };
    let mut characters = text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c });
    let mut shown: String = characters.by_ref().take(SHOWN_CHARS).collect();
    if characters.next().is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_text_is_short_and_has_no_line_breaks() {
        assert_eq!(shown("a\nb\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(shown("\u{202e}a\u{2028}b"), "\u{fffd}a\u{fffd}b");
        assert_eq!(shown(&"ü".repeat(500)).chars().count(), SHOWN_CHARS + 3);
    }
}
