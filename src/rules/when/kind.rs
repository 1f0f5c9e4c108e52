//! What kind of value an expression gives, as far as its text says.

use std::fmt;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not known before it runs.
    Any,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Null,
    Time,
    Span,
    List,
    Map,
}

impl Kind {
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether a value of this kind may be one of the other.
    pub(super) fn may_be(self, other: Self) -> bool {
        self == Self::Any || other == Self::Any || self == other
    }

    /// Whether two values can be equal at all. What is absent is null, so anything may be.
    pub(super) fn may_equal(self, other: Self) -> bool {
        self.may_be(other)
            || self == Self::Null
            || other == Self::Null
            || self.is_number() && other.is_number()
    }

    /// Whether one value can be less than another.
    pub(super) fn may_compare(self, other: Self) -> bool {
        let ordered = |kind| !matches!(kind, Self::Null | Self::List | Self::Map);
        ordered(self)
            && ordered(other)
            && (self.may_be(other) || self.is_number() && other.is_number())
    }

    /// What both kinds have in common.
    pub(super) fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "a value",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Uint => "an unsigned number",
            Self::Double => "a number with a fraction",
            Self::Text => "a text",
            Self::Null => "null",
            Self::Time => "a timestamp",
            Self::Span => "a duration",
            Self::List => "a list",
            Self::Map => "a map",
        })
    }
}
