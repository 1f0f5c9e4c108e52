//! The schemas of the forms that serde has no word for, and how a schema says what the reader takes.

use std::borrow::Cow;

use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use super::placed::{List, Named, Placed, Version};

/// The JSON Schema (draft 2020-12) of what a file of this type may hold, for editors. It takes every
/// file that [`File::read`](super::File::read) takes; what only shows in the whole set, or against
/// the host, it cannot know.
pub fn schema_of<T: JsonSchema>(title: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(AsRead);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), json!(title));
    schema.to_value()
}

/// What the reader does otherwise than serde's usual ones: a key has a value or is left out, and a
/// field of text takes any plain scalar as it is written, so that `region: 17` is a text where an
/// editor sees a number.
#[derive(Clone, Debug)]
struct AsRead;

impl Transform for AsRead {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        without_null(schema);
        without_links(schema);
        if schema.get("type").is_none_or(|kind| kind != "string") || schema.get("pattern").is_some()
        {
            return;
        }
        let Some(words) = schema.get("enum").and_then(Value::as_array) else {
            schema.insert("type".to_owned(), json!(["string", "number", "boolean"]));
            return;
        };
        let as_number = |word: &Value| word.as_str()?.parse::<u32>().ok().map(Value::from);
        let numbers: Vec<Value> = words.iter().filter_map(as_number).collect();
        let all = [words.clone(), numbers].concat();
        schema.insert("enum".to_owned(), Value::Array(all));
        schema.remove("type");
    }
}

/// Takes the word out that an optional field may be null.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = &kinds[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let is_null = |form: &Value| form.get("type").is_some_and(|kind| kind == "null");
    let Some(Value::Array(forms)) = schema.get_mut("anyOf") else { return };
    forms.retain(|form| !is_null(form));
    if let [Value::Object(only)] = &forms[..] {
        let only = only.clone();
        schema.remove("anyOf");
        for (key, value) in only {
            schema.insert(key, value);
        }
    }
}

/// Takes what leads to other items of the code out of a description, and leaves their names.
fn without_links(schema: &mut Schema) {
    let Some(Value::String(text)) = schema.get_mut("description") else { return };
    while let Some(target) = text.find("](") {
        let end = text[target..].find(')').map_or(text.len(), |end| target + end + 1);
        text.replace_range(target..end, "");
        if let Some(begin) = text[..target].rfind('[') {
            text.remove(begin);
        }
    }
}

/// The value itself: where it stands is not written.
impl<T: JsonSchema> JsonSchema for Placed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl<V: JsonSchema> JsonSchema for Named<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

impl<const N: u32> JsonSchema for Version<N> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Version{N}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": N })
    }
}
