//! A reader of capture files that shares no line with the writer: every block in its place, every
//! length right, or it panics. Much faster to start than `tshark`, which judges some of them as well.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use hindsight::clock::WallTime;

use super::traffic;

/// One packet of a file.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) interface: u32,
    pub(crate) at: WallTime,
    /// Where its bytes stand in the file.
    place: Range<usize>,
    /// Its length before anything was cut, in bytes.
    pub(crate) original: u32,
    /// `epb_flags`; zero where there are none.
    pub(crate) flags: u32,
    /// `epb_dropcount`; zero where there is none.
    pub(crate) lost_before: u64,
    pub(crate) comment: Option<String>,
}

/// `isb_ifrecv`, `isb_ifdrop`, `isb_osdrop` and `isb_usrdeliv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) received: u64,
    pub(crate) dropped: u64,
    pub(crate) overrun: u64,
    pub(crate) written: u64,
}

/// A pcapng file of one section, as the engine writes it.
#[derive(Debug)]
pub(crate) struct CaptureFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Names, by number.
    pub(crate) interfaces: Vec<String>,
    pub(crate) packets: Vec<Packet>,
    /// One for each interface, by number.
    pub(crate) statistics: Vec<Statistics>,
}

impl CaptureFile {
    /// Reads a whole file; one that is not as it should be ends the test.
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (interfaces, packets, statistics) = <(Vec<_>, Vec<_>, Vec<_>)>::default();
        let mut file = Self { path: path.to_owned(), bytes, interfaces, packets, statistics };
        let mut at = 0;
        while at < file.bytes.len() {
            at = file.read_block(at);
        }
        assert_eq!(file.interfaces.len(), file.statistics.len(), "{}", path.display());
        file
    }

    /// The bytes of a packet.
    pub(crate) fn data(&self, packet: &Packet) -> &[u8] {
        &self.bytes[packet.place.clone()]
    }

    /// The numbers in the packets of [`traffic`](super::traffic), in the file's order.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let number = |packet| traffic::number(self.data(packet));
        self.packets.iter().map(number).collect()
    }

    /// The numbers, of which none may be missing between the first and the last.
    pub(crate) fn contiguous_numbers(&self) -> Range<u64> {
        let numbers = self.numbers();
        for (pair, packet) in numbers.windows(2).zip(&self.packets) {
            let path = self.path.display();
            assert_eq!(
                pair[0] + 1,
                pair[1],
                "{path}: {} after {} at {}",
                pair[1],
                pair[0],
                packet.at
            );
        }
        match numbers[..] {
            [] => 0..0,
            [first, .., last] => first..last + 1,
            [only] => only..only + 1,
        }
    }

    /// How many gaps there are. Each packet must tell how many are missing right before it.
    pub(crate) fn gaps(&self) -> usize {
        let numbers = self.numbers();
        for (pair, packet) in numbers.windows(2).zip(self.packets.iter().skip(1)) {
            let missing = pair[1] - pair[0] - 1;
            let path = self.path.display();
            assert_eq!(packet.lost_before, missing, "{path}: between {} and {}", pair[0], pair[1]);
        }
        self.packets.iter().filter(|packet| packet.lost_before > 0).count()
    }

    /// What its drop counts tell, together.
    pub(crate) fn told_lost(&self) -> u64 {
        self.packets.iter().map(|packet| packet.lost_before).sum()
    }

    /// Reads the block that begins here, and returns where the next one does.
    fn read_block(&mut self, at: usize) -> usize {
        let end = at + size(self.word(at + 4));
        assert!(end <= self.bytes.len() && end.is_multiple_of(4), "{}: {at}", self.path.display());
        assert_eq!(self.word(end - 4), self.word(at + 4), "{}: {at}", self.path.display());
        let body = at + 8..end - 4;
        match self.word(at) {
            0x0a0d_0d0a => assert_eq!((at, self.word(at + 8)), (0, 0x1a2b_3c4d)),
            1 => self.read_interface(body),
            6 => self.read_packet(body),
            5 => self.read_statistics(body),
            kind => panic!("{}: a block of kind {kind:#x} at {at}", self.path.display()),
        }
        end
    }

    fn read_interface(&mut self, body: Range<usize>) {
        assert!(self.packets.is_empty() && self.statistics.is_empty(), "interfaces come first");
        let options = self.options(body.start + 8..body.end);
        let resolution = options.iter().find(|(code, _)| *code == 9);
        assert_eq!(resolution.map(|(_, value)| &self.bytes[value.clone()]), Some(&[9][..]));
        let name = options.iter().find(|(code, _)| *code == 2).expect("it has a name");
        let name = String::from_utf8_lossy(&self.bytes[name.1.clone()]).into_owned();
        self.interfaces.push(name);
    }

    fn read_packet(&mut self, body: Range<usize>) {
        assert!(self.statistics.is_empty(), "the statistics come last");
        let word = |place: usize| self.word(body.start + place);
        let nanos = (u64::from(word(4)) << 32) | u64::from(word(8));
        let (captured, start) = (size(word(12)), body.start + 20);
        let mut packet = Packet {
            interface: word(0),
            at: WallTime::from_nanos(i64::try_from(nanos).expect("before the year 2262")),
            place: start..start + captured,
            original: word(16),
            flags: 0,
            lost_before: 0,
            comment: None,
        };
        assert!(
            size(packet.interface) < self.interfaces.len() && captured <= size(packet.original)
        );
        for (code, value) in self.options(start + captured.next_multiple_of(4)..body.end) {
            match code {
                1 => {
                    let text = String::from_utf8_lossy(&self.bytes[value]).into_owned();
                    packet.comment = Some(text);
                }
                2 => packet.flags = self.word(value.start),
                4 => packet.lost_before = self.long(value.start),
                code => panic!("{}: option {code} of a packet", self.path.display()),
            }
        }
        self.packets.push(packet);
    }

    fn read_statistics(&mut self, body: Range<usize>) {
        assert_eq!(size(self.word(body.start)), self.statistics.len(), "one for each, in order");
        let mut statistics = Statistics::default();
        for (code, value) in self.options(body.start + 12..body.end) {
            match code {
                4 => statistics.received = self.long(value.start),
                5 => statistics.dropped = self.long(value.start),
                7 => statistics.overrun = self.long(value.start),
                8 => statistics.written = self.long(value.start),
                _ => {}
            }
        }
        self.statistics.push(statistics);
    }

    /// Codes and places of the options.
    fn options(&self, within: Range<usize>) -> Vec<(u16, Range<usize>)> {
        let (mut at, mut options) = (within.start, Vec::new());
        while at < within.end {
            let [code, length] = [at, at + 2].map(|place| {
                u16::from_le_bytes(*self.bytes[place..].first_chunk().expect("it is in the block"))
            });
            let value = at + 4..at + 4 + usize::from(length);
            at = value.end.next_multiple_of(4);
            if code == 0 {
                assert_eq!((length, at), (0, within.end), "nothing comes after the last option");
            } else {
                options.push((code, value));
            }
        }
        options
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(*self.bytes[at..].first_chunk().expect("lengths were checked"))
    }

    fn long(&self, at: usize) -> u64 {
        u64::from_le_bytes(*self.bytes[at..].first_chunk().expect("lengths were checked"))
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).expect("32 bits or more")
}
