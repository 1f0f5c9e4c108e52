//! What stands in the spool, by the names of its files.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::capture::segment_of;
use crate::journal::{self, Journal};
use crate::model::{Capture, CaptureId, SealedFile};
use crate::{durable, spawn};

/// For the service and its group, like the files in it.
const MODE: u32 = 0o750;

/// So many files that nothing explains are named one by one.
const MAX_SHOWN: usize = 20;

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

/// Counts the files that no capture of the journal names, and says which they are. They are left
/// alone: whoever put them there, or lost their row, knows what they are worth.
pub(super) async fn unexplained(spool: &Path, journal: &Journal) -> usize {
    let folder = spool.to_owned();
    let found = match spawn::blocking(move || list(&folder)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(spool = %spool.display(), %error, "the spool cannot be listed");
            return 0;
        }
        Err(ended) => {
            tracing::error!(%ended, "listing the spool failed inside");
            return 0;
        }
    };
    let mut unexplained = 0;
    for file in found {
        match is_named(&file, journal).await {
            Ok(true) => {}
            Ok(false) => {
                unexplained += 1;
                if unexplained <= MAX_SHOWN {
                    let file = file.path.display();
                    tracing::warn!(%file, "no capture names this file of the spool; it is kept");
                }
            }
            Err(error) => tracing::error!(%error, "a file of the spool cannot be looked up"),
        }
    }
    if unexplained > MAX_SHOWN {
        tracing::warn!("{} more such files are in the spool", unexplained - MAX_SHOWN);
    }
    unexplained
}

/// Whether the row of a capture explains the file: as one of its segments, or because what it left
/// is still to be sealed.
async fn is_named(file: &Found, journal: &Journal) -> Result<bool, journal::Error> {
    let Some((id, index)) = &file.segment else { return Ok(false) };
    let names = |capture: Capture| {
        capture.id == *id
            && (!capture.state.is_end()
                || capture.segments.iter().any(|segment| segment.file.index == *index))
    };
    Ok(journal.kept_capture(id).await?.is_some_and(names))
}

/// Every file, in no order. Folders are none of ours (`lost+found`).
fn list(spool: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(spool)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            let path = entry.path();
            let segment = path.file_name().and_then(|name| segment_of(name.to_str()?));
            found.push(Found { path, segment });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::WallTime;
    use crate::filter::Filter;
    use crate::model::{
        CapturePlan, Change, EventId, FileForm, IncidentId, Limits, Segment, SegmentState, State,
    };

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

    fn capture(id: &str, state: State, segments: &[u32]) -> Change {
        let plan = CapturePlan {
            rule: "rule".to_owned(),
            incident: IncidentId::from_text("0"),
            event: EventId::from_text("0"),
            event_name: String::new(),
            event_json: "{}".to_owned(),
            host: "host".to_owned(),
            interfaces: vec!["eth0".to_owned()],
            trigger_at: WallTime::default(),
            look_back: Duration::ZERO,
            filter: Filter::default(),
            limits: Limits {
                duration: Duration::from_secs(1),
                bytes: 1,
                packets: None,
                bytes_per_packet: 0,
                segments: None,
            },
            file: FileForm::default(),
            storage: "local".to_owned(),
            notify: Vec::new(),
            placing: Default::default(),
            on_resolved: Default::default(),
            left_out: Vec::new(),
        };
        let id = CaptureId::from_text(id);
        let segment = |index: &u32| Segment {
            capture: id.clone(),
            file: sealed(*index),
            state: SegmentState::Stranded,
            object: String::new(),
            receipt: None,
        };
        let segments = segments.iter().map(segment).collect();
        let name = format!("name-{id}");
        let pending = Capture::pending(id.clone(), name, plan, WallTime::default());
        Change::Capture(Box::new(Capture { state, segments, ..pending }))
    }

    #[tokio::test]
    async fn files_that_no_capture_names_are_counted_and_kept() {
        let folder = spool(&[
            "ended-0.pcapng",      // a stranded segment
            "ended-1.pcapng.part", // could not be sealed
            "running-0.pcapng.part",
            "unknown-0.pcapng",
            "notes.txt",
        ]);
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        let state = tempfile::tempdir().unwrap();
        let (journal, _saved) = Journal::open(state.path()).unwrap();
        let rows =
            vec![capture("ended", State::Failed, &[0]), capture("running", State::Capturing, &[])];
        journal.commit(rows).await.unwrap();
        assert_eq!(unexplained(folder.path(), &journal).await, 3);
        assert_eq!(list(folder.path()).unwrap().len(), 5);
        journal.close().await;
    }

    #[test]
    fn a_spool_that_cannot_be_read_is_no_empty_one() {
        let error = left_of(Path::new("/nowhere"), &CaptureId::from_text("c1"), &[], &[]).unwrap();
        assert!(error.starts_with("listing the spool /nowhere: "), "{error}");
    }
}
