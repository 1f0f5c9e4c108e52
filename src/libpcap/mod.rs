//! libpcap behind a small typed face: its compiler, its live devices, its reader of files.
//!
//! The only room that meets the crate `pcap`. Knows nothing of captures: a [`Source`] gives one
//! packet after the other, and never waits for one. Calls block, a compilation for as long as some
//! seconds, so none of them is for async threads.
//!
//! Invariant: a link type leaves this room as the number that files carry (LINKTYPE_), and enters
//! libpcap as its own (DLT_), which is not always the same.

mod compile;
mod error;
mod link;
mod source;

pub use compile::{Instruction, compile};
pub use error::{Error, Refused};
pub use link::LinkType;
pub use source::{
    Counts, DeviceSettings, MAX_PACKET_BYTES, Next, Packet, Source, is_any_device, knows,
};
