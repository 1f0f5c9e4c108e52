//! A buffer that direct I/O can write from: its bytes start at a page boundary.

/// What direct I/O wants offsets, lengths and addresses to be multiples of, in bytes. 4,096 holds
/// for every disk in use; statx(2) would tell smaller ones.
pub(super) const ALIGNMENT: usize = 4096;

/// A buffer of fixed size. It never moves, so it stays aligned.
#[derive(Debug)]
pub(super) struct AlignedBuffer {
    storage: Box<[u8]>,
    /// Where the aligned part of the storage begins.
    start: usize,
    capacity: usize,
    len: usize,
}

impl AlignedBuffer {
    /// Room for `capacity` bytes, rounded up to whole pages.
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.next_multiple_of(ALIGNMENT);
        let storage = vec![0; capacity + ALIGNMENT].into_boxed_slice();
        let start = storage.as_ptr().align_offset(ALIGNMENT);
        // `align_offset` may refuse in theory; then the file system refuses direct I/O and the
        // file falls back to the page cache.
        let start = if start < ALIGNMENT { start } else { 0 };
        Self { storage, start, capacity, len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn room(&self) -> usize {
        self.capacity - self.len
    }

    /// How many of its bytes are whole pages.
    pub(super) const fn whole_pages(&self) -> usize {
        self.len / ALIGNMENT * ALIGNMENT
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }

    /// Its bytes, with zeros up to the end of the last page.
    pub(super) fn padded(&mut self) -> &[u8] {
        let end = self.len.next_multiple_of(ALIGNMENT);
        self.storage[self.start + self.len..self.start + end].fill(0);
        &self.storage[self.start..self.start + end]
    }

    /// Appends.
    ///
    /// # Panics
    /// There is no room.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "room was made before");
        let end = self.start + self.len;
        self.storage[end..end + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Removes this many bytes from the front.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        self.storage.copy_within(self.start + count..self.start + self.len, self.start);
        self.len -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_start_at_a_page_and_padding_is_zero() {
        let mut buffer = AlignedBuffer::new(10_000);
        buffer.extend(&[7; 5_000]);
        buffer.consume(4_096);
        assert_eq!(buffer.bytes(), [7; 904]);
        assert_eq!(buffer.bytes().as_ptr().align_offset(ALIGNMENT), 0);
        let padded = buffer.padded();
        assert_eq!(padded.len(), 4_096);
        assert!(padded[904..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_page_is_whole_once_its_last_byte_is_there() {
        let mut buffer = AlignedBuffer::new(8_192);
        buffer.extend(&[1; 4_095]);
        assert_eq!(buffer.whole_pages(), 0);
        buffer.extend(&[1]);
        assert_eq!((buffer.whole_pages(), buffer.room()), (4_096, 4_096));
    }
}
