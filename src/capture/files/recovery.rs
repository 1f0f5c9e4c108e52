//! After a crash: what had reached the disk becomes whole files again, labelled as partial.
//!
//! Doing it twice does no harm: a second crash in the middle leaves a file that is recovered anew.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::capture::files::digest;
use crate::capture::files::names::{format_of, partial_of, segment_of};
use crate::capture::{Error, section};
use crate::clock::WallTime;
use crate::durable;
use crate::model::{CaptureId, FileFormat, SealedFile};
use crate::pcapng::{
    Recovered, Statistics, interface_statistics, recover, recover_classic, recover_stream,
};

/// The most files of one capture that are sealed after a crash; more than its limits allow.
const MAX_SEGMENTS: usize = 4096;

/// Type of the block that counts packets (draft-ietf-opsawg-pcapng), which ends a whole file.
const INTERFACE_STATISTICS: u32 = 5;

/// More than such a block takes with the label of a cut file, in bytes.
const MAX_STATISTICS_BYTES: u64 = 1024;

/// What the names of packed files end in.
const PACKED: &str = "zst";

/// Seals what a capture left behind in the spool, without the segments that are known already.
/// Blocking: reads each file once. What cannot be sealed stays where it is and is logged.
pub fn seal_leftovers(
    spool: &Path,
    capture: &CaptureId,
    already_sealed: &[u32],
) -> Vec<SealedFile> {
    let found = match leftovers(spool, capture) {
        Ok(found) => found,
        Err(error) => {
            warn!(%capture, "no leftovers sealed: {}", error.sentence());
            return Vec::new();
        }
    };
    let new = found.into_iter().filter(|(index, _paths)| !already_sealed.contains(index));
    let seal = |(index, paths): (u32, Vec<PathBuf>)| match seal_leftover(&paths, index) {
        Ok(Some(file)) => {
            info!(%capture, index, packets = file.packets, "sealed what a crash left behind");
            Some(file)
        }
        Ok(None) => {
            warn!(%capture, index, "a file that a crash left behind held nothing");
            None
        }
        Err(error) => {
            warn!(%capture, index, "a leftover was not sealed: {}", error.sentence());
            None
        }
    };
    new.filter_map(seal).collect()
}

/// The capture's files in the spool, by index. One segment may have several: a part, what it was
/// being packed into, and its final name.
fn leftovers(spool: &Path, capture: &CaptureId) -> Result<BTreeMap<u32, Vec<PathBuf>>, Error> {
    let mut found = BTreeMap::<u32, Vec<PathBuf>>::new();
    for entry in fs::read_dir(spool).map_err(Error::file("listing", spool))? {
        let name = entry.map_err(Error::file("listing", spool))?.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some((of, index)) = segment_of(name) else { continue };
        if of == *capture {
            found.entry(index).or_default().push(spool.join(name));
        }
    }
    if found.len() > MAX_SEGMENTS {
        let left = found.len() - MAX_SEGMENTS;
        warn!(%capture, "{left} files of it, the oldest, are left as they are: more than a capture has");
        found = found.split_off(&found.keys().copied().nth(left).unwrap_or(0));
    }
    Ok(found)
}

fn seal_leftover(paths: &[PathBuf], index: u32) -> Result<Option<SealedFile>, Error> {
    let ends_in = |path: &Path, extension| path.extension().is_some_and(|last| last == extension);
    let (parts, whole): (Vec<&PathBuf>, Vec<&PathBuf>) =
        paths.iter().partition(|path| ends_in(path, "part"));
    if let Some(whole) = whole.first() {
        // Under its final name it was sealed before the crash, as whole or as partial; only the
        // report was lost.
        for part in parts {
            durable::remove(part).map_err(Error::file("removing", part))?;
        }
        let partial = is_partial(whole).map_err(Error::file("reading", whole))?;
        return describe(whole, index, partial).map(Some);
    }
    // What was being packed is still there as it was; half of a packed file is nothing.
    let (packed, unpacked): (Vec<&PathBuf>, Vec<&PathBuf>) =
        parts.into_iter().partition(|part| ends_in(&part.with_extension(""), PACKED));
    for part in packed {
        durable::remove(part).map_err(Error::file("removing", part))?;
    }
    unpacked.first().map_or(Ok(None), |part| seal_part(part, index))
}

