//! Finding the whole part of a file that a crash has cut.
//!
//! The blocks are walked from the front. A block is whole if its kind is one that we write, its
//! length is plausible, within the file and repeated at its end, and its fixed fields agree with
//! it. The walk ends at the first that is not; zeros, which a file system may show where data was
//! not yet on disk, are not. All that is in front of that place can be kept as it is.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::block::{
    ENHANCED_PACKET, FRAME_BYTES, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS, SECTION_HEADER,
};
use super::packet::MAX_PACKET_BYTES;
use super::section::BYTE_ORDER_MAGIC;
use crate::clock::WallTime;

/// The longest block that is believed, in bytes: a packet and its options, or a few options of
/// 64 KiB each, stay far below.
const MAX_BLOCK_BYTES: u32 = 1 << 20;

/// The longest fixed part of a body, that of a packet, in bytes.
const FIXED_BYTES: u64 = 20;

/// Type and length of a block, and the fixed part of its body, in bytes.
const HEAD_BYTES: usize = 28;

/// How much is read ahead, in bytes.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// The file could not be read; what it holds is never an error.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the capture file from byte {at} on to recover it; check the disk")]
pub struct Error {
    at: u64,
    source: io::Error,
}

impl Error {
    /// Reading failed at this byte.
    pub(super) fn at(at: u64) -> impl Fn(io::Error) -> Self {
        move |source| Self { at, source }
    }
}

/// Whether the file ended where more was expected.
pub(super) fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// The whole part of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Where to cut, in bytes from the start: everything before is whole blocks. 0: nothing is.
    pub whole_bytes: u64,
    pub packets: u64,
    /// The earliest and the latest stamp, as `capinfos` tells them.
    pub first_packet: Option<WallTime>,
    pub last_packet: Option<WallTime>,
    /// Interfaces that are described.
    pub interfaces: u32,
}

impl Recovered {
    fn add(&mut self, block: Block) {
        match block {
            Block::Interface => self.interfaces += 1,
            Block::Packet { at, .. } => self.add_packet(at),
            Block::Section | Block::Statistics { .. } => {}
        }
    }

    pub(super) fn add_packet(&mut self, at: WallTime) {
        self.packets += 1;
        self.first_packet = Some(self.first_packet.map_or(at, |first| first.min(at)));
        self.last_packet = Some(self.last_packet.map_or(at, |last| last.max(at)));
    }

    /// Whether a block may follow what has been walked so far.
    fn expects(&self, block: Block) -> bool {
        match block {
            Block::Section => self.whole_bytes == 0,
            Block::Interface => self.whole_bytes > 0,
            Block::Packet { interface, .. } | Block::Statistics { interface } => {
                interface < self.interfaces
            }
        }
    }
}

/// Walks the blocks of a file of ours, one section long. Does not change the file.
///
/// # Errors
/// The file could not be read.
pub fn recover(file: &mut File) -> Result<Recovered, Error> {
    let file_bytes = file.seek(SeekFrom::End(0)).map_err(Error::at(0))?;
    file.seek(SeekFrom::Start(0)).map_err(Error::at(0))?;
    recover_stream(file, file_bytes)
}

/// The same for what comes as a stream of at most this many bytes, such as a packed file.
///
/// # Errors
/// Reading failed.
pub fn recover_stream(source: impl Read, file_bytes: u64) -> Result<Recovered, Error> {
    let mut recovered = Recovered::default();
    let mut reader = BufReader::with_capacity(READ_BYTES, source);
    loop {
        let at = recovered.whole_bytes;
        let next = match read_block(&mut reader, file_bytes - at) {
            Err(error) if is_end(&error) => None,
            outcome => outcome.map_err(Error::at(at))?,
        };
        let Some((block, length)) = next.filter(|(block, _)| recovered.expects(*block)) else {
            return Ok(recovered);
        };
        recovered.add(block);
        recovered.whole_bytes += u64::from(length);
    }
}

/// What recovery wants to know of a block.
#[derive(Clone, Copy, Debug)]
enum Block {
    Section,
    Interface,
    Packet { interface: u32, at: WallTime },
    Statistics { interface: u32 },
}

/// Reads the block that begins here, and its length; `None` where it is not whole.
fn read_block(reader: &mut impl Read, left_bytes: u64) -> io::Result<Option<(Block, u32)>> {
    let mut head = [0; HEAD_BYTES];
    if left_bytes < u64::from(FRAME_BYTES) {
        return Ok(None);
    }
    reader.read_exact(&mut head[..8])?;
    let length = word(&head, 1);
    let plausible = (FRAME_BYTES..=MAX_BLOCK_BYTES).contains(&length) && length.is_multiple_of(4);
    if !plausible || u64::from(length) > left_bytes {
        return Ok(None);
    }
    let body_bytes = length - FRAME_BYTES;
    let (_, fields) = head.split_at_mut(8);
    let (fixed, skipped) = match usize::try_from(body_bytes) {
        Ok(body) if body < fields.len() => (&mut fields[..body], 0),
        Ok(_) | Err(_) => (fields, u64::from(body_bytes) - FIXED_BYTES),
    };
    reader.read_exact(fixed)?;
    io::copy(&mut reader.by_ref().take(skipped), &mut io::sink())?;
    let mut repeated = [0; 4];
    reader.read_exact(&mut repeated)?;
    if u32::from_le_bytes(repeated) != length {
        return Ok(None);
    }
    Ok(interpret(&head, body_bytes).map(|block| (block, length)))
}

/// Reads the fixed fields; `None` where they cannot be ours. Fields beyond the body are zero.
fn interpret(head: &[u8; HEAD_BYTES], body_bytes: u32) -> Option<Block> {
    match word(head, 0) {
        SECTION_HEADER => {
            (body_bytes >= 16 && word(head, 2) == BYTE_ORDER_MAGIC).then_some(Block::Section)
        }
        INTERFACE_DESCRIPTION => (body_bytes >= 8).then_some(Block::Interface),
        INTERFACE_STATISTICS => {
            (body_bytes >= 12).then_some(Block::Statistics { interface: word(head, 2) })
        }
        ENHANCED_PACKET => {
            let captured = word(head, 5);
            let within = usize::try_from(captured).is_ok_and(|bytes| bytes <= MAX_PACKET_BYTES)
                && captured.next_multiple_of(4) + 20 <= body_bytes
                && captured <= word(head, 6);
            let nanos = (u64::from(word(head, 3)) << 32) | u64::from(word(head, 4));
            let at = WallTime::from_nanos(i64::try_from(nanos).ok()?);
            within.then_some(Block::Packet { interface: word(head, 2), at })
        }
        _ => None,
    }
}

/// The word at a place of the head, counted in words.
fn word(head: &[u8; HEAD_BYTES], place: usize) -> u32 {
    let (words, _) = head.as_chunks::<4>();
    u32::from_le_bytes(words[place])
}
