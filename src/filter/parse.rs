//! The users' texts for the fields of an entry, and back.
//!
//! A field is one value, a range `a-b`, or a list of both with `;` between them; one `;` at the
//! end is tolerated, and the empty text constrains nothing. What is printed is made from the
//! parsed value alone, so that no byte of a text (it may come from an alert) reaches an expression.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::{Error, shown};
use super::{Addresses, Ports, Protocol};

/// The most alternatives of one field. libpcap needs seconds for some thousand terms.
pub(super) const MAX_ALTERNATIVES: usize = 256;

impl Addresses {
    /// Reads a list of addresses. `field` is named in errors, as in `remote_ip`.
    ///
    /// # Errors
    /// A part is no address, range or network, or there are too many.
    pub fn parse_list(field: &str, text: &str) -> Result<Vec<Self>, Error> {
        parts(field, text, "192.0.2.7;192.0.2.9")?
            .into_iter()
            .map(|part| Self::parse(field, part))
            .collect()
    }

    fn parse(field: &str, text: &str) -> Result<Self, Error> {
        if let Some((first, last)) = text.split_once('-') {
            parse_range(field, text, first.trim(), last.trim())
        } else if let Some((address, prefix)) = text.split_once('/') {
            parse_network(field, text, address.trim(), prefix.trim())
        } else {
            parse_address(text)
                .map(Self::One)
                .ok_or_else(|| Error::NotAnAddress { field: field.to_owned(), value: shown(text) })
        }
    }

    /// Checks what the type alone does not hold: ends in order and of one family, prefix in range.
    pub(super) fn check(&self, field: &str) -> Result<(), Error> {
        Self::parse(field, &self.to_string()).map(drop)
    }
}

fn parse_range(field: &str, text: &str, first: &str, last: &str) -> Result<Addresses, Error> {
    let (field, value) = (field.to_owned(), shown(text));
    let (Some(first), Some(last)) = (parse_address(first), parse_address(last)) else {
        return Err(Error::NotARange { field, value });
    };
    if first.is_ipv4() != last.is_ipv4() {
        return Err(Error::MixedFamilies { field, value });
    }
    if first > last {
        return Err(Error::Swapped { field, value, swapped: format!("{last}-{first}") });
    }
    Ok(Addresses::Range(first, last))
}

fn parse_network(field: &str, text: &str, address: &str, prefix: &str) -> Result<Addresses, Error> {
    let (field, value) = (field.to_owned(), shown(text));
    // Not canonical as elsewhere: the prefix counts the bits of the family that is written.
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(Error::NotAnAddress { field, value });
    };
    let (most, example) = match address {
        IpAddr::V4(_) => (32, "192.0.2.0/24"),
        IpAddr::V6(_) => (128, "2001:db8::/64"),
    };
    match parse_number(prefix).and_then(|bits| u8::try_from(bits).ok()) {
        Some(bits) if bits <= most => Ok(Addresses::Network(masked(address, bits), bits)),
        Some(_) | None => Err(Error::NotANetwork { field, value, most, example }),
    }
}

/// Reads one address. An IPv4 address in IPv6 clothes (`::ffff:192.0.2.7`), which programs report
/// for their sockets and which is never on the wire, becomes the IPv4 address that it means.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The address with all bits behind the prefix cleared, so that `192.0.2.7/24` may be written.
pub(super) fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl Ports {
    /// Reads a list of ports. `field` is named in errors, as in `remote_port`.
    ///
    /// # Errors
    /// A part is no port or range of ports, or there are too many.
    pub fn parse_list(field: &str, text: &str) -> Result<Vec<Self>, Error> {
        parts(field, text, "443;8000-8999")?
            .into_iter()
            .map(|part| Self::parse(field, part))
            .collect()
    }

    fn parse(field: &str, text: &str) -> Result<Self, Error> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (parse_number(first.trim()), parse_number(last.trim()));
        let (field, value) = (field.to_owned(), shown(text));
        let (Some(first), Some(last)) = (first, last) else {
            return Err(Error::NotAPort { field, value });
        };
        if first > last {
            return Err(Error::Swapped { field, value, swapped: format!("{last}-{first}") });
        }
        Ok(Self { first, last })
    }

    pub(super) fn check(&self, field: &str) -> Result<(), Error> {
        Self::parse(field, &self.to_string()).map(drop)
    }
}

