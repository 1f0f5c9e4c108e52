//! A file in the spool: written from an aligned buffer past the page cache, hashed on the way,
//! and published under its final name when it is whole.
//!
//! Page-cache writes are what a fast capture stalls on. Where the file system refuses direct I/O
//! the same writes go through the cache. Invariant: under the final name the file is synced and
//! whole; whatever else happens, the name ends in `.part`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::capture::Error;
use crate::capture::aligned::{ALIGNMENT, AlignedBuffer};
use crate::durable;
use crate::model::CaptureId;
use crate::pcapng::Sink;

/// What one write takes, in bytes: large enough that the system call and the disk's overhead vanish.
const WRITE_BYTES: usize = 1024 * 1024;

/// Files are for the service and its group.
const MODE: u32 = 0o640;

/// A file that grows.
#[derive(Debug)]
pub(super) struct SpoolFile {
    file: File,
    whole: PathBuf,
    part: PathBuf,
    buffer: AlignedBuffer,
    /// Bytes of the file before the buffer; whole pages.
    written: u64,
    hasher: Sha256,
    /// Bytes that the last sync has covered.
    synced: u64,
}

/// What came out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) path: PathBuf,
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
}

/// The name under which a file stands while it is written.
pub(super) fn part_of(whole: &Path) -> PathBuf {
    let mut part = whole.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

impl SpoolFile {
    /// Creates the file that will be called `whole`. Between two calls of
    /// [`make_room`](Self::make_room) at most `burst` bytes may be put into it.
    pub(super) fn create(whole: PathBuf, burst: usize) -> Result<Self, Error> {
        let part = part_of(&whole);
        let open = |flags: OFlag| {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(MODE);
            options.custom_flags(flags.bits()).open(&part)
        };
        let file = match open(OFlag::O_DIRECT) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => open(OFlag::empty()),
            outcome => outcome,
        };
        let file = file.map_err(Error::file("creating", &part))?;
        durable::sync_directory_of(&part).map_err(Error::file("syncing the folder of", &part))?;
        let buffer = AlignedBuffer::new(WRITE_BYTES + burst);
        Ok(Self { file, whole, part, buffer, written: 0, hasher: Sha256::new(), synced: 0 })
    }

    pub(super) fn whole(&self) -> &Path {
        &self.whole
    }

    /// Bytes of the file so far.
    pub(super) fn len(&self) -> u64 {
        self.written + u64::try_from(self.buffer.len()).unwrap_or(u64::MAX)
    }

    /// Makes sure that a burst fits into the buffer.
    pub(super) fn make_room(&mut self) -> Result<(), Error> {
        if self.buffer.len() >= WRITE_BYTES { self.write_pages() } else { Ok(()) }
    }

    /// Brings everything so far to the disk, the last page padded with zeros.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        if self.synced == self.len() {
            return Ok(());
        }
        self.write_pages()?;
        self.write_rest()?;
        self.file.sync_data().map_err(Error::file("syncing", &self.part))?;
        self.synced = self.len();
        Ok(())
    }

    /// Removes the file, which holds nothing that is worth keeping.
    pub(super) fn discard(self) {
        if let Err(error) = durable::remove(&self.part) {
            warn!(path = %self.part.display(), "an empty file stays behind: {error}");
        }
    }

    /// Writes the rest, cuts the padding, syncs, and publishes the file under its final name. After
    /// that, or an error, nothing more may be put into it.
    pub(super) fn seal(&mut self) -> Result<Whole, Error> {
        self.write_pages()?;
        self.write_rest()?;
        let size_bytes = self.len();
        self.file.set_len(size_bytes).map_err(Error::file("cutting", &self.part))?;
        self.file.sync_all().map_err(Error::file("syncing", &self.part))?;
        self.hasher.update(self.buffer.bytes());
        durable::publish(&self.part, &self.whole).map_err(Error::file("publishing", &self.part))?;
        let sha256 = hexadecimal(&self.hasher.finalize_reset());
        Ok(Whole { path: self.whole.clone(), size_bytes, sha256 })
    }

    /// Writes the whole pages of the buffer.
    fn write_pages(&mut self) -> Result<(), Error> {
        let pages = self.buffer.whole_pages();
        if pages == 0 {
            return Ok(());
        }
        let bytes = &self.buffer.bytes()[..pages];
        write_at(&self.file, bytes, self.written).map_err(Error::file("writing", &self.part))?;
        self.hasher.update(bytes);
        self.buffer.consume(pages);
        self.written += u64::try_from(pages).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Writes the last page, padded. Its bytes stay in the buffer: the page is written again when
    /// there are more of them.
    fn write_rest(&mut self) -> Result<(), Error> {
        debug_assert!(self.buffer.len() < ALIGNMENT, "whole pages are written before");
        let bytes = self.buffer.padded();
        write_at(&self.file, bytes, self.written).map_err(Error::file("writing", &self.part))
    }
}

