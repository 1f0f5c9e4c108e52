//! Regular expressions of conditions: compiled once, when the rule is loaded.
//!
//! The evaluator's own `matches` would compile its pattern anew for every event and bound nothing.

use std::any::Any;

use cel::ExecutionError;
use cel::common::types::{CelBool, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use regex::{Regex, RegexBuilder};

use crate::rules::when::Error;
use crate::rules::when::cost::TEXT_BYTES;

/// The most memory that a compiled regular expression takes, in bytes: `\w` alone takes a third.
const MAX_REGEX_BYTES: usize = 64 * 1024;

/// What a search may remember, in bytes. With 64 KiB `[ab]{1,300}c` goes through 4 KiB in 49 ms, with
/// 2 MiB in 9 us, as others do. Only expressions of many states ever come near it.
const MAX_SEARCH_BYTES: usize = 2 << 20;

/// How deep groups may nest: compiling is recursive.
const MAX_REGEX_DEPTH: u32 = 32;

/// The longest text that is searched, in bytes: every text of an event, and two of them joined.
const MAX_SEARCHED_BYTES: usize = 2 * TEXT_BYTES;

/// The type as overloads of functions know it.
static TYPE: Type = Type::new_unspecified_type("hindsight.pattern");

/// A compiled regular expression, as a value that `matches` takes.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    pub(super) fn new(pattern: &str) -> Result<Self, Error> {
        let built = RegexBuilder::new(pattern)
            .size_limit(MAX_REGEX_BYTES)
            .dfa_size_limit(MAX_SEARCH_BYTES)
            .nest_limit(MAX_REGEX_DEPTH)
            .build();
        built.map(Self).map_err(|error| {
            let problem = if let regex::Error::CompiledTooBig(_) = error {
                format!("compiled, it takes more than {MAX_REGEX_BYTES} bytes")
            } else {
                // The crate draws a picture of several lines; the last one says what is wrong.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.trim().trim_start_matches("error: ").to_owned()
            };
            Error::BadRegex { pattern: pattern.chars().take(64).collect(), problem }
        })
    }
}

/// The name under which a condition's pattern is at hand; no rule can write it.
pub(super) fn variable(position: usize) -> String {
    format!("@pattern{position}")
}

/// The type of patterns.
pub(super) fn kind() -> Type {
    TYPE.to_owned()
}

/// `text.matches(pattern)`: whether it matches anywhere in the text.
pub(super) fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let parts = match args.as_slice() {
        [text, pattern] => {
            text.downcast_ref::<CelString<'_>>().zip(pattern.downcast_ref::<Pattern>())
        }
        _ => None,
    };
    let Some((text, Pattern(regex))) = parts else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let text = text.inner();
    if text.len() > MAX_SEARCHED_BYTES {
        return Err(ExecutionError::function_error(
            "matches",
            format!(
                "the text has {} bytes, and at most {MAX_SEARCHED_BYTES} are searched",
                text.len()
            ),
        ));
    }
    Ok(CowVal::owned(CelBool::from(regex.is_match(text))))
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &TYPE
    }

    fn cel_type() -> &'static Type {
        &TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}
