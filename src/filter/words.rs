//! The words of an expression, so that none is looked up as a name of a host or network.
//!
//! libpcap resolves every word that it does not know while it compiles: a DNS question that blocks,
//! asked by the host that captures, with a text from a rule. So a word passes only if libpcap's
//! scanner knows it, or where it stands for a port, a protocol or a kind of LLC frame: those come
//! from local tables, and libpcap itself refuses the unknown. Words are cut as that scanner cuts
//! them (libpcap's scanner.l and grammar.y).

use std::net::Ipv6Addr;

use super::error::{Error, shown};

/// Words that libpcap's scanner knows, in alphabetical order. Those for radio, ATM, SS7 and packet
/// filter logs are left out: no interface that is captured here has such frames.
pub(super) const KNOWN: [&str; 125] = [
    "aarp",
    "ah",
    "and",
    "arp",
    "atalk",
    "broadcast",
    "byte",
    "carp",
    "clnp",
    "csnp",
    "decnet",
    "dst",
    "es-is",
    "esis",
    "esp",
    "ether",
    "fddi",
    "geneve",
    "greater",
    "host",
    "icmp",
    "icmp-echo",
    "icmp-echoreply",
    "icmp-ireq",
    "icmp-ireqreply",
    "icmp-maskreply",
    "icmp-maskreq",
    "icmp-paramprob",
    "icmp-redirect",
    "icmp-routeradvert",
    "icmp-routersolicit",
    "icmp-sourcequench",
    "icmp-timxceed",
    "icmp-tstamp",
    "icmp-tstampreply",
    "icmp-unreach",
    "icmp6",
    "icmp6-certpathadvert",
    "icmp6-certpathsolicit",
    "icmp6-destinationunreach",
    "icmp6-echo",
    "icmp6-echoreply",
    "icmp6-homeagentdiscoveryreply",
    "icmp6-homeagentdiscoveryrequest",
    "icmp6-ineighbordiscoveryadvert",
    "icmp6-ineighbordiscoverysolicit",
    "icmp6-mobileprefixadvert",
    "icmp6-mobileprefixsolicit",
    "icmp6-multicastlistenerdone",
    "icmp6-multicastlistenerquery",
    "icmp6-multicastlistenerreportv1",
    "icmp6-multicastlistenerreportv2",
    "icmp6-multicastrouteradvert",
    "icmp6-multicastroutersolicit",
    "icmp6-multicastrouterterm",
    "icmp6-neighboradvert",
    "icmp6-neighborsolicit",
    "icmp6-nodeinformationquery",
    "icmp6-nodeinformationresponse",
    "icmp6-packettoobig",
    "icmp6-parameterproblem",
    "icmp6-redirect",
    "icmp6-routeradvert",
    "icmp6-routerrenum",
    "icmp6-routersolicit",
    "icmp6-timeexceeded",
    "icmp6code",
    "icmp6type",
    "icmpcode",
    "icmptype",
    "ifindex",
    "igmp",
    "igrp",
    "iih",
    "inbound",
    "ip",
    "ip6",
    "ipx",
    "is-is",
    "isis",
    "iso",
    "l1",
    "l2",
    "lat",
    "len",
    "length",
    "less",
    "link",
    "lsp",
    "mask",
    "mopdl",
    "moprc",
    "mpls",
    "multicast",
    "net",
    "netbeui",
    "not",
    "or",
    "outbound",
    "pim",
    "ppp",
    "pppoed",
    "pppoes",
    "psnp",
    "rarp",
    "sca",
    "sctp",
    "slip",
    "snp",
    "src",
    "stp",
    "tcp",
    "tcp-ack",
    "tcp-cwr",
    "tcp-ece",
    "tcp-fin",
    "tcp-push",
    "tcp-rst",
    "tcp-syn",
    "tcp-urg",
    "tcpflags",
    "tr",
    "udp",
    "vlan",
    "vrrp",
];

/// Where the numbers of protocols stand (protocols(5)).
pub(super) const PROTOCOLS: &str = "/etc/protocols";

/// The longest text of an IPv6 address, in bytes.
const LONGEST_ADDRESS: usize = 45;

