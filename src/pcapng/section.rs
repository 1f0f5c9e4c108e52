//! Section Header Block: the first of every file.

use super::block::{COMMENT, SECTION_HEADER, Sink, put_block, put_end_of_options, put_text};

/// Tells readers the byte order, and us in recovery that the file is one of ours.
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const VERSION_MAJOR: u16 = 1;
const VERSION_MINOR: u16 = 0;
/// The section goes on to the end of the file.
const UNKNOWN_LENGTH: i64 = -1;

const HARDWARE: u16 = 2;
const OS: u16 = 3;
const APPLICATION: u16 = 4;

/// What a file says of itself. `comment` is shown in the capture file properties of Wireshark.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section<'a> {
    pub comment: Option<&'a str>,
    pub hardware: Option<&'a str>,
    pub os: Option<&'a str>,
    pub application: Option<&'a str>,
}

/// Appends the block that opens a file.
pub fn section_header(out: &mut impl Sink, section: &Section<'_>) {
    let mut body = Vec::new();
    body.put(&BYTE_ORDER_MAGIC.to_le_bytes());
    body.put(&VERSION_MAJOR.to_le_bytes());
    body.put(&VERSION_MINOR.to_le_bytes());
    body.put(&UNKNOWN_LENGTH.to_le_bytes());
    put_text(&mut body, COMMENT, section.comment);
    put_text(&mut body, HARDWARE, section.hardware);
    put_text(&mut body, OS, section.os);
    put_text(&mut body, APPLICATION, section.application);
    put_end_of_options(&mut body);
    put_block(out, SECTION_HEADER, &body);
}
