//! The regexes of matchers: they match whole values, with the meaning that Go gives them, and the
//! plain ones are no regexes at all: words, and texts with gaps between them, are compared as such.
//!
//! A regex keeps its automaton and the memory it works in for itself, which ten thousand rules would
//! pay for with every event that meets another one of them.

use regex::{Regex, RegexBuilder};
use regex_syntax::Parser;
use regex_syntax::ast::{self, Ast, ClassPerl, ClassPerlKind, ClassSetItem, Span, Visitor};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Dot, Hir, HirKind};

/// The most memory that one compiled regex takes, in bytes: enough for some hundred alternatives.
const MAX_REGEX_BYTES: usize = 256 * 1024;

/// How deep groups of a regex may nest.
const MAX_REGEX_DEPTH: u32 = 32;

/// The most words that are compared one after another.
const MAX_WORDS: usize = 16;

/// Why a text is no regex; the message holds the remedy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error("the regular expression is not valid: {0}")]
    Invalid(String),
    #[error(
        "the regular expression is too large: compiled, it takes more than {MAX_REGEX_BYTES} bytes"
    )]
    TooLarge,
}

/// A regex that has to match the whole text.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// As our parser reads it.
    text: String,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// One of these.
    Words(Vec<String>),
    Gaps(Gaps),
    /// Anchored at both ends.
    Regex(Regex),
}

/// Texts with gaps between them, as in `web-.*:9100`. No line feed is in a text, and so none may be in
/// what matches.
#[derive(Clone, Debug)]
struct Gaps {
    /// May be empty.
    start: String,
    /// The characters that a gap has at least, and the text behind it. Only the last one may be empty,
    /// and has to be the end.
    rest: Vec<(usize, String)>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        // Alone first: `a)|(b` is valid only between the brackets that anchor it.
        build(text)?;
        let text = in_ascii(text);
        let regex = build(&format!("^(?:{text})$"))?;
        let hir = Parser::new().parse(&text).ok();
        let plain = hir.and_then(|hir| {
            words(&hir).map(Form::Words).or_else(|| Gaps::of(&hir).map(Form::Gaps))
        });
        Ok(Self { text, form: plain.unwrap_or(Form::Regex(regex)) })
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        match &self.form {
            Form::Words(words) => words.iter().any(|word| word == value),
            Form::Gaps(gaps) => gaps.match_whole(value),
            Form::Regex(regex) => regex.is_match(value),
        }
    }

    /// What it is made of; none where that cannot be told.
    pub(super) fn hir(&self) -> Option<Hir> {
        Parser::new().parse(&self.text).ok()
    }
}

fn build(pattern: &str) -> Result<Regex, Error> {
    let built = RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .nest_limit(MAX_REGEX_DEPTH)
        .build();
    built.map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            return Error::TooLarge;
        }
        // The crate draws a picture of several lines; the last one says what is wrong.
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        Error::Invalid(last.trim().trim_start_matches("error: ").to_owned())
    })
}

/// The words that are all that it matches.
fn words(hir: &Hir) -> Option<Vec<String>> {
    // An assertion is no part of the words, and may refuse them.
    if !hir.properties().look_set().is_empty() {
        return None;
    }
    let words = Extractor::new().limit_total(MAX_WORDS).extract(hir);
    let words = words.literals().filter(|_| words.is_exact())?;
    words.iter().map(|word| String::from_utf8(word.as_bytes().to_vec()).ok()).collect()
}

impl Gaps {
    fn of(hir: &Hir) -> Option<Self> {
        let one = std::slice::from_ref(hir);
        let parts = if let HirKind::Concat(parts) = hir.kind() { parts } else { one };
        let mut gaps = Self { start: String::new(), rest: Vec::new() };
        for part in parts {
            match part.kind() {
                HirKind::Literal(literal) => {
                    let text = std::str::from_utf8(&literal.0).ok()?;
                    gaps.rest.last_mut().map_or(&mut gaps.start, |(_, last)| last).push_str(text);
                }
                HirKind::Repetition(some)
                    if some.max.is_none() && *some.sub == Hir::dot(Dot::AnyCharExceptLF) =>
                {
                    let least = usize::try_from(some.min).ok()?;
                    match gaps.rest.last_mut() {
                        Some((before, text)) if text.is_empty() => *before += least,
                        _ => gaps.rest.push((least, String::new())),
                    }
                }
                HirKind::Empty
                | HirKind::Class(_)
                | HirKind::Look(_)
                | HirKind::Repetition(_)
                | HirKind::Capture(_)
                | HirKind::Concat(_)
                | HirKind::Alternation(_) => return None,
            }
        }
        let has_line_feed =
            gaps.start.contains('\n') || gaps.rest.iter().any(|(_, text)| text.contains('\n'));
        (!gaps.rest.is_empty() && !has_line_feed).then_some(gaps)
    }

