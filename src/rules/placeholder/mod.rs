//! `${labels.peer | ip}`: a place in a rule that an event's label fills, with a type.
//!
//! The label's text is read as the type and only the typed value goes on; what does not read is
//! refused, never repaired. So no text of an event reaches an expression or a name.

mod value;

use std::fmt;

use crate::model::Event;

pub(super) use value::{Type, Typed, Value, is_interface};

/// The most characters of an event's value that a refusal shows.
const MAX_SHOWN_CHARS: usize = 64;

/// Why a text is no placeholder; the message holds the remedy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error("a placeholder is the whole value, as in \"${{labels.peer | ip}}\"")]
    NotWhole,
    #[error("a placeholder names a label and its type, as in \"${{labels.peer | ip}}\"")]
    Malformed,
    #[error("the placeholder has no type; write \"${{labels.{0} | {1}}}\"")]
    NoType(String, String),
    #[error("`{given}` cannot stand here; known here: {known}")]
    WrongType { given: String, known: String },
}

/// A parsed placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placeholder {
    label: String,
    kind: Type,
}

impl Placeholder {
    /// Reads a value's text: `None` where it holds no placeholder.
    ///
    /// # Errors
    /// Something in it looks like a placeholder and is none of the types in `allowed`.
    pub(super) fn parse(text: &str, allowed: &[Type]) -> Result<Option<Self>, Error> {
        if !text.contains("${") {
            return Ok(None);
        }
        let inner = text
            .trim()
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .filter(|inner| !inner.contains(['{', '}', '$']))
            .ok_or(Error::NotWhole)?;
        let (subject, kind) = match inner.split_once('|') {
            Some((subject, kind)) => (subject.trim(), Some(kind.trim())),
            None => (inner.trim(), None),
        };
        let label = subject.strip_prefix("labels.").filter(|label| is_label(label));
        let label = label.ok_or(Error::Malformed)?.to_owned();
        let words = || allowed.iter().map(|kind| kind.word()).collect::<Vec<_>>();
        let Some(kind) = kind else {
            return Err(Error::NoType(label, words().join(" or ")));
        };
        match allowed.iter().find(|allowed| allowed.word() == kind) {
            Some(kind) => Ok(Some(Self { label, kind: *kind })),
            None => Err(Error::WrongType {
                given: kind.chars().take(MAX_SHOWN_CHARS).collect(),
                known: words().join(", "),
            }),
        }
    }

    /// The event's value.
    ///
    /// # Errors
    /// Why there is none: the label and the type, with the event's text escaped and clipped.
    pub(super) fn resolve(&self, event: &Event) -> Result<Value, String> {
        let text = event.label(&self.label);
        if text.is_empty() {
            let (label, meaning) = (&self.label, self.kind.meaning());
            return Err(format!("the event has no label `{label}`, and {self} needs {meaning}"));
        }
        self.kind.read(text).ok_or_else(|| {
            let (label, meaning) = (&self.label, self.kind.meaning());
            format!("label `{label}` is \"{}\", and {self} needs {meaning}", escaped(text))
        })
    }

    /// The label that fills it.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// A value of the type, to check at load what an event would fill in.
    pub(super) fn sample(&self) -> Value {
        self.kind.sample()
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{labels.{} | {}}}", self.label, self.kind.word())
    }
}