/// Digits only: the standard parser would take `+80`.
fn parse_number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The parts of a list; none for the empty text.
pub(super) fn parts<'a>(
    field: &str,
    text: &'a str,
    example: &'static str,
) -> Result<Vec<&'a str>, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let list = text.strip_suffix(';').unwrap_or(text);
    let count = list.split(';').count();
    check_count(field, count)?;
    let parts: Vec<_> = list.split(';').map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(Error::EmptyPart { field: field.to_owned(), value: shown(text), example });
    }
    Ok(parts)
}

pub(super) fn check_count(field: &str, count: usize) -> Result<(), Error> {
    if count > MAX_ALTERNATIVES {
        return Err(Error::TooMany { field: field.to_owned(), count, most: MAX_ALTERNATIVES });
    }
    Ok(())
}

impl Protocol {
    /// Reads a protocol; `None` for `any` and the empty text. `field` is named in errors.
    ///
    /// # Errors
    /// The text is none of tcp, udp, icmp and any.
    pub fn parse(field: &str, text: &str) -> Result<Option<Self>, Error> {
        match text.trim() {
            "" => Ok(None),
            any if any.eq_ignore_ascii_case("any") => Ok(None),
            name => [Self::Tcp, Self::Udp, Self::Icmp]
                .into_iter()
                .find(|protocol| name.eq_ignore_ascii_case(protocol.name()))
                .map(Some)
                .ok_or_else(|| Error::NotAProtocol { field: field.to_owned(), value: shown(text) }),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(address) => write!(f, "{address}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Network(address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses(text: &str) -> String {
        let list = Addresses::parse_list("remote_ip", text).unwrap();
        list.iter().map(Addresses::to_string).collect::<Vec<_>>().join(";")
    }

    fn ports(text: &str) -> String {
        let list = Ports::parse_list("remote_port", text).unwrap();
        list.iter().map(Ports::to_string).collect::<Vec<_>>().join(";")
    }

    #[test]
    fn addresses_are_one_a_range_a_network_or_a_list() {
        for (text, expected) in [
            ("", ""),
            ("  ", ""),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1;", "10.0.0.1"),
            ("10.0.0.1; 2001:db8::1 ;10.1.0.0/16", "10.0.0.1;2001:db8::1;10.1.0.0/16"),
            ("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"),
            ("10.0.0.1 - 10.0.0.1", "10.0.0.1-10.0.0.1"),
            ("2001:db8::1-2001:db8::ff", "2001:db8::1-2001:db8::ff"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("2001:db8:1::/32", "2001:db8::/32"),
            ("0.0.0.0/0;::/0", "0.0.0.0/0;::/0"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(addresses(text), expected, "{text}");
        }
    }

    #[test]
    fn a_refused_address_is_told_with_field_value_and_right_form() {
        for (text, value, form) in [
            ("web-1.example.org", "'web-1.example.org'", "192.0.2.1-192.0.2.9"),
            ("localhost", "'localhost'", "host names are never looked up"),
            ("10.0.0", "'10.0.0'", "192.0.2.7"),
            ("010.0.0.1", "'010.0.0.1'", "192.0.2.7"),
            ("fe80::1%eth0", "'fe80::1%eth0'", "192.0.2.7"),
            ("10.0.0.1 or 1=1", "'10.0.0.1 or 1=1'", "192.0.2.7"),
            ("10.0.0.1\nport 1", "'10.0.0.1\u{fffd}port 1'", "192.0.2.7"),
            ("1.1.1.1-255.255.255", "'1.1.1.1-255.255.255'", "two whole addresses"),
            ("10.0.0.1-", "'10.0.0.1-'", "192.0.2.1-192.0.2.9"),
            ("10.0.0.1-10.0.0.2-10.0.0.3", "'10.0.0.1-10.0.0.2-10.0.0.3'", "two whole addresses"),
            ("10.0.0.9-10.0.0.1", "'10.0.0.9-10.0.0.1'", "10.0.0.1-10.0.0.9"),
            ("::9-::1", "'::9-::1'", "::1-::9"),
            ("10.0.0.1-2001:db8::1", "'10.0.0.1-2001:db8::1'", "one for IPv6"),
            ("10.0.0.0/33", "'10.0.0.0/33'", "0 to 32, as in 192.0.2.0/24"),
            ("::/129", "'::/129'", "0 to 128, as in 2001:db8::/64"),
            ("10.0.0.0/", "'10.0.0.0/'", "192.0.2.0/24"),
            ("10.0.0.0/+8", "'10.0.0.0/+8'", "192.0.2.0/24"),
            ("10/8", "'10/8'", "192.0.2.0/24"),
            ("10.0.0.1;;10.0.0.2", "'10.0.0.1;;10.0.0.2'", "192.0.2.7;192.0.2.9"),
            (";", "';'", "192.0.2.7;192.0.2.9"),
        ] {
            let message = Addresses::parse_list("local_ip", text).unwrap_err().to_string();
            assert!(message.starts_with("local_ip: "), "{message}");
            assert!(message.contains(value) && message.contains(form), "{text}: {message}");
        }
    }

    #[test]
    fn ports_are_one_a_range_or_a_list() {
        for (text, expected) in [
            ("", ""),
            ("443", "443"),
            ("443;8000-8999;", "443;8000-8999"),
            (" 0 - 65535 ", "0-65535"),
            ("80-80", "80"),
        ] {
            assert_eq!(ports(text), expected, "{text}");
        }
    }

    #[test]
    fn a_refused_port_is_told_with_field_value_and_right_form() {
        for (text, value, form) in [
            ("https", "'https'", "0 to 65535 as in 443"),
            ("65536", "'65536'", "0 to 65535"),
            ("-1", "'-1'", "8000-8999"),
            ("+80", "'+80'", "443"),
            ("80-", "'80-'", "8000-8999"),
            ("8999-8000", "'8999-8000'", "8000-8999"),
            ("80;;90", "'80;;90'", "443;8000-8999"),
            ("80 or 1", "'80 or 1'", "443"),
        ] {
            let message = Ports::parse_list("remote_port", text).unwrap_err().to_string();
            assert!(message.starts_with("remote_port: "), "{message}");
            assert!(message.contains(value) && message.contains(form), "{text}: {message}");
        }
    }

    #[test]
    fn a_list_has_a_bound() {
        let text = "1;".repeat(MAX_ALTERNATIVES + 1);
        let message = Ports::parse_list("local_port", &text).unwrap_err().to_string();
        assert!(
            message.contains("local_port: 257") && message.contains("at most 256"),
            "{message}"
        );
        assert!(Ports::parse_list("local_port", &text[2..]).is_ok());
    }

    #[test]
    fn a_protocol_is_one_of_three_or_any() {
        assert_eq!(Protocol::parse("protocol", "TCP").unwrap(), Some(Protocol::Tcp));
        assert_eq!(Protocol::parse("protocol", "icmp").unwrap(), Some(Protocol::Icmp));
        assert_eq!(Protocol::parse("protocol", "any").unwrap(), None);
        assert_eq!(Protocol::parse("protocol", "").unwrap(), None);
        assert_eq!(Protocol::Udp.to_string(), "udp");
        let message = Protocol::parse("protocol", "sctp").unwrap_err().to_string();
        let expected = "protocol: 'sctp' is not a protocol; write tcp, udp, icmp or any";
        assert_eq!(message, expected);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(a: IpAddr, b: IpAddr, prefix in 0u8..=32, p: u16, q: u16) {
            let (first, last) = (a.to_canonical().min(b.to_canonical()), a.to_canonical().max(b.to_canonical()));
            let mut lists = vec![Addresses::One(first), Addresses::Network(masked(first, prefix), prefix)];
            if first.is_ipv4() == last.is_ipv4() {
                lists.push(Addresses::Range(first, last));
            }
            for one in lists {
                prop_assert_eq!(Addresses::parse_list("f", &one.to_string()).unwrap(), vec![one]);
            }
            let ports = Ports { first: p.min(q), last: p.max(q) };
            prop_assert_eq!(Ports::parse_list("f", &ports.to_string()).unwrap(), vec![ports]);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            drop((Addresses::parse_list("f", &text), Ports::parse_list("f", &text)));
        }
    }
}
