//! From the tree to typed values, leaving out the nodes that were mistakes.

use std::collections::BTreeSet;

use serde::de::value::{BoolDeserializer, U32Deserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::Fault;
use super::placed::{LIST, PLACED};
use super::tree::{Content, Node};

/// Reads one node.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'de> {
    pub(super) node: &'de Node,
    /// Numbers of nodes that are taken for not written.
    pub(super) left_out: &'de BTreeSet<u32>,
}

impl<'de> Decoder<'de> {
    fn on(self, node: &'de Node) -> Self {
        Self { node, ..self }
    }

    fn expected(self, what: &str) -> Fault {
        if self.node.is_null() {
            return Fault::new("no value is given here").hint("write one, or remove the key");
        }
        Fault::new(format!("expected {what}, found {}", self.node.describe()))
    }

    fn text(self) -> Result<&'de str, Fault> {
        match &self.node.content {
            Content::Scalar { text, .. } if !self.node.is_null() => Ok(text),
            Content::Scalar { .. } | Content::List(_) | Content::Mapping(_) => {
                Err(self.expected("text"))
            }
        }
    }

    fn boolean(self) -> Result<bool, Fault> {
        match &self.node.content {
            Content::Scalar { text, plain: true } if text == "true" => Ok(true),
            Content::Scalar { text, plain: true } if text == "false" => Ok(false),
            Content::Scalar { .. } | Content::List(_) | Content::Mapping(_) => {
                Err(self.expected("true or false"))
            }
        }
    }

    /// A whole number as everybody reads it: digits, without a leading zero, sign or exponent.
    fn number(self, max: u64) -> Result<u64, Fault> {
        let expected = || self.expected(&format!("a whole number from 0 to {max}"));
        let Content::Scalar { text, plain: true } = &self.node.content else {
            return Err(expected());
        };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(expected());
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(expected().hint("leave the leading zero out"));
        }
        text.parse().ok().filter(|number| *number <= max).ok_or_else(expected)
    }

    fn items(self) -> Result<impl Iterator<Item = &'de Node>, Fault> {
        match &self.node.content {
            Content::List(items) => {
                Ok(items.iter().filter(move |item| !self.left_out.contains(&item.id)))
            }
            Content::Scalar { .. } | Content::Mapping(_) => Err(self.expected("a list")),
        }
    }

    fn entries(self) -> Result<impl Iterator<Item = (&'de Node, &'de Node)>, Fault> {
        match &self.node.content {
            Content::Mapping(entries) => Ok(entries
                .iter()
                .map(|(key, value)| (key, value))
                .filter(move |(key, value)| !self.is_left_out(key, value))),
            Content::Scalar { .. } | Content::List(_) => Err(self.expected("a mapping")),
        }
    }

    fn is_left_out(self, key: &Node, value: &Node) -> bool {
        self.left_out.contains(&key.id) || self.left_out.contains(&value.id)
    }

    /// Whether the key is written here and was a mistake.
    fn lost(self, name: &str) -> bool {
        let Content::Mapping(entries) = &self.node.content else {
            return false;
        };
        entries.iter().any(|(key, value)| {
            matches!(&key.content, Content::Scalar { text, .. } if text == name)
                && self.is_left_out(key, value)
        })
    }

    fn is_whole(self) -> bool {
        self.left_out.range(self.node.id..=self.node.last_id).next().is_none()
    }

    fn mapping<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let entries = Entries { of: self, entries: self.entries()?, value: None };
        visitor.visit_map(entries).map_err(|mut fault| {
            // A missing key that was written, and noted as a mistake, is no second mistake.
            if let Some(name) = fault.missing.take() {
                fault.follows = self.lost(name);
            }
            fault
        })
    }
}

