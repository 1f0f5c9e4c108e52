//! A block of any bytes: its packets lie inside it, one behind the other, and what cannot be read
//! is counted.

#![no_main]

use fuzz::ring::{Frames, Header};
use libfuzzer_sys::fuzz_target;

/// Size of a packet's header with the address behind it: there are no more packets than these.
const HEADER_BYTES: usize = 68;

fuzz_target!(|block: &[u8]| {
    let header = Header::read(block);
    let mut frames = Frames::new(block);
    let promised = frames.left();
    assert_eq!(promised, header.map_or(0, |header| header.packets));
    let mut seen = 0;
    let mut end_of_last = 48;
    for frame in frames.by_ref() {
        let start = frame.data.as_ptr().addr() - block.as_ptr().addr();
        assert!(start >= end_of_last + HEADER_BYTES, "packets do not overlap");
        end_of_last = start + frame.data.len();
        assert!(end_of_last <= block.len(), "a packet lies in its block");
        assert!(usize::try_from(frame.wire_len).unwrap() >= frame.data.len());
        let _all_is_decoded = format!("{frame:?} {:?}", frame.direction());
        seen += 1;
    }
    assert_eq!(frames.left(), promised - seen);
    assert_eq!(frames.next(), None);
});
