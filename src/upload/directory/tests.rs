use std::os::unix::fs::PermissionsExt as _;

use futures_util::TryStreamExt as _;

use super::super::place;
use super::*;
use crate::model::{CaptureId, SealedFile, SegmentState};

struct Fixture {
    folder: tempfile::TempDir,
    directory: Directory,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("spool")).unwrap();
        let directory = Directory::new("local".to_owned(), folder.path().join("captures"));
        Self { folder, directory }
    }

    fn segment(&self, content: &[u8]) -> Segment {
        let path = self.folder.path().join("spool/c-0.pcapng");
        fs::write(&path, content).unwrap();
        Segment {
            capture: CaptureId::from_text("c"),
            file: SealedFile {
                index: 0,
                path,
                size_bytes: u64::try_from(content.len()).unwrap(),
                sha256: Digest::of(content).unwrap().sha256.unwrap(),
                packets: 1,
                first_packet: None,
                last_packet: None,
                partial: false,
            },
            state: SegmentState::Sealed,
            object: "2026/11/22/i/edge-7/web-0.pcapng".to_owned(),
            receipt: None,
        }
    }

    fn stored(&self) -> PathBuf {
        self.directory.root.join("2026/11/22/i/edge-7/web-0.pcapng")
    }

    fn names_beside_it(&self) -> Vec<String> {
        let folder = self.stored().parent().unwrap().to_owned();
        let names = fs::read_dir(folder).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[tokio::test]
async fn a_file_arrives_whole_readable_for_the_group_and_alone() {
    let fixture = Fixture::new();
    let content = vec![7; 3 * CHUNK_BYTES + 11];
    let segment = fixture.segment(&content);
    let location = fixture.directory.store(&segment).await.unwrap();
    assert_eq!(location, fixture.stored().display().to_string());
    assert_eq!(fs::read(fixture.stored()).unwrap(), content);
    let mode = fs::metadata(fixture.stored()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(fixture.names_beside_it(), ["web-0.pcapng"]);
}

#[tokio::test]
async fn storing_twice_succeeds_also_when_the_local_file_is_gone() {
    let fixture = Fixture::new();
    let segment = fixture.segment(b"packets");
    let first = fixture.directory.store(&segment).await.unwrap();
    fs::remove_file(&segment.file.path).unwrap();
    assert_eq!(fixture.directory.store(&segment).await.unwrap(), first);
    fs::remove_file(fixture.stored()).unwrap();
    let error = fixture.directory.store(&segment).await.unwrap_err();
    assert!(matches!(error, Error::LocalMissing { .. }) && !error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn another_file_under_the_name_is_a_conflict_and_stays() {
    let fixture = Fixture::new();
    let segment = fixture.segment(b"packets");
    fs::create_dir_all(fixture.stored().parent().unwrap()).unwrap();
    for other in [&b"PACKETS"[..], b"longer packets"] {
        fs::write(fixture.stored(), other).unwrap();
        let error = fixture.directory.store(&segment).await.unwrap_err();
        assert!(matches!(error, Error::Conflict(_)) && !error.is_transient(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("c-0.pcapng") && text.contains("web-0.pcapng"), "{text}");
        assert_eq!(fs::read(fixture.stored()).unwrap(), other);
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_was_sealed_does_not_arrive() {
    let fixture = Fixture::new();
    let segment = fixture.segment(b"packets");
    for other in [&b"PACKETS"[..], b"longer packets"] {
        fs::write(&segment.file.path, other).unwrap();
        let error = fixture.directory.store(&segment).await.unwrap_err();
        assert!(matches!(error, Error::LocalChanged { .. }) && !error.is_transient(), "{error:?}");
        assert_eq!(fixture.names_beside_it(), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn what_an_attempt_left_behind_when_it_died_is_written_over() {
    let fixture = Fixture::new();
    let segment = fixture.segment(b"packets");
    let part = fixture.stored().with_file_name(".web-0.pcapng.part");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(part, b"a part that is longer than the whole").unwrap();
    fixture.directory.store(&segment).await.unwrap();
    assert_eq!(fs::read(fixture.stored()).unwrap(), b"packets");
    assert_eq!(fixture.names_beside_it(), ["web-0.pcapng"]);
}

#[tokio::test]
async fn a_name_that_leads_out_of_the_directory_is_refused() {
    let fixture = Fixture::new();
    let mut segment = fixture.segment(b"packets");
    segment.object = "../escaped".to_owned();
    let error = fixture.directory.store(&segment).await.unwrap_err();
    assert!(matches!(error, Error::Name { .. }), "{error:?}");
    assert!(!fixture.folder.path().join("escaped").exists());
}

#[tokio::test]
async fn a_check_writes_nothing_and_finds_a_file_in_the_way() {
    let fixture = Fixture::new();
    fixture.directory.check().await.unwrap();
    assert!(!fixture.directory.root.exists());
    fs::write(&fixture.directory.root, b"").unwrap();
    let error = fixture.directory.check().await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_is_read_from_any_offset() {
    let fixture = Fixture::new();
    let content: Vec<u8> = (0..=255).cycle().take(2 * CHUNK_BYTES + 5).collect();
    let segment = fixture.segment(&content);
    fixture.directory.store(&segment).await.unwrap();
    for offset in [0, 1, CHUNK_BYTES, content.len() - 1, content.len()] {
        let stream = fixture.directory.read(&segment.object, offset as u64).await.unwrap();
        let read = stream.try_collect::<Vec<_>>().await.unwrap().concat();
        assert!(read == content[offset..], "from {offset}");
    }
    let gone = fixture.directory.read("2026/gone.pcapng", 0).await.err().unwrap();
    assert!(gone.to_string().contains("gone.pcapng"), "{gone}");
}

#[tokio::test]
async fn only_the_recorded_file_is_removed_and_its_empty_folders_with_it() {
    let fixture = Fixture::new();
    let segment = fixture.segment(b"packets");
    let (size, sha256) = (segment.file.size_bytes, segment.file.sha256.clone());
    let recorded = || Content { size_bytes: size, sha256: Some(sha256.clone()) };
    let remove = || fixture.directory.remove_own(&segment.object, recorded());
    assert!(!remove().await.unwrap(), "there is none yet");
    fixture.directory.store(&segment).await.unwrap();
    for other in [&b"PACKETS"[..], b"longer packets"] {
        fs::write(fixture.stored(), other).unwrap();
        let error = remove().await.unwrap_err();
        assert!(matches!(error, Error::NotOurs { .. }), "{error:?}");
        assert_eq!(fs::read(fixture.stored()).unwrap(), other);
    }
    fs::write(fixture.stored(), b"packets").unwrap();
    let beside = fixture.directory.root.join("2026/11/notes.txt");
    fs::write(&beside, b"somebody's").unwrap();
    assert!(remove().await.unwrap());
    assert!(!fixture.directory.root.join("2026/11/22").exists());
    assert_eq!(fs::read(beside).unwrap(), b"somebody's");
}

#[tokio::test]
async fn a_link_does_not_lead_the_removal_out_of_the_storage() {
    let fixture = Fixture::new();
    let segment = fixture.segment(b"packets");
    let outside = fixture.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("web-0.pcapng"), b"packets").unwrap();
    let folder = fixture.stored().parent().unwrap().to_owned();
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&outside, &folder).unwrap();
    let recorded =
        Content { size_bytes: segment.file.size_bytes, sha256: Some(segment.file.sha256.clone()) };
    let error = fixture.directory.remove_own(&segment.object, recorded).await.unwrap_err();
    assert!(error.to_string().contains("a link stands in its way"), "{error}");
    assert!(outside.join("web-0.pcapng").exists());
}

#[tokio::test]
async fn a_copy_beside_is_whole_replaces_nothing_and_follows_no_link() {
    let fixture = Fixture::new();
    let segment = fixture.segment(b"packets");
    let path = fixture.folder.path().join("incident.pcapng");
    place::beside(&path, &segment).await.unwrap();
    place::beside(&path, &segment).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"packets");

    fs::write(&path, b"somebody's").unwrap();
    let error = place::beside(&path, &segment).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), b"somebody's");

    let (victim, path) = (path, fixture.folder.path().join("other.pcapng"));
    std::os::unix::fs::symlink(&victim, path.with_file_name(".other.pcapng.part")).unwrap();
    place::beside(&path, &segment).await.unwrap_err();
    assert_eq!(fs::read(&victim).unwrap(), b"somebody's");

    let nowhere = fixture.folder.path().join("no/such/folder/x.pcapng");
    let error = place::beside(&nowhere, &segment).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("No such file"), "{error}");
}
