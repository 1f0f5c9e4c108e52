//! What a capture selects: structured 5-tuple entries and tcpdump expressions.
//!
//! A [`Filter`] is data. [`compile`] turns it into a [`Program`] for one interface: libpcap
//! compiles, we validate the classic BPF as the kernel does and evaluate it in safe Rust.
//! Meaning = what `tcpdump -r FILE FILTER` selects, with [`Filter::expression_for`] as the FILTER.
//! Knows nothing of captures.
//!
//! # What an entry means
//!
//! An entry selects IPv4 and IPv6 packets, on Ethernet untagged or behind one VLAN tag, for which all
//! fields that are given hold. `protocol: icmp` is ICMP and ICMPv6. Ports are those of TCP, UDP and SCTP;
//! a fragment other than the first has none. ARP is no IP packet: name it in an expression.
//!
//! `mac` holds if the frame comes from one of the addresses or goes to it; neither end is told apart.
//! An entry with nothing else selects all frames of these addresses, ARP included. An interface
//! without Ethernet addresses, such as a tunnel, refuses it.
//!
//! `local` and `remote` are the two ends of a packet, so that one entry selects both directions:
//! a packet is selected if its source can be the local end and its destination the remote end, and
//! the fields hold for these, or the other way round. Which end is local:
//!
//! 1. With `local_ip`: the end that is in it, whatever addresses the interface has.
//! 2. With `remote_ip` and no local field: the end that is not in `remote_ip`; a packet is selected
//!    whatever its other end is.
//! 3. Else, ports alone do not tell, so the addresses of the interface do: if exactly one end is
//!    among them, it is the local one. If both are (the host talks to itself) or neither is (routed
//!    and mirrored traffic, broadcast, multicast, or no address is known), either may be.
//!
//! # What an expression means
//!
//! It is tcpdump's language (pcap-filter(7)), on the frame with its VLAN tag in place, as it is in
//! the file. It has to hold besides the entries and stands before them, in parentheses. A word of it
//! that moves all later offsets (`vlan`, `mpls`, `pppoes`, `geneve`) therefore moves those of the
//! entries as well: `vlan 7` with an entry selects what the entry selects within VLAN 7.

#[cfg(test)]
mod agreement;
mod compile;
mod decision;
mod error;
mod eval;
mod expression;
mod front;
mod json;
mod lift;
mod mac;
mod networks;
mod operation;
mod outline;
mod parse;
mod program;
mod simplify;
mod steps;
mod words;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use compile::compile;
pub use error::Error;
pub use eval::Packet;
pub use json::{JsonError, entries_from_json};
pub use mac::Mac;
pub use operation::Instruction;
pub use outline::Outline;
pub use program::{Invalid, MAX_INSTRUCTIONS, Program};

pub use crate::libpcap::LinkType;

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
    /// Ethernet addresses, at either end of the frame.
    #[serde(default)]
    pub mac: Vec<Mac>,
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

impl Filter {
    /// The whole filter in tcpdump's language, for an Ethernet interface with the addresses
    /// `local`. The empty text selects everything.
    pub fn expression_for(&self, local: &[IpAddr]) -> String {
        expression::of(self, local, LinkType::Ethernet)
    }

    /// Whether the addresses of the interface have a say in what is selected (point 3 of what an
    /// entry means).
    pub fn asks_for_local_addresses(&self) -> bool {
        self.entries.iter().any(expression::asks_for_local)
    }

    /// Checks a filter when a rule is loaded: compiles it for Ethernet and no address. Blocks, for
    /// as long as [`compile`] does.
    ///
    /// # Errors
    /// As those of [`compile`].
    pub fn check(&self) -> Result<(), Error> {
        compile(self, &[], LinkType::Ethernet).map(drop)
    }
}
