//! How many packets a file holds: the records are counted, whatever its writer says.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use hindsight::clock::WallTime;

/// Large reads: files have up to a gigabyte.
const BUFFER: usize = 1 << 20;

/// Type of a pcapng section header block, and of one with a packet.
const SECTION: u32 = 0x0A0D_0D0A;
const ENHANCED_PACKET: u32 = 6;

/// Packets in all capture files of a folder.
pub(crate) fn packets_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_capture = |path: &std::path::PathBuf| path.to_string_lossy().contains(".pcap");
    files.filter(is_capture).map(|path| packets_in_file(&path)).sum()
}

/// The stamp of the first packet in the beginning of a pcapng file, in nanoseconds as Hindsight's are.
/// None if it is not there whole.
pub(crate) fn first_stamp(head: &[u8]) -> Option<WallTime> {
    let word = |at: usize| {
        let bytes = head.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    let mut at = 0;
    loop {
        let (kind, len) = (word(at)?, usize::try_from(word(at + 4)?).ok()?);
        // The length stands at the end, too: where it does, the block is whole.
        if len < 12 || word(at + len - 4)? != word(at + 4)? {
            return None;
        }
        if kind == ENHANCED_PACKET {
            let nanos = (u64::from(word(at + 12)?) << 32) | u64::from(word(at + 16)?);
            return Some(WallTime::from_nanos(i64::try_from(nanos).ok()?));
        }
        at += len;
    }
}

fn packets_in_file(path: &Path) -> u64 {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path).unwrap());
    let Some(magic) = word(&mut file) else { return 0 };
    if magic == SECTION { in_pcapng(&mut file) } else { in_pcap(&mut file) }
}

/// Behind the type of the first block.
fn in_pcapng(file: &mut BufReader<File>) -> u64 {
    let (mut packets, mut kind) = (0, SECTION);
    while let Some(len) = word(file) {
        if len < 12 || !skip(file, len - 8) {
            break;
        }
        packets += u64::from(kind == ENHANCED_PACKET);
        match word(file) {
            Some(next) => kind = next,
            None => break,
        }
    }
    packets
}

/// Behind the magic number: 20 bytes more of a header, then records of 16 bytes and their packet.
fn in_pcap(file: &mut BufReader<File>) -> u64 {
    let mut packets = 0;
    if !skip(file, 20) {
        return 0;
    }
    while skip(file, 8) {
        let (Some(kept), Some(_length)) = (word(file), word(file)) else { break };
        if !skip(file, kept) {
            break;
        }
        packets += 1;
    }
    packets
}

/// Four bytes, little endian as every file that this machine writes. None at the end.
fn word(file: &mut BufReader<File>) -> Option<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes).ok()?;
    Some(u32::from_le_bytes(bytes))
}

/// False where the file ends before.
fn skip(file: &mut BufReader<File>, bytes: u32) -> bool {
    let copied = io::copy(&mut file.take(u64::from(bytes)), &mut io::sink());
    copied.is_ok_and(|copied| copied == u64::from(bytes))
}
