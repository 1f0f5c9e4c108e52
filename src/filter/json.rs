//! Entries as JSON: one object or a list of objects, with the fields of Azure Network Watcher's
//! packet capture (`localIPAddress`) or with our own names (`local_ip`). `mac` is ours alone.
//!
//! Names of fields are read as Azure reads them, whatever their case. A mistake is told with the
//! number of the entry, counted from 1, the field as it was written, the value and the right form.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::error::{Error, shown};
use super::{Addresses, Entry, Filter, Mac, Ports, Protocol, expression};

/// Why a text is no list of entries.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error(
        "this is not JSON of the right form ({reason}); write one entry or a list of entries, as in \
         [{{\"protocol\": \"TCP\", \"remoteIPAddress\": \"192.0.2.7\", \"remotePort\": \"443\"}}]"
    )]
    Form { reason: String },
    #[error(
        "entry {number}: there is no field '{field}'; the fields are protocol, localIPAddress, \
         remoteIPAddress, localPort, remotePort and mac"
    )]
    UnknownField { number: usize, field: String },
    #[error(
        "entry {number}: '{field}' is given twice; write its values as one list, as in {example}"
    )]
    Twice { number: usize, field: String, example: &'static str },
    #[error("entry {number}: {field}: {value} is no text; write it as in {example}")]
    NotText { number: usize, field: String, value: String, example: &'static str },
    #[error("entry {number}: {source}")]
    Entry { number: usize, source: Error },
}

/// Reads the entries of a filter.
///
/// # Errors
/// The text is no JSON of this form, or an entry has an unknown field or a value of the wrong form.
pub fn entries_from_json(text: &str) -> Result<Vec<Entry>, JsonError> {
    let Written(entries) = serde_json::from_str(text)
        .map_err(|error| JsonError::Form { reason: shown(&error.to_string()) })?;
    (1..).zip(entries).map(|(number, Pairs(pairs))| entry(number, pairs)).collect()
}

/// The fields of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Protocol,
    LocalIp,
    RemoteIp,
    LocalPort,
    RemotePort,
    Mac,
}

impl Field {
    /// Letters of either case are the same; underscores are those of our own names.
    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "protocol" => Some(Self::Protocol),
            "localipaddress" | "local_ip" => Some(Self::LocalIp),
            "remoteipaddress" | "remote_ip" => Some(Self::RemoteIp),
            "localport" | "local_port" => Some(Self::LocalPort),
            "remoteport" | "remote_port" => Some(Self::RemotePort),
            "mac" => Some(Self::Mac),
            _ => None,
        }
    }

    /// A value of the right form, as JSON.
    const fn example(self) -> &'static str {
        match self {
            Self::Protocol => "\"TCP\"",
            Self::LocalIp | Self::RemoteIp => "\"192.0.2.7;192.0.2.16-192.0.2.31\"",
            Self::LocalPort | Self::RemotePort => "\"443;8000-8999\"",
            Self::Mac => "\"02:00:5e:10:00:01;02:00:5e:10:00:02\"",
        }
    }
}

fn entry(number: usize, pairs: Vec<(String, Value)>) -> Result<Entry, JsonError> {
    let mut entry = Entry::default();
    let mut seen = Vec::new();
    for (name, value) in pairs {
        let Some(field) = Field::named(&name) else {
            return Err(JsonError::UnknownField { number, field: shown(&name) });
        };
        let (name, example) = (shown(&name), field.example());
        if seen.contains(&field) {
            return Err(JsonError::Twice { number, field: name, example });
        }
        seen.push(field);
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Number(value) => value.to_string(),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                let value = shown(&value.to_string());
                return Err(JsonError::NotText { number, field: name, value, example });
            }
        };
        set(&mut entry, field, &name, &text)
            .map_err(|source| JsonError::Entry { number, source })?;
    }
    // What no field shows alone, such as ports of ICMP.
    let alone = Filter { entries: vec![entry], expression: None };
    expression::check_entries(&alone).map_err(|source| JsonError::Entry { number, source })?;
    Ok(alone.entries.into_iter().next().unwrap_or_default())
}

fn set(entry: &mut Entry, field: Field, name: &str, text: &str) -> Result<(), Error> {
    match field {
        Field::Protocol => entry.protocol = Protocol::parse(name, text)?,
        Field::LocalIp => entry.local_ip = Addresses::parse_list(name, text)?,
        Field::RemoteIp => entry.remote_ip = Addresses::parse_list(name, text)?,
        Field::LocalPort => entry.local_port = Ports::parse_list(name, text)?,
        Field::RemotePort => entry.remote_port = Ports::parse_list(name, text)?,
        Field::Mac => entry.mac = Mac::parse_list(name, text)?,
    }
    Ok(())
}

/// One entry or a list of them, before anything is known of their fields.
struct Written(Vec<Pairs>);

/// The fields of one object as they stand there: a field that is written twice is seen twice.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an entry or a list of entries")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
                Ok(Written(vec![pairs(map)?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Written, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = next(&mut list, entries.len() + 1)? {
                    entries.push(entry);
                }
                Ok(Written(entries))
            }
        }

        from.deserialize_any(Entries)
    }
}

