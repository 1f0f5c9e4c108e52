//! What a capture selects: structured 5-tuple entries and tcpdump expressions.
//!
//! A [`Filter`] is data. [`compile`](compile::compile) turns it into a [`Program`](program::Program)
//! for one interface: libpcap compiles, we validate the classic BPF as the kernel does and evaluate
//! it in safe Rust. Meaning = what `tcpdump -r FILE FILTER` selects. Knows nothing of captures.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Entries are alternatives; an expression has to hold as well. Empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub entries: Vec<Entry>,
    /// In tcpdump's language (pcap-filter(7)).
    pub expression: Option<String>,
}

/// One 5-tuple: all fields that are given must hold; a field holds if one of its alternatives does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub protocol: Option<Protocol>,
    /// Addresses at this host's end of the packet.
    pub local_ip: Vec<Addresses>,
    pub remote_ip: Vec<Addresses>,
    pub local_port: Vec<Ports>,
    pub remote_port: Vec<Ports>,
}

/// The transport protocols that an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

/// One address, an inclusive range of one family, or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Addresses {
    One(IpAddr),
    Range(IpAddr, IpAddr),
    Network(IpAddr, u8),
}

/// An inclusive range of ports; one port is a range of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    pub first: u16,
    pub last: u16,
}
