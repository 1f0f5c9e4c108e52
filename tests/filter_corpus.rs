//! What filters select of public captures: the same as `tcpdump -r FILE FILTER`, packet by packet.
//!
//! The captures are those of tcpdump's own tests (`tests/tools captures`): VLAN, MPLS, PPPoE, Geneve,
//! LLC, IPv6, fragments, routing protocols, and much that is malformed on purpose. Super packets are
//! added, which no public capture has. All packets of one link type become one capture, and each
//! filter is judged over all of it: by tcpdump, by the same packets with their VLAN tags beside them as
//! the kernel's ring has them, and for entries by the words of their definition.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;

use hindsight::filter::{Entry, Error, Filter, LinkType, Outline, Packet, Program, compile};
use support::captures::{Captured, Made, Public};
use support::five_tuple::{self, Ip};

#[path = "filter_corpus/frequent.rs"]
mod frequent;
#[path = "filter_corpus/super_packets.rs"]
mod super_packets;
#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

use frequent::Frequent;
use super_packets::Ends;

/// Threads that judge: libpcap compiles on at most four at once.
const JUDGES: usize = 2;

/// A filter at a host with these addresses.
struct Case {
    filter: Filter,
    own: Vec<IpAddr>,
}

/// What came of a case.
enum Verdict {
    /// All agree that these packets are selected.
    Selected {
        text: String,
        numbers: BTreeSet<usize>,
    },
    /// All agree that the filter is impossible for the link type.
    Refused,
    Disagreement(String),
}

/// The lines of a data file that are neither blank nor a comment.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The expressions, then each entry at three hosts: one with no known address, and two with the most
/// frequent addresses of the captures.
fn cases(frequent: &Frequent) -> Vec<Case> {
    let expressions = lines(include_str!("filter_corpus/expressions.txt")).map(|line| {
        let filter = Filter { entries: Vec::new(), expression: Some(frequent.fill(line)) };
        Case { filter, own: Vec::new() }
    });
    let mut cases: Vec<_> = expressions.collect();
    let several = ["v4-1", "v4-2", "v4-3", "v6-1", "v6-2"];
    for own in [&[][..], &["v4-1"], &several] {
        let own = frequent.addresses(own);
        for line in lines(include_str!("filter_corpus/entries.txt")) {
            cases.push(Case { filter: structured(&frequent.fill(line)), own: own.clone() });
        }
    }
    cases
}

/// A filter of entries with `+` between them, the last of which has an expression behind it where it
/// has a seventh field.
fn structured(line: &str) -> Filter {
    let mut filter = Filter::default();
    for entry in line.split(" + ") {
        let mut fields: Vec<&str> = entry.splitn(7, '|').map(str::trim).collect();
        assert!(fields.len() >= 5, "not five fields: {line}");
        filter.expression = fields.get(6).map(|&text| text.to_owned());
        fields.resize(6, "");
        let fields = fields.try_into().expect("six fields were just made");
        filter.entries.push(five_tuple::entry(fields));
    }
    filter
}

/// Packets of one link type, and what is known of them.
struct Bench {
    link: LinkType,
    made: Made,
    /// Of each packet; absent for what is no IP packet or is cut short.
    ip: Vec<Option<Ip>>,
}

impl Bench {
    fn of(link: LinkType, packets: Vec<Captured>) -> Self {
        let ip = packets.iter().map(|packet| Ip::read(link, &packet.bytes)).collect();
        Self { link, made: Made::of(link, packets), ip }
    }

    fn packets(&self) -> &[Captured] {
        &self.made.packets
    }

    /// Judges every case, in their order.
    fn judge_all(&self, cases: &[Case]) -> Vec<Verdict> {
        let judge = |part: &[Case]| part.iter().map(|case| self.judge(case)).collect::<Vec<_>>();
        thread::scope(|scope| {
            let parts = cases.chunks(cases.len().div_ceil(JUDGES));
            let judges: Vec<_> = parts.map(|part| scope.spawn(move || judge(part))).collect();
            let verdicts = judges.into_iter().map(|judge| judge.join());
            verdicts.flat_map(|verdicts| verdicts.expect("judges do not panic")).collect()
        })
    }

    fn judge(&self, case: &Case) -> Verdict {
        let program = match compile(&case.filter, &case.own, self.link) {
            Ok(program) => program,
            Err(error) => return self.judge_refusal(case, &error),
        };
        let text = program.text().to_owned();
        if self.link == LinkType::Ethernet && text != case.filter.expression_for(&case.own) {
            return Verdict::Disagreement(format!("not compiled from the filter's text: '{text}'"));
        }
        let expected = match self.made.tcpdump(&text) {
            Ok(numbers) => numbers,
            Err(complaint) => {
                return Verdict::Disagreement(format!("tcpdump refuses '{text}': {complaint}"));
            }
        };
        let numbers = self.numbers(|_, packet| {
            program.selects(&Packet { data: &packet.bytes, vlan: None, wire_len: packet.wire_len })
        });
        for (judge, other) in [
            ("tcpdump", expected),
            ("the program, of the same packets with their tags beside them,", {
                self.with_tags_beside(&program, &numbers)
            }),
            ("the program, of the packets' outlines,", self.by_outlines(&program, &numbers)),
            ("the definition", self.by_definition(case, &numbers)),
        ] {
            if other != numbers {
                let more: Vec<_> = numbers.difference(&other).take(5).collect();
                let less: Vec<_> = other.difference(&numbers).take(5).collect();
                return Verdict::Disagreement(format!(
                    "'{text}' selects packets that {judge} does not ({more:?} ...), or the other \
                     way round ({less:?} ...)"
                ));
            }
        }
        Verdict::Selected { text, numbers }
    }