impl Sink for SpoolFile {
    fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
    }
}

/// Writes at an offset. Some file systems take the flag for direct I/O and refuse the write.
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    match file.write_all_at(bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let flags = OFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GETFL)?);
            fcntl(file, FcntlArg::F_SETFL(flags - OFlag::O_DIRECT))?;
            file.write_all_at(bytes, offset)
        }
        outcome => outcome,
    }
}

/// SHA-256 of a file that is already there.
pub(super) fn hash(path: &Path) -> Result<Whole, Error> {
    let mut file = File::open(path).map_err(Error::file("opening", path))?;
    let mut hasher = Sha256::new();
    let size_bytes =
        io::copy(&mut file, &mut HashWriter(&mut hasher)).map_err(Error::file("reading", path))?;
    Ok(Whole { path: path.to_owned(), size_bytes, sha256: hexadecimal(&hasher.finalize()) })
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}

/// The final name of a segment in the spool.
pub(super) fn file_name(capture: &CaptureId, index: u32) -> String {
    format!("{capture}-{index}.pcapng")
}

/// Reads the name of a file in the spool: `<capture>-<index>.pcapng`, with `.part` behind it while
/// the file is written. None for a file that is not ours.
pub fn segment_of(file_name: &str) -> Option<(CaptureId, u32)> {
    let name = file_name.strip_suffix(".part").unwrap_or(file_name).strip_suffix(".pcapng")?;
    let (capture, index) = name.rsplit_once('-')?;
    Some((CaptureId::from_text(capture), index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|position| u8::try_from(position % 251).unwrap()).collect()
    }

    #[test]
    fn a_sealed_file_holds_what_was_put_and_its_hash_is_that_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcapng");
        let content = content(3 * WRITE_BYTES + 12_345);
        let mut file = SpoolFile::create(path.clone(), 100_000).unwrap();
        for chunk in content.chunks(77_777) {
            file.make_room().unwrap();
            file.put(chunk);
        }
        let whole = file.seal().unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
        assert_eq!(whole.size_bytes, u64::try_from(content.len()).unwrap());
        assert_eq!(whole, hash(&path).unwrap());
        assert!(!part_of(&path).exists());
    }

    #[test]
    fn syncing_in_the_middle_of_a_page_loses_and_repeats_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcapng");
        let content = content(30_000);
        let mut file = SpoolFile::create(path.clone(), 100_000).unwrap();
        for chunk in content.chunks(1_111) {
            file.put(chunk);
            file.sync().unwrap();
            let on_disk = fs::read(&file.part).unwrap();
            let length = usize::try_from(file.len()).unwrap();
            assert_eq!(on_disk[..length], content[..length]);
            assert!(on_disk[length..].iter().all(|byte| *byte == 0));
        }
        let whole = file.seal().unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
        assert_eq!(whole, hash(&path).unwrap());
    }

    #[test]
    fn a_file_system_without_direct_io_takes_the_same_writes() {
        let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
            println!("skipped: /dev/shm cannot be written");
            return;
        };
        let path = folder.path().join("a.pcapng");
        let mut file = SpoolFile::create(path.clone(), 10_000).unwrap();
        file.put(&content(5_000));
        file.sync().unwrap();
        let whole = file.seal().unwrap();
        assert_eq!((whole.size_bytes, fs::read(&path).unwrap()), (5_000, content(5_000)));
    }

    #[test]
    fn a_spool_that_is_not_there_is_named() {
        let error = SpoolFile::create("/nowhere/a.pcapng".into(), 1).unwrap_err();
        assert!(error.sentence().contains("creating /nowhere/a.pcapng.part: "), "{error}");
    }
}
