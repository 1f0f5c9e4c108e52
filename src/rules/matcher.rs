//! Alertmanager's matchers: `severity =~ "warning|critical"`.

use crate::model::Event;
use crate::rules::pattern::{self, Pattern};

/// Operators, those of two characters first.
const OPERATORS: [&str; 4] = ["=~", "!~", "!=", "="];

/// Why a text is no matcher; the message holds the remedy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error(
        "this is no matcher; write a label, one of = != =~ !~ and a value, as in severity = \"critical\""
    )]
    NoOperator,
    #[error("`{0}` is no label; quote it if it really has such characters, as in \"my label\"")]
    NotALabel(String),
    #[error("the value has to stand in double quotes, as in {0} \"a value\"")]
    NeedsQuotes(String),
    #[error("the quoted text does not end")]
    NoEndQuote,
    #[error("`\\{0}` has no meaning here; known are \\\" \\\\ and \\n")]
    UnknownEscape(char),
    #[error("`{0}` follows the value; write each matcher as an item of its own")]
    TrailingText(String),
    #[error(transparent)]
    Pattern(#[from] pattern::Error),
}

/// One condition on one label.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    /// As the rule file has it.
    text: String,
    label: String,
    negated: bool,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equals(String),
    Matches(Pattern),
}

impl Matcher {
    /// Whether it holds. A label that the event does not have is the empty text.
    pub(super) fn holds(&self, event: &Event) -> bool {
        self.accepts(event.label(&self.label))
    }

    /// Whether it holds where its label has this value.
    pub(super) fn accepts(&self, value: &str) -> bool {
        let found = match &self.test {
            Test::Equals(expected) => value == expected,
            Test::Matches(pattern) => pattern.matches(value),
        };
        found != self.negated
    }

    /// The label that it is about.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The label and the one value that it must have, where that is what the matcher says.
    pub(super) fn equality(&self) -> Option<(&str, &str)> {
        match &self.test {
            Test::Equals(value) if !self.negated => Some((&self.label, value)),
            Test::Equals(_) | Test::Matches(_) => None,
        }
    }

    /// As the rule file has it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The pattern that its label has to match, where that is what the matcher says.
    pub(super) fn pattern(&self) -> Option<&Pattern> {
        match &self.test {
            Test::Matches(pattern) if !self.negated => Some(pattern),
            Test::Equals(_) | Test::Matches(_) => None,
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let (label, rest) = if text.starts_with('"') {
            let (label, rest) = unquote(text)?;
            if label.is_empty() {
                return Err(Error::NotALabel(label));
            }
            (label, rest)
        } else {
            let end = text.find(['=', '!']).ok_or(Error::NoOperator)?;
            let label = text[..end].trim();
            if !is_plain(label) {
                return Err(Error::NotALabel(clip(label)));
            }
            (label.to_owned(), &text[end..])
        };
        let rest = rest.trim_start();
        let operator =
            OPERATORS.into_iter().find(|o| rest.starts_with(o)).ok_or(Error::NoOperator)?;
        let value = parse_value(rest[operator.len()..].trim(), operator)?;
        let test = match operator {
            "=~" | "!~" => Test::Matches(Pattern::parse(&value)?),
            _ => Test::Equals(value),
        };
        Ok(Self { text: text.to_owned(), label, negated: operator.starts_with('!'), test })
    }
}

fn parse_value(text: &str, operator: &str) -> Result<String, Error> {
    if !text.starts_with('"') {
        return if is_plain(text) {
            Ok(text.to_owned())
        } else {
            Err(Error::NeedsQuotes(operator.to_owned()))
        };
    }
    let (value, rest) = unquote(text)?;
    if !rest.trim().is_empty() {
        return Err(Error::TrailingText(clip(rest.trim())));
    }
    Ok(value)
}

/// The text in the quotes that `text` begins with, and what follows them.
fn unquote(text: &str) -> Result<(String, &str), Error> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some(same @ ('"' | '\\')) => value.push(same),
                Some(other) => return Err(Error::UnknownEscape(other)),
                None => return Err(Error::NoEndQuote),
            },
            c => value.push(c),
        }
    }
    Err(Error::NoEndQuote)
}

