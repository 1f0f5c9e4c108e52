//! Hashes of what was sealed, of what is sent and of what is read back.

use std::fmt::Write as _;
use std::io::{self, Read};

use md5::Md5;
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
        Content { size_bytes: self.size_bytes, sha256: Some(hexadecimal(&self.sha256.finalize())) }
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

/// The SHA-256 of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The MD5 of some bytes in base64, as Azure compares it with what arrives. It finds accidents, and
/// is no proof against somebody who wants to deceive.
pub(super) fn md5(bytes: &[u8]) -> String {
    base64(&Md5::digest(bytes))
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all that is written to it");
        text
    })
}

/// RFC 4648, section 4.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let sign = |place: usize| {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 63).expect("it is below 64");
            if place > chunk.len() { '=' } else { char::from(ALPHABET[digit]) }
        };
        [sign(0), sign(1), sign(2), sign(3)]
    };
    bytes.chunks(3).flat_map(group).collect()
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

    #[test]
    fn base64_is_as_in_its_specification() {
        // RFC 4648, section 10.
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn the_md5_is_that_of_its_specification() {
        // RFC 1321, appendix A.5: 900150983cd24fb0d6963f7d28e17f72.
        assert_eq!(md5(b"abc"), "kAFQmDzST7DWlj99KOF/cg==");
    }
}
