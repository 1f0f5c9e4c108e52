//! A mistake on its way out of the decoder, before it has a file.

use std::fmt;

use serde::de;

use super::problem::Place;
use crate::nearest::did_you_mean;

/// What is wrong, and with which node.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The innermost node that it concerns: its place and its number.
    pub(super) at: Option<(Place, u32)>,
    /// The key that is missing, where that is the fault.
    pub(super) missing: Option<&'static str>,
    /// It only follows from a fault that was noted before.
    pub(super) follows: bool,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, at: None, missing: None, follows: false }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let fault = Self::new(format!("unknown key `{field}`"));
        Self { hint: did_you_mean(field, expected.iter().copied()), ..fault }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let fault = Self::new(format!("unknown value `{variant}`"));
        Self { hint: did_you_mean(variant, expected.iter().copied()), ..fault }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("the key `{field}` is missing")) }
    }
}
