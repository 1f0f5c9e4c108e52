//! JSON as it stands there: the order of fields, their case, and fields that are written twice are
//! kept, so that a mistake can be told as it was made.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::problem::{Problem, shown};

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    /// A text, a number, a boolean or null.
    Plain(Value),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// A value, and where it stands: `storageLocation.storageId`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) at: String,
    pub(super) tree: Tree,
}

impl Tree {
    /// # Errors
    /// The text is no JSON.
    pub(super) fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    const fn is_null(&self) -> bool {
        matches!(self, Self::Plain(Value::Null))
    }
}

impl fmt::Display for Tree {
    /// As JSON again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => write!(f, "{value}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (number, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if number == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Object(pairs) => {
                f.write_str("{")?;
                for (number, (name, value)) in pairs.iter().enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{value}", Value::String(name.clone()))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E: Error>(self) -> Result<Tree, E> {
                Ok(Tree::Plain(Value::Null))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Plain(value.into()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Plain(value.into()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Plain(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Plain(value.into()))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Plain(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Tree::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Tree::Object(pairs))
            }
        }

        from.deserialize_any(Any)
    }
}

/// The fields of one object, taken out by their names, which may be in any case. Fields that are null
/// or an empty text are as good as left out.
#[derive(Debug)]
pub(super) struct Fields {
    /// What stands before the name of a field where it is told.
    prefix: String,
    pairs: Vec<(String, Tree)>,
    known: Vec<&'static str>,
}

impl Fields {
    /// # Errors
    /// The value is no object.
    pub(super) fn of(found: Found) -> Result<Self, Problem> {
        let Found { at, tree } = found;
        match tree {
            Tree::Object(pairs) => {
                let prefix = if at.is_empty() { at } else { format!("{at}.") };
                Ok(Self { prefix, pairs, known: Vec::new() })
            }
            other @ (Tree::Plain(_) | Tree::List(_)) => {
                let at = if at.is_empty() { "the body" } else { &at };
                Err(Problem::bad_field(at, &other.to_string(), "write an object, as in { ... }"))
            }
        }
    }

    /// Takes a field out; the first of `names` is how we call it.
    ///
    /// # Errors
    /// It is there twice.
    pub(super) fn take(&mut self, names: &[&'static str]) -> Result<Option<Found>, Problem> {
        self.known.extend(names.first());
        let is_it = |name: &str| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        let mut taken: Option<Found> = None;
        let mut at = 0;
        while at < self.pairs.len() {
            if !is_it(&self.pairs[at].0) {
                at += 1;
                continue;
            }
            let (name, tree) = self.pairs.remove(at);
            let found = Found { at: format!("{}{}", self.prefix, shown(&name)), tree };
            if let Some(earlier) = &taken {
                let expected = format!("write it once; it stands there as {} too", earlier.at);
                return Err(Problem::bad_field(&found.at, &found.tree.to_string(), &expected));
            }
            taken = Some(found);
        }
        Ok(taken.filter(|found| !found.tree.is_null() && found.tree != Tree::Plain("".into())))
    }

    /// # Errors
    /// A field is left that nobody asked for.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let Some((name, tree)) = self.pairs.into_iter().next() else {
            return Ok(());
        };
        let known = self.known.join(", ");
        let at = format!("{}{}", self.prefix, shown(&name));
        let expected = format!("there is no such field; the fields here are {known}");
        Err(Problem::bad_field(&at, &tree.to_string(), &expected))
    }
}

