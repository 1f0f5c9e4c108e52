//! Interfaces, as configurations have them: their names, and the forms in which a list has them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::units::Bytes;
use crate::yaml::Placed;

/// The longest name in bytes. Source: IFNAMSIZ in linux/if.h, less the end byte.
const MAX_BYTES: usize = 15;

/// Whether the kernel could call an interface so. Source: dev_valid_name in net/core/dev.c.
pub(super) fn is_name(name: &str) -> bool {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    !name.is_empty()
        && name.len() <= MAX_BYTES
        && name != "."
        && name != ".."
        && !name.contains(bad)
}

/// What is recorded: `auto`, or a list of interfaces.
#[derive(Clone, Debug)]
pub(super) enum Interfaces {
    Auto,
    Listed(Vec<Placed<Interface>>),
}

/// One interface: its name alone, or a mapping with what differs for it.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Interface {
    Named(String),
    Differing(Differing),
}

/// An interface whose recorder has settings of its own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Differing {
    pub(super) name: Placed<String>,
    pub(super) memory: Option<Placed<Bytes>>,
    pub(super) bytes_per_packet: Option<u32>,
    pub(super) promiscuous: Option<bool>,
}

impl JsonSchema for Interfaces {
    fn schema_name() -> Cow<'static, str> {
        "Interfaces".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let listed = generator.subschema_for::<Vec<Placed<Interface>>>();
        json_schema!({ "anyOf": [{ "const": "auto" }, listed] })
    }
}

impl<'de> Deserialize<'de> for Interfaces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Interfaces;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto` or a list of interfaces")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Interfaces, E> {
                if text == "auto" {
                    return Ok(Interfaces::Auto);
                }
                Err(E::custom(format!(
                    "`{}` is neither `auto` nor a list; write [{0}] for one interface",
                    text.chars().take(32).collect::<String>()
                )))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Interfaces, A::Error> {
                let mut listed = Vec::new();
                while let Some(interface) = items.next_element()? {
                    listed.push(interface);
                }
                Ok(Interfaces::Listed(listed))
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

impl<'de> Deserialize<'de> for Interface {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Interface;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an interface, or a mapping that has it")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Interface, E> {
                Ok(Interface::Named(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Interface, A::Error> {
                Err(A::Error::custom("expected the name of an interface, found a list"))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Interface, A::Error> {
                Differing::deserialize(MapAccessDeserializer::new(map)).map(Interface::Differing)
            }
        }

        deserializer.deserialize_any(Forms)
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_kernel() {
        for name in ["eth0", "br-1a2b", "wg0@x", "a"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "eth0:1", "a b", "sixteen-bytes-xx"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