fn next<'de, A: SeqAccess<'de>>(list: &mut A, number: usize) -> Result<Option<Pairs>, A::Error> {
    list.next_element().map_err(|error| de::Error::custom(format!("entry {number}: {error}")))
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the fields of an entry")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pairs, A::Error> {
                pairs(map)
            }
        }

        from.deserialize_map(Object)
    }
}

fn pairs<'de, A: MapAccess<'de>>(mut map: A) -> Result<Pairs, A::Error> {
    let mut pairs = Vec::new();
    while let Some(pair) = map.next_entry()? {
        pairs.push(pair);
    }
    Ok(Pairs(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(text: &str) -> String {
        entries_from_json(text).unwrap_err().to_string()
    }

    fn expression(text: &str) -> String {
        Filter { entries: entries_from_json(text).unwrap(), expression: None }.expression_for(&[])
    }

    #[test]
    fn the_fields_of_azure_and_our_own_mean_the_same() {
        let azure = r#"{"protocol": "TCP", "localIPAddress": "10.0.0.1-10.0.0.3",
            "remoteIPAddress": "192.0.2.7;2001:db8::/32", "localPort": 22, "remotePort": "80;443-450;"}"#;
        let own = r#"[{"protocol": "tcp", "local_ip": "10.0.0.1-10.0.0.3",
            "remote_ip": "192.0.2.7;2001:db8::/32", "local_port": "22", "remote_port": "80;443-450"}]"#;
        let entries = entries_from_json(azure).unwrap();
        assert_eq!(entries, entries_from_json(own).unwrap());
        assert_eq!(entries[0].protocol, Some(Protocol::Tcp));
        assert_eq!(entries[0].local_port, [Ports { first: 22, last: 22 }]);
        let mac = entries_from_json(r#"{"MAC": "02-00-00-00-00-01"}"#).unwrap();
        assert_eq!(mac[0].mac, [Mac([2, 0, 0, 0, 0, 1])]);
        let other_case = r#"[{"Protocol": "Udp", "localIpAddress": "10.0.0.1"}]"#;
        assert_eq!(entries_from_json(other_case).unwrap()[0].protocol, Some(Protocol::Udp));
    }

    #[test]
    fn nothing_given_constrains_nothing() {
        for text in ["[]", "{}", r#"{"protocol": "Any", "localPort": "", "remotePort": null}"#] {
            assert_eq!(expression(text), "", "{text}");
        }
    }

    #[test]
    fn entries_are_alternatives() {
        let text = r#"[{"protocol": "ICMP"}, {"protocol": "UDP", "remotePort": "53"}]"#;
        let words = expression(text);
        assert!(words.contains("icmp") && words.contains(" or "), "{words}");
    }

    #[test]
    fn the_malformed_range_of_the_documentation_is_told_with_entry_field_value_and_right_form() {
        let text = r#"[{"protocol": "TCP"}, {"remoteIPAddress": "1.1.1.1-255.255.255"}]"#;
        let expected = "entry 2: remoteIPAddress: '1.1.1.1-255.255.255' is not a range of \
                        addresses; write two whole addresses, as in 192.0.2.1-192.0.2.9";
        assert_eq!(message(text), expected);
    }

    #[test]
    fn a_mistake_names_the_entry_the_field_the_value_and_the_right_form() {
        for (text, parts) in [
            (r#"{"protocoll": "TCP"}"#, ["entry 1", "'protocoll'", "protocol, localIPAddress"]),
            (
                r#"[{}, {"protocol": "GRE"}]"#,
                ["entry 2: protocol", "'GRE'", "tcp, udp, icmp or any"],
            ),
            (r#"{"mac": "02:00:00:00:00"}"#, ["entry 1: mac", "'02:00:00:00:00'", "six pairs"]),
            (r#"{"localPort": 70000}"#, ["entry 1: localPort", "'70000'", "0 to 65535"]),
            (r#"{"localPort": 4.5}"#, ["entry 1: localPort", "'4.5'", "0 to 65535"]),
            (r#"{"remotePort": [80, 443]}"#, ["entry 1: remotePort", "[80,443]", "443;8000-8999"]),
            (r#"{"remotePort": true}"#, ["entry 1: remotePort", "true", "443;8000-8999"]),
            (
                r#"{"localIPAddress": "router"}"#,
                ["entry 1: localIPAddress", "'router'", "192.0.2.7"],
            ),
            (r#"{"local_ip": "10.0.0.1", "localIPAddress": ""}"#, ["entry 1", "twice", "one list"]),
            (
                r#"{"localPort": 1, "localPort": 2}"#,
                ["entry 1", "'localPort' is given twice", "as in"],
            ),
            (
                r#"{"protocol": "ICMP", "localPort": 1}"#,
                ["entry 1", "ICMP has no ports", "leave out"],
            ),
            (r#"[{}, 5]"#, ["entry 2", "an object with the fields", "192.0.2.7"]),
            ("tcp port 80", ["not JSON", "line 1", "remotePort"]),
            ("5", ["not JSON", "a list of entries", "remotePort"]),
        ] {
            let message = message(text);
            for part in parts {
                assert!(message.contains(part), "{part} is missing for {text}: {message}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String, field in "protocol|localPort|remote_ip") {
            drop(entries_from_json(&text));
            let value = Value::String(text);
            drop(entries_from_json(&format!("{{\"{field}\": {value}}}")));
        }
    }
}
