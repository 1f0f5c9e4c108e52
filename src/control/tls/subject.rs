//! The subject of a certificate as text, as in `CN=alertmanager,O=Plant`.
//!
//! Reads only the way to the subject (RFC 5280, 4.1): the certificate was verified before, and this is
//! for people and records. Whatever the bytes are, the answer is text without control characters, or
//! none.

/// The longest subject that is told, in characters.
const MAX_CHARS: usize = 256;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The version, `[0]`, which certificates before version 3 leave out.
const VERSION: u8 = 0xa0;

/// Text of 16-bit characters; all other kinds are read as UTF-8.
const BMP_STRING: u8 = 0x1e;

/// What people call the attributes (RFC 4514, 3, and e-mail addresses), by their object identifiers.
const NAMES: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
];

/// The subject of a certificate in DER; the most specific part first, as people write it.
pub(super) fn of(der: &[u8]) -> Option<String> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        let (_, _, rest) = any(fields)?;
        fields = rest;
    }
    let (mut names, _) = element(fields, SEQUENCE)?;
    let mut parts = Vec::new();
    while !names.is_empty() {
        let (mut set, rest) = element(names, SET)?;
        while !set.is_empty() {
            let (attribute, more) = element(set, SEQUENCE)?;
            parts.push(part(attribute)?);
            set = more;
        }
        names = rest;
    }
    parts.reverse();
    Some(parts.join(",").chars().take(MAX_CHARS).collect())
}

fn part(attribute: &[u8]) -> Option<String> {
    let (identifier, value) = element(attribute, OBJECT_IDENTIFIER)?;
    let (kind, bytes, _) = any(value)?;
    let name = NAMES.iter().find(|(known, _)| *known == identifier).map_or("?", |(_, name)| name);
    let text = if kind == BMP_STRING {
        let units: Vec<u16> =
            bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    };
    let mut escaped = format!("{name}=");
    for c in text.chars() {
        match c {
            ',' | '+' | '=' | '\\' | '"' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    Some(escaped)
}

/// The content of the first element, which has to be of this kind, and what is behind it.
fn element(der: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(der)?;
    (found == kind).then_some((content, rest))
}

/// Kind and content of the first element, and what is behind it (X.690, 8.1).
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_that_are_no_certificate_have_no_subject() {
        for bytes in
            [&[] as &[u8], &[0x30], &[0x30, 0x84, 1], &[0x30, 0x88, 1, 1, 1, 1, 1, 1, 1, 1]]
        {
            assert_eq!(of(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn what_a_name_holds_cannot_pass_for_another_part_or_line() {
        // commonName, UTF8String "a,O=b\n".
        let attribute = [0x06, 3, 0x55, 4, 3, 0x0c, 6, b'a', b',', b'O', b'=', b'b', b'\n'];
        assert_eq!(part(&attribute).unwrap(), "CN=a\\,O\\=b\u{fffd}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let wrapped = [&[0x30, 0x82, 1, 0, 0x30, 0x81, 0xf0][..], &bytes].concat();
            for der in [&bytes, &wrapped] {
                if let Some(subject) = of(der) {
                    prop_assert!(!subject.chars().any(char::is_control));
                }
            }
        }
    }
}
