//! A frame of a ring as a filter sees it.

use crate::filter::Packet;
use crate::ring::Frame;

/// Where a VLAN tag stands in a frame, in bytes: after both addresses.
pub(super) const TAG_OFFSET: usize = 12;

/// The packet as it was on the wire: with the tag that the kernel took out.
#[inline]
pub(super) fn of<'a>(frame: &Frame<'a>) -> Packet<'a> {
    // Where the bytes end before its place, nobody can say where the tag was.
    let vlan = frame.vlan.filter(|_tag| frame.data.len() >= TAG_OFFSET);
    let wire_len = frame.wire_len.saturating_add(if vlan.is_some() { 4 } else { 0 });
    Packet { data: frame.data, vlan, wire_len }
}