fn is_label(label: &str) -> bool {
    label.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// An event's text as it may be shown: printable ASCII, the rest escaped, cut.
pub(super) fn escaped(text: &str) -> String {
    let mut shown: String =
        text.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_default).collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::filter::{Addresses, Mac, Ports};
    use crate::rules::decide::tests::event;

    fn resolve(kind: &str, text: &str) -> Result<Value, String> {
        let placeholder = Placeholder::parse(&format!("${{labels.x | {kind}}}"), &Type::ALL);
        placeholder.unwrap().unwrap().resolve(&event(&[("x", text)]))
    }

    #[test]
    fn typed_values_come_out() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = |text: &str| Value::Addresses(Addresses::One(ip(text)));
        let port = |port| Value::Ports(Ports { first: port, last: port });
        let mac = Value::Mac(Mac([2, 0, 0x5e, 0, 0, 1]));
        for (kind, text, expected) in [
            ("ip", "10.0.0.7", one("10.0.0.7")),
            ("ip", "2001:db8::7", one("2001:db8::7")),
            ("ip", "::ffff:10.0.0.7", one("10.0.0.7")),
            ("ip", "10.0.0.7:9100", one("10.0.0.7")),
            ("ip", "[2001:db8::1]:80", one("2001:db8::1")),
            ("ip", "[::ffff:10.0.0.7]:80", one("10.0.0.7")),
            ("cidr", "10.1.2.3/8", Value::Addresses(Addresses::Network(ip("10.0.0.0"), 8))),
            ("cidr", "0.0.0.0/0", Value::Addresses(Addresses::Network(ip("0.0.0.0"), 0))),
            ("cidr", "2001:db8::1/64", Value::Addresses(Addresses::Network(ip("2001:db8::"), 64))),
            ("port", "443", port(443)),
            ("port", "10.0.0.7:9100", port(9_100)),
            ("port", "[2001:db8::1]:80", port(80)),
            ("mac", "02:00:5e:00:00:01", mac.clone()),
            ("mac", "02-00-5E-00-00-01", mac.clone()),
            ("mac", "0200.5e00.0001", mac),
            ("duration", "1h30m", Value::Duration(Duration::from_secs(5_400))),
            ("duration", "0s", Value::Duration(Duration::ZERO)),
            ("iface", "eth0.100", Value::Interface("eth0.100".to_owned())),
        ] {
            assert_eq!(resolve(kind, text), Ok(expected), "{kind} {text}");
        }
    }

    #[test]
    fn what_reads_almost_as_a_type_is_refused_and_told_on_one_line() {
        let long = "1".repeat(100_000);
        for (kinds, texts) in [
            (
                "ip",
                "10.0.0|010.0.0.1|0x0a000001|167772161|10.1|10.0.0.1\n| 10.0.0.1|10.0.0.\u{ff11}",
            ),
            (
                "ip",
                "fe80::1%eth0|[fe80::1%2]:80|[2001:db8::1]|10.0.0.1:|10.0.0.1:0x50|10.0.0.1:+80",
            ),
            ("ip", "10.0.0.1:65536|10.0.0.1:080|web-1:80|10.0.0.1/32|2001:db8::1:80:x"),
            ("cidr", "10.0.0.1|10.0.0.1/33|10.0.0.0/+8|10.0.0.0/08|10.0.0.0/|10.0.0.0/8/8|::/129"),
            ("port", "0|+443|-1|0443|65536|0x50|443-444|443;80|https|10.0.0.1|2001:db8::1|::80"),
            ("port", "10.0.0.1:0|10.0.0.1:00080|web-1.example.org:80|[2001:db8::1]|:80"),
            ("mac", "2:0:0:0:0:1|02:00:00:00:00|02:00:00:00:00:01 or 1|02005e000001|router"),
            (
                "iface",
                "-i|.|..|eth0:1|eth0/..|a-name-of-16-byt|\u{ff45}th0|eth0\0|any|usbmon1|dbus-system",
            ),
            ("duration", "30|30 s|-1s|1.5h|5m1h|1e9s|99999999999999999w|s|\u{663}s|PT30S"),
        ] {
            for text in texts.split('|').chain([long.as_str()]) {
                let refused = resolve(kinds, text).expect_err(text);
                assert!(refused.bytes().all(|b| (0x20..0x7f).contains(&b)), "{refused:?}");
                assert!(refused.contains("`x`") && refused.contains(kinds), "{refused}");
                assert!(refused.len() < 800, "{}", refused.len());
            }
        }
    }

    #[test]
    fn an_interface_is_named_by_few_plain_characters() {
        for text in ["eth0", "br-1a2b3c4d5e6f", "wlp3s0", "vlan.10", "0"] {
            assert!(is_interface(text), "{text}");
        }
        for text in ["", "a-name-too-long-for-it", "eth0:1", "-i", ".hidden", "a b", "a/b"] {
            assert!(!is_interface(text), "{text}");
        }
    }

    #[test]
    fn a_missing_label_is_named() {
        assert_eq!(
            resolve("ip", "").unwrap_err(),
            "the event has no label `x`, and ${labels.x | ip} needs an IP address, alone or with a port"
        );
    }

    #[test]
    fn a_placeholder_is_a_whole_value_with_a_type_that_fits() {
        let parse = |text| Placeholder::parse(text, &[Type::Ip, Type::Cidr]);
        assert_eq!(parse("10.0.0.1"), Ok(None));
        assert!(parse("${labels.peer|ip}").unwrap().is_some());
        assert!(parse("  ${ labels.net.peer | cidr } ").unwrap().is_some());
        for (text, part) in [
            ("10.0.0.1;${labels.x | ip}", "is the whole value"),
            ("${labels.x | ip", "is the whole value"),
            ("${labels.x | ip}${labels.y | ip}", "is the whole value"),
            ("${labels.x}", "no type; write \"${labels.x | ip or cidr}\""),
            ("${labels.x | port}", "`port` cannot stand here; known here: ip, cidr"),
            ("${peer | ip}", "names a label and its type"),
            ("${labels. | ip}", "names a label and its type"),
            ("${annotations.x | ip}", "names a label and its type"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
