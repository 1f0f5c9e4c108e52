//! Senders' text on its way into messages for people: cut, and without anything that moves a cursor,
//! breaks a line or turns the direction of writing.

/// The most characters of a sender's word that an error message repeats.
const MAX_QUOTED_CHARS: usize = 64;

/// The most characters of a rejected message that are kept.
const MAX_HEAD_CHARS: usize = 256;

/// A sender's word as an error message repeats it.
pub(super) fn quoted(word: &str) -> String {
    escaped(word, MAX_QUOTED_CHARS)
}

/// The beginning of a message, of whatever bytes it is.
pub(super) fn head(body: &[u8]) -> String {
    // No character has more than four bytes.
    let first = body.get(..MAX_HEAD_CHARS * 4).unwrap_or(body);
    escaped(&String::from_utf8_lossy(first), MAX_HEAD_CHARS)
}

/// The longest beginning of `text` that has at most `limit` bytes and ends between characters.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

fn escaped(text: &str, limit: usize) -> String {
    let plain = |c: char| !c.is_control() && !turns_or_breaks(c);
    text.chars()
        .flat_map(|c| {
            let (shown, hidden) = if plain(c) { (Some(c), None) } else { (None, Some(c)) };
            shown.into_iter().chain(hidden.into_iter().flat_map(char::escape_debug))
        })
        .take(limit)
        .collect()
}

/// Line and paragraph separators, marks that turn the direction of writing, the byte order mark.
const fn turns_or_breaks(c: char) -> bool {
    matches!(
        c,
        '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_moves_cursors_or_turns_text_is_escaped_and_the_rest_is_not() {
        assert_eq!(quoted("a\"é\r\n\u{202e}"), "a\"é\\r\\n\\u{202e}");
        assert_eq!(quoted("\u{61c}"), "\\u{61c}");
    }

    proptest! {
        #[test]
        fn a_cut_keeps_to_its_limit_and_to_whole_characters(text: String, limit in 0usize..64) {
            let part = cut(&text, limit);
            prop_assert!(part.len() <= limit);
            prop_assert!(text.starts_with(part));
            prop_assert!(part.len() + 4 > limit || part == text);
        }

        #[test]
        fn a_head_is_bounded_and_has_no_control_characters(body: Vec<u8>) {
            let head = head(&body);
            prop_assert!(head.chars().count() <= MAX_HEAD_CHARS);
            prop_assert!(!head.chars().any(char::is_control));
        }
    }
}
