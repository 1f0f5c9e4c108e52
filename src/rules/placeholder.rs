//! `${labels.peer | ip}`: a place in a rule that an event's label fills, with a type.
//!
//! The label's text is read as the type and only the typed value goes on; what does not read is
//! refused, never repaired. So no text of an event reaches an expression or a name.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::filter::{Addresses, Ports};
use crate::model::Event;
use crate::units::Span;

/// The most characters of an event's value that a refusal shows.
const MAX_SHOWN_CHARS: usize = 64;

/// The longest interface name in bytes. Source: IFNAMSIZ in linux/if.h, less the end byte.
const MAX_INTERFACE_BYTES: usize = 15;

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

/// The types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Ip,
    Cidr,
    Port,
    Iface,
    Duration,
}

impl Type {
    const fn word(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Cidr => "cidr",
            Self::Port => "port",
            Self::Iface => "iface",
            Self::Duration => "duration",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Ip => "an IP address",
            Self::Cidr => "a network such as 192.0.2.0/24",
            Self::Port => "a port from 1 to 65535",
            Self::Iface => "the name of an interface",
            Self::Duration => "a duration such as 30s",
        }
    }
}

/// A label's value as a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Addresses(Addresses),
    Ports(Ports),
    /// Letters, digits, `.`, `_` and `-`, at most 15, beginning with a letter or digit.
    Interface(String),
    Duration(Duration),
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
        self.read(text).ok_or_else(|| {
            let (label, meaning) = (&self.label, self.kind.meaning());
            format!("label `{label}` is \"{}\", and {self} needs {meaning}", escaped(text))
        })
    }

    /// The label that fills it.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    fn read(&self, text: &str) -> Option<Value> {
        match self.kind {
            Type::Ip => {
                let address: IpAddr = text.parse().ok()?;
                // An IPv4 address in IPv6 clothes is on no wire.
                Some(Value::Addresses(Addresses::One(address.to_canonical())))
            }
            Type::Cidr => {
                let (address, prefix) = text.split_once('/')?;
                let address: IpAddr = address.parse().ok()?;
                let most = if address.is_ipv4() { 32 } else { 128 };
                let bits = read_number(prefix).and_then(|bits| u8::try_from(bits).ok())?;
                (bits <= most).then(|| Value::Addresses(network(address, bits)))
            }
            Type::Port => {
                let port = read_number(text).filter(|port| *port > 0)?;
                Some(Value::Ports(Ports { first: port, last: port }))
            }
            Type::Iface => is_interface(text).then(|| Value::Interface(text.to_owned())),
            Type::Duration => text.parse::<Span>().ok().map(|span| Value::Duration(span.0)),
        }
    }

    /// A value of the type, to check at load what an event would fill in.
    pub(super) fn sample(&self) -> Value {
        let documentation = |last| IpAddr::from([192, 0, 2, last]);
        match self.kind {
            Type::Ip => Value::Addresses(Addresses::One(documentation(1))),
            Type::Cidr => Value::Addresses(network(documentation(0), 24)),
            Type::Port => Value::Ports(Ports { first: 1, last: 1 }),
            Type::Iface => Value::Interface("lo".to_owned()),
            Type::Duration => Value::Duration(Duration::from_secs(1)),
        }
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{labels.{} | {}}}", self.label, self.kind.word())
    }
}

/// A network with the bits behind its prefix cleared, as filters have them.
fn network(address: IpAddr, bits: u8) -> Addresses {
    let cleared = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::from((v4.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::from((v6.to_bits() & mask).to_be_bytes())
        }
    };
    Addresses::Network(cleared, bits)
}

/// Plain digits: the standard parser would take a sign, and zeros in front hide a typing error.
fn read_number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Whether a text can name an interface and do no harm anywhere else.
pub(super) fn is_interface(text: &str) -> bool {
    text.len() <= MAX_INTERFACE_BYTES
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
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
    use super::*;
    use crate::rules::decide::tests::event;

    const ALL: [Type; 4] = [Type::Ip, Type::Cidr, Type::Port, Type::Iface];

    fn resolve(kind: &str, text: &str) -> Result<Value, String> {
        let placeholder = Placeholder::parse(&format!("${{labels.x | {kind}}}"), &ALL);
        placeholder.unwrap().unwrap().resolve(&event(&[("x", text)]))
    }

    #[test]
    fn typed_values_come_out() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (kind, text, expected) in [
            ("ip", "10.0.0.7", Value::Addresses(Addresses::One(ip("10.0.0.7")))),
            ("ip", "2001:db8::7", Value::Addresses(Addresses::One(ip("2001:db8::7")))),
            ("ip", "::ffff:10.0.0.7", Value::Addresses(Addresses::One(ip("10.0.0.7")))),
            ("cidr", "10.1.2.3/8", Value::Addresses(Addresses::Network(ip("10.0.0.0"), 8))),
            ("cidr", "0.0.0.0/0", Value::Addresses(Addresses::Network(ip("0.0.0.0"), 0))),
            ("cidr", "2001:db8::1/64", Value::Addresses(Addresses::Network(ip("2001:db8::"), 64))),
            ("port", "443", Value::Ports(Ports { first: 443, last: 443 })),
            ("iface", "eth0.100", Value::Interface("eth0.100".to_owned())),
        ] {
            assert_eq!(resolve(kind, text), Ok(expected), "{kind} {text}");
        }
    }

    #[test]
    fn nothing_but_typed_values_comes_out_of_hostile_texts() {
        let long = "a".repeat(100_000);
        let hostile = [
            "../../etc/passwd",
            "/dev/sda",
            "10.0.0.1 or 1=1",
            "10.0.0.1) or (host 8.8.8.8",
            "host 10.0.0.1",
            "443 or port 22",
            "443-444",
            "443;80",
            "+443",
            "0443",
            "0",
            "-1",
            "65536",
            "0x50",
            "$(reboot)",
            "`reboot`",
            "${labels.x | ip}",
            "{{ .Labels }}",
            "{}",
            "eth0\r\nX-Header: 1",
            "eth0\n",
            "eth0;rm",
            "eth0 -w /tmp/x",
            "-i",
            ".",
            "..",
            "eth0/../lo",
            "\u{1b}[31meth0",
            "eth0\0",
            "10.0.0.1\0",
            "10.0.0.1\n",
            " 10.0.0.1",
            "010.0.0.1",
            "10.0.0.1/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "fe80::1%eth0",
            "[2001:db8::1]",
            "10.0.0.1:9100",
            "web-1.example.org",
            "ｅth0",
            "10.0.0.１",
            "\u{202e}0hte",
            long.as_str(),
        ];
        for text in hostile {
            for kind in ["ip", "cidr", "port", "iface"] {
                let refused = match resolve(kind, text) {
                    Err(reason) => reason,
                    // A name of letters and dashes cannot be told from an interface's.
                    Ok(Value::Interface(name)) if is_interface(&name) => continue,
                    Ok(value) => panic!("{kind} {text:?} became {value:?}"),
                };
                assert!(refused.bytes().all(|b| (0x20..0x7f).contains(&b)), "{refused:?}");
                assert!(refused.contains("`x`") && refused.contains(kind), "{refused}");
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
            "the event has no label `x`, and ${labels.x | ip} needs an IP address"
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
