//! The files of one capture, one after the other.
//!
//! ```text
//! put -> current segment --full--> closed --a thread--> sealed --> told, or kept in the ring of files
//! ```
//!
//! A file is sealed beside the capture, not in it: syncing and packing take longer than a ring
//! holds. Invariant: the files that are kept never hold more than the limit together.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::capture::Error;
use crate::capture::files::format::Beginning;
use crate::capture::files::names::{FileNames, Names};
use crate::capture::files::output::{Output, buffers_bytes};
use crate::capture::files::recovery;
use crate::capture::files::sealing::Sealing;
use crate::capture::files::segment::{Segment, burst};
use crate::model::{Compression, FileForm, Limits, SealedFile, SegmentLimits};
use crate::pcapng::{PacketBlock, Statistics};
use crate::{durable, spawn};

/// Where the files go, and how they are written.
#[derive(Debug)]
pub(in crate::capture) enum Target {
    Files {
        names: Names,
        /// Whether the files will be verified in a storage.
        hashed: bool,
    },
    /// One file without an end, to somebody who reads it.
    Stream(File),
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture) enum Put {
    Written,
    /// It belongs into the next file.
    SegmentFull,
    /// No file of the capture has room for it.
    LimitReached,
}

/// The files of a capture.
#[derive(Debug)]
pub(in crate::capture) struct Series {
    beginning: Beginning,
    form: FileForm,
    /// None for a stream, which has no file to publish.
    place: Option<Place>,
    limit_bytes: u64,
    segments: Option<SegmentLimits>,
    current: Segment,
    index: u32,
    /// The file before, while it is being sealed.
    sealing: Option<InTheMaking>,
    /// Sealed and not yet told.
    sealed: VecDeque<SealedFile>,
    /// In the files that were told.
    told: Sum,
    /// Of the files before the current one that are kept, in bytes before they are packed.
    before_bytes: VecDeque<u64>,
    /// Of all files before the current one.
    before_packets: u64,
}

/// A file that a thread seals.
#[derive(Debug)]
struct InTheMaking {
    thread: JoinHandle<Result<SealedFile, Error>>,
    part: PathBuf,
    index: u32,
}

#[derive(Debug)]
struct Place {
    names: Names,
    hashed: bool,
    current: FileNames,
}

impl Series {
    /// Begins the first file. The blocks that packets come from hold at most `block_bytes`.
    pub(in crate::capture) fn begin(
        target: Target,
        beginning: Beginning,
        (form, limits): (FileForm, &Limits),
        block_bytes: usize,
    ) -> Result<Self, Error> {
        let segments = limits.segments;
        let first = segments.map_or(limits.bytes, |segments| segments.bytes.min(limits.bytes));
        let burst = burst(&beginning.head(), block_bytes);
        let (place, output) = match target {
            Target::Stream(file) => (None, Output::stream(file, burst)),
            Target::Files { names, hashed } => {
                let current = names.of(0, form);
                let on_the_way = is_hashed_on_the_way(hashed, form);
                let output = Output::create(current.part.clone(), burst, on_the_way)?;
                (Some(Place { names, hashed, current }), output)
            }
        };
        let current = match Segment::begin(output, &beginning, first) {
            Ok(current) => current,
            Err(error) => {
                // Nothing was written, so nothing is worth keeping.
                place.iter().try_for_each(|place| discard(&place.current))?;
                return Err(error);
            }
        };
        Ok(Self {
            beginning,
            form,
            place,
            limit_bytes: limits.bytes,
            segments,
            current,
            index: 0,
            sealing: None,
            sealed: VecDeque::new(),
            told: Sum::default(),
            before_bytes: VecDeque::new(),
            before_packets: 0,
        })
    }

    /// What the buffers of a capture take, in bytes.
    pub(in crate::capture) fn buffers_bytes(
        target: &Target,
        beginning: &Beginning,
        form: FileForm,
        block_bytes: usize,
    ) -> usize {
        let on_the_way = match target {
            Target::Files { hashed, .. } => is_hashed_on_the_way(*hashed, form),
            Target::Stream(_) => false,
        };
        buffers_bytes(burst(&beginning.head(), block_bytes), on_the_way)
    }

    /// Packets so far, in all files.
    #[inline]
    pub(in crate::capture) const fn packets(&self) -> u64 {
        self.before_packets + self.current.packets()
    }

    /// Bytes of the files that are kept, as they are before they are packed.
    pub(in crate::capture) fn bytes(&self) -> u64 {
        self.before_bytes.iter().sum::<u64>() + self.current.len()
    }

    /// Appends a packet, without I/O.
    #[inline]
    pub(in crate::capture) fn put(&mut self, packet: &PacketBlock<'_>) -> Put {
        if self.current.put(packet) {
            return Put::Written;
        }
        // A packet that does not fit into a file of its own fits into none.
        if self.next_limit().is_some() && self.current.packets() > 0 {
            Put::SegmentFull
        } else {
            Put::LimitReached
        }
    }