/// Whether a file under its final name is one that a crash has cut. A classic file that was cut
/// says so in its name, a packed one was whole before it was packed.
fn is_partial(path: &Path) -> io::Result<bool> {
    match format_of(path) {
        FileFormat::Pcap => Ok(path.to_string_lossy().contains(".partial.")),
        FileFormat::Pcapng if path.extension().is_some_and(|last| last == PACKED) => Ok(false),
        FileFormat::Pcapng => Ok(!ends_in_statistics(&mut File::open(path)?)?),
    }
}

/// Whether the file ends as a whole one does: in the counts of an interface.
fn ends_in_statistics(file: &mut File) -> io::Result<bool> {
    let mut word = [0; 4];
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut word)?;
    let length = u32::from_le_bytes(word);
    file.seek(SeekFrom::End(-i64::from(length)))?;
    let mut block = Vec::new();
    file.take(MAX_STATISTICS_BYTES).read_to_end(&mut block)?;
    let is_statistics = block.starts_with(&INTERFACE_STATISTICS.to_le_bytes());
    let is_cut = block.windows(section::CUT.len()).any(|text| text == section::CUT.as_bytes());
    Ok(is_statistics && !is_cut)
}

/// Cuts a part after its last whole packet, labels it and publishes it. A part that holds no whole
/// record at all is removed.
pub(in crate::capture) fn seal_part(part: &Path, index: u32) -> Result<Option<SealedFile>, Error> {
    let format = format_of(part);
    let whole = partial_of(part, format);
    let open = OpenOptions::new().read(true).write(true).open(part);
    let mut file = match open {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        outcome => outcome.map_err(Error::file("opening", part))?,
    };
    let found = recovered(&mut file, part)?;
    if found.whole_bytes == 0 {
        durable::remove(part).map_err(Error::file("removing", part))?;
        return Ok(None);
    }
    file.set_len(found.whole_bytes).map_err(Error::file("cutting", part))?;
    if format == FileFormat::Pcapng
        && let Err(error) = label(&mut file, &found)
    {
        // On a full disk there is no room for the label; the packets count more.
        warn!(path = %part.display(), "a partial file is not labelled: {error}");
        file.set_len(found.whole_bytes).map_err(Error::file("cutting", part))?;
    }
    file.sync_all().map_err(Error::file("syncing", part))?;
    durable::publish(part, &whole).map_err(Error::file("publishing", part))?;
    describe(&whole, index, true).map(Some)
}

/// Adds a record to each interface that says what happened.
fn label(file: &mut File, found: &Recovered) -> io::Result<()> {
    let unknown = WallTime::from_nanos(0);
    let end = found.last_packet.unwrap_or(unknown);
    let mut records = Vec::new();
    for interface in 0..found.interfaces {
        let statistics = Statistics {
            interface,
            at: end,
            start: found.first_packet.unwrap_or(unknown),
            end,
            received: None,
            kernel_dropped: None,
            filter_accepted: None,
            os_dropped: None,
            delivered: None,
            comment: Some(section::CUT),
        };
        interface_statistics(&mut records, &statistics);
    }
    file.seek(SeekFrom::End(0))?;
    file.write_all(&records)
}

fn describe(path: &Path, index: u32, partial: bool) -> Result<SealedFile, Error> {
    let mut file = File::open(path).map_err(Error::file("opening", path))?;
    let size_bytes = file.metadata().map_err(Error::file("reading", path))?.len();
    let found = recovered(&mut file, path)?;
    Ok(SealedFile {
        index,
        path: path.to_owned(),
        size_bytes,
        sha256: digest::of_file(path)?,
        packets: found.packets,
        first_packet: found.first_packet,
        last_packet: found.last_packet,
        partial,
    })
}