/// Whether a label or a value can stand without quotes. Source: Alertmanager's grammar since 0.27.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || "{}!=~,\\\"'`".contains(c))
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::decide::tests::event;

    fn holds(matcher: &str, labels: &[(&str, &str)]) -> bool {
        Matcher::parse(matcher).unwrap().holds(&event(labels))
    }

    #[test]
    fn the_four_operators_mean_what_they_mean_in_alertmanager() {
        let labels = [("severity", "critical"), ("instance", "a:9100")];
        for (matcher, expected) in [
            ("severity = \"critical\"", true),
            ("severity=critical", true),
            ("severity = \"crit\"", false),
            ("severity != \"warning\"", true),
            ("severity != critical", false),
            ("severity =~ \"warning|critical\"", true),
            ("severity=~warning|critical", true),
            ("severity =~ \"crit\"", false),
            ("severity !~ \"warn.*\"", true),
            ("severity !~ \".*\"", false),
            ("instance = a:9100", true),
            ("\"severity\" = \"critical\"", true),
        ] {
            assert_eq!(holds(matcher, &labels), expected, "{matcher}");
        }
    }

    #[test]
    fn a_missing_label_is_the_empty_text() {
        assert!(holds("team = \"\"", &[]));
        assert!(holds("team != \"net\"", &[]));
        assert!(holds("team =~ \".*\"", &[]));
        assert!(!holds("team =~ \".+\"", &[]));
    }

    #[test]
    fn a_regex_matches_the_whole_value_and_no_line_of_it() {
        assert!(!holds("a =~ \"x|y\"", &[("a", "xz")]));
        assert!(!holds("a =~ \"x\"", &[("a", "x\n")]));
        assert!(!holds("a =~ \"x\"", &[("a", "y\nx")]));
        assert!(Matcher::parse("a =~ \"x)|(y\"").is_err());
    }

    #[test]
    fn quotes_hold_what_would_not_stand_alone() {
        assert!(holds(r#"a = "say \"hi\" \\ there\n""#, &[("a", "say \"hi\" \\ there\n")]));
        assert!(holds(r#""my label" = "x y""#, &[("my label", "x y")]));
    }

    #[test]
    fn labels_may_have_any_letters_and_plain_values_stand_alone() {
        assert!(holds("net.device-name/x = größe", &[("net.device-name/x", "größe")]));
        assert!(holds("größe = 5", &[("größe", "5")]));
        assert!(holds("\"{a}\" != x", &[("{a}", "y")]));
        for refused in
            [r"a =~ \d", "a = b=c", "a = !b", "a =~= b", "a = {b}", "\"\" = x", "a\\b = c"]
        {
            assert!(Matcher::parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn what_is_no_matcher_says_what_to_write() {
        for (text, part) in [
            ("", "this is no matcher"),
            ("severity", "this is no matcher"),
            ("severity ! critical", "this is no matcher"),
            ("= x", "is no label"),
            ("my label = x", "`my label` is no label; quote it"),
            ("a =", "has to stand in double quotes, as in = \"a value\""),
            ("a = b c", "double quotes"),
            ("a =~ x{2}", "double quotes, as in =~ \"a value\""),
            ("a = 'b'", "double quotes"),
            ("a = \"b", "does not end"),
            (r#"a = "\d""#, "`\\d` has no meaning here"),
            ("a = \"b\", c = \"d\"", "`, c = \"d\"` follows the value"),
            ("a =~ \"(\"", "not valid: unclosed group"),
            ("a =~ \"(?:a{1000}){1000}\"", "too large"),
        ] {
            let message = Matcher::parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn only_equality_is_offered_to_the_index() {
        let equality = |text| {
            Matcher::parse(text).unwrap().equality().map(|(a, b)| (a.to_owned(), b.to_owned()))
        };
        assert_eq!(equality("a = b"), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(equality("a != b"), None);
        assert_eq!(equality("a =~ b"), None);
    }
}