    /// What the next file may hold; none if there is no next.
    fn next_limit(&self) -> Option<u64> {
        let segments = self.segments.filter(|_| self.place.is_some())?;
        if segments.keep.is_some() {
            return Some(segments.bytes);
        }
        // Room for little more than the records of a file itself is no room.
        let taken = self.bytes() + self.tail_bytes();
        let left = self.limit_bytes.saturating_sub(taken).min(segments.bytes);
        let head = u64::try_from(self.beginning.head().len()).unwrap_or(u64::MAX);
        (left > (head + self.tail_bytes()) * 2).then_some(left)
    }

    /// What the end of the current file will take.
    fn tail_bytes(&self) -> u64 {
        u64::try_from(self.beginning.tail_len()).unwrap_or(u64::MAX)
    }

    /// Writes what has gathered, if another block would not fit into the buffer.
    pub(in crate::capture) fn make_room(&mut self) -> Result<(), Error> {
        self.current.output().make_room()
    }

    /// Writes everything so far.
    pub(in crate::capture) fn write_all(&mut self) -> Result<(), Error> {
        self.current.output().write_all()
    }

    /// Hands a stream's reader what there is.
    pub(in crate::capture) fn pass_on(&mut self) -> Result<(), Error> {
        self.current.output().pass_on()
    }

    /// Brings everything so far to the disk.
    pub(in crate::capture) fn sync(&mut self) -> Result<(), Error> {
        self.current.output().sync()
    }

