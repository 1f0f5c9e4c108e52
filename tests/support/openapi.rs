//! Holds answers to an OpenAPI 3.1 document: as much of JSON Schema as ours uses, and nothing that it
//! does not know is passed over in silence.

use serde_json::{Map, Value};

use super::http::Answer;

/// The words of a schema that are no rule.
const NOTES: [&str; 2] = ["description", "format"];

/// A document.
#[derive(Clone, Debug)]
pub(crate) struct Document(pub(crate) Value);

impl Document {
    /// What is wrong with an answer to `method path`, as the document has the path.
    pub(crate) fn mistakes(&self, method: &str, path: &str, answer: &Answer) -> Vec<String> {
        let operation = &self.0["paths"][path][method];
        let Some(response) = operation["responses"].get(answer.status.to_string()) else {
            let body = String::from_utf8_lossy(&answer.body);
            return vec![format!("{method} {path}: {} is not described: {body}", answer.status)];
        };
        let kind = answer.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        let Some(content) = response.get("content") else {
            return match answer.body.len() {
                0 => Vec::new(),
                bytes => vec![format!("{method} {path}: {bytes} bytes where none are described")],
            };
        };
        let Some(media) = content.get(kind) else {
            return vec![format!("{method} {path}: '{kind}' is not described")];
        };
        if !kind.ends_with("json") {
            return Vec::new();
        }
        let mut found = Vec::new();
        self.look(&media["schema"], &answer.json(), &format!("{method} {path}"), &mut found);
        found
    }

    /// What is wrong with a value of the schema `name`.
    pub(crate) fn mistakes_in(&self, name: &str, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.look(&self.0["components"]["schemas"][name], value, name, &mut found);
        found
    }

    fn look(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let schema = schema.as_object().unwrap_or_else(|| panic!("{at}: no schema"));
        for (word, rule) in schema {
            match word.as_str() {
                "$ref" => {
                    let name = rule.as_str().and_then(|name| name.rsplit('/').next());
                    let name = name.expect("a reference is a text");
                    let known = self.0["components"]["schemas"].get(name);
                    let known = known.unwrap_or_else(|| panic!("{at}: no schema {name}"));
                    self.look(known, value, at, found);
                }
                "oneOf" => {
                    let fits = |one: &&Value| {
                        let mut found = Vec::new();
                        self.look(one, value, at, &mut found);
                        found.is_empty()
                    };
                    let alternatives = rule.as_array().expect("alternatives are a list");
                    let count = alternatives.iter().filter(fits).count();
                    if count != 1 {
                        found.push(format!("{at}: {value} fits {count} alternatives"));
                    }
                }
                "type" if !is_of_type(rule, value) => {
                    found.push(format!("{at}: {value} is not of type {rule}"));
                }
                "enum" if !rule.as_array().expect("a list").contains(value) => {
                    found.push(format!("{at}: {value} is not one of {rule}"));
                }
                "minimum" | "maximum" => bound(word, rule, value, at, found),
                "minItems" | "maxItems" => length(word, rule, value, at, found),
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.look(rule, item, &format!("{at}[{number}]"), found);
                    }
                }
                "properties" | "required" | "additionalProperties" | "type" | "enum" => {}
                note if NOTES.contains(&note) => {}
                unknown => panic!("{at}: the test does not know '{unknown}'"),
            }
        }
        if let Some(object) = value.as_object() {
            self.look_at_properties(schema, object, at, found);
        }
    }

    fn look_at_properties(
        &self,
        schema: &Map<String, Value>,
        object: &Map<String, Value>,
        at: &str,
        found: &mut Vec<String>,
    ) {
        let Some(properties) = schema.get("properties") else { return };
        for (name, value) in object {
            match properties.get(name) {
                Some(schema) => self.look(schema, value, &format!("{at}.{name}"), found),
                None => found.push(format!("{at}.{name} is not described")),
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str().expect("names are texts");
            if !object.contains_key(name) {
                found.push(format!("{at}.{name} is missing"));
            }
        }
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("no type {unknown}"),
    };
    match rule {
        Value::String(name) => is(name),
        rule => {
            rule.as_array().expect("types").iter().any(|name| is(name.as_str().expect("a text")))
        }
    }
}

fn bound(word: &str, rule: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(number) = value.as_i64() else { return };
    let rule = rule.as_i64().expect("bounds are whole numbers");
    let is_within = if word == "minimum" { number >= rule } else { number <= rule };
    if !is_within {
        found.push(format!("{at}: {number} is beyond the {word} {rule}"));
    }
}

fn length(word: &str, rule: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(items) = value.as_array() else { return };
    let rule = usize::try_from(rule.as_u64().expect("a number of items")).expect("a small number");
    let is_within = if word == "minItems" { items.len() >= rule } else { items.len() <= rule };
    if !is_within {
        found.push(format!("{at}: {} items are beyond the {word} {rule}", items.len()));
    }
}