/// One `deserialize_*` method for each kind of whole number.
macro_rules! numbers {
    ($($method:ident => $visit:ident($number:ty)),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let number = self.number(u64::try_from(<$number>::MAX).unwrap_or(u64::MAX))?;
            let in_range = "number() keeps to the type's range";
            visitor.$visit(<$number>::try_from(number).expect(in_range))
        }
    )*};
}

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = Fault;

    numbers! {
        deserialize_u8 => visit_u8(u8),
        deserialize_u16 => visit_u16(u16),
        deserialize_u32 => visit_u32(u32),
        deserialize_u64 => visit_u64(u64),
        deserialize_i8 => visit_i8(i8),
        deserialize_i16 => visit_i16(i16),
        deserialize_i32 => visit_i32(i32),
        deserialize_i64 => visit_i64(i64),
    }

    /// For types that take several forms: text, a list or a mapping.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Scalar { .. } => visitor.visit_borrowed_str(self.text()?),
            Content::List(_) => self.deserialize_seq(visitor),
            Content::Mapping(_) => self.mapping(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_bool(self.boolean()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.node.is_null() {
            return Err(self.expected("a value"));
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match (name, &self.node.content) {
            (PLACED, _) => visitor.visit_seq(Parts { of: self, given: 0 }),
            (LIST, Content::Scalar { .. } | Content::Mapping(_)) => {
                visitor.visit_seq(Items { of: self, items: std::iter::once(self.node) })
            }
            (LIST, Content::List(_)) => self.deserialize_seq(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Items { of: self, items: self.items()? })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.mapping(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.mapping(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Content::Scalar { .. } = self.node.content {
            self.text()?;
            return visitor.visit_enum(Variant { of: self, tag: self.node, value: None });
        }
        let one_of = || self.expected(&format!("one of {}", variants.join(", ")));
        let mut entries = self.entries().map_err(|_not_a_mapping| one_of())?;
        match (entries.next(), entries.next()) {
            (Some((tag, value)), None) => {
                visitor.visit_enum(Variant { of: self, tag, value: Some(value) })
            }
            (Some(_), Some((second, _))) => {
                let fault =
                    Fault::new(format!("{} cannot stand beside another", second.describe()))
                        .hint(format!("write exactly one of {}", variants.join(", ")));
                Err(second.tie(fault))
            }
            (None, _) => Err(Fault { follows: !self.is_whole(), ..one_of() }),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

/// The parts of a [`Placed`](super::placed::Placed): line, column, whether whole, value.
struct Parts<'de> {
    of: Decoder<'de>,
    given: u8,
}

impl<'de> de::SeqAccess<'de> for Parts<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        self.given += 1;
        let Decoder { node, .. } = self.of;
        let number = |number: u32| -> U32Deserializer<Fault> { number.into_deserializer() };
        let flag = |flag: bool| -> BoolDeserializer<Fault> { flag.into_deserializer() };
        match self.given {
            1 => seed.deserialize(number(node.place.line)),
            2 => seed.deserialize(number(node.place.column)),
            3 => seed.deserialize(flag(self.of.is_whole())),
            _ => seed.deserialize(self.of),
        }
        .map(Some)
    }
}

struct Items<'de, I> {
    of: Decoder<'de>,
    items: I,
}

impl<'de, I: Iterator<Item = &'de Node>> de::SeqAccess<'de> for Items<'de, I> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let read = |item| seed.deserialize(self.of.on(item)).map_err(|fault| item.tie(fault));
        self.items.next().map(read).transpose()
    }
}

struct Entries<'de, I> {
    of: Decoder<'de>,
    entries: I,
    value: Option<&'de Node>,
}

impl<'de, I: Iterator<Item = (&'de Node, &'de Node)>> de::MapAccess<'de> for Entries<'de, I> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(self.of.on(key)).map_err(|fault| key.tie(fault)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let value = self.value.take().expect("serde asks for a value after its key");
        seed.deserialize(self.of.on(value)).map_err(|fault| value.tie(fault))
    }
}

/// An enum's variant: a word, or the one key of a mapping.
struct Variant<'de> {
    of: Decoder<'de>,
    tag: &'de Node,
    value: Option<&'de Node>,
}

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let tag = seed.deserialize(self.of.on(self.tag)).map_err(|fault| self.tag.tie(fault))?;
        Ok((tag, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.value {
            None => Ok(()),
            Some(value) => Err(Fault::new(format!("{} takes no value", self.tag.describe())))
                .map_err(|fault| value.tie(fault)),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        let Some(value) = self.value else {
            let what = self.tag.describe();
            let fault = Fault::new(format!("{what} stands alone")).hint("write its settings below");
            return Err(self.tag.tie(fault));
        };
        seed.deserialize(self.of.on(value)).map_err(|fault| value.tie(fault))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        let value = self.value.unwrap_or(self.tag);
        self.of.on(value).deserialize_seq(visitor).map_err(|fault| value.tie(fault))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let value = self.value.unwrap_or(self.tag);
        self.of.on(value).mapping(visitor).map_err(|fault| value.tie(fault))
    }
}