    /// Ends the current file, which these counts end, and begins the next. After an error the series
    /// can only be abandoned.
    pub(in crate::capture) fn rotate(
        &mut self,
        statistics: &[Statistics<'_>],
    ) -> Result<(), Error> {
        let (limit, tail) = (self.next_limit(), self.tail_bytes());
        let (Some(place), Some(limit)) = (&mut self.place, limit) else { return Ok(()) };
        let bytes = self.current.len() + tail;
        let closed = self.current.close(&self.beginning, statistics)?;
        let names = place.names.of(self.index + 1, self.form);
        self.current.turn_to(names.part.clone(), &self.beginning, limit)?;
        self.before_bytes.push_back(bytes);
        self.before_packets += closed.packets;
        let names = std::mem::replace(&mut place.current, names);
        let index = self.index;
        self.index += 1;
        let (compression, hashed) = (self.form.compression, place.hashed);
        let sealing = Sealing { closed, names, index, compression, hashed };
        // At most one at a time: a disk that does not keep up slows the capture, not the host.
        self.wait_for_sealing()?;
        // The current one, and the one before it, which is about to be sealed.
        self.forget_oldest(2)?;
        let name = format!("seal {}", sealing.index);
        let part = sealing.names.part.clone();
        let thread = spawn::thread(&name, || sealing.seal());
        let thread = thread.map_err(|source| Error::Thread { name, source })?;
        self.sealing = Some(InTheMaking { thread, part, index });
        Ok(())
    }

    /// Files that are sealed by now, each told once. A ring of files tells none before its end.
    pub(in crate::capture) fn take_sealed(&mut self) -> Result<Vec<SealedFile>, Error> {
        if self.sealing.as_ref().is_some_and(|sealing| sealing.thread.is_finished()) {
            self.wait_for_sealing()?;
        }
        if self.segments.is_some_and(|segments| segments.keep.is_some()) {
            return Ok(Vec::new());
        }
        let files = Vec::from(std::mem::take(&mut self.sealed));
        self.told = self.told.with(&files);
        Ok(files)
    }

    fn wait_for_sealing(&mut self) -> Result<(), Error> {
        let Some(InTheMaking { thread, part, index }) = self.sealing.take() else { return Ok(()) };
        match thread.join().unwrap_or(Err(Error::Sealing)) {
            Ok(sealed) => {
                self.sealed.push_back(sealed);
                Ok(())
            }
            Err(error) => {
                self.sealed.extend(saved(&part, index));
                Err(error)
            }
        }
    }

    /// Makes room in a ring of files for so many that are not sealed yet.
    fn forget_oldest(&mut self, unsealed: usize) -> Result<(), Error> {
        let Some(keep) = self.segments.and_then(|segments| segments.keep) else { return Ok(()) };
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        while self.sealed.len() + unsealed > keep {
            let Some(oldest) = self.sealed.pop_front() else { break };
            durable::remove(&oldest.path).map_err(Error::file("removing", &oldest.path))?;
            self.before_bytes.pop_front();
        }
        Ok(())
    }

    /// Ends the last file. Returns every file that was not told yet; where something went wrong,
    /// also what, and the files are those that could be saved.
    pub(in crate::capture) fn end(mut self, statistics: &[Statistics<'_>]) -> Ended {
        let waited = self.wait_for_sealing().and_then(|()| self.forget_oldest(1));
        let packets = self.current.packets();
        let closed = self.current.close(&self.beginning, statistics);
        drop(self.current);
        let Some(place) = self.place else {
            let bytes = closed.as_ref().map_or(0, |closed| closed.written.size_bytes);
            return Ended { files: Vec::new(), sum: Sum { packets, bytes }, error: closed.err() };
        };
        let mut files = Vec::from(self.sealed);
        let part = place.current.part.clone();
        let sealed = closed.and_then(|closed| {
            let (index, compression) = (self.index, self.form.compression);
            let Place { hashed, current: names, .. } = place;
            Sealing { closed, names, index, compression, hashed }.seal()
        });
        let error = match sealed {
            Ok(file) => {
                files.push(file);
                waited.err()
            }
            Err(error) => {
                files.extend(saved(&part, self.index));
                Some(error)
            }
        };
        files.sort_unstable_by_key(|file| file.index);
        Ended { sum: self.told.with(&files), files, error }
    }

    /// Gives up writing, for this error: what has reached the disk is sealed as a partial file.
    pub(in crate::capture) fn abandon(mut self, error: Error) -> Ended {
        if let Err(also) = self.wait_for_sealing() {
            tracing::warn!("a file before the last was not sealed: {}", also.sentence());
        }
        let mut files = Vec::from(self.sealed);
        drop(self.current);
        if let Some(place) = self.place {
            files.extend(saved(&place.current.part, self.index));
        }
        files.sort_unstable_by_key(|file| file.index);
        Ended { sum: self.told.with(&files), files, error: Some(error) }
    }
}

/// What files hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::capture) struct Sum {
    pub(in crate::capture) packets: u64,
    pub(in crate::capture) bytes: u64,
}

impl Sum {
    fn with(self, files: &[SealedFile]) -> Self {
        files.iter().fold(self, |sum, file| Self {
            packets: sum.packets + file.packets,
            bytes: sum.bytes + file.size_bytes,
        })
    }
}

/// What a capture leaves behind.
#[derive(Debug)]
pub(in crate::capture) struct Ended {
    /// Those that were not told yet.
    pub(in crate::capture) files: Vec<SealedFile>,
    /// In all files that are left.
    pub(in crate::capture) sum: Sum,
    pub(in crate::capture) error: Option<Error>,
}

/// A file is hashed as it is written, unless it will be packed: then that is hashed.
fn is_hashed_on_the_way(hashed: bool, form: FileForm) -> bool {
    hashed && form.compression == Compression::None
}

/// Seals what has reached the disk, if anything did.
fn saved(part: &Path, index: u32) -> Option<SealedFile> {
    recovery::seal_part(part, index).unwrap_or_else(|error| {
        tracing::warn!("a cut file stays as it is: {}", error.sentence());
        None
    })
}

fn discard(names: &FileNames) -> Result<(), Error> {
    durable::remove(&names.part).map_err(Error::file("removing", &names.part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::capture::files::format::{Described, statistics};
    use crate::clock::WallTime;
    use crate::model::{CaptureId, FileFormat};
    use crate::pcapng::recover;

    /// Of a file in these tests, in bytes.
    const SEGMENT_BYTES: u64 = 5_000;

    fn beginning(format: FileFormat) -> Beginning {
        let eth0 = Described { name: "eth0".to_owned(), filter: "tcp".to_owned(), link_type: 1 };
        Beginning { format, comment: "{}".to_owned(), interfaces: vec![eth0], bytes_per_packet: 0 }
    }

    fn begin(
        folder: &Path,
        form: FileForm,
        bytes: u64,
        keep: Option<u32>,
    ) -> Result<Series, Error> {
        let names = Names::Spool { folder: folder.to_owned(), capture: CaptureId::from_text("c1") };
        let limits = Limits {
            duration: Duration::from_secs(1),
            bytes,
            packets: None,
            bytes_per_packet: 0,
            segments: Some(SegmentLimits { bytes: SEGMENT_BYTES, keep }),
        };
        let target = Target::Files { names, hashed: true };
        Series::begin(target, beginning(form.format), (form, &limits), 1 << 17)
    }

    fn packet(at: i64) -> PacketBlock<'static> {
        PacketBlock {
            interface: 0,
            at: WallTime::from_nanos(at),
            data: &[3; 87],
            wire_len: 100,
            flags: Some(1),
            drop_count: None,
            comment: None,
        }
    }

    fn counts() -> [Statistics<'static>; 1] {
        let at = WallTime::from_nanos(0);
        [statistics(0, at, (at, at), [9; 4])]
    }

    /// Puts packets until a limit is reached or `most` are in; returns what was told on the way.
    fn fill(series: &mut Series, most: i64) -> Vec<SealedFile> {
        let mut told = Vec::new();
        let mut next = 0;
        while next < most {
            match series.put(&packet(next)) {
                Put::Written => next += 1,
                Put::SegmentFull => {
                    series.rotate(&counts()).unwrap();
                    told.extend(series.take_sealed().unwrap());
                }
                Put::LimitReached => break,
            }
        }
        told
    }

    #[test]
    fn the_limit_holds_for_all_files_together_with_the_statistics_at_their_ends() {
        for bytes in [700, 1_000, 1_001, 1_002, 1_003, 5_000, 12_345] {
            let folder = tempfile::tempdir().unwrap();
            let mut series = begin(folder.path(), FileForm::default(), bytes, None).unwrap();
            let mut files = fill(&mut series, i64::MAX);
            let packets = series.packets();
            files.extend(series.end(&counts()).files);
            let sum: u64 = files.iter().map(|file| file.size_bytes).sum();
            assert!(sum <= bytes && sum + 900 > bytes, "{files:?}");
            assert_eq!(files.iter().map(|file| file.packets).sum::<u64>(), packets);
            for (index, file) in (0..).zip(&files) {
                assert!(file.index == index && file.size_bytes <= SEGMENT_BYTES);
                let found = recover(&mut File::open(&file.path).unwrap()).unwrap();
                assert_eq!((found.whole_bytes, found.packets), (file.size_bytes, file.packets));
            }
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), files.len());
        }
    }