fn recovered(file: &mut File, path: &Path) -> Result<Recovered, Error> {
    let walk = |source: &mut dyn Read| match format_of(path) {
        FileFormat::Pcap => recover_classic(source),
        FileFormat::Pcapng => recover_stream(source, u64::MAX),
    };
    let found = if path.extension().is_some_and(|last| last == PACKED) {
        let unpacked = zstd::Decoder::new(file).map_err(Error::file("unpacking", path))?;
        walk(&mut { unpacked })
    } else if format_of(path) == FileFormat::Pcapng {
        recover(file)
    } else {
        walk(file)
    };
    found.map_err(|source| Error::Recovery { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcapng::{
        Interface, PacketBlock, Section, enhanced_packet, interface_description, section_header,
    };

    /// A file with two packets.
    fn content() -> Vec<u8> {
        let mut content = Vec::new();
        let section = Section { comment: None, hardware: None, os: None, application: None };
        section_header(&mut content, &section);
        let interface =
            Interface { name: None, description: None, filter: None, link_type: 1, snap_len: 0 };
        interface_description(&mut content, &interface);
        for at in [5, 6] {
            let packet = PacketBlock {
                interface: 0,
                at: WallTime::from_nanos(at),
                data: &[1; 60],
                wire_len: 60,
                flags: None,
                drop_count: None,
                comment: None,
            };
            enhanced_packet(&mut content, &packet);
        }
        content
    }

    #[test]
    fn a_part_that_was_cut_anywhere_becomes_a_readable_partial_file_or_nothing() {
        let capture = CaptureId::from_text("c1");
        let content = content();
        let header = usize::from(content[4]);
        for cut in 0..=content.len() {
            let folder = tempfile::tempdir().unwrap();
            let part = folder.path().join("c1-0.pcapng.part");
            // Direct writes leave zeros after the last block.
            let mut bytes = content[..cut].to_vec();
            bytes.resize(4096, 0);
            fs::write(&part, &bytes).unwrap();
            let sealed = seal_leftovers(folder.path(), &capture, &[]);
            assert!(!part.exists());
            for file in &sealed {
                assert!(file.partial && file.packets <= 2);
                assert_eq!(digest::of_file(&file.path).unwrap(), file.sha256);
                let found = recover(&mut File::open(&file.path).unwrap()).unwrap();
                assert_eq!(found.whole_bytes, file.size_bytes);
            }
            let has_header = bytes.starts_with(&content[..header]);
            assert_eq!(sealed.len(), usize::from(has_header), "cut at {cut}");
        }
    }

    #[test]
    fn a_sealed_file_whose_report_was_lost_is_whole_and_what_is_known_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["c1-0.pcapng", "c1-1.pcapng", "c10-0.pcapng", "c1-x.pcapng"] {
            let mut content = content();
            let at = WallTime::from_nanos(6);
            let counts = crate::capture::files::format::statistics(0, at, (at, at), [2, 0, 0, 2]);
            interface_statistics(&mut content, &counts);
            fs::write(folder.path().join(name), content).unwrap();
        }
        let sealed = seal_leftovers(folder.path(), &CaptureId::from_text("c1"), &[0]);
        let facts: Vec<_> = sealed.iter().map(|f| (f.index, f.packets, f.partial)).collect();
        assert_eq!(facts, [(1, 2, false)]);
    }

    #[test]
    fn a_second_run_finds_what_the_first_has_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let capture = CaptureId::from_text("c1");
        let bytes = &content()[..150];
        fs::write(folder.path().join("c1-0.pcapng.part"), bytes).unwrap();
        let first = seal_leftovers(folder.path(), &capture, &[]);
        let second = seal_leftovers(folder.path(), &capture, &[]);
        assert_eq!(first, second);
        assert!(second[0].partial);
    }
}
