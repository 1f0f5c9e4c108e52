//! Why a condition has no truth value, in sentences for people.
//!
//! What comes from the event is escaped and cut: the sentences go into notices and the log.

use cel::ExecutionError;
use cel::objects::ValueType;

use crate::rules::when::Error;

/// The most characters that are shown of a text.
const MAX_SHOWN_CHARS: usize = 64;

/// How the parser begins what it says of a text that it could not read.
pub(super) const SYNTAX: &str = "Syntax error: ";

/// An error of the parser, without what it would have liked better.
pub(super) fn syntax(message: &str, (_, column): (isize, isize)) -> Error {
    let message = message.trim_start_matches(SYNTAX);
    let message = message.split(" expecting ").next().unwrap_or(message);
    let problem = match message {
        ends if ends.contains("'<EOF>'") => "it ends too early".to_owned(),
        other => shown(other),
    };
    Error::Syntax { column: usize::try_from(column).unwrap_or(1).max(1), problem }
}

/// What went wrong over an event.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the crate may add errors; none of the others says more to people"
)]
pub(super) fn sentence(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => {
            format!("there is no `{}`; ask with has() or `in` before using it", shown(key))
        }
        ExecutionError::NoSuchOverload(error) => {
            unfit(error.function(), error.argument_types().iter().map(String::as_str))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            unfit("comparing", [kind(left.type_of()), kind(right.type_of())])
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            unfit(operator, [kind(left.type_of()), kind(right.type_of())])
        }
        ExecutionError::UnexpectedType { want, .. } => {
            format!("a value is not the {} that is needed there", shown(want))
        }
        ExecutionError::FunctionError { function, message } => {
            format!("{}(): {}", shown(function), shown(message))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "it divides by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a result is out of range".to_owned(),
        ExecutionError::IndexOutOfBounds(_) => "a list has no element at that position".to_owned(),
        ExecutionError::DuplicateKey(_) => "a map has the same key twice".to_owned(),
        _ => "it has no meaning for the values of this event".to_owned(),
    }
}

pub(super) fn no_truth(value: ValueType) -> String {
    format!("it gives {}, not true or false", name(kind(value)))
}

/// An operator or a function that has no meaning for values of these types.
fn unfit<'a>(function: &str, types: impl IntoIterator<Item = &'a str>) -> String {
    let types: Vec<_> = types.into_iter().map(name).collect();
    let function = match function {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "_[_]" => "[]",
        "_._" => ".",
        "@in" => "in",
        "_?_:_" => "? :",
        other => other.trim_matches('_'),
    };
    let hint = if types.contains(&"null") { "; what an event does not have is null" } else { "" };
    format!("`{}` has no meaning for {}{hint}", shown(function), types.join(" and "))
}

fn kind(kind: ValueType) -> &'static str {
    match kind {
        ValueType::List => "list",
        ValueType::Map => "map",
        ValueType::Function | ValueType::Opaque | ValueType::Struct => "value",
        ValueType::Int => "int",
        ValueType::UInt => "uint",
        ValueType::Float => "double",
        ValueType::String => "string",
        ValueType::Bytes => "bytes",
        ValueType::Bool => "bool",
        ValueType::Duration => "duration",
        ValueType::Timestamp => "timestamp",
        ValueType::Null => "null",
    }
}

/// The name of a type as rules and notices call it.
fn name(kind: &str) -> &'static str {
    match kind {
        "null_type" | "null" => "null",
        "string" => "a text",
        "int" => "a whole number",
        "uint" => "an unsigned number",
        "double" => "a number",
        "bool" => "true or false",
        "list" => "a list",
        "map" => "a map",
        "google.protobuf.Timestamp" | "timestamp" => "a timestamp",
        "google.protobuf.Duration" | "duration" => "a duration",
        _ => "a value",
    }
}

/// Printable ASCII, the rest escaped, cut.
fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_SHOWN_CHARS)
        .flat_map(|c| {
            let plain = (' '..='~').contains(&c);
            plain
                .then_some(c)
                .into_iter()
                .chain((!plain).then(|| c.escape_default()).into_iter().flatten())
        })
        .collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}
