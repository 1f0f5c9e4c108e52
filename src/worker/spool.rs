//! What stands in the spool, by the names of its files.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::durable;
use crate::model::{CaptureId, SealedFile};

/// For the service and its group, like the files in it.
const MODE: u32 = 0o750;

/// A file of the spool.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    /// The capture and the index that its name tells; none for a file that is not ours.
    segment: Option<(CaptureId, u32)>,
}

/// Makes the spool where it is not there yet, so that it survives a power cut together with the
/// first file in it.
pub(super) fn make(spool: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(spool)?;
    durable::sync_directory_of(spool)
}

/// Why something that a capture left is neither `recorded` nor among the `sealed`; nothing where all
/// of it is. Blocking.
pub(super) fn left_of(
    spool: &Path,
    capture: &CaptureId,
    recorded: &[u32],
    sealed: &[SealedFile],
) -> Option<String> {
    let found = match list(spool) {
        Ok(found) => found,
        Err(error) => return Some(format!("listing the spool {}: {error}", spool.display())),
    };
    let is_left = |file: &Found| {
        file.segment.as_ref().is_some_and(|(of, index)| {
            of == capture
                && !recorded.contains(index)
                && !sealed.iter().any(|known| known.index == *index)
        })
    };
    let left = found.into_iter().find(is_left)?;
    Some(format!("{} could not be sealed; the log says why", left.path.display()))
}

/// Every file, in no order.
fn list(spool: &Path) -> io::Result<Vec<Found>> {
    let found = |entry: io::Result<fs::DirEntry>| {
        let path = entry?.path();
        let segment = path.file_name().and_then(|name| segment_of(name.to_str()?));
        Ok(Found { path, segment })
    };
    fs::read_dir(spool)?.map(found).collect()
}

/// Reads `<capture>-<index>.pcapng`, with `.part` behind it while the file is written.
fn segment_of(name: &str) -> Option<(CaptureId, u32)> {
    let name = name.strip_suffix(".part").unwrap_or(name).strip_suffix(".pcapng")?;
    let (capture, index) = name.rsplit_once('-')?;
    Some((CaptureId::from_text(capture), index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        folder
    }

    fn sealed(index: u32) -> SealedFile {
        SealedFile {
            index,
            path: PathBuf::new(),
            size_bytes: 1,
            sha256: String::new(),
            packets: 0,
            first_packet: None,
            last_packet: None,
            partial: true,
        }
    }

    #[test]
    fn what_a_capture_left_and_nobody_sealed_is_named() {
        let folder = spool(&["c1-0.pcapng", "c1-1.pcapng", "c1-2.pcapng.part", "c2-7.pcapng.part"]);
        let left = |recorded: &[u32], files: &[SealedFile]| {
            left_of(folder.path(), &CaptureId::from_text("c1"), recorded, files)
        };
        assert_eq!(left(&[0], &[sealed(1), sealed(2)]), None);
        let error = left(&[0], &[sealed(1)]).unwrap();
        assert!(error.contains("c1-2.pcapng.part could not be sealed"), "{error}");
    }

    #[test]
    fn a_spool_that_cannot_be_read_is_no_empty_one() {
        let error = left_of(Path::new("/nowhere"), &CaptureId::from_text("c1"), &[], &[]).unwrap();
        assert!(error.starts_with("listing the spool /nowhere: "), "{error}");
    }
}
