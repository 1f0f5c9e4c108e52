//! Whether texts of the configuration have the form that their key asks for.

use std::fs;
use std::io;
use std::path::Path;

/// The longest topic in bytes. Source: MQTT 5, section 1.5.4.
const MAX_TOPIC_BYTES: usize = 65_535;

/// Whether a text can name a source, a storage or a notifier.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// Whether a text can be a label of this host: what a matcher can name without quotes.
pub(super) fn is_label(label: &str) -> bool {
    label.len() <= 64
        && label.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-/".contains(&byte))
}

/// Whether a text can name this host: it becomes a part of paths and topics.
pub(super) fn is_host(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The host's own name in the form of [`is_host`].
pub(super) fn safe_host(name: &str) -> String {
    let safe: String = name
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(64)
        .collect();
    if safe.is_empty() { "localhost".to_owned() } else { safe }
}

/// Why an address cannot be used. It has to be `scheme://host[:port][/...]` without credentials.
pub(super) fn url(url: &str, schemes: &[&str]) -> Result<(), String> {
    let known = || schemes.iter().map(|s| format!("{s}://")).collect::<Vec<_>>().join(" or ");
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(format!("this is no address; it begins with {}", known()));
    };
    if !schemes.contains(&scheme) {
        return Err(format!("`{scheme}://` is not known here; an address begins with {}", known()));
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("an address holds no blanks".to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(
            "credentials do not stand in an address; they have keys of their own".to_owned()
        );
    }
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    if !is_host {
        return Err(format!("`{host}` is no host; write a name, an address or [IPv6]"));
    }
    match port.map(str::parse::<u16>) {
        Some(Ok(0) | Err(_)) => Err(format!(
            "`{}` is no port; write a number from 1 to 65535",
            port.unwrap_or_default()
        )),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Why a text is no topic filter to subscribe to. Source: MQTT 5, section 4.7.1.
pub(super) fn topic_filter(filter: &str) -> Result<(), &'static str> {
    let levels: Vec<&str> = filter.split('/').collect();
    let last = levels.len() - 1;
    if filter.is_empty() || filter.len() > MAX_TOPIC_BYTES || filter.contains('\0') {
        return Err("a topic filter has 1 to 65535 bytes and no zero byte");
    }
    for (index, level) in levels.into_iter().enumerate() {
        if level.contains('#') && (level != "#" || index != last) {
            return Err("`#` stands alone, as the last level");
        }
        if level.contains('+') && level != "+" {
            return Err("`+` stands alone in its level");
        }
    }
    Ok(())
}

/// Why a text is no topic to publish to.
pub(super) fn topic(topic: &str) -> Result<(), &'static str> {
    if topic.is_empty() || topic.len() > MAX_TOPIC_BYTES || topic.contains(['\0', '+', '#']) {
        return Err("a topic to publish to has 1 to 65535 bytes, no zero byte, no `+` and no `#`");
    }
    Ok(())
}

/// Why a webhook cannot have this path.
pub(super) fn webhook_path(path: &str) -> Result<(), String> {
    let right_form = path.len() > 1
        && path.len() <= 256
        && path.starts_with('/')
        && path[1..].split('/').all(|part| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte))
        });
    if !right_form {
        return Err(format!("`{path}` is no path for a webhook; write one as in /hooks/name"));
    }
    if path == "/healthz" || path == "/v1" || path.starts_with("/v1/") {
        return Err(format!("`{path}` is the worker's own; take another, as in /hooks/name"));
    }
    Ok(())
}

/// Why a file cannot be read, with the remedy. Its content is not looked at.
pub(super) fn readable(path: &Path) -> Result<(), (String, String)> {
    let shown = path.display();
    let is_file = fs::File::open(path).and_then(|file| file.metadata()).map(|meta| meta.is_file());
    match is_file {
        Ok(true) => Ok(()),
        Ok(false) => Err((format!("{shown} is no file"), "name a plain file".to_owned())),
        Err(error) => {
            let hint = if error.kind() == io::ErrorKind::PermissionDenied {
                "make it readable for the worker's user: chown root:hindsight and chmod 0640"
            } else {
                "create it, readable for the worker's user"
            };
            Err((format!("{shown} cannot be read: {error}"), hint.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_becomes_safe_in_a_path() {
        for (name, expected) in [
            ("edge-7\n", "edge-7"),
            ("../../etc", "etc"),
            ("bücher.example", "b-cher.example"),
            ("\n", "localhost"),
        ] {
            assert_eq!(safe_host(name), expected);
            assert!(is_host(&safe_host(name)));
        }
        assert_eq!(safe_host(&"a".repeat(300)).len(), 64);
    }

    #[test]
    fn addresses_have_a_known_scheme_a_host_and_no_credentials() {
        let schemes = ["http", "https"];
        for right in [
            "http://127.0.0.1:10000/devstoreaccount1",
            "https://chat.example.org/hooks/a?b=c",
            "http://[::1]:80/",
            "http://[::1]",
            "http://a_b",
        ] {
            assert_eq!(url(right, &schemes), Ok(()), "{right}");
        }
        for (wrong, part) in [
            ("broker:1883", "begins with http:// or https://"),
            ("ftp://a", "`ftp://` is not known here"),
            ("http://", "`` is no host"),
            ("http://:80", "`` is no host"),
            ("http://a:b:80", "`a:b` is no host"),
            ("http://[::1", "is no host"),
            ("http://a:0", "`0` is no port"),
            ("http://a:", "`` is no port"),
            ("http://a:99999", "`99999` is no port"),
            ("http://user:secret@a", "credentials do not stand in an address"),
            ("http://a b", "no blanks"),
            ("http://a\r\nb", "no blanks"),
        ] {
            let message = url(wrong, &schemes).unwrap_err();
            assert!(message.contains(part), "{wrong}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn topics_follow_the_standard() {
        for right in ["#", "a/#", "+/b", "a/+/c/#", "/", "a"] {
            assert_eq!(topic_filter(right), Ok(()), "{right}");
        }
        for wrong in ["", "#/a", "a#", "a/b+", "a\0"] {
            assert!(topic_filter(wrong).is_err(), "{wrong}");
        }
        assert!(topic("a/b").is_ok());
        assert!(topic("a/#").is_err());
    }

    #[test]
    fn webhook_paths_are_plain_and_not_our_own() {
        for right in ["/hooks/alertmanager", "/a", "/v1x"] {
            assert_eq!(webhook_path(right), Ok(()), "{right}");
        }
        for wrong in
            ["", "/", "a", "/a/", "//a", "/../a", "/{a}", "/a?b", "/healthz", "/v1", "/v1/events"]
        {
            assert!(webhook_path(wrong).is_err(), "{wrong}");
        }
    }
}