    /// Entries without an Ethernet address are possible for every link type: it was the expression, and
    /// then that alone is impossible as well.
    fn judge_refusal(&self, case: &Case, error: &Error) -> Verdict {
        let needs_macs = case.filter.entries.iter().any(|entry| !entry.mac.is_empty());
        if self.link != LinkType::Ethernet && needs_macs && matches!(error, Error::NoMacs) {
            return Verdict::Refused;
        }
        let expression = case.filter.expression.as_deref().unwrap_or_default();
        match self.made.tcpdump(expression) {
            Err(_) => Verdict::Refused,
            Ok(_) => Verdict::Disagreement(format!("tcpdump takes '{expression}': {error}")),
        }
    }

    /// The numbers of the packets that pass a test.
    fn numbers(&self, test: impl Fn(usize, &Captured) -> bool) -> BTreeSet<usize> {
        let numbered = self.packets().iter().enumerate();
        numbered
            .filter(|(number, packet)| test(*number, packet))
            .map(|(number, _)| number)
            .collect()
    }

    /// What a program selects where the outer tag of each tagged frame is beside it, as the kernel's
    /// ring has it.
    fn with_tags_beside(&self, program: &Program, selected: &BTreeSet<usize>) -> BTreeSet<usize> {
        self.numbers(|number, packet| {
            if self.link != LinkType::Ethernet || !is_tagged(packet) {
                return selected.contains(&number);
            }
            let data = [&packet.bytes[..12], &packet.bytes[16..]].concat();
            let vlan = packet.bytes[12..16].try_into().ok();
            program.selects(&Packet { data: &data, vlan, wire_len: packet.wire_len })
        })
    }

    /// What a program says of the outlines of packets, and where it has to see them what has been
    /// selected.
    fn by_outlines(&self, program: &Program, selected: &BTreeSet<usize>) -> BTreeSet<usize> {
        self.numbers(|number, packet| {
            let packet = Packet { data: &packet.bytes, vlan: None, wire_len: packet.wire_len };
            let decided = Outline::of(&packet).and_then(|outline| program.decide(&outline));
            decided.unwrap_or_else(|| selected.contains(&number))
        })
    }

    /// What the definition of the entries says, and where it says nothing what has been selected:
    /// about what is no IP packet, about packets that are cut short, and about an expression that
    /// moves the offsets of the entries. Any other expression has to hold besides.
    fn by_definition(&self, case: &Case, selected: &BTreeSet<usize>) -> BTreeSet<usize> {
        let Filter { entries, expression } = &case.filter;
        let expression = expression.as_deref().unwrap_or_default();
        let moves =
            ["vlan", "mpls", "pppoe", "geneve"].iter().any(|word| expression.contains(word));
        if entries.is_empty() || entries.contains(&Entry::default()) || moves {
            return selected.clone();
        }
        let besides = match expression {
            "" => (0..self.packets().len()).collect(),
            expression => self.made.tcpdump(expression).unwrap_or_default(),
        };
        self.numbers(|number, _| {
            let Some(ip) = &self.ip[number] else { return selected.contains(&number) };
            let entry = |entry| five_tuple::selects(entry, &case.own, ip);
            besides.contains(&number) && entries.iter().any(entry)
        })
    }
}

/// Whether the frame has a tag that the kernel takes out, all of it captured.
fn is_tagged(packet: &Captured) -> bool {
    let tag = packet.bytes.get(12..16);
    tag.is_some_and(|tag| [[0x81, 0], [0x88, 0xa8]].contains(&[tag[0], tag[1]]))
}

/// The public Ethernet captures, what is frequent in them, and all cases.
fn prepare() -> (Public, Frequent, Vec<Case>) {
    let public = Public::read(LinkType::Ethernet);
    assert!(public.files >= 60, "{} captures prove little", public.files);
    assert!(public.packets.len() >= 5_000, "{} packets prove little", public.packets.len());
    let frequent = Frequent::among(&public.packets);
    let cases = cases(&frequent);
    (public, frequent, cases)
}