    /// Each text is taken where it comes first, which leaves the most to those behind it.
    fn match_whole(&self, value: &str) -> bool {
        let Some(mut left) = value.strip_prefix(&*self.start) else { return false };
        if value.contains('\n') {
            return false;
        }
        for (at, (least, text)) in self.rest.iter().enumerate() {
            let mut chars = left.chars();
            if *least > 0 && chars.nth(least - 1).is_none() {
                return false;
            }
            left = chars.as_str();
            if at + 1 == self.rest.len() {
                return left.ends_with(text.as_str());
            }
            match left.split_once(text.as_str()) {
                Some((_gap, behind)) => left = behind,
                None => return false,
            }
        }
        false
    }
}

/// The pattern with `\d`, `\s`, `\w` and `\b` written out as what they are in Go: of ASCII. Without
/// that they would be of all of Unicode. Source: the syntax of Go's `regexp`, which is RE2's.
fn in_ascii(pattern: &str) -> String {
    let parsed = ast::parse::Parser::new().parse(pattern);
    let Some(mut found) = parsed.ok().and_then(|ast| ast::visit(&ast, Classes::default()).ok())
    else {
        return pattern.to_owned();
    };
    found.sort_unstable_by_key(|(span, _)| span.start.offset);
    let (mut text, mut done) = (String::with_capacity(pattern.len()), 0);
    for (span, meaning) in found {
        text.push_str(&pattern[done..span.start.offset]);
        text.push_str(meaning);
        done = span.end.offset;
    }
    text.push_str(&pattern[done..]);
    text
}

/// Where such classes stand, and what they mean.
#[derive(Default)]
struct Classes(Vec<(Span, &'static str)>);

impl Classes {
    fn add(&mut self, class: &ClassPerl) {
        let meaning = match (&class.kind, class.negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Space, false) => r"[\t\n\f\r ]",
            (ClassPerlKind::Space, true) => r"[^\t\n\f\r ]",
            (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
        };
        self.0.push((class.span, meaning));
    }
}

impl Visitor for Classes {
    type Output = Vec<(Span, &'static str)>;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        if let Ast::ClassPerl(class) = ast {
            self.add(class);
        }
        if let Ast::Assertion(assertion) = ast
            && assertion.kind == ast::AssertionKind::WordBoundary
        {
            self.0.push((assertion.span, r"(?-u:\b)"));
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        if let ClassSetItem::Perl(class) = item {
            self.add(class);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(pattern: &str) -> &'static str {
        match Pattern::parse(pattern).unwrap().form {
            Form::Words(_) => "words",
            Form::Gaps(_) => "gaps",
            Form::Regex(_) => "regex",
        }
    }

    #[test]
    fn plain_patterns_are_no_regexes() {
        for pattern in ["", "warning|critical", "web-(1|2)", "(?i)ab", "[ab]c?"] {
            assert_eq!(form(pattern), "words", "{pattern}");
        }
        for pattern in ["web-.*", ".*:9100", ".+-7-.*", "a.*b.+c", ".*", ".*.+.*x"] {
            assert_eq!(form(pattern), "gaps", "{pattern}");
        }
        for pattern in ["[a-z]+", "(?s)a.*", "a\n.*", r"\bab", "a$", "a.{2,4}", "(a.*)b|c"] {
            assert_eq!(form(pattern), "regex", "{pattern}");
        }
    }

    #[test]
    fn classes_are_of_ascii_as_in_go() {
        for (pattern, value, expected) in [
            (r"\d+", "42", true),
            (r"\d+", "٤٢", false),
            (r"[\d٤]+", "4٤", true),
            (r"\w+", "größe", false),
            (r"\W", "ö", true),
            (r"a\sb", "a b", true),
            (r"a\sb", "a\u{a0}b", false),
            (r"a\sb", "a\u{b}b", false),
            (r".*\b", "ö", false),
            (r"[^\s]", "\u{a0}", true),
            (r"\\d", r"\d", true),
        ] {
            let pattern_is = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern_is.matches(value), expected, "{pattern} on {value:?}");
        }
    }

    const PARTS: [&str; 14] = [
        "a", "b", "ab", ".*", ".+", ".*?", ".", "é", "-", "(a|b)", "b?", "(?:ab|a)", ".{2,}",
        "(?i)B",
    ];

    proptest! {
        #[test]
        fn what_is_compared_plainly_matches_what_the_regex_matches(
            parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 0..6),
            values in prop::collection::vec("[abé\n-]{0,8}", 1..40),
        ) {
            let pattern = parts.concat();
            let plain = Pattern::parse(&pattern).unwrap();
            let regex = build(&format!("^(?:{pattern})$")).unwrap();
            for value in values {
                prop_assert_eq!(plain.matches(&value), regex.is_match(&value), "{} on {:?}", pattern, value);
            }
        }
    }
}
