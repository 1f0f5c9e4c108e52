//! A buffer that direct I/O can write from: its bytes start at a page boundary.
//!
//! Of a large one the memory is a huge page or several, where the system gives any: the kernel takes
//! hold of a huge page at once, of small pages one by one. But before a huge page is first used 2 MiB
//! have to be found and cleared, which takes 0.3 to 3 ms; of small pages only those that are used.

use crate::ring;

/// What direct I/O wants offsets, lengths and addresses to be multiples of, in bytes. 4,096 holds
/// for every disk in use; statx(2) would tell smaller ones.
pub(in crate::capture) const ALIGNMENT: usize = 4096;

/// The size and the alignment of a huge page, in bytes (x86-64, and AArch64 with pages of 4 KiB).
pub(in crate::capture) const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// A buffer of fixed size. It never moves, so it stays aligned.
#[derive(Debug)]
pub(in crate::capture) struct AlignedBuffer {
    storage: Box<[u8]>,
    /// Where the aligned part of the storage begins.
    start: usize,
    capacity: usize,
    len: usize,
}

impl AlignedBuffer {
    /// Room for `capacity` bytes in small pages, rounded up to whole ones. The memory is taken when it
    /// is used.
    pub(in crate::capture) fn small(capacity: usize) -> Self {
        Self::aligned(capacity.next_multiple_of(ALIGNMENT), ALIGNMENT)
    }

    /// Room for `capacity` bytes in huge pages, rounded up to whole ones.
    pub(in crate::capture) fn large(capacity: usize) -> Self {
        let mut buffer = Self::aligned(capacity.next_multiple_of(HUGE_PAGE_BYTES), HUGE_PAGE_BYTES);
        let pages = buffer.start..buffer.start + buffer.capacity;
        if let Err(error) = ring::prefer_huge_pages(&mut buffer.storage[pages]) {
            tracing::debug!("no huge pages for a buffer: {error}");
        }
        buffer
    }

    fn aligned(capacity: usize, alignment: usize) -> Self {
        // Zeroed memory of this size comes fresh from the kernel, which has not touched it yet.
        let storage = vec![0; capacity + alignment].into_boxed_slice();
        let start = storage.as_ptr().align_offset(alignment);
        // `align_offset` may refuse in theory; then the file system refuses direct I/O and the
        // file falls back to the page cache.
        let start = if start < alignment { start } else { 0 };
        Self { storage, start, capacity, len: 0 }
    }

    pub(in crate::capture) const fn len(&self) -> usize {
        self.len
    }

    pub(in crate::capture) const fn room(&self) -> usize {
        self.capacity - self.len
    }

    /// How many of its bytes are whole pages.
    pub(in crate::capture) const fn whole_pages(&self) -> usize {
        self.len / ALIGNMENT * ALIGNMENT
    }

    pub(in crate::capture) fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }

    /// Its bytes, with zeros up to the end of the last page.
    pub(in crate::capture) fn padded(&mut self) -> &[u8] {
        let end = self.len.next_multiple_of(ALIGNMENT);
        self.storage[self.start + self.len..self.start + end].fill(0);
        &self.storage[self.start..self.start + end]
    }

    /// Appends `length` bytes and hands them out to be filled.
    ///
    /// # Panics
    /// There is no room.
    #[inline]
    pub(in crate::capture) fn slot(&mut self, length: usize) -> &mut [u8] {
        assert!(length <= self.room(), "room was made before");
        let start = self.start + self.len;
        self.len += length;
        &mut self.storage[start..start + length]
    }

    /// Keeps so many bytes of the front.
    pub(in crate::capture) fn truncate(&mut self, count: usize) {
        self.len = self.len.min(count);
    }

    /// Removes all of its bytes.
    pub(in crate::capture) const fn clear(&mut self) {
        self.len = 0;
    }

    /// Removes this many bytes from the front.
    pub(in crate::capture) fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        self.storage.copy_within(self.start + count..self.start + self.len, self.start);
        self.len -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut AlignedBuffer, bytes: &[u8]) {
        buffer.slot(bytes.len()).copy_from_slice(bytes);
    }

    #[test]
    fn bytes_start_at_a_page_and_padding_is_zero() {
        let buffers =
            [(AlignedBuffer::small(10_000), ALIGNMENT), (AlignedBuffer::large(1), HUGE_PAGE_BYTES)];
        for (mut buffer, alignment) in buffers {
            put(&mut buffer, &[7; 5_000]);
            buffer.consume(4_096);
            assert_eq!(buffer.bytes(), [7; 904]);
            assert_eq!(buffer.bytes().as_ptr().align_offset(alignment), 0);
            let padded = buffer.padded();
            assert_eq!(padded.len(), 4_096);
            assert!(padded[904..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_page_is_whole_once_its_last_byte_is_there() {
        let mut buffer = AlignedBuffer::small(8_192);
        put(&mut buffer, &[1; 4_095]);
        assert_eq!(buffer.whole_pages(), 0);
        put(&mut buffer, &[1]);
        assert_eq!((buffer.whole_pages(), buffer.room()), (4_096, 4_096));
    }
}
