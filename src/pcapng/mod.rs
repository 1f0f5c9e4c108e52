//! pcapng files: writing blocks, and recovering a file that a crash has cut. Beside it stands the
//! classic pcap format, for readers that know nothing newer.
//!
//! One file of functions for each kind of block; each appends exactly one whole block to a
//! [`Sink`]. All blocks are little endian, time is in nanoseconds, and only the four standard
//! kinds are written: a custom block shifts the packet numbers of Wireshark.
//! Source: draft-ietf-opsawg-pcapng.
//!
//! Knows nothing of captures, and does no I/O but in [`recover`]. Invariant: whatever is handed
//! in, what comes out is a block that `tshark` reads; texts and packets beyond the bounds are cut.

mod block;
mod classic;
mod interface;
mod packet;
mod recovery;
mod section;
mod statistics;

#[cfg(test)]
mod tests;

pub use block::{MAX_TEXT_BYTES, Sink};
pub use classic::{classic_header, classic_packet, classic_packet_len, recover_classic};
pub use interface::{Interface, interface_description};
pub use packet::{MAX_PACKET_BYTES, PacketBlock, enhanced_packet, enhanced_packet_len, flags};
pub use recovery::{Error, Recovered, recover, recover_stream};
pub use section::{Section, section_header};
pub use statistics::{Statistics, interface_statistics};
