//! Where the bytes of a file go: from an aligned buffer past the page cache to the disk, or as a
//! stream to whoever reads it. Hashed on the way if somebody wants to verify them, and where there are
//! many then written by a thread beside: hashing and waiting for the disk in turn is slower than a
//! fast link.
//!
//! Page-cache writes are what a fast capture stalls on. Where the file system refuses direct I/O
//! the same writes go through the cache. It knows nothing of packets and of names. Invariant: the
//! hash is that of the bytes that were given to be written, each once; after an error nothing more
//! is written, and the output is dropped.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;

use crate::capture::Error;
use crate::capture::files::aligned::{ALIGNMENT, AlignedBuffer, HUGE_PAGE_BYTES};
use crate::capture::files::digest::Digest;
use crate::capture::files::writer::{Writer, write_at};
use crate::durable;
use crate::pcapng::Sink;

/// What one write takes at least, in bytes: large enough that the system call and the disk's overhead
/// vanish, small enough that what was written last is still in the processor's cache when the same
/// place is filled again. Measured: from 1.5 MiB down to this size nothing is lost on large packets
/// and a tenth is gained on small ones; below it the disk's share grows.
const WRITE_BYTES: usize = 512 * 1024;

/// What the buffers of an output take at most for bursts of this size, in bytes: one huge page in
/// nearly all cases, or two.
pub(in crate::capture) const fn buffers_bytes(burst: usize, hashed: bool) -> usize {
    let one = (WRITE_BYTES + burst).next_multiple_of(HUGE_PAGE_BYTES);
    if hashed { 2 * one } else { one }
}

/// Files are for the service and its group.
pub(in crate::capture) const MODE: u32 = 0o640;

/// What stands for the path of a stream in error texts.
const STREAM: &str = "the output stream";

/// Bytes on their way to a file, and to those that follow it.
#[derive(Debug)]
pub(in crate::capture) struct Output {
    file: Arc<File>,
    kind: Kind,
    path: PathBuf,
    /// The most that is put into it between two looks for room, in bytes.
    burst: usize,
    buffer: AlignedBuffer,
    pace: Pace,
    /// Bytes before the buffer, written or on their way; of a file whole pages.
    written: u64,
    hashing: Option<Hashing>,
    /// Bytes that the last sync has covered; none before the first.
    synced: Option<u64>,
}

/// Of a capture whose files are verified in their storage.
#[derive(Debug)]
struct Hashing {
    /// Of the bytes before the buffer.
    digest: Digest,
    /// None before the pace is [`Pace::Steady`].
    writer: Option<Writer>,
}

/// How much comes. Whoever triggers a capture waits for its first write, and most captures are small:
/// neither waits for huge pages and for a thread, which pay only where much is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Little so far, in a small buffer.
    Slow,
    /// It was filled once, which may have been all of the past.
    Begun,
    /// In huge pages, and where it is hashed by two threads.
    Steady,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Written in whole pages; the last one is written again when there is more of it.
    File,
    /// Somebody reads it as it comes: a pipe, a terminal, a device.
    Stream,
}

/// All of its bytes are written; they may not be synced.
#[derive(Debug)]
pub(in crate::capture) struct Written {
    pub(in crate::capture) file: Arc<File>,
    pub(in crate::capture) size_bytes: u64,
    pub(in crate::capture) sha256: Option<String>,
}

impl Output {
    /// Creates a file. Between two calls of [`make_room`](Self::make_room) at most `burst` bytes
    /// may be put into it.
    pub(in crate::capture) fn create(
        path: PathBuf,
        burst: usize,
        hashed: bool,
    ) -> Result<Self, Error> {
        let mut output = Self::new(create(&path)?, Kind::File, path, burst);
        output.hashing = hashed.then(|| Hashing { digest: Digest::default(), writer: None });
        Ok(output)
    }

    /// Writes to what is open already.
    pub(in crate::capture) fn stream(file: File, burst: usize) -> Self {
        Self::new(file, Kind::Stream, PathBuf::from(STREAM), burst)
    }

    fn new(file: File, kind: Kind, path: PathBuf, burst: usize) -> Self {
        let (file, buffer) = (Arc::new(file), AlignedBuffer::small(WRITE_BYTES + burst));
        let (pace, written, hashing, synced) = (Pace::Slow, 0, None, None);
        Self { file, kind, path, burst, buffer, pace, written, hashing, synced }
    }

    /// Goes on with a new file, after [`finish`](Self::finish).
    pub(in crate::capture) fn turn_to(&mut self, path: PathBuf) -> Result<(), Error> {
        self.file = Arc::new(create(&path)?);
        self.path = path;
        self.buffer.clear();
        self.written = 0;
        self.synced = None;
        Ok(())
    }

