//! Captures that filters are tried on: the public ones that `tests/tools captures` has unpacked, and
//! one capture made of many packets, for which tcpdump says what a filter selects.
//!
//! A packet of a made capture has its number as its stamp, in seconds; that is how what tcpdump
//! writes is read back.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use hindsight::filter::LinkType;
use pcap::{Capture, Linktype};
use tempfile::NamedTempFile;

/// What is read of one file at most, so that no single one outweighs the others.
const MAX_PACKETS_OF_A_FILE: usize = 5_000;

/// The most that a packet of a made capture holds, in bytes: as much as tcpdump keeps.
const SNAP_BYTES: u32 = 262_144;

/// A packet as a capture holds it.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(crate) bytes: Vec<u8>,
    pub(crate) wire_len: u32,
}

impl Captured {
    /// A packet that has been captured whole.
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        let wire_len = u32::try_from(bytes.len()).expect("no packet has 4 GiB");
        Self { bytes, wire_len }
    }
}

/// The packets of all public captures with one link type, in the order of the files' names.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) files: usize,
    pub(crate) packets: Vec<Captured>,
}

impl Public {
    pub(crate) fn read(link: LinkType) -> Self {
        let mut public = Self { files: 0, packets: Vec::new() };
        for file in public_files() {
            // tcpdump's tests hold files that are no captures as well: for its messages about them.
            let Ok(mut capture) = Capture::from_file(&file) else { continue };
            if !begins_like(link, capture.get_datalink()) {
                continue;
            }
            public.files += 1;
            let most = public.packets.len() + MAX_PACKETS_OF_A_FILE;
            // A file that is cut short ends with an error; what stands before is good.
            while let Ok(packet) = capture.next_packet()
                && public.packets.len() < most
            {
                let bytes = packet.data.to_vec();
                public.packets.push(Captured { bytes, wire_len: packet.header.len });
            }
        }
        public
    }
}

/// Sorted, so that every run has the same packets under the same numbers.
fn public_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/captures");
    let complete = folder.join(".complete").exists();
    assert!(complete, "no captures in {} yet; run: tests/tools captures", folder.display());
    let entries = folder.read_dir().expect("the folder can be read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort_unstable();
    files
}

/// Whether the packets of a capture file are those of the link type. That of a file may be narrower:
/// there are numbers for IP in general (12 here, whatever the file says), IPv4 (228) and IPv6 (229).
fn begins_like(link: LinkType, of_file: Linktype) -> bool {
    if link == LinkType::Ethernet { of_file.0 == 1 } else { [12, 228, 229].contains(&of_file.0) }
}

/// Packets as one classic capture file.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) packets: Vec<Captured>,
    file: NamedTempFile,
}

impl Made {
    pub(crate) fn of(link: LinkType, packets: Vec<Captured>) -> Self {
        let mut out = Vec::new();
        let mut words = |words: &[u32], bytes: &[u8]| {
            out.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
            out.extend(bytes);
        };
        // Magic number, version 2.4 (two halves, in this host's order), zone, accuracy, snap length.
        let version = u32::from_ne_bytes(
            [2_u16.to_ne_bytes(), 4_u16.to_ne_bytes()].concat().try_into().expect("four bytes"),
        );
        words(&[0xa1b2_c3d4, version, 0, 0, SNAP_BYTES, link.in_files().into()], &[]);
        for (number, packet) in (0..).zip(&packets) {
            let captured = u32::try_from(packet.bytes.len()).expect("no packet has 4 GiB");
            assert!(captured <= SNAP_BYTES, "packet {number} is longer than tcpdump reads");
            words(&[number, 0, captured, packet.wire_len], &packet.bytes);
        }
        let mut file = NamedTempFile::with_suffix(".pcap").expect("there is room for a capture");
        file.write_all(&out).expect("there is room for a capture");
        Self { packets, file }
    }

    /// The numbers of the packets that tcpdump selects.
    ///
    /// # Errors
    /// What tcpdump says where it does not take the filter.
    pub(crate) fn tcpdump(&self, filter: &str) -> Result<BTreeSet<usize>, String> {
        let mut command = Command::new("tcpdump");
        let output =
            command.arg("-r").arg(self.file.path()).args(["-w", "-", "--", filter]).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run tcpdump: {error}"));
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(numbers(&output.stdout))
    }
}

/// The seconds of the stamps in a capture file.
fn numbers(file: &[u8]) -> BTreeSet<usize> {
    let word = |at: usize| {
        let bytes = file.get(at..at + 4).expect("tcpdump writes whole records");
        usize::try_from(u32::from_ne_bytes(bytes.try_into().expect("four bytes")))
            .expect("a number of a packet")
    };
    let mut numbers = BTreeSet::new();
    // A file header of 24 bytes, then records: seconds, fraction, captured and original length.
    let mut at = 24;
    while at < file.len() {
        numbers.insert(word(at));
        at += 16 + word(at + 8);
    }
    numbers
}