impl Found {
    /// A whole number in `range`, or its digits as a text.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn number(&self, range: std::ops::RangeInclusive<u64>) -> Result<u64, Problem> {
        let number = match &self.tree {
            Tree::Plain(Value::Number(number)) => number.as_u64(),
            Tree::Plain(Value::String(text)) => text.trim().parse().ok(),
            Tree::Plain(_) | Tree::List(_) | Tree::Object(_) => None,
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (first, last) = (range.start(), range.end());
            self.refused(&format!("write a whole number from {first} to {last}"))
        })
    }

    /// # Errors
    /// It is no text; `expected` says what it has to be.
    pub(super) fn text(&self, expected: &str) -> Result<String, Problem> {
        match &self.tree {
            Tree::Plain(Value::String(text)) => Ok(text.clone()),
            Tree::Plain(_) | Tree::List(_) | Tree::Object(_) => Err(self.refused(expected)),
        }
    }

    /// A list of texts, or one text with commas between them.
    ///
    /// # Errors
    /// It is neither, one is empty, or there are more than `most`.
    pub(super) fn texts(&self, most: usize, expected: &str) -> Result<Vec<String>, Problem> {
        let texts: Option<Vec<String>> = match &self.tree {
            Tree::Plain(Value::String(text)) => {
                Some(text.split(',').map(|part| part.trim().to_owned()).collect())
            }
            Tree::List(items) => {
                let text = |item: &Tree| match item {
                    Tree::Plain(Value::String(text)) => Some(text.trim().to_owned()),
                    Tree::Plain(_) | Tree::List(_) | Tree::Object(_) => None,
                };
                items.iter().map(text).collect()
            }
            Tree::Plain(_) | Tree::Object(_) => None,
        };
        texts
            .filter(|texts| texts.len() <= most && texts.iter().all(|text| !text.is_empty()))
            .ok_or_else(|| self.refused(expected))
    }

    /// # Errors
    /// It is neither true nor false, as such or as a text.
    pub(super) fn boolean(&self) -> Result<bool, Problem> {
        match &self.tree {
            Tree::Plain(Value::Bool(value)) => Ok(*value),
            Tree::Plain(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Tree::Plain(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Tree::Plain(_) | Tree::List(_) | Tree::Object(_) => {
                Err(self.refused("write true or false"))
            }
        }
    }

    /// The problem that it is not what it has to be.
    pub(super) fn refused(&self, expected: &str) -> Problem {
        Problem::bad_field(&self.at, &self.tree.to_string(), expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        let tree = Tree::read(text.as_bytes()).unwrap();
        Fields::of(Found { at: String::new(), tree }).unwrap()
    }

    #[test]
    fn json_survives_with_every_pair() {
        let text = r#"{"a":[1,-2,2.5,"x\n",null,true],"A":{"b":{}},"a":[]}"#;
        assert_eq!(Tree::read(text.as_bytes()).unwrap().to_string(), text);
        assert!(Tree::read(b"{\"a\": ").is_err());
    }

    #[test]
    fn fields_are_found_in_any_case_and_only_once() {
        let mut found = fields(r#"{"TimeLimitInseconds": "60", "b": null, "c": ""}"#);
        let limit = found.take(&["timeLimitInSeconds"]).unwrap().unwrap();
        assert_eq!(limit.number(1..=100).unwrap(), 60);
        assert_eq!(limit.at, "TimeLimitInseconds");
        assert_eq!(found.take(&["b"]).unwrap(), None);
        assert_eq!(found.take(&["c"]).unwrap(), None);
        found.finish().unwrap();
        let twice = fields(r#"{"a": 1, "A": 2}"#).take(&["a"]).unwrap_err();
        assert_eq!((twice.field.as_deref(), twice.value.as_deref()), (Some("A"), Some("2")));
    }

    #[test]
    fn what_nobody_asked_for_is_named_with_what_there_is() {
        let mut found = fields(r#"{"bytes": 1, "filtres": []}"#);
        found.take(&["bytes"]).unwrap();
        found.take(&["filters"]).unwrap();
        let problem = found.finish().unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("filtres"));
        assert!(problem.detail.ends_with("bytes, filters"), "{problem:?}");
    }

    #[test]
    fn values_of_the_wrong_form_are_told_with_the_right_one() {
        let found =
            |text: &str| Found { at: "x".to_owned(), tree: Tree::read(text.as_bytes()).unwrap() };
        for wrong in ["-1", "1.5", "\"ten\"", "101", "[]"] {
            let problem = found(wrong).number(0..=100).unwrap_err();
            assert_eq!(problem.expected.as_deref(), Some("write a whole number from 0 to 100"));
        }
        assert_eq!(found("\"a, b\"").texts(2, "").unwrap(), ["a", "b"]);
        assert_eq!(found("[\"a\"]").texts(2, "").unwrap(), ["a"]);
        assert!(
            found("\"a,,b\"").texts(9, "").is_err() && found("[\"a\",1]").texts(9, "").is_err()
        );
        assert!(found("\"True\"").boolean().unwrap() && found("1").boolean().is_err());
    }
}
