//! Interface Statistics Block: what an interface received and what was lost.

use super::block::{
    COMMENT, INTERFACE_STATISTICS, Sink, put_block, put_end_of_options, put_option, put_text, stamp,
};
use crate::clock::WallTime;

const START_TIME: u16 = 2;
const END_TIME: u16 = 3;
const RECEIVED: u16 = 4;
const INTERFACE_DROPPED: u16 = 5;
const FILTER_ACCEPTED: u16 = 6;
const OS_DROPPED: u16 = 7;
const DELIVERED: u16 = 8;

/// Counts of packets on one interface from `start` to `end`; absent: not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics<'a> {
    /// Place of the interface among those of the file, from 0.
    pub interface: u32,
    /// When the counters were read.
    pub at: WallTime,
    pub start: WallTime,
    pub end: WallTime,
    /// From the wire (isb_ifrecv).
    pub received: Option<u64>,
    /// For want of room in the capture's own buffers (isb_ifdrop).
    pub kernel_dropped: Option<u64>,
    /// Selected by the filter (isb_filteraccept).
    pub filter_accepted: Option<u64>,
    /// After the filter, by the operating system (isb_osdrop).
    pub os_dropped: Option<u64>,
    /// Written, since the capture began: to this file and those before it (isb_usrdeliv).
    pub delivered: Option<u64>,
    pub comment: Option<&'a str>,
}

/// Appends the counters of an interface.
pub fn interface_statistics(out: &mut impl Sink, s: &Statistics<'_>) {
    let mut body = Vec::new();
    body.put(&s.interface.to_le_bytes());
    body.put(&stamp(s.at));
    put_text(&mut body, COMMENT, s.comment);
    put_option(&mut body, START_TIME, &stamp(s.start));
    put_option(&mut body, END_TIME, &stamp(s.end));
    let counters = [
        (RECEIVED, s.received),
        (INTERFACE_DROPPED, s.kernel_dropped),
        (FILTER_ACCEPTED, s.filter_accepted),
        (OS_DROPPED, s.os_dropped),
        (DELIVERED, s.delivered),
    ];
    for (code, count) in counters {
        if let Some(count) = count {
            put_option(&mut body, code, &count.to_le_bytes());
        }
    }
    put_end_of_options(&mut body);
    put_block(out, INTERFACE_STATISTICS, &body);
}
