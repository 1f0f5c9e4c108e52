//! From a filter to a checked program, with libpcap's compiler at arm's length.
//!
//! libpcap needs seconds for some thousand terms and cannot be stopped, so it runs on a thread of
//! its own: who waits gives up after [`LIMIT`], and the thread keeps its place among the
//! [`MAX_COMPILERS`] until it is through.

use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use super::error::{Error, shown};
use super::operation::Instruction;
use super::program::Program;
use super::{Filter, LinkType, expression, words};
use crate::libpcap::{self, Refused};
use crate::spawn;

/// How long a filter may wait for its turn, and then how long it may take to compile. Usual ones
/// take a few milliseconds.
const LIMIT: Duration = Duration::from_secs(5);

/// How many filters are compiled at once, those included that nobody waits for any more.
const MAX_COMPILERS: usize = 4;

/// The longest expression of a user, in bytes; it bounds what libpcap has to parse.
const MAX_EXPRESSION_BYTES: usize = 16 * 1024;

/// What a program returns for a packet that it selects: in the kernel that is the length to keep,
/// in bytes, and as much as tcpdump keeps. libpcap's 65,535 would cut what TSO and GRO have joined.
const KEEP_BYTES: u32 = 262_144;

/// What libpcap makes of the empty expression, `ret #262144`: a capture without a filter does not wait
/// for a thread to be told so.
static ALL: LazyLock<Program> = LazyLock::new(|| {
    let all = Instruction { code: 0x06, jt: 0, jf: 0, k: KEEP_BYTES };
    Program::new(vec![all], String::new()).expect("a program that only returns is valid")
});

/// An expression that compiles for all frames with addresses as Ethernet's.
const ANY_MAC: &str = "ether host 02:00:00:00:00:01";

/// Compiles a filter for an interface with the addresses `local`. Blocks, for at most some seconds.
///
/// # Errors
/// The filter is refused; the message names what and why. [`Error::is_transient`] if it was not
/// the filter's fault.
pub fn compile(filter: &Filter, local: &[IpAddr], link: LinkType) -> Result<Program, Error> {
    expression::check_entries(filter)?;
    let own = expression::own(filter);
    own.map_or(Ok(()), check_own)?;
    let text = expression::of(filter, local, link);
    if text.is_empty() {
        return Ok(ALL.clone());
    }
    let needs_macs = filter.entries.iter().any(|entry| !entry.mac.is_empty());
    let own = own.map(str::to_owned);
    let instructions = run_apart(Job { own, text: text.clone(), link, needs_macs }, LIMIT)?;
    let refused = shown(&text);
    Program::new(instructions, text).map_err(|source| Error::Program { text: refused, source })
}

/// What has to be so before libpcap may see an expression.
fn check_own(own: &str) -> Result<(), Error> {
    if own.len() > MAX_EXPRESSION_BYTES {
        return Err(Error::TooLong { bytes: own.len(), most: MAX_EXPRESSION_BYTES });
    }
    if own.contains('\0') {
        return Err(Error::ZeroByte { expression: shown(own) });
    }
    words::check(own, Path::new(words::PROTOCOLS).exists())
}

/// What the compiling thread needs.
struct Job {
    /// The user's expression, compiled alone first: parentheses that close what it has not opened,
    /// and its other errors, are then its own.
    own: Option<String>,
    text: String,
    link: LinkType,
    /// Whether an entry asks for Ethernet addresses, which not all frames have.
    needs_macs: bool,
}

/// Compiles on a thread of its own and waits for it, but not for ever.
fn run_apart(job: Job, limit: Duration) -> Result<Vec<Instruction>, Error> {
    let text = shown(&job.text);
    let Some(place) = Place::wait(limit) else {
        return Err(Error::Busy { text, limit });
    };
    let (answer, answered) = mpsc::sync_channel(1);
    let thread = spawn::thread("filter-compile", move || {
        let result = both(&job);
        drop(place);
        // Nobody waits any more where this fails.
        drop(answer.send(result));
    });
    match thread {
        Ok(_detached) => {}
        Err(source) => return Err(Error::Thread { text, source }),
    }
    match answered.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(Error::Slow { text, limit }),
        Err(RecvTimeoutError::Disconnected) => Err(Error::Lost { text }),
    }
}

/// How many places among the compilers are taken.
static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// A place among the compilers; free again when dropped.
struct Place;

