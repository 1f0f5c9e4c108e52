//! Looks at the blocks of a log for all readers that rest, once for all of them, on a thread of its
//! own, which lives while somebody rests.
//!
//! It keeps for each outline (`filter::Outline`) which filters select the packets with it, so that
//! most packets cost one look into a table, however many rest. Invariant: a reader is passed over at
//! a block only if every packet of it was read, is in its window and is not selected by its filter;
//! in any doubt it is called and reads the block itself.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tracing::debug;

use crate::capture::bell::Bell;
use crate::capture::log::{Found, Log};
use crate::capture::packet;
use crate::capture::rest::{Due, Findings, Seats, bit};
use crate::clock::{self, WallTime};
use crate::filter::{Outline, Packet, Program};
use crate::ring::Frame;
use crate::spawn;

/// How long it stays when nobody rests: readers get up for single blocks.
const LINGER: Duration = Duration::from_secs(1);

/// How many outlines are kept, each at the place that its hash tells: 256 KiB for each log with a
/// scout. One that meets another at its place takes it over.
const PLACES: usize = 2_048;

/// The share of the blocks that a log keeps by which a scout may lag behind. Beyond it those that
/// rest read themselves, side by side, as they would without it.
const MOST_LAG_SHARE: u32 = 2;

/// Makes sure that a log has a scout. Where none can be started, nobody rests.
pub(super) fn start(log: &Arc<Log>) {
    let bell = Arc::new(Bell::default());
    if !log.appoint(&bell) {
        return;
    }
    let log = Arc::downgrade(log);
    let body = move || Scout { log, bell, table: Table::new() }.run();
    if let Err(error) = spawn::thread("scout", body) {
        debug!("each capture reads on its own, because no thread can be started for them: {error}");
    }
}

struct Scout {
    /// Not kept by it: a log is there for those that read.
    log: Weak<Log>,
    bell: Arc<Bell>,
    table: Table,
}

impl Scout {
    fn run(mut self) {
        let mut needed_at = clock::boot_time();
        while let Some(log) = self.log.upgrade() {
            while let Some(due) = log.due() {
                self.look(&log, &due);
            }
            let now = clock::boot_time();
            if log.is_anybody_resting() {
                needed_at = now;
            } else if now.since(needed_at) >= LINGER && log.dismiss() {
                return;
            }
            drop(log);
            self.bell.wait(LINGER);
        }
    }

    /// Looks at one block for those that rest before it.
    fn look(&mut self, log: &Log, due: &Due) {
        let most_lag = log.ring().geometry().keep() / MOST_LAG_SHARE;
        if due.behind > u64::from(most_lag) {
            return log.call_up_to(due.sequence);
        }
        let Found::Held(entry, block) = log.find(due.sequence) else {
            return log.call_up_to(due.sequence);
        };
        self.table.keep_up(log, due.generation);
        let mut frames = block.frames();
        let seen = self.table.see(frames.by_ref(), due.seats);
        let is_read = frames.left() == 0 || seen.selected_by & due.seats == due.seats;
        drop(block);
        if !is_read {
            // They say themselves what cannot be read of it.
            return log.call_up_to(due.sequence);
        }
        log.settle(&Findings {
            sequence: due.sequence,
            packets: entry.packets,
            earliest: seen.earliest,
            latest: seen.latest,
            selected_by: seen.selected_by,
            received: entry.received_before + u64::from(entry.packets),
            dropped: entry.dropped_before,
        });
    }
}

/// What the packets of a block are to those that rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    earliest: WallTime,
    latest: WallTime,
    selected_by: Seats,
}

/// What the filters say of an outline.
#[derive(Clone, Copy, Debug)]
struct Line {
    outline: Option<Outline>,
    /// Those that select every packet with it.
    selected_by: Seats,
    /// Those that have to see each packet.
    asked_by: Seats,
}

/// The filters of all seats, and what they say of the outlines that came by.
struct Table {
    /// Of the programs.
    generation: Option<u64>,
    programs: Vec<Option<Arc<Program>>>,
    lines: Box<[Line]>,
    /// Where the last packet's line stands: packets come in runs.
    last: usize,
}

const NO_LINE: Line = Line { outline: None, selected_by: 0, asked_by: 0 };

impl Table {
    fn new() -> Self {
        let lines = vec![NO_LINE; PLACES].into();
        Self { generation: None, programs: Vec::new(), lines, last: 0 }
    }

    /// Asks for the programs again if they are others than these.
    fn keep_up(&mut self, log: &Log, generation: u64) {
        if self.generation != Some(generation) {
            let (generation, programs) = log.programs();
            self.use_programs(Some(generation), programs);
        }
    }

