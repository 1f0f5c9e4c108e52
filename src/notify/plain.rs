//! Texts of events and of other machines, made harmless for people: one line, bounded, and nothing in
//! it that a terminal, a chat or a mail program would obey.

use serde_json::Value;

/// The longest text in a message for people, in characters.
pub(super) const MAX_TEXT_CHARS: usize = 300;

/// The text with spaces for its control characters and for those that change the direction or are not
/// seen, cut at `max` characters.
pub(super) fn plain(text: &str, max: usize) -> String {
    let mut chars = text.chars().map(|c| if is_obeyed(c) { ' ' } else { c });
    let mut shown: String = chars.by_ref().take(max).collect();
    if chars.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// Characters that are done, and not seen. Source: Unicode 16, the categories Cc and Cf, as far as
/// they are not part of ordinary words.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A value with every text in it made harmless.
pub(super) fn all_plain(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain(&text, MAX_TEXT_CHARS)),
        Value::Array(items) => Value::Array(items.into_iter().map(all_plain).collect()),
        Value::Object(entries) => {
            Value::Object(entries.into_iter().map(|(key, value)| (key, all_plain(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_obeyed_is_left() {
        assert_eq!(plain("a\r\nb\u{1b}[31mc\u{202e}d\u{0}", 99), "a  b [31mc d ");
        assert_eq!(plain("Grüße, 日本", 99), "Grüße, 日本");
        assert_eq!(plain("abcdef", 4), "abc…");
        assert_eq!(plain("abcd", 4), "abcd");
        assert_eq!(plain(&"x".repeat(1 << 20), 300).chars().count(), 300);
    }
}
