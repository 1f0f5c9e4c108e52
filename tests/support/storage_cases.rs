//! What every storage on the network has to do, whoever made it. `Bench` speaks to the server
//! beside the code under test, with plain requests.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use hindsight::model::{CaptureId, SealedFile, Segment, SegmentState};
use hindsight::random::Sequence;
use hindsight::upload::{Error, Settings, Storages};

/// Five parts of 8 MiB and a bit.
const LARGE_BYTES: usize = 40 * 1024 * 1024 + 17;

const OBJECT: &str = "2026/11/22/00112233aabbccdd/edge-7/web-20261122T173000Z-0.pcapng";

/// A server with one container, a storage on it, and a spool.
pub(crate) struct Bench {
    pub(crate) storages: Storages,
    /// The container's address.
    pub(crate) base: String,
    /// What a plain request needs behind the object's address: nothing, or `?` and a SAS.
    pub(crate) query: String,
    /// What a plain request needs besides.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) spool: tempfile::TempDir,
    http: reqwest::Client,
}

/// The name of the storage under test.
pub(crate) const STORAGE: &str = "archive";

impl Bench {
    pub(crate) fn new(
        settings: Settings,
        base: String,
        query: String,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            storages: storages(settings),
            base,
            query,
            headers,
            spool: tempfile::tempdir().unwrap(),
            http: reqwest::Client::new(),
        }
    }

    /// A segment of random bytes in the spool.
    pub(crate) fn segment(&self, size: usize, seed: u64) -> (Segment, Vec<u8>) {
        let mut random = Sequence::new(seed);
        let content: Vec<u8> =
            std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(size).collect();
        let path = self.spool.path().join("capture-0.pcapng");
        std::fs::write(&path, &content).unwrap();
        let file = SealedFile {
            index: 0,
            sha256: sha256sum(&path),
            path,
            size_bytes: u64::try_from(size).unwrap(),
            packets: 1,
            first_packet: None,
            last_packet: None,
            partial: false,
        };
        let segment = Segment {
            capture: CaptureId::from_text("capture"),
            file,
            state: SegmentState::Sealed,
            object: OBJECT.to_owned(),
            receipt: None,
        };
        (segment, content)
    }

    /// A plain request for an object's address, by another client than the one under test.
    fn request(&self, method: reqwest::Method, address: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{address}{}", self.query));
        self.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    fn address(&self) -> String {
        format!("{}/{OBJECT}", self.base)
    }

    /// The object's bytes; `None` where there is none.
    async fn read(&self) -> Option<Vec<u8>> {
        let answer = self.request(reqwest::Method::GET, &self.address()).send().await.unwrap();
        if answer.status() == 404 {
            return None;
        }
        Some(answer.error_for_status().unwrap().bytes().await.unwrap().to_vec())
    }

    /// Puts other bytes under the object's name.
    async fn write(&self, content: &'static [u8]) {
        let request = self.request(reqwest::Method::PUT, &self.address()).body(content);
        request.send().await.unwrap().error_for_status().unwrap();
    }
}

/// The TLS provider that main installs; a second time is fine.
pub(crate) fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub(crate) fn storages(settings: Settings) -> Storages {
    Storages::build(&BTreeMap::from([(STORAGE.to_owned(), settings)])).unwrap()
}