/// Whether a word of the expression moves the offsets of all that follows it.
pub(super) fn moves_offsets(expression: &str) -> bool {
    Tokens(expression)
        .any(|token| matches!(token, Token::Word("vlan" | "mpls" | "pppoes" | "geneve")))
}

/// Refuses an expression with a word that libpcap would look up beyond local tables.
///
/// # Errors
/// [`Error::Name`] and [`Error::Gateway`]; [`Error::NoTable`] where `has_protocols` says that there
/// is no [`PROTOCOLS`]: libpcap 1.10.3 then takes the name of any protocol for number 0.
pub(super) fn check(expression: &str, has_protocols: bool) -> Result<(), Error> {
    // Whether a name at this place is one of a local table: behind the qualifier, and on through a
    // list of values, which inherits it.
    let mut local_table = false;
    let mut protocols = false;
    for token in Tokens(expression) {
        match token {
            Token::Word("gateway") => {
                return Err(Error::Gateway { expression: shown(expression) });
            }
            Token::Word(table @ ("port" | "portrange" | "proto" | "protochain" | "llc")) => {
                local_table = true;
                protocols = table.starts_with("proto");
            }
            Token::Word("and" | "or") | Token::Value | Token::ListSign => {}
            Token::Word(word) if KNOWN.binary_search(&word).is_ok() => local_table = false,
            Token::Word(word) | Token::Escaped(word) if local_table => {
                if protocols && !has_protocols {
                    let (expression, word) = (shown(expression), shown(word));
                    return Err(Error::NoTable { expression, word, table: PROTOCOLS });
                }
            }
            Token::Word(word) | Token::Escaped(word) => {
                return Err(Error::Name { expression: shown(expression), word: shown(word) });
            }
            Token::OtherSign => local_table = false,
        }
    }
    Ok(())
}

/// A piece of an expression.
enum Token<'a> {
    /// What may be a name.
    Word(&'a str),
    /// What is a name although the scanner knows it, as in `ip proto \tcp`.
    Escaped(&'a str),
    /// A number, an address of IPv4 or IPv6, or a MAC address.
    Value,
    /// A sign that stands in lists of values.
    ListSign,
    /// Any other sign.
    OtherSign,
}

/// Cuts the rest of an expression.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.0.trim_start_matches([' ', '\r', '\n', '\t']);
        let first = rest.chars().next()?;
        // The longest match wins, and an address wins over a word of the same length.
        let (word, value) = (word_len(rest), value_len(rest));
        let (token, taken) = if value > 0 && value >= word {
            (Token::Value, value)
        } else if word > 0 {
            (Token::Word(&rest[..word]), word)
        } else if let Some(name) = rest.strip_prefix('\\') {
            let end = name.find([' ', '!', '(', ')', '\n', '\t']).unwrap_or(name.len());
            (Token::Escaped(&name[..end]), end + 1)
        } else if rest.starts_with("&&") || rest.starts_with("||") {
            (Token::ListSign, 2)
        } else if first == '(' {
            (Token::ListSign, 1)
        } else {
            (Token::OtherSign, first.len_utf8())
        };
        self.0 = &rest[taken..];
        Some(token)
    }
}

/// The length of the word that begins here, in bytes: it begins with a letter or digit, and does
/// not end with `-` or `_`.
fn word_len(text: &str) -> usize {
    let within = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return 0;
    }
    let run = text.bytes().take_while(within).count();
    text[..run].trim_end_matches(['-', '_']).len()
}

/// The length of the number or address that begins here, in bytes.
fn value_len(text: &str) -> usize {
    let within = |byte: &u8| byte.is_ascii_hexdigit() || b":.-xX".contains(byte);
    let run = text.bytes().take_while(within).take(LONGEST_ADDRESS).count();
    (1..=run).rev().find(|length| is_value(&text[..*length])).unwrap_or(0)
}

fn is_value(text: &str) -> bool {
    is_numeric(text) || is_mac(text) || text.parse::<Ipv6Addr>().is_ok()
}

