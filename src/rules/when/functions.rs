//! The functions that a condition may call, and what they take.

use crate::rules::when::kind::Kind;

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// What it is called on, as in `name.size()`; none for `size(name)`.
    pub(super) on: Option<Kind>,
    pub(super) takes: &'static [Kind],
    pub(super) gives: Kind,
}

const fn of(name: &'static str, takes: &'static [Kind], gives: Kind) -> Function {
    Function { name, on: None, takes, gives }
}

const fn on(on: Kind, name: &'static str, takes: &'static [Kind], gives: Kind) -> Function {
    Function { name, on: Some(on), takes, gives }
}

/// The name of the function whose argument has to be a pattern that is written out.
pub(super) const MATCHES: &str = "matches";

/// All functions. `matches` is our own (`pattern`), the others are of the standard library.
const FUNCTIONS: &[Function] = {
    use Kind::{Any, Bool, Double, Int, Span, Text, Time};
    &[
        of("size", &[Any], Int),
        on(Any, "size", &[], Int),
        on(Text, "contains", &[Text], Bool),
        on(Text, "startsWith", &[Text], Bool),
        on(Text, "endsWith", &[Text], Bool),
        on(Text, MATCHES, &[Text], Bool),
        of("string", &[Any], Text),
        of("int", &[Any], Int),
        of("double", &[Any], Double),
        of("timestamp", &[Any], Time),
        of("duration", &[Any], Span),
        on(Time, "getFullYear", &[], Int),
        on(Time, "getFullYear", &[Text], Int),
        on(Time, "getMonth", &[], Int),
        on(Time, "getMonth", &[Text], Int),
        on(Time, "getDate", &[], Int),
        on(Time, "getDate", &[Text], Int),
        on(Time, "getDayOfWeek", &[], Int),
        on(Time, "getDayOfWeek", &[Text], Int),
        on(Time, "getDayOfYear", &[], Int),
        on(Time, "getDayOfYear", &[Text], Int),
        on(Time, "getHours", &[], Int),
        on(Time, "getHours", &[Text], Int),
        on(Time, "getMinutes", &[], Int),
        on(Time, "getMinutes", &[Text], Int),
        on(Time, "getSeconds", &[], Int),
        on(Time, "getSeconds", &[Text], Int),
        on(Span, "getHours", &[], Int),
        on(Span, "getMinutes", &[], Int),
        on(Span, "getSeconds", &[], Int),
        on(Span, "getMilliseconds", &[], Int),
    ]
};

/// All ways to call the functions of a name, on a value or by themselves.
pub(super) fn named(name: &str, is_method: bool) -> impl Iterator<Item = &'static Function> {
    FUNCTIONS.iter().filter(move |f| f.name == name && f.on.is_some() == is_method)
}

/// The names that a call may have, macros included.
pub(super) fn names(is_method: bool) -> Vec<String> {
    let macros: &[&str] =
        if is_method { &["exists", "all", "exists_one", "filter", "map"] } else { &["has"] };
    let functions = FUNCTIONS.iter().filter(|f| f.on.is_some() == is_method).map(|f| f.name);
    let mut names: Vec<String> =
        functions.chain(macros.iter().copied()).map(str::to_owned).collect();
    names.dedup();
    names
}