fn super_packets(frequent: &Frequent) -> Vec<Captured> {
    let port = |placeholder| frequent.fill(placeholder).parse().expect("a port");
    let ends = [["v4-1", "v4-2"], ["v4-3", "v4-1"], ["v6-1", "v6-2"]].map(|pair| {
        let addresses = frequent.addresses(&pair);
        let ports = [port("{port-1}"), port("{port-5}")];
        Ends { source: addresses[0], destination: addresses[1], ports }
    });
    let vlan = frequent.fill("{vlan-1}").parse().expect("a VLAN");
    super_packets::between(&ends, vlan)
}

/// The verdicts that are no disagreement: what is selected, by the filter's text.
fn agreed(verdicts: Vec<Verdict>) -> Vec<(String, BTreeSet<usize>)> {
    let (mut agreed, mut disagreements) = (Vec::new(), Vec::new());
    for verdict in verdicts {
        match verdict {
            Verdict::Selected { text, numbers } => agreed.push((text, numbers)),
            Verdict::Refused => {}
            Verdict::Disagreement(text) => disagreements.push(text),
        }
    }
    assert!(
        disagreements.is_empty(),
        "{} disagreements:\n{}",
        disagreements.len(),
        disagreements.join("\n")
    );
    // Entries mean the same at several hosts where their fields tell which end is local.
    agreed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    agreed.dedup_by(|(one, _), (other, _)| one == other);
    agreed
}

/// How many filters pass a test; at least so many percent have to.
fn share(
    filters: &[(String, BTreeSet<usize>)],
    least: usize,
    test: impl Fn(&BTreeSet<usize>) -> bool,
) -> usize {
    let (pass, fail): (Vec<_>, Vec<_>) = filters.iter().partition(|(_, numbers)| test(numbers));
    let failing: Vec<_> = fail.into_iter().map(|(text, _)| text).collect();
    let enough = pass.len() * 100 >= filters.len() * least;
    assert!(enough, "only {} of {} filters, not {failing:#?}", pass.len(), filters.len());
    pass.len()
}

#[test]
fn every_filter_selects_the_ethernet_frames_that_tcpdump_selects() {
    let (public, frequent, cases) = prepare();
    let files = public.files;
    let public_packets = public.packets.len();
    let mut packets = public.packets;
    packets.extend(super_packets(&frequent));
    let bench = Bench::of(LinkType::Ethernet, packets);
    let verdicts = bench.judge_all(&cases);
    let refused = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Refused)).count();
    assert_eq!(refused, 0, "each of these filters has a meaning for Ethernet");
    let filters = agreed(verdicts);
    println!("{files} captures, {public_packets} packets, {} filters", filters.len());
    assert!(filters.len() >= 300, "{} different filters prove little", filters.len());
    let selecting =
        share(&filters, 70, |numbers| numbers.iter().any(|&number| number < public_packets));
    let refusing = share(&filters, 90, |numbers| numbers.len() < bench.packets().len());
    println!("{selecting} select a public packet, {refusing} refuse a packet");

    let those = |expression| bench.made.tcpdump(expression).expect("tcpdump takes it");
    for (kind, all) in [
        ("VLAN", those("vlan")),
        ("IPv6", those("ip6 or (vlan and ip6)")),
        ("fragments", those("ip[6:2] & 0x3fff != 0 or ip6[6] = 44")),
        ("super packets", (public_packets..bench.packets().len()).collect()),
    ] {
        let tell_apart = |(_, numbers): &&(String, BTreeSet<usize>)| {
            !numbers.is_disjoint(&all) && !numbers.is_superset(&all)
        };
        let telling = filters.iter().filter(tell_apart).count();
        println!("{kind}: {} packets, {telling} filters select some of them", all.len());
        assert!(all.len() >= 50 && telling >= 50, "{kind}: {} and {telling}", all.len());
    }
}

#[test]
fn every_filter_selects_the_raw_ip_packets_that_tcpdump_selects() {
    let (ethernet, frequent, cases) = prepare();
    let public = Public::read(LinkType::RawIp);
    assert!(public.files >= 3, "{} captures of raw IP", public.files);
    println!("{} captures, {} packets", public.files, public.packets.len());
    let mut packets = public.packets;
    // There are few such captures; what the Ethernet frames carry makes many.
    let frames = ethernet.packets.into_iter().chain(super_packets(&frequent));
    packets.extend(frames.filter(is_untagged_ip).map(|frame| Captured {
        bytes: frame.bytes[14..].to_vec(),
        wire_len: frame.wire_len.saturating_sub(14),
    }));
    let bench = Bench::of(LinkType::RawIp, packets);
    let filters = agreed(bench.judge_all(&cases));
    println!(
        "{} packets with those out of frames, {} filters",
        bench.packets().len(),
        filters.len()
    );
    assert!(filters.len() >= 300, "{} different filters prove little", filters.len());
    let selecting = share(&filters, 70, |numbers| !numbers.is_empty());
    let refusing = share(&filters, 90, |numbers| numbers.len() < bench.packets().len());
    println!("{selecting} select a packet, {refusing} refuse a packet");
}

fn is_untagged_ip(frame: &Captured) -> bool {
    matches!(frame.bytes.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]))
}