impl Place {
    /// Waits for a place; `None` if there is none within the limit.
    fn wait(limit: Duration) -> Option<Self> {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, _) = FREED
            .wait_timeout_while(taken, limit, |taken| *taken >= MAX_COMPILERS)
            .unwrap_or_else(PoisonError::into_inner);
        (*taken < MAX_COMPILERS).then(|| {
            *taken += 1;
            Self
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}

/// Compiles the user's expression, then the whole. May take long.
fn both(job: &Job) -> Result<Vec<Instruction>, Error> {
    let compile = |text: &str| libpcap::compile(text, job.link, KEEP_BYTES);
    if let Some(own) = &job.own {
        compile(own).map_err(|refused| own_error(own, &refused))?;
    }
    // libpcap knows the frames that have such addresses: Ethernet's, and those of some radios.
    if job.needs_macs && job.link != LinkType::Ethernet && compile(ANY_MAC).is_err() {
        return Err(Error::NoMacs);
    }
    compile(&job.text).map_err(|refused| whole_error(&job.text, &refused))
}

fn own_error(own: &str, refused: &Refused) -> Error {
    if *refused == Refused::SelectsNothing {
        return Error::SelectsNothing { text: shown(own) };
    }
    Error::Expression { expression: shown(own), reason: shown(&refused.to_string()) }
}

fn whole_error(text: &str, refused: &Refused) -> Error {
    if *refused == Refused::SelectsNothing {
        return Error::SelectsNothing { text: shown(text) };
    }
    Error::Whole { text: shown(text), reason: shown(&refused.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Addresses, Entry, Packet, Protocol};

    fn expression(text: &str) -> Filter {
        Filter { entries: Vec::new(), expression: Some(text.to_owned()) }
    }

    fn refused(text: &str) -> String {
        expression(text).check().unwrap_err().to_string()
    }

    fn remote(addresses: &str) -> Filter {
        let remote_ip = Addresses::parse_list("remote_ip", addresses).unwrap();
        Filter { entries: vec![Entry { remote_ip, ..Entry::default() }], expression: None }
    }

    #[test]
    fn an_empty_filter_selects_everything() {
        let program = compile(&Filter::default(), &[], LinkType::Ethernet).unwrap();
        assert!(program.selects(&Packet { data: &[], vlan: None, wire_len: 0 }));
        assert_eq!(program.text(), "");
        let of_libpcap = libpcap::compile("", LinkType::Ethernet, KEEP_BYTES).unwrap();
        assert_eq!(program.instructions(), of_libpcap);
    }

    #[test]
    fn a_bad_expression_is_named_with_its_reason_and_a_right_one() {
        for (text, reason) in [
            ("tcp prot 80", "names 'prot'"),
            ("host web-1.example.org", "names 'web-1.example.org'"),
            ("host or tcp", "syntax error"),
            ("tcp) or (udp", "syntax error"),
            ("port no-such-service", "unknown port 'no-such-service'"),
            ("port 80 and (no-such-service)", "unknown port 'no-such-service'"),
            ("ip proto no-such", "unknown ip proto 'no-such'"),
            ("net 10.0.0.1/24", "non-network bits set"),
            ("tcp[0] / 0 == 1", "division by zero"),
            ("tcp \u{e4}", "syntax error"),
        ] {
            let message = refused(text);
            assert!(message.starts_with(&format!("bpf: '{text}' ")), "{message}");
            assert!(message.contains(reason), "{message}");
            assert!(message.contains(", as in "), "{message}");
        }
        assert!(refused("tcp\0 or udp").contains("zero byte"));
        assert!(refused(&"tcp or ".repeat(4_000)).contains("27999 bytes long"));
    }

    #[test]
    fn what_only_the_kernel_or_a_loop_could_tell_is_refused() {
        for text in ["inbound", "outbound and tcp", "ifindex 2", "ether[0 - 4] = 1"] {
            assert!(refused(text).contains("reads what is not in the packet"), "{text}");
        }
        assert!(refused("ip6 protochain 6").contains("protochain, which makes loops"));
    }

    #[test]
    fn parts_that_exclude_each_other_are_told() {
        assert!(refused("tcp and udp").contains("no packet can pass 'tcp and udp'"));
        let tcp = Entry { protocol: Some(Protocol::Tcp), ..Entry::default() };
        let filter = Filter { entries: vec![tcp], expression: Some("arp".to_owned()) };
        let message = filter.check().unwrap_err().to_string();
        assert!(message.contains("no packet can pass '(arp) and"), "{message}");
    }

    #[test]
    fn frames_without_ethernet_addresses_are_told_of() {
        let mac = vec![crate::filter::Mac([2, 0, 0, 0, 0, 1])];
        let entry = Entry { protocol: Some(Protocol::Tcp), mac, ..Entry::default() };
        let filter = Filter { entries: vec![entry], expression: None };
        assert!(compile(&filter, &[], LinkType::Ethernet).is_ok());
        // Frames of 802.11 have such addresses as well; tunnels and `any` have none.
        assert!(compile(&filter, &[], LinkType::Other(105)).is_ok());
        for link in [LinkType::RawIp, LinkType::Other(113)] {
            let message = compile(&filter, &[], link).unwrap_err().to_string();
            assert!(message.starts_with("filters: mac is an Ethernet address"), "{message}");
        }
    }

    #[test]
    fn a_filter_that_is_too_large_is_refused_in_time() {
        let many: Vec<_> = (0..256).map(|host| format!("2001:db8:{host:x}::{host:x}")).collect();
        let message = remote(&many.join(";")).check().unwrap_err().to_string();
        let expected = message.contains("instructions and at most 4096")
            || message.contains("longer than 5 s");
        assert!(expected, "{message}");
    }

    #[test]
    fn who_waits_for_a_slow_compilation_gives_up() {
        let hosts: Vec<_> = (0..60).map(|host| format!("host 10.0.0.{host}")).collect();
        let text = hosts.join(" or ");
        let job = Job { own: None, text, link: LinkType::Ethernet, needs_macs: false };
        // The other tests may hold all places for a moment; then it is told so.
        let message = run_apart(job, Duration::from_millis(1)).unwrap_err().to_string();
        assert!(message.contains("longer than 0 s") && message.contains("'host 10.0.0.0 or"));
    }

    #[test]
    fn who_finds_no_place_is_told_to_try_again() {
        let places: Vec<_> = (0..MAX_COMPILERS).map(|_| Place::wait(LIMIT).unwrap()).collect();
        let (text, link) = ("tcp", LinkType::Ethernet);
        let job = || Job { own: None, text: text.to_owned(), link, needs_macs: false };
        let error = run_apart(job(), Duration::from_millis(1)).unwrap_err();
        assert!(
            error.is_transient() && error.to_string().contains("'tcp' waited longer"),
            "{error}"
        );
        drop(places);
        assert!(run_apart(job(), LIMIT).is_ok());
    }

    #[test]
    fn many_may_compile_at_once() {
        let threads: Vec<_> = (0..16)
            .map(|host| {
                spawn::thread("test-compile", move || remote(&format!("10.0.0.{host}")).check())
                    .unwrap()
            })
            .collect();
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    }

    #[test]
    fn the_scanner_of_libpcap_knows_every_word_that_we_let_pass() {
        for word in words::KNOWN {
            // A word that it does not know would be a port's name, which it looks up in a table.
            let port = format!("port {word}");
            if let Err(error) = libpcap::compile(&port, LinkType::Ethernet, KEEP_BYTES) {
                assert!(!error.to_string().contains("unknown port"), "{word}: {error}");
            }
        }
    }

    #[test]
    fn every_link_has_its_own_entries() {
        let tcp = Entry { protocol: Some(Protocol::Tcp), ..Entry::default() };
        let filter = Filter { entries: vec![tcp], expression: None };
        // Linux cooked: the protocol in the last two bytes of 16, then an IPv4 header.
        let mut packet = [0; 56];
        (packet[14], packet[16], packet[16 + 9]) = (0x08, 0x45, 6);
        let packet = Packet { data: &packet, vlan: None, wire_len: 56 };
        let selects = |link| compile(&filter, &[], link).unwrap().selects(&packet);
        assert!(selects(LinkType::Other(113)));
        assert!(!selects(LinkType::Ethernet) && !selects(LinkType::Other(276)));
    }

    #[test]
    fn a_link_without_ethernet_has_its_own_offsets() {
        let program = compile(&remote("10.0.0.2"), &[], LinkType::RawIp).unwrap();
        let mut packet = [0; 40];
        packet[0] = 0x45;
        packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        assert!(program.selects(&Packet { data: &packet, vlan: None, wire_len: 40 }));
        packet[19] = 3;
        assert!(!program.selects(&Packet { data: &packet, vlan: None, wire_len: 40 }));
    }
}
