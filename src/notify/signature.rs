//! Signatures of requests: HMAC-SHA256 over the body, or over the time and the body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// `sha256=` and the signature in hexadecimal digits. With a time stamp, what is signed is
/// `<timestamp>:<body>`, so that a request cannot be sent again later.
pub(super) fn sign(key: &str, timestamp: Option<&str>, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .expect("HMAC takes keys of every length (RFC 2104, section 3)");
    if let Some(timestamp) = timestamp {
        mac.update(timestamp.as_bytes());
        mac.update(b":");
    }
    mac.update(body);
    let mut text = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // RFC 4231, test case 2.
        let signature = sign("Jefe", None, b"what do ya want for nothing?");
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature, expected);
        assert_eq!(sign("Jefe", Some("17"), b"x"), sign("Jefe", None, b"17:x"));
    }
}