    #[test]
    fn packets_go_on_in_the_next_file_without_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let mut series = begin(folder.path(), FileForm::default(), 1 << 20, None).unwrap();
        let mut files = fill(&mut series, 500);
        files.extend(series.end(&counts()).files);
        assert!(files.len() > 5);
        let nanos = |at: Option<WallTime>| at.unwrap().as_nanos();
        let mut next = 0;
        for file in &files {
            assert_eq!(nanos(file.first_packet), next);
            next = nanos(file.last_packet) + 1;
            assert_eq!(digest_of(&file.path), file.sha256);
        }
        assert_eq!(next, 500);
    }

    fn digest_of(path: &Path) -> String {
        crate::capture::files::digest::of_file(path).unwrap()
    }

    #[test]
    fn a_ring_of_files_keeps_the_newest_and_never_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut series = begin(folder.path(), FileForm::default(), 1 << 20, Some(3)).unwrap();
        for round in 0..500 {
            while series.put(&packet(round)) == Put::SegmentFull {
                series.rotate(&counts()).unwrap();
                let names = std::fs::read_dir(folder.path()).unwrap();
                assert!(names.count() <= 3);
                assert!(series.take_sealed().unwrap().is_empty());
            }
            assert!(series.bytes() <= 3 * SEGMENT_BYTES);
        }
        let files = series.end(&counts()).files;
        assert_eq!(files.len(), 3);
        assert_eq!(files[2].last_packet, Some(WallTime::from_nanos(499)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn packed_and_classic_files_hold_the_same_packets() {
        for format in [FileFormat::Pcapng, FileFormat::Pcap] {
            for compression in [Compression::None, Compression::Zstd] {
                let folder = tempfile::tempdir().unwrap();
                let form = FileForm { format, compression };
                let mut series = begin(folder.path(), form, 1 << 20, None).unwrap();
                let mut files = fill(&mut series, 300);
                files.extend(series.end(&counts()).files);
                assert_eq!(files.iter().map(|file| file.packets).sum::<u64>(), 300);
                for file in &files {
                    assert_eq!(digest_of(&file.path), file.sha256);
                }
                // As a crash before the report would find them.
                let found =
                    recovery::seal_leftovers(folder.path(), &CaptureId::from_text("c1"), &[]);
                let facts = |files: &[SealedFile]| -> Vec<_> {
                    files.iter().map(|file| (file.index, file.packets, file.size_bytes)).collect()
                };
                assert_eq!(facts(&found), facts(&files));
            }
        }
    }

    #[test]
    fn a_limit_below_the_files_own_records_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let error = begin(folder.path(), FileForm::default(), 100, None).unwrap_err().to_string();
        assert!(error.contains("100 bytes"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn first_and_last_are_by_time_not_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let mut series = begin(folder.path(), FileForm::default(), 10_000, None).unwrap();
        let written = |at| series.put(&packet(at)) == Put::Written;
        assert!([5, 3, 9, 7].into_iter().all(written));
        let sealed = series.end(&counts()).files.remove(0);
        let at = |nanos| Some(WallTime::from_nanos(nanos));
        assert_eq!((sealed.first_packet, sealed.last_packet), (at(3), at(9)));
    }
}
