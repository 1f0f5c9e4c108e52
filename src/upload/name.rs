//! Names of objects: made by us alone, and checked all the same before they become a path or a URL.

use super::Error;

/// What S3 and Azure allow.
const MAX_BYTES: usize = 1_024;

/// What file systems allow (255), less what the name of the part file adds.
const MAX_PART_BYTES: usize = 240;

/// Holds a name to parts of letters, digits, `.`, `_` and `-`, of which none begins with a dot.
///
/// So a name is never absolute, never leads upwards, never meets the hidden part files of a local
/// directory, and reads the same in a URL.
///
/// # Errors
/// [`Error::Name`] says what is wrong.
pub(super) fn check(object: &str) -> Result<(), Error> {
    problem(object).map_or(Ok(()), |problem| {
        let object = object.chars().take(200).flat_map(char::escape_default).collect();
        Err(Error::Name { object, problem })
    })
}

fn problem(object: &str) -> Option<&'static str> {
    if object.is_empty() || object.len() > MAX_BYTES {
        return Some("it has to have 1 to 1024 bytes");
    }
    object.split('/').find_map(|part| match part {
        "" => Some("it has an empty part"),
        part if part.starts_with('.') => Some("a part begins with a dot"),
        part if part.len() > MAX_PART_BYTES => Some("a part is longer than 240 bytes"),
        part if !is_plain(part) => Some("only letters, digits, '.', '_' and '-' may be in it"),
        _ => None,
    })
}

/// Whether a text may stand in a path or a URL as it is.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_names_pass() {
        check("2026/11/22/00112233aabbccdd/edge-7/tcp-retransmits-20261122T173000Z-0.pcapng")
            .unwrap();
    }

    #[test]
    fn no_name_leads_out_of_its_storage() {
        let long = "a".repeat(241);
        for name in [
            "",
            "/etc/passwd",
            "a//b",
            "a/",
            "../a",
            "a/../b",
            "a/./b",
            ".hidden",
            "a b",
            "a\\b",
            "a\nb",
            "a\0b",
            "ä",
            "a?b",
            "a#b",
            "a%2e",
            &long,
        ] {
            assert!(matches!(check(name), Err(Error::Name { .. })), "{name:?}");
        }
    }
}