/// One to four numbers with dots between them: a number, or the beginning of an IPv4 address.
fn is_numeric(text: &str) -> bool {
    let number = |part: &str| match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(digits) => is_hex(digits, 1, usize::MAX),
        None => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()),
    };
    text.split('.').count() <= 4 && text.split('.').all(number)
}

fn is_mac(text: &str) -> bool {
    let pairs =
        |sign| text.split(sign).count() == 6 && text.split(sign).all(|part| is_hex(part, 1, 2));
    let fours = || text.split('.').count() == 3 && text.split('.').all(|part| is_hex(part, 4, 4));
    [':', '-', '.'].into_iter().any(pairs) || fours() || is_hex(text, 12, 12)
}

fn is_hex(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(KNOWN.is_sorted());
    }

    #[test]
    fn what_needs_no_lookup_passes() {
        for expression in [
            "",
            "tcp port 443 and host 192.0.2.7",
            "tcp[tcpflags] & (tcp-syn|tcp-rst) != 0",
            "ip[2:2] - ((ip[0]&0xf)<<2) > 100 && !arp",
            "host ::1 or net 2001:db8::/32 or host ::ffff:10.0.0.1",
            "ether host 02:00:00:00:00:01 or ether src 2-0-0-0-0-1 or ether dst 0200.0000.0001",
            "ether host aabbccddeeff or ether host a.b.c.d.e.f",
            "net 10.0.0.0 mask 255.0.0.0 or net 10 or net 192.168",
            "port http or smtp or (domain and 80)",
            "portrange 8000-8999 or portrange ftp-data-ftp",
            "ip proto \\tcp or ether proto \\ip or ip proto ospf",
            "vlan 7 and mpls 100 and pppoes",
            "icmp6[icmp6type] == icmp6-neighborsolicit",
            "llc ui or len <= 0X40",
            "tcp\nor\tudp",
        ] {
            assert!(check(expression, true).is_ok(), "{expression}");
        }
    }

    #[test]
    fn what_would_be_looked_up_is_refused_by_its_name() {
        for (expression, word) in [
            ("host example.org", "example.org"),
            ("example.org", "example.org"),
            ("src web-1", "web-1"),
            ("dst net office", "office"),
            ("ether host router", "router"),
            ("host 1.2.3.4.5", "1.2.3.4.5"),
            ("host 10.0.0.1 or bad.example", "bad.example"),
            ("port 80 and tcp and bad.example", "bad.example"),
            ("port 80 and not bad.example", "bad.example"),
            ("(port 80) and bad.example", "bad.example"),
            ("port http and host (a or b)", "a"),
            ("host \\tcp", "tcp"),
            ("len-4 > 100", "len-4"),
            ("host aa-bb-cc-dd-ee-ff-gg", "aa-bb-cc-dd-ee-ff-gg"),
            ("host face", "face"),
            ("TCP port 80", "TCP"),
            ("host 10.0.0.1\nor\nbad_example.", "bad_example."),
            ("ether host aabbccddeef", "aabbccddeef"),
        ] {
            let message = check(expression, true).unwrap_err().to_string();
            assert!(message.starts_with("bpf: '"), "{message}");
            assert!(message.contains(&format!("names '{word}'")), "{expression}: {message}");
            assert!(message.contains("write an address, as in host 192.0.2.7"), "{message}");
        }
        let message = check("gateway router and tcp", true).unwrap_err().to_string();
        assert!(message.contains("'gateway router and tcp'") && message.contains("ether host"));
    }

    #[test]
    fn a_protocol_is_not_named_where_no_table_has_its_number() {
        let message = check("tcp or ip proto ospf", false).unwrap_err().to_string();
        assert!(message.contains("names the protocol 'ospf'"), "{message}");
        assert!(message.contains("as in ip proto 89") && message.contains("netbase"), "{message}");
        assert!(check("ip proto 89 and port http and tcp", false).is_ok());
    }

    #[test]
    fn a_word_that_moves_offsets_is_seen() {
        assert!(moves_offsets("tcp and(vlan)"));
        assert!(!moves_offsets("tcp and host 10.0.0.1"));
    }
}
