//! Near misses: which of the known words somebody may have meant.

/// The most characters of a word that are compared: nobody means a key by a longer one.
const MAX_WORD_CHARS: usize = 64;

/// A hint for an unknown word: the nearest known one, or else all of them.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(nearest) = nearest(word, &known) {
        return Some(format!("did you mean `{nearest}`?"));
    }
    match known.as_slice() {
        [] => None,
        [only] => Some(format!("only `{only}` is known here")),
        known => Some(format!("known here: {}", known.join(", "))),
    }
}

/// The known word that somebody may have meant, where one is near enough. Case does not count.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.chars().count() > MAX_WORD_CHARS {
        return None;
    }
    let most = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many insertions, deletions, replacements and swaps of neighbours lie between two words
/// (optimal string alignment). Case does not count.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut two_rows_up: Vec<usize> = Vec::new();
    let mut row_above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = row_above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(row_above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(two_rows_up[j - 2] + 1);
            }
            row.push(least);
        }
        two_rows_up = std::mem::replace(&mut row_above, row);
    }
    row_above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["cooldown", "match", "group_by", "bpf"];

    #[test]
    fn a_typing_error_finds_its_word() {
        for (typed, meant) in
            [("cooldwon", "cooldown"), ("groupby", "group_by"), ("Match", "match"), ("bfp", "bpf")]
        {
            assert_eq!(
                did_you_mean(typed, KEYS),
                Some(format!("did you mean `{meant}`?")),
                "{typed}"
            );
        }
    }

    #[test]
    fn another_word_gets_the_list() {
        assert_eq!(
            did_you_mean("frequency", KEYS).unwrap(),
            "known here: cooldown, match, group_by, bpf"
        );
        assert_eq!(did_you_mean("frequency", []), None);
    }

    #[test]
    fn the_distance_counts_each_edit_once() {
        for (a, b, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "xbcd", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
