//! Ethernet addresses: how users and alerts write them, and how a filter prints them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::{Error, shown};
use super::parse::parts;

/// An Ethernet address; printed as `02:00:5e:10:00:01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads a list of addresses with `;` between them. `field` is named in errors.
    ///
    /// # Errors
    /// A part is no Ethernet address, or there are too many.
    pub fn parse_list(field: &str, text: &str) -> Result<Vec<Self>, Error> {
        let list = parts(field, text, "02:00:5e:10:00:01;02:00:5e:10:00:02")?;
        list.into_iter()
            .map(|part| {
                Self::parse(part)
                    .ok_or_else(|| Error::NotAMac { field: field.to_owned(), value: shown(part) })
            })
            .collect()
    }

    /// Reads one address in one of the three usual forms: pairs of hexadecimal digits with `:` or
    /// with `-` between them, or groups of four with `.` as routers print them.
    pub fn parse(text: &str) -> Option<Self> {
        let (separator, width) = match text.as_bytes().get(2..5)? {
            [b':', ..] => (':', 2),
            [b'-', ..] => ('-', 2),
            [_, _, b'.'] => ('.', 4),
            _ => return None,
        };
        let mut digits = String::with_capacity(12);
        for group in text.split(separator) {
            let is_hex = group.bytes().all(|byte| byte.is_ascii_hexdigit());
            if group.len() != width || !is_hex || digits.len() >= 12 {
                return None;
            }
            digits.push_str(group);
        }
        let bits = u64::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 12)?;
        let [_, _, octets @ ..] = bits.to_be_bytes();
        Some(Self(octets))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
            .ok_or_else(|| Error::NotAMac { field: "mac".to_owned(), value: shown(&text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_usual_forms_are_one_address() {
        let expected = Some(Mac([0x02, 0, 0x5e, 0x10, 0, 0xab]));
        for text in
            ["02:00:5e:10:00:ab", "02:00:5E:10:00:AB", "02-00-5e-10-00-ab", "0200.5e10.00ab"]
        {
            assert_eq!(Mac::parse(text), expected, "{text}");
        }
        let list = Mac::parse_list("mac", " 02:00:5e:10:00:ab ; 0200.5e10.00ac;").unwrap();
        assert_eq!(
            list.iter().map(Mac::to_string).collect::<Vec<_>>(),
            ["02:00:5e:10:00:ab", "02:00:5e:10:00:ac"]
        );
        assert_eq!(Mac::parse_list("mac", " ").unwrap(), []);
    }

    #[test]
    fn a_refused_address_is_told_with_field_value_and_right_form() {
        for text in [
            "2:0:5e:10:0:ab",
            "02:00:5e:10:00",
            "02:00:5e:10:00:ab:cd",
            "02:00-5e:10:00:ab",
            "02005e1000ab",
            "02:00:5e:10:00:ag",
            "02:00:5e:10:00:+1",
            "02:00:5e:10:00:ab or 1=1",
            "0200.5e10.00ab.00",
            "\u{fc}:\u{fc}:\u{fc}:\u{fc}:\u{fc}:\u{fc}",
            "router",
        ] {
            let message = Mac::parse_list("mac", text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("mac: '{text}' is no ")), "{message}");
            assert!(message.contains("02:00:5e:10:00:01"), "{message}");
        }
        assert!(Mac::parse_list("mac", "02:00:5e:10:00:ab;;").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_and_no_text_makes_the_reader_panic(octets: [u8; 6], text: String) {
            let mac = Mac(octets);
            prop_assert_eq!(Mac::parse_list("mac", &mac.to_string()).unwrap(), vec![mac]);
            let json = serde_json::to_string(&mac).unwrap();
            prop_assert_eq!(serde_json::from_str::<Mac>(&json).unwrap(), mac);
            drop(Mac::parse_list("mac", &text));
        }
    }
}
