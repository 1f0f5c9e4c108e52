//! The schema of the configuration, with the words of the reference page: what stands above a key
//! there is what an editor shows at that key.
//!
//! It reads the embedded default as text, because its comments are what is wanted. A key that is
//! commented out there is one like any other.

use serde_json::{Map, Value};

use super::{DEFAULT, raw};
use crate::yaml;

/// The JSON Schema of a configuration file.
pub fn schema() -> Value {
    let mut schema = yaml::schema_of::<raw::Config>("Hindsight configuration");
    for Described { path, text } in read(DEFAULT) {
        for place in places(&schema, &path) {
            if let Some(Value::Object(property)) = schema.pointer_mut(&place) {
                property.insert("description".to_owned(), Value::String(text.clone()));
            }
        }
    }
    schema
}

/// A key of the page, from the outermost one on, and what stands above it.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    path: Vec<String>,
    text: String,
}

/// A line of the page.
enum Line<'t> {
    /// A sentence, or a part of one.
    Prose(&'t str),
    Key {
        indent: usize,
        name: &'t str,
    },
    Other,
}

impl<'t> Line<'t> {
    fn of(line: &'t str) -> Self {
        let text = line.trim_start();
        let mut indent = line.len() - text.len();
        let mut text = text;
        // What is commented out keeps its own indentation behind the `#`; prose has one space.
        let is_prose =
            |text: &str| text == "#" || (text.starts_with("# ") && !text.starts_with("#  "));
        if text.starts_with('#') && !is_prose(text) {
            let inner = text[1..].trim_start();
            indent += text.len() - 1 - inner.len();
            text = inner;
        }
        if let Some(prose) = text.strip_prefix('#') {
            return Self::Prose(prose.trim());
        }
        if let Some(item) = text.strip_prefix("- ") {
            indent += 2;
            text = item;
        }
        let name = text.split_once(':').map_or("", |(name, _)| name);
        let is_key = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_key { Self::Key { indent, name } } else { Self::Other }
    }
}

/// The keys that something is said of.
fn read(page: &str) -> Vec<Described> {
    let mut described = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut prose: Vec<&str> = Vec::new();
    for line in page.lines() {
        match Line::of(line) {
            Line::Prose(text) => prose.push(text),
            Line::Other => prose.clear(),
            Line::Key { indent, name } => {
                path.retain(|(outer, _)| *outer < indent);
                path.push((indent, name.to_owned()));
                let text = std::mem::take(&mut prose).join("\n");
                if !text.is_empty() {
                    let path = path.iter().map(|(_, name)| name.clone()).collect();
                    described.push(Described { path, text });
                }
            }
        }
    }
    described
}

/// JSON pointers to what the schema says of a key; more than one where a value has several forms.
fn places(schema: &Value, path: &[String]) -> Vec<String> {
    let mut at = vec![String::new()];
    for (depth, key) in path.iter().enumerate() {
        let last = depth + 1 == path.len();
        at = at.iter().flat_map(|place| step(schema, place, key, last)).collect();
    }
    at
}

/// From one place to the key in it. What users name themselves has nothing to describe.
fn step(schema: &Value, place: &str, key: &str, last: bool) -> Vec<String> {
    let Some(Value::Object(form)) = schema.pointer(place) else {
        return Vec::new();
    };
    let has = |form: &Map<String, Value>, word: &str| form.contains_key(word);
    if let Some(target) = form.get("$ref").and_then(Value::as_str) {
        return step(schema, target.trim_start_matches('#'), key, last);
    }
    let mut found = Vec::new();
    if form.get("properties").and_then(Value::as_object).is_some_and(|inner| has(inner, key)) {
        found.push(format!("{place}/properties/{key}"));
    } else if form.get("additionalProperties").is_some_and(Value::is_object) && !last {
        found.push(format!("{place}/additionalProperties"));
    }
    for word in ["anyOf", "oneOf"] {
        let forms = form.get(word).and_then(Value::as_array).map_or(0, Vec::len);
        found.extend(
            (0..forms).flat_map(|n| step(schema, &format!("{place}/{word}/{n}"), key, last)),
        );
    }
    if has(form, "items") {
        found.extend(step(schema, &format!("{place}/items"), key, last));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_above_a_key_is_said_of_it() {
        let page = "# The whole.\n\nversion: 1\n# Of a.\n# More.\na:\n  # Of b.\n  #b: 1\n  #c:\n  #  # Of d.\n  \
                    #  d: 2\n  list:\n    # Of e.\n    - e: 3\n";
        let told: Vec<(String, String)> =
            read(page).into_iter().map(|it| (it.path.join("."), it.text)).collect();
        let expected =
            [("a", "Of a.\nMore."), ("a.b", "Of b."), ("a.c.d", "Of d."), ("a.list.e", "Of e.")];
        assert_eq!(told, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }

    #[test]
    fn every_key_of_the_page_that_something_is_said_of_is_found_in_the_schema() {
        let schema = yaml::schema_of::<raw::Config>("a");
        for Described { path, .. } in read(DEFAULT) {
            let is_name =
                path.len() == 2 && ["sources", "storages", "notifiers"].contains(&path[0].as_str());
            let is_free = path.iter().any(|key| key == "headers");
            assert!(is_name || is_free || !places(&schema, &path).is_empty(), "{path:?}");
        }
    }
}
