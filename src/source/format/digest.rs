//! SHA-256, in hexadecimal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Stands after every part of an identity. No UTF-8 text holds this byte, so no two different lists of
/// labels run together into one.
const END_OF_PART: [u8; 1] = [0xff];

/// Bytes of a computed fingerprint: 16 hexadecimal digits, as long as Alertmanager's own.
const FINGERPRINT_BYTES: usize = 8;

/// The SHA-256 of `bytes`: 64 hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    digits(&Sha256::digest(bytes))
}

/// What makes an event the same again where its sender does not say: 16 hexadecimal digits over its
/// labels, which come sorted.
pub(super) fn fingerprint(name: &str, labels: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    let parts = labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
    for part in std::iter::once(name).chain(parts) {
        hash.update(part);
        hash.update(END_OF_PART);
    }
    digits(&hash.finalize()[..FINGERPRINT_BYTES])
}

/// Bytes in hexadecimal.
pub(super) fn digits(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        assert!(hexadecimal(b"abc").starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }

    #[test]
    fn labels_that_read_the_same_in_a_row_have_different_fingerprints() {
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert_ne!(fingerprint("", &labels("ab", "c")), fingerprint("", &labels("a", "bc")));
        assert_ne!(fingerprint("x", &labels("a", "b")), fingerprint("", &labels("a", "b")));
        assert_eq!(fingerprint("", &labels("a", "b")).len(), 16);
    }
}
