//! What all blocks share: the frame, the options and the bounds.

use crate::clock::WallTime;

/// The kinds of block that we write.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
pub(super) const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;

/// Type, length, and the length again at the end, in bytes: the shortest block there is.
pub(super) const FRAME_BYTES: u32 = 12;

/// The longest text that an option carries, in bytes; longer ones are cut. An option counts its
/// length in 16 bits, and its value is padded to a multiple of four.
pub const MAX_TEXT_BYTES: usize = 65_532;

pub(super) const COMMENT: u16 = 1;
const END_OF_OPTIONS: [u8; 4] = [0; 4];
/// Code and length, before the value of an option.
const OPTION_HEADER_BYTES: usize = 4;

/// Takes what the writers of blocks produce, piece by piece and in order.
pub trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// Room for the next `length` bytes, all of which the caller fills: what stands in it is not
    /// specified.
    fn slot(&mut self, length: usize) -> &mut [u8];
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn slot(&mut self, length: usize) -> &mut [u8] {
        let start = self.len();
        self.resize(start + length, 0);
        &mut self[start..]
    }
}

/// Fills a slot from the front.
pub(super) struct Filler<'s>(pub(super) &'s mut [u8]);

impl Sink for Filler<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.slot(bytes.len()).copy_from_slice(bytes);
    }

    #[inline]
    fn slot(&mut self, length: usize) -> &mut [u8] {
        let (slot, rest) = std::mem::take(&mut self.0).split_at_mut(length);
        self.0 = rest;
        slot
    }
}

/// Appends one block around a body whose length is a multiple of four.
pub(super) fn put_block(out: &mut impl Sink, kind: u32, body: &[u8]) {
    debug_assert!(body.len().is_multiple_of(4), "bodies are made of padded pieces");
    let body_bytes =
        u32::try_from(body.len()).expect("a handful of options of 16-bit length fit 32 bits");
    let length = (body_bytes + FRAME_BYTES).to_le_bytes();
    out.put(&kind.to_le_bytes());
    out.put(&length);
    out.put(body);
    out.put(&length);
}

/// Appends one option. `value` is at most [`MAX_TEXT_BYTES`] long.
pub(super) fn put_option(out: &mut impl Sink, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("values are fixed in size, or cut by clip()");
    out.put(&code.to_le_bytes());
    out.put(&length.to_le_bytes());
    out.put(value);
    put_padding(out, value.len());
}

/// Appends one option with a text, cut to its bound; nothing where there is no text.
pub(super) fn put_text(out: &mut impl Sink, code: u16, text: Option<&str>) {
    let Some(text) = text.map(clip).filter(|text| !text.is_empty()) else {
        return;
    };
    if text.contains('\0') {
        // Readers that keep texts as C strings would lose all that follows a zero.
        put_option(out, code, text.replace('\0', " ").as_bytes());
    } else {
        put_option(out, code, text.as_bytes());
    }
}

/// How many bytes [`put_text`] appends.
pub(super) fn text_len(text: Option<&str>) -> usize {
    text.map(clip)
        .filter(|text| !text.is_empty())
        .map_or(0, |text| OPTION_HEADER_BYTES + padded(text.len()))
}

/// How many bytes [`put_option`] appends for a value of `value_bytes`.
pub(super) const fn option_len(value_bytes: usize) -> usize {
    OPTION_HEADER_BYTES + padded(value_bytes)
}

/// Closes a list of options that is not empty.
pub(super) fn put_end_of_options(out: &mut impl Sink) {
    out.put(&END_OF_OPTIONS);
}

pub(super) const END_OF_OPTIONS_BYTES: usize = END_OF_OPTIONS.len();

/// Fills up to the next multiple of four behind `length` bytes.
#[inline]
pub(super) fn put_padding(out: &mut impl Sink, length: usize) {
    for byte in out.slot(padded(length) - length) {
        *byte = 0;
    }
}

pub(super) const fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// A stamp in nanoseconds as pcapng writes it: the upper half, then the lower, each in the byte
/// order of the file. Times before 1970 have no place in it and become 1970.
pub(super) fn stamp(at: WallTime) -> [u8; 8] {
    let [[h0, h1, h2, h3], [l0, l1, l2, l3]] = stamp_words(at);
    [h0, h1, h2, h3, l0, l1, l2, l3]
}

/// The same as two words.
#[inline]
pub(super) fn stamp_words(at: WallTime) -> [[u8; 4]; 2] {
    let nanos = u64::try_from(at.as_nanos()).unwrap_or(0);
    let [l0, l1, l2, l3, high @ ..] = nanos.to_le_bytes();
    [high, [l0, l1, l2, l3]]
}

/// The longest beginning of `text` that is within [`MAX_TEXT_BYTES`] and still valid UTF-8.
pub(super) fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_padded_and_its_own_length_kept() {
        let mut out = Vec::new();
        put_text(&mut out, COMMENT, Some("hello"));
        assert_eq!(out, b"\x01\0\x05\0hello\0\0\0");
        assert_eq!(text_len(Some("hello")), out.len());
    }

    #[test]
    fn an_absent_or_empty_text_is_no_option() {
        let mut out = Vec::new();
        put_text(&mut out, COMMENT, None);
        put_text(&mut out, COMMENT, Some(""));
        assert!(out.is_empty());
        assert_eq!(text_len(None) + text_len(Some("")), 0);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ä".repeat(40_000);
        assert_eq!(clip(&text).len(), MAX_TEXT_BYTES);
        let text = format!("x{text}");
        assert_eq!(clip(&text).len(), MAX_TEXT_BYTES - 1);
        let mut out = Vec::new();
        put_text(&mut out, COMMENT, Some(&text));
        assert_eq!(out.len(), text_len(Some(&text)));
    }

    #[test]
    fn a_zero_byte_does_not_end_a_text() {
        let mut out = Vec::new();
        put_text(&mut out, COMMENT, Some("a\0b!"));
        assert_eq!(out, b"\x01\0\x04\0a b!");
    }

    #[test]
    fn a_stamp_is_two_words_with_the_upper_first() {
        assert_eq!(stamp(WallTime::from_nanos(0x0102_0304_0506_0708)), [4, 3, 2, 1, 8, 7, 6, 5]);
        assert_eq!(stamp(WallTime::from_nanos(-1)), [0; 8]);
    }
}
