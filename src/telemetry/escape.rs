//! Makes text from outside harmless on a line: nothing in it ends the line or steers a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Replaces every control character (C0 with tab and line feed, DEL, C1), the two Unicode line
/// breaks and the marks that turn the direction of text by its escape as JSON writes it: `\n`,
/// `\u001b`. A JSON text stays the same JSON, because such characters stand only inside its
/// strings.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            harmful if is_harmful(harmful) => {
                write!(escaped, "\\u{:04x}", u32::from(harmful))
                    .expect("writing to a String cannot fail");
            }
            harmless => escaped.push(harmless),
        }
    }
    Cow::Owned(escaped)
}

/// All of these are below U+10000, so that four hexadecimal digits name them.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Line and paragraph separator.
            '\u{2028}' | '\u{2029}'
            // Marks, embeddings, overrides and isolates of the bidirectional algorithm.
            | '\u{61c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_ends_a_line_or_steers_a_terminal_is_written_as_its_escape() {
        assert_eq!(escape("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(escape("\u{1b}[2J\u{7f}\0"), "\\u001b[2J\\u007f\\u0000");
        assert_eq!(escape("\u{9b}31m\u{85}"), "\\u009b31m\\u0085");
        assert_eq!(escape("\u{2028}\u{202e}"), "\\u2028\\u202e");
        assert_eq!(escape("\u{61c}\u{200f}"), "\\u061c\\u200f");
    }

    #[test]
    fn plain_text_in_any_script_is_left_alone() {
        assert!(matches!(escape("größe 日本 \\n \"quoted\""), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn json_says_the_same_before_and_after(text in "\\PC*|[\\x00-\\x9f\u{2028}\u{202e}]*") {
            let json = serde_json::to_string(&text).unwrap();
            let escaped = escape(&json);
            prop_assert!(!escaped.chars().any(is_harmful));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