    /// Bytes so far.
    pub(in crate::capture) fn len(&self) -> u64 {
        self.written + u64::try_from(self.buffer.len()).unwrap_or(u64::MAX)
    }

    /// Makes sure that a burst fits into the buffer.
    pub(in crate::capture) fn make_room(&mut self) -> Result<(), Error> {
        if self.buffer.len() >= WRITE_BYTES { self.write_pages() } else { Ok(()) }
    }

    /// Hands a stream's reader what there is: nothing more comes for the moment.
    pub(in crate::capture) fn pass_on(&mut self) -> Result<(), Error> {
        match self.kind {
            Kind::Stream => self.write_pages(),
            Kind::File => Ok(()),
        }
    }

    /// Writes everything so far, the last page of a file padded with zeros.
    pub(in crate::capture) fn write_all(&mut self) -> Result<(), Error> {
        self.write_pages()?;
        if let Some(Hashing { writer: Some(writer), .. }) = &mut self.hashing {
            writer.settle().map_err(Error::file("writing", &self.path))?;
        }
        self.write_rest()
    }

    /// Brings everything so far to the disk, with the name of the file the first time.
    pub(in crate::capture) fn sync(&mut self) -> Result<(), Error> {
        if self.synced == Some(self.len()) {
            return Ok(());
        }
        self.write_all()?;
        if self.kind == Kind::File {
            self.file.sync_data().map_err(Error::file("syncing", &self.path))?;
            if self.synced.is_none() {
                let synced = durable::sync_directory_of(&self.path);
                synced.map_err(Error::file("syncing the folder of", &self.path))?;
            }
        }
        self.synced = Some(self.len());
        Ok(())
    }

    /// Writes the rest and cuts the padding.
    pub(in crate::capture) fn finish(&mut self) -> Result<Written, Error> {
        self.write_all()?;
        let size_bytes = self.len();
        if self.kind == Kind::File {
            self.file.set_len(size_bytes).map_err(Error::file("cutting", &self.path))?;
        }
        let sha256 = self.hashing.as_mut().map(|hashing| {
            let mut digest = std::mem::take(&mut hashing.digest);
            digest.update(self.buffer.bytes());
            digest.hexadecimal()
        });
        Ok(Written { file: Arc::clone(&self.file), size_bytes, sha256 })
    }

    /// Writes the whole pages of the buffer, or has them written; of a stream all of it.
    fn write_pages(&mut self) -> Result<(), Error> {
        let count = match self.kind {
            Kind::File => self.buffer.whole_pages(),
            Kind::Stream => self.buffer.len(),
        };
        if count == 0 {
            return Ok(());
        }
        let outcome = match &mut self.hashing {
            Some(Hashing { digest, writer: Some(writer) }) => {
                // While the write before them is under way.
                digest.update(&self.buffer.bytes()[..count]);
                writer.write_pages(&self.file, self.written, &mut self.buffer)
            }
            _ => self.write_here(count),
        };
        outcome.map_err(Error::file("writing", &self.path))?;
        self.written += u64::try_from(count).unwrap_or(u64::MAX);
        if self.pace != Pace::Steady && count >= WRITE_BYTES {
            self.speed_up()?;
        }
        Ok(())
    }

    /// Writes so many bytes of the buffer on this thread, and hashes them after that: somebody may wait
    /// for them, and nobody for their hash.
    fn write_here(&mut self, count: usize) -> io::Result<()> {
        let bytes = &self.buffer.bytes()[..count];
        match self.kind {
            Kind::File => write_at(&self.file, bytes, self.written)?,
            Kind::Stream => self.file.as_ref().write_all(bytes)?,
        }
        if let Some(Hashing { digest, .. }) = &mut self.hashing {
            digest.update(bytes);
        }
        self.buffer.consume(count);
        Ok(())
    }

    /// The buffer was filled; what it takes to write much is made ready the second time.
    fn speed_up(&mut self) -> Result<(), Error> {
        if self.pace == Pace::Slow {
            self.pace = Pace::Begun;
            return Ok(());
        }
        let large = || AlignedBuffer::large(WRITE_BYTES + self.burst);
        if let Some(Hashing { writer, .. }) = &mut self.hashing {
            *writer = Some(Writer::start(large())?);
        }
        let small = std::mem::replace(&mut self.buffer, large());
        self.buffer.slot(small.len()).copy_from_slice(small.bytes());
        self.pace = Pace::Steady;
        Ok(())
    }

    /// Writes the last page, padded. Its bytes stay in the buffer: the page is written again when
    /// there are more of them. A stream has none.
    fn write_rest(&mut self) -> Result<(), Error> {
        debug_assert!(self.buffer.len() < ALIGNMENT, "whole pages are written before");
        if self.buffer.len() == 0 {
            return Ok(());
        }
        let bytes = self.buffer.padded();
        write_at(&self.file, bytes, self.written).map_err(Error::file("writing", &self.path))
    }
}

