//! This host, as rules ask for it: by its labels, and by the name that an event has for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// This host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    /// What the configuration says of it.
    pub labels: BTreeMap<String, String>,
    /// Names in lower case, without a dot at the end.
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Host {
    /// `aliases` are the other names and the addresses that events call it by.
    pub fn new<'a>(
        name: &str,
        labels: BTreeMap<String, String>,
        aliases: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut host = Self {
            name: name.to_owned(),
            labels,
            names: BTreeSet::new(),
            addresses: BTreeSet::new(),
        };
        host.add(name);
        if let (Some((first, _)), true) = (name.split_once('.'), host.addresses.is_empty()) {
            host.add(first);
        }
        for alias in aliases {
            host.add(alias);
        }
        host
    }

    fn add(&mut self, name: &str) {
        match name.parse::<IpAddr>() {
            Ok(address) => drop(self.addresses.insert(address.to_canonical())),
            Err(_no_address) => drop(self.names.insert(plain(name).to_ascii_lowercase())),
        }
    }

    /// A label's value; `name` is the host's own, and a missing label the empty text.
    pub(super) fn label(&self, name: &str) -> &str {
        match (self.labels.get(name), name) {
            (_, "name") => &self.name,
            (Some(value), _) => value,
            (None, _) => "",
        }
    }

    /// Whether a text means this host: a name or an address, maybe with a port behind it.
    pub(super) fn is_meant_by(&self, text: &str) -> bool {
        let bare = without_port(text);
        match bare.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address.to_canonical()),
            Err(_no_address) => {
                let name = plain(bare);
                !name.is_empty() && self.names.contains(&name.to_ascii_lowercase())
            }
        }
    }
}

/// A name without the dot of the root at its end.
fn plain(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// `edge-7` of `edge-7:9100`, `2001:db8::1` of `[2001:db8::1]:9100`; what has no such form stays.
fn without_port(text: &str) -> &str {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_end = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return if is_end { address } else { text };
    }
    match text.split_once(':') {
        // With a second colon it is an address of IPv6, which has brackets before a port.
        Some((name, port)) if is_port(port) => name,
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, aliases: &[&str]) -> Host {
        Host::new(name, BTreeMap::new(), aliases.iter().copied())
    }

    #[test]
    fn a_host_is_meant_by_its_name_its_first_label_and_its_aliases() {
        let edge = host("Edge-7.example.org", &["gw.fra1.", "10.0.0.7", "2001:db8::7"]);
        for text in [
            "edge-7.example.org",
            "EDGE-7.EXAMPLE.ORG:9100",
            "edge-7",
            "edge-7.",
            "edge-7.:9100",
            "gw.fra1",
            "gw.fra1:80",
            "10.0.0.7",
            "10.0.0.7:9100",
            "::ffff:10.0.0.7",
            "2001:db8::7",
            "2001:DB8:0::7",
            "[2001:db8::7]",
            "[2001:db8::7]:9100",
        ] {
            assert!(edge.is_meant_by(text), "{text}");
        }
        for text in [
            "",
            ".",
            ":9100",
            "edge",
            "edge-7.example",
            "edge-7.other.org",
            "gw",
            "edge-7:",
            "edge-7:http",
            "edge-7:80:80",
            "10.0.0.70",
            "10.0.0.7:9100:1",
            "[2001:db8::7]:",
            "[2001:db8::7]x",
            "2001:db8::7:9100",
            "edge-7 ",
        ] {
            assert!(!edge.is_meant_by(text), "{text}");
        }
    }

    #[test]
    fn an_address_as_a_name_has_no_first_label() {
        let host = host("10.0.0.7", &[]);
        assert!(host.is_meant_by("10.0.0.7:80"));
        assert!(!host.is_meant_by("10"));
    }

    #[test]
    fn the_name_is_a_label_of_the_host() {
        let labels = [("site".to_owned(), "fra1".to_owned())].into();
        let host = Host::new("edge-7", labels, []);
        assert_eq!(
            (host.label("site"), host.label("name"), host.label("x")),
            ("fra1", "edge-7", "")
        );
    }
}
