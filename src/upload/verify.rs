//! The proof: what is stored is read back and compared with what was sealed.

use std::fmt::Write as _;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::error::Content;
use crate::model::SealedFile;

/// How much is read at a time where nothing else says so, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// Counts and hashes bytes as they pass.
#[derive(Debug, Default)]
pub(super) struct Digest {
    sha256: Sha256,
    size_bytes: u64,
}

impl Digest {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size_bytes += u64::try_from(bytes.len()).expect("a slice is at most 2^63 bytes");
    }

    pub(super) fn finish(self) -> Content {
        let mut sha256 = String::with_capacity(64);
        for byte in self.sha256.finalize() {
            write!(sha256, "{byte:02x}").expect("a String takes all that is written to it");
        }
        Content { size_bytes: self.size_bytes, sha256: Some(sha256) }
    }

    /// The content of all that a reader gives.
    pub(super) fn of(mut from: impl Read) -> io::Result<Content> {
        let mut digest = Self::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => return Ok(digest.finish()),
                Ok(length) => digest.take(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What the record says of the file.
pub(super) fn sealed(file: &SealedFile) -> Content {
    Content { size_bytes: file.size_bytes, sha256: Some(file.sha256.to_ascii_lowercase()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        let content = Digest::of(&b"abc"[..]).unwrap();
        assert_eq!(content.size_bytes, 3);
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(content.sha256.as_deref(), Some(expected));
    }
}
