//! Files that hold one secret each, read anew for every attempt, so that a rotated one is picked up.

use std::fs;
use std::path::Path;

use super::Error;

/// The content of the file without the white space around it.
fn content(what: &'static str, path: &Path) -> Result<String, Error> {
    let failed = |reason: String| Error::Secret { what, path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    match text.trim() {
        "" => Err(failed("the file is empty".to_owned())),
        content => Ok(content.to_owned()),
    }
}

/// The one word that a file holds. Anything else could not stand in an address or behind `Bearer`.
pub(super) fn word(what: &'static str, path: &Path) -> Result<String, Error> {
    of_bytes(
        what,
        path,
        |byte| byte.is_ascii_graphic(),
        "it has spaces or letters that are not ASCII",
    )
}

/// The one line that a file holds, as the value of a header field.
pub(super) fn header_value(what: &'static str, path: &Path) -> Result<String, Error> {
    let fits = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    of_bytes(what, path, fits, "it has line breaks or letters that are not ASCII")
}

/// A password or a key: any text of one line.
pub(super) fn line(what: &'static str, path: &Path) -> Result<String, Error> {
    let content = content(what, path)?;
    if content.chars().any(char::is_control) {
        let reason = "it has more than one line".to_owned();
        return Err(Error::Secret { what, path: path.to_owned(), reason });
    }
    Ok(content)
}

fn of_bytes(
    what: &'static str,
    path: &Path,
    fits: impl Fn(u8) -> bool,
    otherwise: &str,
) -> Result<String, Error> {
    let content = content(what, path)?;
    if content.bytes().all(fits) {
        return Ok(content);
    }
    Err(Error::Secret { what, path: path.to_owned(), reason: otherwise.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_and_an_error_does_not_tell_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let put = |text: &str| fs::write(&path, text).unwrap();
        put("S0SECRET0\r\n");
        assert_eq!(word("it", &path).unwrap(), "S0SECRET0");
        put("two words\n");
        assert_eq!(header_value("it", &path).unwrap(), "two words");
        assert!(word("it", &path).unwrap_err().to_string().contains("it has spaces"));
        put("S0SECRET0\r\nX-Other: 1");
        for error in [header_value("it", &path).unwrap_err(), line("it", &path).unwrap_err()] {
            assert!(!error.to_string().contains("S0SECRET0"), "{error}");
        }
        put("pässwörd mit Leerzeichen\n");
        assert_eq!(line("it", &path).unwrap(), "pässwörd mit Leerzeichen");
        put(" \n");
        assert!(line("it", &path).unwrap_err().to_string().contains("empty"));
    }
}