impl Sink for Output {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.buffer.slot(bytes.len()).copy_from_slice(bytes);
    }

    #[inline]
    fn slot(&mut self, length: usize) -> &mut [u8] {
        self.buffer.slot(length)
    }
}

/// Creates a file for direct I/O, where the file system has it.
fn create(path: &Path) -> Result<File, Error> {
    let open = |flags: OFlag| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(MODE);
        options.custom_flags(flags.bits()).open(path)
    };
    let file = match open(OFlag::O_DIRECT) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => open(OFlag::empty()),
        outcome => outcome,
    };
    file.map_err(Error::file("creating", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::files::digest;
    use std::fs;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|position| u8::try_from(position % 251).unwrap()).collect()
    }

    #[test]
    fn a_finished_file_holds_what_was_put_and_its_hash_is_that_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcapng");
        let content = content(3 * WRITE_BYTES + 12_345);
        let mut output = Output::create(path.clone(), 100_000, true).unwrap();
        for chunk in content.chunks(77_777) {
            output.make_room().unwrap();
            output.put(chunk);
        }
        let written = output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
        assert_eq!(written.size_bytes, u64::try_from(content.len()).unwrap());
        assert_eq!(written.sha256, Some(digest::of_file(&path).unwrap()));
    }

    #[test]
    fn syncing_in_the_middle_of_a_page_loses_and_repeats_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcapng");
        let content = content(30_000);
        let mut output = Output::create(path.clone(), 100_000, true).unwrap();
        for chunk in content.chunks(1_111) {
            output.put(chunk);
            output.sync().unwrap();
            let on_disk = fs::read(&path).unwrap();
            let length = usize::try_from(output.len()).unwrap();
            assert_eq!(on_disk[..length], content[..length]);
            assert!(on_disk[length..].iter().all(|byte| *byte == 0));
        }
        let written = output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
        assert_eq!(written.sha256, Some(digest::of_file(&path).unwrap()));
    }

    #[test]
    fn an_output_that_turns_to_the_next_file_takes_nothing_of_the_one_before_along() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
        for hashed in [false, true] {
            let mut output = Output::create(paths[0].clone(), 100_000, hashed).unwrap();
            for (number, path) in paths.iter().enumerate() {
                if number > 0 {
                    output.turn_to(path.clone()).unwrap();
                }
                let content = content(WRITE_BYTES + 7_000 * number + 5);
                for chunk in content.chunks(99_999) {
                    output.make_room().unwrap();
                    output.put(chunk);
                }
                let written = output.finish().unwrap();
                assert_eq!(fs::read(path).unwrap(), content);
                assert_eq!(written.size_bytes, u64::try_from(content.len()).unwrap());
                let sha256 = hashed.then(|| digest::of_file(path).unwrap());
                assert_eq!(written.sha256, sha256);
            }
        }
    }

    #[test]
    fn a_full_disk_is_told_to_whoever_waits_for_the_bytes() {
        let mut output = Output::create("/dev/full".into(), 100_000, true).unwrap();
        output.put(&content(50_000));
        let error = output.write_all().unwrap_err();
        assert!(error.is_no_space(), "{error}");
        assert!(error.sentence().contains("writing /dev/full: "), "{}", error.sentence());
    }

    #[test]
    fn a_file_system_without_direct_io_takes_the_same_writes() {
        let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
            println!("skipped: /dev/shm cannot be written");
            return;
        };
        let path = folder.path().join("a.pcapng");
        let mut output = Output::create(path.clone(), 10_000, false).unwrap();
        output.put(&content(5_000));
        output.sync().unwrap();
        let written = output.finish().unwrap();
        assert_eq!((written.size_bytes, fs::read(&path).unwrap()), (5_000, content(5_000)));
    }

    #[test]
    fn a_stream_gets_every_byte_once_and_no_padding() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut output = Output::stream(File::from(std::os::fd::OwnedFd::from(writer)), 10_000);
        output.put(&content(5_000));
        output.pass_on().unwrap();
        output.put(&content(700));
        output.sync().unwrap();
        assert_eq!(output.finish().unwrap().size_bytes, 5_700);
        // Who reads it sees the end once it is dropped.
        drop(output);
        let mut received = Vec::new();
        io::Read::read_to_end(&mut reader, &mut received).unwrap();
        assert_eq!(received, [content(5_000), content(700)].concat());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Output::create("/nowhere/a.pcapng.part".into(), 1, false).unwrap_err();
        assert!(error.sentence().contains("creating /nowhere/a.pcapng.part: "), "{error}");
    }
}