pub(crate) async fn arrives_byte_identical_and_a_second_time_succeeds(bench: &Bench) {
    for (size, seed) in [(1_000, 1), (0, 2), (8 * 1024 * 1024, 3), (LARGE_BYTES, 4)] {
        let (mut segment, content) = bench.segment(size, seed);
        segment.object = OBJECT.replace("web", &format!("web{size}"));
        let receipt = bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap();
        assert_eq!(receipt.location, format!("{}/{}", bench.base, segment.object));
        assert_eq!((receipt.size_bytes, &receipt.sha256), (size as u64, &segment.file.sha256));
        let request = bench.request(reqwest::Method::GET, &receipt.location);
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        let kept = answer.headers().iter().find(|(name, _)| name.as_str().ends_with("meta-sha256"));
        let kept = kept.map(|(_, hash)| hash.to_str().unwrap().to_owned());
        assert_eq!(kept.as_ref(), Some(&segment.file.sha256), "the object of {size} bytes");
        assert!(answer.bytes().await.unwrap() == content, "{size} bytes differ");

        std::fs::remove_file(&segment.file.path).unwrap();
        let again = bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap();
        assert_eq!(again.location, receipt.location);
    }
}

pub(crate) async fn another_object_under_the_name_is_a_conflict_and_stays(bench: &Bench) {
    a_small_other_object_is_a_conflict_and_stays(bench).await;
    is_a_conflict_and_stays(bench, LARGE_BYTES, b"other").await;
}

pub(crate) async fn a_small_other_object_is_a_conflict_and_stays(bench: &Bench) {
    is_a_conflict_and_stays(bench, 1_000, &[b'x'; 1_000]).await;
    is_a_conflict_and_stays(bench, 1_000, b"other").await;
}

async fn is_a_conflict_and_stays(bench: &Bench, size: usize, other: &'static [u8]) {
    bench.write(other).await;
    let (segment, _) = bench.segment(size, 5);
    let error = bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)) && !error.is_transient(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("capture-0.pcapng") && text.contains(OBJECT), "{text}");
    assert!(bench.read().await.unwrap() == other, "it was replaced");
}

pub(crate) async fn what_is_not_what_was_sealed_does_not_arrive(bench: &Bench) {
    for size in [1_000, LARGE_BYTES] {
        let (mut segment, _) = bench.segment(size, 6);
        segment.file.sha256 = "0".repeat(64);
        let error = bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap_err();
        assert!(matches!(error, Error::LocalChanged { .. }) && !error.is_transient(), "{error:?}");
        assert_eq!(bench.read().await, None);
    }
    let (segment, _) = bench.segment(1_000, 7);
    std::fs::remove_file(&segment.file.path).unwrap();
    let error = bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::LocalMissing { .. }) && !error.is_transient(), "{error:?}");
}

pub(crate) async fn a_check_sees_the_container_and_writes_nothing(
    bench: &Bench,
    missing: Settings,
) {
    bench.storages.check(STORAGE).await.unwrap();
    let missing = storages(missing);
    let text = missing.check(STORAGE).await.unwrap_err().to_string();
    assert!(text.contains("404") && text.contains("exist"), "{text}");
    let (segment, _) = bench.segment(1_000, 8);
    let error = missing.store(STORAGE, &segment, None, |_| {}).await.unwrap_err();
    assert!(error.is_transient(), "the container may be made later: {error:?}");
}

/// The server must be gone.
pub(crate) async fn a_server_that_is_away_is_transient(bench: &Bench) {
    let (segment, _) = bench.segment(1_000, 9);
    for error in [
        bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap_err(),
        bench.storages.check(STORAGE).await.unwrap_err(),
    ] {
        assert!(error.is_transient(), "{error:?}");
        let expected = format!("{}: Connection refused", bench.base);
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

pub(crate) async fn a_wrong_credential_is_for_good_and_is_not_repeated(
    bench: &Bench,
    wrong: Settings,
    secret: &str,
) {
    let storages = storages(wrong);
    let (segment, _) = bench.segment(1_000, 10);
    for error in [
        storages.store(STORAGE, &segment, None, |_| {}).await.unwrap_err(),
        storages.check(STORAGE).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Denied { .. }) && error.is_transient(), "{error:?}");
        let texts = format!("{error} {error:?} {storages:?}");
        assert!(!texts.contains(secret), "{texts}");
        assert!(texts.contains("403"), "{texts}");
    }
}

fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).stderr(Stdio::inherit()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}
