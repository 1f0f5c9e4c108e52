//! `when`: a condition over an event, in the Common Expression Language.
//!
//! [`Condition::parse`] takes only what cannot hurt: known variables and functions, operands whose
//! types can fit, and expressions whose cost over the largest event is bounded before they ever run
//! ([`check`]). [`Condition::holds`] is pure: the same answer for the same event every time.
//!
//! The parser and the evaluator are recursive and know no limits of their own. The bounds on the
//! length, the words and the depth of a condition are what keeps both within their stacks.

mod check;
mod cost;
mod facts;
mod failure;
mod functions;
mod kind;
mod pattern;

use std::fmt;
use std::io;
use std::sync::Arc;

use cel::parser::Expression;
use cel::{Context, Value};

use crate::rules::when::check::Checked;
use crate::rules::when::pattern::Pattern;
use crate::spawn;
use crate::yaml::did_you_mean;

pub use facts::Facts;

/// The longest condition, in bytes: a screen full. Longer ones are better written as several rules.
pub const MAX_TEXT_BYTES: usize = 2_000;

/// The most words and signs of a condition, those in its texts included: nothing in it can nest
/// deeper than this before it was read, and reading goes that deep into its stack.
pub const MAX_WORDS: usize = 400;

/// The stack that a condition of [`MAX_WORDS`] is read in, in bytes: 8 times what the deepest texts take
/// in a build without optimisation. Memory of a stack that nobody touches is never given out.
const PARSER_STACK_BYTES: usize = 16 << 20;

/// How deep brackets may nest: the parser's own limit on its recursion.
const MAX_BRACKETS: u16 = 24;

/// Why a text is no condition. The message is for the writer of the rule.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the condition is empty")]
    Empty,
    #[error("the condition has {0} bytes; at most {MAX_TEXT_BYTES} are taken")]
    TooLong(usize),
    #[error("the condition has more than {MAX_WORDS} words and signs")]
    TooManyWords,
    #[error("the condition nests deeper than {0} levels")]
    TooDeep(usize),
    #[error("this is no condition: column {column}: {problem}")]
    Syntax { column: usize, problem: String },
    #[error("this is no condition: it cannot be read")]
    Unreadable,
    #[error("there is no variable `{name}`")]
    UnknownVariable { name: String, known: Vec<String> },
    #[error("there is no function `{name}`")]
    UnknownFunction { name: String, known: Vec<String> },
    /// What is written can never work, for the reason that it gives.
    #[error("{0}")]
    Senseless(String),
    #[error("the regular expression {pattern:?} is not valid: {problem}")]
    BadRegex { pattern: String, problem: String },
    #[error("macros such as exists() and map() nest deeper than {0} levels")]
    MacrosTooDeep(usize),
    #[error(
        "judging an event could take {steps} steps; at most {most} are taken, counting {entries} \
         labels and as many annotations"
    )]
    TooCostly { steps: u64, most: u64, entries: u64 },
    #[error("the thread that reads conditions does not start")]
    NoThread(#[source] io::Error),
}

impl Error {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Empty => Some("write one, or remove the key".to_owned()),
            Self::TooLong(_) | Self::TooManyWords | Self::TooDeep(_) => {
                Some("write several rules, or say more of it in `match`".to_owned())
            }
            Self::UnknownVariable { name, known } | Self::UnknownFunction { name, known } => {
                did_you_mean(name, known.iter().map(String::as_str))
            }
            Self::MacrosTooDeep(_) | Self::TooCostly { .. } => {
                Some("name the labels that matter instead of going through all".to_owned())
            }
            Self::Syntax { .. }
            | Self::Unreadable
            | Self::Senseless(_)
            | Self::BadRegex { .. }
            | Self::NoThread(_) => None,
        }
    }
}

/// A condition that was checked. Two are equal where their texts are.
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    expression: Arc<Expression>,
    /// The regular expressions that it names by their position.
    patterns: Arc<[Pattern]>,
}

impl Condition {
    /// # Errors
    /// The text is none, or one that could cost too much; see [`Error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::TooLong(text.len()));
        }
        if words(text) > MAX_WORDS {
            return Err(Error::TooManyWords);
        }
        let owned = text.to_owned();
        // What the parser makes of a text it does not expect is not known to end well: a panic
        // ends its thread alone, and what is dropped on the way is dropped in the large stack.
        let reader =
            spawn::thread_with_stack("condition", PARSER_STACK_BYTES, move || read(&owned))
                .map_err(Error::NoThread)?;
        let Checked { expression, patterns } =
            reader.join().unwrap_or_else(|_panicked| Err(Error::Unreadable))?;
        Ok(Self { text: text.into(), expression: Arc::new(expression), patterns: patterns.into() })
    }

    /// As it is written in the rule.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds for the event.
    ///
    /// # Errors
    /// It has no truth value for this event, for example because a label that it asks for is
    /// missing. The sentence says so to people; text of the event in it is escaped and cut.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let context = facts.context()?;
        if self.patterns.is_empty() {
            return self.truth(context);
        }
        let mut scope = context.new_inner_scope();
        for (position, pattern) in self.patterns.iter().enumerate() {
            scope.add_variable_as_val(pattern::variable(position), Box::new(pattern.clone()));
        }
        self.truth(&scope)
    }

    fn truth(&self, context: &Context<'_, '_>) -> Result<bool, String> {
        // Not `resolve_val`: it is inlined, and what a build without optimisation then makes of its
        // recursion takes 40 KiB of stack for a level.
        match Value::resolve(&self.expression, context) {
            Ok(Value::Bool(truth)) => Ok(truth),
            Ok(other) => Err(failure::no_truth(other.type_of())),
            Err(error) => Err(failure::sentence(&error)),
        }
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

/// How many words and signs a text has at most. Texts in quotes are counted as if they stood
/// without: where they end is the parser's to say.
fn words(text: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut count = 0;
    let mut within_word = false;
    for c in text.chars() {
        if !is_word(c) && !c.is_whitespace() || is_word(c) && !within_word {
            count += 1;
        }
        within_word = is_word(c);
    }
    count
}

/// Reads a text whose length is bounded, and checks what it says.
fn read(text: &str) -> Result<Checked, Error> {
    let parser = facts::environment().parser().max_recursion_depth(MAX_BRACKETS);
    let expression = parser.parse(text).map_err(|errors| {
        // What could not be read says more than what could not be made of the rest.
        let unread = errors.errors.iter().find(|error| error.msg.starts_with(failure::SYNTAX));
        let first = unread.or_else(|| errors.errors.first());
        first.map_or(Error::Unreadable, |error| failure::syntax(&error.msg, error.pos))
    })?;
    check::check(expression)
}

#[cfg(test)]
mod tests;