    fn use_programs(&mut self, generation: Option<u64>, programs: Vec<Option<Arc<Program>>>) {
        (self.generation, self.programs) = (generation, programs);
        self.lines.fill(NO_LINE);
    }

    /// Goes through packets for those at `seats`, until each of them selects one.
    fn see<'a>(&mut self, frames: impl Iterator<Item = Frame<'a>>, seats: Seats) -> Seen {
        let (earliest, latest) = (WallTime::from_nanos(i64::MAX), WallTime::from_nanos(i64::MIN));
        let mut seen = Seen { earliest, latest, selected_by: 0 };
        for frame in frames {
            seen.earliest = seen.earliest.min(frame.at);
            seen.latest = seen.latest.max(frame.at);
            let packet = packet::of(&frame);
            let (selected_by, asked_by) = match Outline::of(&packet) {
                Some(outline) => self.line(&outline),
                None => (0, Seats::MAX),
            };
            seen.selected_by |= selected_by;
            let open = asked_by & seats & !seen.selected_by;
            if open != 0 {
                seen.selected_by |= self.ask(open, &packet);
            }
            if seen.selected_by & seats == seats {
                break;
            }
        }
        seen
    }

    /// Who selects the packets with an outline, and who has to be asked for each.
    #[inline]
    fn line(&mut self, outline: &Outline) -> (Seats, Seats) {
        if self.lines.get(self.last).is_none_or(|line| line.outline != Some(*outline)) {
            // The highest bits are the best mixed.
            let place = outline.hash() >> (u64::BITS - PLACES.ilog2());
            self.last = usize::try_from(place).unwrap_or(0);
            self.enter(outline);
        }
        self.lines.get(self.last).map_or((0, Seats::MAX), |line| (line.selected_by, line.asked_by))
    }

    fn enter(&mut self, outline: &Outline) {
        let Some(line) = self.lines.get_mut(self.last) else { return };
        if line.outline == Some(*outline) {
            return;
        }
        *line = Line { outline: Some(*outline), ..NO_LINE };
        for (seat, program) in self.programs.iter().enumerate() {
            match program.as_ref().map(|program| program.decide(outline)) {
                Some(Some(true)) => line.selected_by |= bit(seat),
                Some(None) => line.asked_by |= bit(seat),
                Some(Some(false)) | None => {}
            }
        }
    }

    /// Which of these seats select a packet.
    #[inline(never)]
    fn ask(&self, mut open: Seats, packet: &Packet<'_>) -> Seats {
        let mut selected_by = 0;
        while open != 0 {
            let seat = usize::try_from(open.trailing_zeros()).unwrap_or(0);
            open &= open - 1;
            let program = self.programs.get(seat).and_then(Option::as_ref);
            // A seat without a program is in doubt.
            if program.is_none_or(|program| program.selects(packet)) {
                selected_by |= bit(seat);
            }
        }
        selected_by
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filter::{Filter, LinkType, compile};

    const EXPRESSIONS: [&str; 18] = [
        "udp port 53",
        "tcp dst port 443 and host 10.0.0.1",
        "net 10.0.0.0/30",
        "src host 10.0.0.2 or src host fd00::2",
        "ip6 and udp",
        "tcp[tcpflags] & tcp-syn != 0",
        "icmp[icmptype] = icmp-echo or icmp6",
        "ip[6:2] & 0x1fff != 0",
        "ip[8] = 3",
        "greater 100",
        "less 60 and not arp",
        "vlan 7",
        "vlan and udp port 53",
        "vlan 7 and vlan 9",
        "arp host 10.0.0.1",
        "ether host 02:00:00:00:00:01",
        "not ip and not ip6",
        "udp[8] = 3",
    ];

    fn programs(expressions: &[&str]) -> Vec<Option<Arc<Program>>> {
        let program = |text: &&str| {
            let filter = Filter { entries: Vec::new(), expression: Some((*text).to_owned()) };
            Some(Arc::new(compile(&filter, &[], LinkType::Ethernet).unwrap()))
        };
        expressions.iter().map(program).collect()
    }

    /// A packet of few hosts and ports: with tags, options, fragments, cut short.
    fn packet() -> impl Strategy<Value = (Vec<u8>, Option<[u8; 4]>)> {
        let tag =
            || prop::sample::select(vec![[0x81_u8, 0, 0, 7], [0x81, 0, 0, 9], [0x88, 0xa8, 0, 7]]);
        let end = || (1_u8..4, prop::sample::select(vec![53_u8, 80, 187]));
        let tags = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(tag(), 1..3)];
        let ether_type = prop::sample::select(vec![0x0800_u16, 0x0800, 0x86dd, 0x0806]);
        let protocol = prop::sample::select(vec![6_u8, 6, 17, 17, 1, 58, 132]);
        let fragment = prop::sample::select(vec![0_u8, 0, 0, 0x40, 0x20]);
        let options = prop::sample::select(vec![0x45_u8, 0x45, 0x45, 0x46]);
        let cut = prop_oneof![6 => Just(usize::MAX), 1 => 0_usize..80];
        let beside = prop_oneof![4 => Just(None), 1 => tag().prop_map(Some)];
        let fields = (tags, ether_type, protocol, fragment, options);
        (fields, (end(), end()), prop::collection::vec(0_u8..4, 60), cut, beside).prop_map(
            |((tags, ether_type, protocol, fragment, options), (from, to), rest, cut, beside)| {
                let mut data = vec![2, 0, 0, 0, 0, rest[0], 2, 0, 0, 0, 0, 9];
                data.extend(tags.concat());
                data.extend(ether_type.to_be_bytes());
                match ether_type {
                    0x0800 => {
                        let offset = if fragment == 0 { rest[1] / 3 } else { 0 };
                        data.extend([options, 0, 0, 80, 0, rest[2], fragment, offset]);
                        data.extend([rest[3], protocol, 0, 0, 10, 0, 0, from.0, 10, 0, 0, to.0]);
                        data.extend(vec![0; if options == 0x46 { 4 } else { 0 }]);
                    }
                    0x86dd => {
                        data.extend([0x60, 0, 0, rest[2], 0, 60, protocol, rest[3]]);
                        data.extend([&[0xfd], &[0; 14][..], &[from.0]].concat());
                        data.extend([&[0xfd], &[0; 14][..], &[to.0]].concat());
                    }
                    _ => {
                        data.extend([0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, from.0]);
                        data.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, to.0]);
                    }
                }
                data.extend([rest[4] / 3, from.1, rest[5] / 3, to.1]);
                data.extend(&rest[6..]);
                data.truncate(cut);
                (data, beside)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn what_it_finds_is_what_each_reader_would_find_packet_by_packet(
            blocks in prop::collection::vec(prop::collection::vec(packet(), 0..12), 1..6),
            seats in 1_u128..1 << EXPRESSIONS.len(),
            change in 0_usize..6,
        ) {
            let mut table = Table::new();
            let mut programs = programs(&EXPRESSIONS);
            table.use_programs(Some(0), programs.clone());
            for (number, block) in blocks.iter().enumerate() {
                if number == change {
                    programs.rotate_left(1);
                    table.use_programs(Some(1), programs.clone());
                }
                let frames: Vec<_> = (0..).zip(block).map(|(at, (data, vlan))| {
                    let wire_len = u32::try_from(data.len()).unwrap() + at * 13;
                    let stamp = WallTime::from_nanos(i64::from(at ^ 3));
                    let mut frame = Frame::elsewhere(stamp, data, wire_len, 0);
                    frame.vlan = *vlan;
                    frame
                }).collect();
                let seen = table.see(frames.iter().copied(), seats);
                for (seat, program) in programs.iter().enumerate() {
                    let program = program.as_ref().unwrap();
                    let one = frames.iter().any(|frame| program.selects(&packet::of(frame)));
                    let told = seen.selected_by & bit(seat) != 0;
                    prop_assert!(seats & bit(seat) == 0 || told == one, "{}", program.text());
                }
                if seen.selected_by & seats != seats {
                    let stamps = || frames.iter().map(|frame| frame.at);
                    prop_assert!(stamps().min().is_none_or(|least| least == seen.earliest));
                    prop_assert!(stamps().max().is_none_or(|most| most == seen.latest));
                }
            }
        }
    }

    #[test]
    fn packets_of_one_connection_are_judged_once() {
        let mut table = Table::new();
        table.use_programs(Some(0), programs(&EXPRESSIONS[..3]));
        let mut data = vec![0; 60];
        data[12..15].copy_from_slice(&[8, 0, 0x45]);
        data[23] = 17;
        let outline = Outline::of(&Packet { data: &data, vlan: None, wire_len: 60 }).unwrap();
        assert_eq!(table.line(&outline), (0, 0), "nobody selects it, nor has to be asked");
        // What was said of it stands.
        table.programs.clear();
        assert_eq!(table.line(&outline), (0, 0));
        assert_eq!(table.lines.iter().filter(|line| line.outline.is_some()).count(), 1);
    }
}
