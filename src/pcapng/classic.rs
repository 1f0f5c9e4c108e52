//! The classic pcap format, for readers that know nothing newer: one interface, stamps in
//! nanoseconds, and nothing but packets. Source: draft-ietf-opsawg-pcap.

use std::io::{BufReader, Read};

use super::block::{Filler, Sink};
use super::packet::{MAX_PACKET_BYTES, PacketBlock};
use super::recovery::{Error, READ_BYTES, Recovered, is_end};
use crate::clock::WallTime;

/// First word of a file whose stamps count nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];

/// Size of the header of the file, and of that of a packet, in bytes.
const FILE_HEAD_BYTES: usize = 24;
const PACKET_HEAD_BYTES: usize = 16;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Appends the header of a file. `snap_len` is the most that is kept of a packet, in bytes, not 0.
pub fn classic_header(out: &mut impl Sink, link_type: u16, snap_len: u32) {
    let mut head = [0; FILE_HEAD_BYTES];
    head[..4].copy_from_slice(&MAGIC.to_le_bytes());
    head[4..8].copy_from_slice(VERSION.map(u16::to_le_bytes).as_flattened());
    head[16..20].copy_from_slice(&snap_len.to_le_bytes());
    head[20..].copy_from_slice(&u32::from(link_type).to_le_bytes());
    out.put(&head);
}

/// How many bytes [`classic_packet`] appends.
#[inline]
pub fn classic_packet_len(packet: &PacketBlock<'_>) -> usize {
    PACKET_HEAD_BYTES + packet.captured_len()
}

/// Appends one packet. Of what is known of it, only stamp, bytes and length have a place. The
/// seconds wrap around in 2106.
#[inline]
pub fn classic_packet(out: &mut impl Sink, packet: &PacketBlock<'_>) {
    let captured = packet.captured_len();
    let captured_len = u32::try_from(captured).expect("MAX_PACKET_BYTES fits 32 bits");
    let nanos = u64::try_from(packet.at.as_nanos()).unwrap_or(0);
    let [seconds, fraction] = [nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND];
    let low = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
    let words = [low(seconds), low(fraction), captured_len, packet.wire_len.max(captured_len)];
    let mut slot = Filler(out.slot(classic_packet_len(packet)));
    slot.put(words.map(u32::to_le_bytes).as_flattened());
    packet.put_data(&mut slot);
}

/// Walks the packets of a file of ours, from its beginning, that a crash may have cut. Unlike a
/// block of pcapng, a packet does not repeat its length: one whose end never reached the disk, though
/// the file is longer, cannot be told from a whole one.
///
/// # Errors
/// The file could not be read.
pub fn recover_classic(source: impl Read) -> Result<Recovered, Error> {
    let mut recovered = Recovered::default();
    let mut reader = BufReader::with_capacity(READ_BYTES, source);
    let mut head = [0; FILE_HEAD_BYTES];
    match reader.read_exact(&mut head) {
        Err(error) if is_end(&error) => return Ok(recovered),
        outcome => outcome.map_err(Error::at(0))?,
    }
    if head[..4] != MAGIC.to_le_bytes() {
        return Ok(recovered);
    }
    recovered.whole_bytes = u64::try_from(FILE_HEAD_BYTES).unwrap_or(0);
    recovered.interfaces = 1;
    let mut data = vec![0; MAX_PACKET_BYTES];
    loop {
        let at = recovered.whole_bytes;
        let mut head = [0; PACKET_HEAD_BYTES];
        let mut read = |bytes: &mut [u8]| match reader.read_exact(bytes) {
            Err(error) if is_end(&error) => Ok(false),
            outcome => outcome.map(|()| true).map_err(Error::at(at)),
        };
        if !read(&mut head)? {
            return Ok(recovered);
        }
        let Some((stamp, length)) = read_head(&head) else { return Ok(recovered) };
        if !read(&mut data[..length])? {
            return Ok(recovered);
        }
        recovered.add_packet(stamp);
        recovered.whole_bytes += u64::try_from(PACKET_HEAD_BYTES + length).unwrap_or(0);
    }
}

/// Stamp and captured length, if this can be the header of a packet: zeros are not, nor is what
/// promises more than we write.
fn read_head(head: &[u8; PACKET_HEAD_BYTES]) -> Option<(WallTime, usize)> {
    let word = |at: usize| head[at..].first_chunk().copied().map(u32::from_le_bytes);
    let (seconds, nanos) = (i64::from(word(0)?), i64::from(word(4)?));
    let (captured, wire) = (word(8)?, word(12)?);
    let length = usize::try_from(captured).ok()?;
    let fits = length > 0 && length <= MAX_PACKET_BYTES && wire >= captured;
    let stamp = WallTime::from_nanos(seconds * 1_000_000_000 + nanos);
    (fits && nanos < 1_000_000_000).then_some((stamp, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Of a type that nobody speaks.
    const PACKET: [u8; 60] = {
        let mut packet = [3; 60];
        packet[12] = 0x88;
        packet[13] = 0xb5;
        packet
    };

    fn packet(at: i64) -> PacketBlock<'static> {
        PacketBlock {
            interface: 0,
            at: WallTime::from_nanos(at),
            data: &PACKET,
            wire_len: 1_500,
            flags: Some(1),
            drop_count: None,
            comment: None,
        }
    }

    fn content() -> Vec<u8> {
        let mut content = Vec::new();
        classic_header(&mut content, 1, 262_144);
        for at in [1_700_000_000_000_000_001, 1_700_000_001_999_999_999] {
            let before = content.len();
            classic_packet(&mut content, &packet(at));
            assert_eq!(content.len() - before, classic_packet_len(&packet(at)));
        }
        content
    }

    #[test]
    fn tcpdump_reads_it_with_nanoseconds_and_original_lengths() {
        let mut file = tempfile::NamedTempFile::with_suffix(".pcap").unwrap();
        file.write_all(&content()).unwrap();
        let output = std::process::Command::new("tcpdump")
            .args(["-e", "-tt", "--nano", "-r"])
            .arg(file.path())
            .output();
        let output = output.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.starts_with("1700000000.000000001 "), "{text}");
        assert!(text.contains("\n1700000001.999999999 ") && text.contains("length 1500"), "{text}");
    }

    #[test]
    fn a_file_that_was_cut_anywhere_keeps_its_whole_packets() {
        let content = content();
        for cut in 0..=content.len() {
            let mut bytes = content[..cut].to_vec();
            if matches!(cut, 24 | 100 | 176) {
                // Direct writes leave zeros after the last packet.
                bytes.resize(4096, 0);
            }
            let found = recover_classic(bytes.as_slice()).unwrap();
            let expected = match cut {
                0..24 => (0, 0),
                24..100 => (24, 0),
                100..176 => (100, 1),
                _ => (176, 2),
            };
            assert_eq!((found.whole_bytes, found.packets), expected, "cut at {cut}");
        }
    }
}
