//! A broker's address, as users write it.

use std::str::FromStr;

use super::Error;

/// Where a broker is: `mqtt://host:1883`, or `mqtts://host:8883` for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encrypted: bool,
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        parse(url).ok_or_else(|| {
            // What stands before an @ may be a password.
            let shown = url.rsplit('@').next().unwrap_or_default();
            Error::NotAnAddress(shown.chars().filter(|c| !c.is_control()).take(128).collect())
        })
    }
}

fn parse(url: &str) -> Option<Address> {
    let (scheme, rest) = url.split_once("://")?;
    let (encrypted, usual_port) = match scheme {
        "mqtt" => (false, 1883),
        "mqtts" => (true, 8883),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // A bracketed IPv6 address holds colons of its own.
    let end_of_host = rest.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match rest[end_of_host..].rfind(':') {
        Some(colon) => {
            let (host, port) = rest.split_at(end_of_host + colon);
            (host, port[1..].parse().ok().filter(|port| *port != 0)?)
        }
        None => (rest, usual_port),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_address = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
    let valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.chars().all(is_address),
        None => !host.is_empty() && host.chars().all(is_plain),
    };
    valid.then(|| Address { host: host.to_owned(), port, encrypted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them() {
        let parsed = |url: &str| {
            let address: Address = url.parse().ok()?;
            Some((address.host, address.port, address.encrypted))
        };
        assert_eq!(parsed("mqtt://broker"), Some(("broker".into(), 1883, false)));
        assert_eq!(parsed("mqtts://b.example:884/"), Some(("b.example".into(), 884, true)));
        assert_eq!(parsed("mqtt://[::1]"), Some(("[::1]".into(), 1883, false)));
        assert_eq!(parsed("mqtt://[fe80::1]:99"), Some(("[fe80::1]".into(), 99, false)));
        for wrong in [
            "broker:1883",
            "http://broker",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://broker:0",
            "mqtt://broker:70000",
            "mqtt://broker/path",
            "mqtt://broker?x=1",
            "mqtt://[::1",
            "mqtt://::1",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let error = "mqtt://user:hunter2@broker".parse::<Address>().unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains("password_file"), "{error}");
    }
}
