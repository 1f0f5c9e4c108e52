//! What must be in an event's labels for a matcher to hold: pieces of text that can be looked up, so
//! that a rule of which no piece is there is never tried.
//!
//! A demand is necessary and need not be enough. A matcher that the empty text satisfies demands
//! nothing, because a missing label is the empty text.

use std::collections::BTreeSet;

use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use regex_syntax::hir::{Hir, HirKind};

use crate::rules::matcher::Matcher;
use crate::rules::pattern::Pattern;

/// The most texts of one demand: a rule has an entry for each.
const MAX_TEXTS: usize = 64;

/// The longest text of a beginning or an end, in bytes; longer ones are cut.
const MAX_TEXT_BYTES: usize = 32;

/// The longest text that is looked for within a value, in bytes: a value has as many of them as it
/// has bytes.
const MAX_WITHIN_BYTES: usize = 4;

/// Where in a label's value a text has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    /// It is the value.
    Whole,
    Start,
    End,
    Within,
}

impl Part {
    /// The pieces of `value` that can be a text of this length.
    pub(super) fn pieces(self, value: &[u8], length: usize) -> impl Iterator<Item = &[u8]> {
        let (one, windows) = match self {
            Self::Whole => (Some(value), None),
            Self::Start => (value.get(..length), None),
            Self::End => (value.len().checked_sub(length).map(|at| &value[at..]), None),
            Self::Within => (None, Some(value.windows(length))),
        };
        one.into_iter().chain(windows.into_iter().flatten())
    }
}

/// One of these texts has to be there. No text is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) part: Part,
    pub(super) texts: BTreeSet<Box<[u8]>>,
}

impl Demand {
    fn new<'t>(part: Part, texts: impl IntoIterator<Item = &'t [u8]>) -> Option<Self> {
        let texts: BTreeSet<Box<[u8]>> = texts.into_iter().map(Box::from).collect();
        let is_useful =
            (1..=MAX_TEXTS).contains(&texts.len()) && texts.iter().all(|text| !text.is_empty());
        is_useful.then_some(Self { part, texts })
    }

    /// The value is one of these words; none where any will do.
    pub(super) fn of_words(words: &[String]) -> Option<Self> {
        Self::new(Part::Whole, words.iter().map(String::as_bytes))
    }

    /// What a matcher demands of its label: each alone is necessary, and there may be none.
    pub(super) fn of(matcher: &Matcher) -> Vec<Self> {
        if matcher.accepts("") {
            return Vec::new();
        }
        if let Some((_label, value)) = matcher.equality() {
            return Self::new(Part::Whole, [value.as_bytes()]).into_iter().collect();
        }
        let hir = matcher.pattern().and_then(Pattern::hir);
        hir.map(|hir| Self::of_pattern(&hir)).unwrap_or_default()
    }

    fn of_pattern(hir: &Hir) -> Vec<Self> {
        let starts = literals(hir, ExtractKind::Prefix);
        // Texts that are all there is; a word boundary or the like may still refuse them.
        if let Some(words) = starts.literals().filter(|_| starts.is_exact()) {
            return Self::new(Part::Whole, words.iter().map(|word| word.as_bytes()))
                .into_iter()
                .collect();
        }
        let ends = literals(hir, ExtractKind::Suffix);
        let cut = |text: &[u8]| text.len().min(MAX_TEXT_BYTES);
        let starts = texts(&starts);
        let ends = texts(&ends);
        let starts = Self::new(Part::Start, starts.iter().map(|text| &text[..cut(text)]));
        let ends = Self::new(Part::End, ends.iter().map(|text| &text[text.len() - cut(text)..]));
        starts.into_iter().chain(ends).chain(within(hir)).collect()
    }
}

/// Pieces of the longest run of plain text, each of which is a demand of its own: which of them is
/// rare, the whole set of rules decides.
fn within(hir: &Hir) -> Vec<Demand> {
    let Some(text) = longest_literal(hir) else { return Vec::new() };
    let length = text.len().min(MAX_WITHIN_BYTES);
    let windows = text.windows(length).take(MAX_TEXTS);
    windows.filter_map(|window| Demand::new(Part::Within, [window])).collect()
}

fn longest_literal(hir: &Hir) -> Option<&[u8]> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(&literal.0),
        HirKind::Capture(capture) => longest_literal(&capture.sub),
        HirKind::Concat(parts) => {
            parts.iter().filter_map(longest_literal).max_by_key(|text| text.len())
        }
        HirKind::Repetition(repetition) if repetition.min > 0 => longest_literal(&repetition.sub),
        HirKind::Empty
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Alternation(_) => None,
    }
}

fn literals(hir: &Hir, kind: ExtractKind) -> Seq {
    Extractor::new().kind(kind).limit_total(MAX_TEXTS).extract(hir)
}

/// None where any text will do.
fn texts(literals: &Seq) -> Vec<&[u8]> {
    let literals = literals.literals().unwrap_or_default();
    literals.iter().map(|literal| literal.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each demand as its part and its texts.
    fn demands(matcher: &str) -> Vec<(Part, Vec<String>)> {
        let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
        let texts = |demand: &Demand| demand.texts.iter().map(|bytes| text(bytes)).collect();
        let demands = Demand::of(&Matcher::parse(matcher).unwrap());
        demands.iter().map(|demand| (demand.part, texts(demand))).collect()
    }

    fn of(part: Part, texts: &[&str]) -> (Part, Vec<String>) {
        (part, texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn words_and_alternations_of_words_are_equalities() {
        assert_eq!(demands("a = b"), [of(Part::Whole, &["b"])]);
        assert_eq!(demands(r#"a =~ "b""#), [of(Part::Whole, &["b"])]);
        assert_eq!(demands(r#"a =~ "x|y|zed""#), [of(Part::Whole, &["x", "y", "zed"])]);
        assert_eq!(demands(r#"a =~ "web-(1|2)""#), [of(Part::Whole, &["web-1", "web-2"])]);
    }

    #[test]
    fn a_regex_demands_how_it_begins_and_ends_and_what_is_in_it() {
        let begins = demands(r#"a =~ "edge-7.*""#);
        assert!(begins.contains(&of(Part::Start, &["edge-7"])), "{begins:?}");
        let ends = demands(r#"a =~ ".+:9100""#);
        assert!(ends.contains(&of(Part::End, &[":9100"])), "{ends:?}");
        let within = demands(r#"a =~ ".*disk.*""#);
        assert_eq!(within, [of(Part::Within, &["disk"])]);
    }

    #[test]
    fn what_the_empty_text_satisfies_demands_nothing() {
        for matcher in ["a = \"\"", "a != b", "a !~ \"b.*\"", "a =~ \".*\"", "a =~ \"|b\""] {
            assert_eq!(demands(matcher), [], "{matcher}");
        }
    }

    #[test]
    fn a_regex_without_plain_text_demands_nothing() {
        assert_eq!(demands(r#"a =~ "[a-z]+""#), []);
    }
}
