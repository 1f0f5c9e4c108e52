//! What every storage on the network has to do, whoever made it. `Bench` speaks to the server
//! beside the code under test, with plain requests.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use hindsight::model::{CaptureId, SealedFile, Segment, SegmentState, Transfer};
use hindsight::random::Sequence;
use hindsight::upload::{Error, Settings, Storages};

use super::faulty_proxy::{Fault, Proxy};

/// Five parts of 8 MiB and a bit.
pub(crate) const LARGE_BYTES: usize = 40 * 1024 * 1024 + 17;

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
        self.read_at(OBJECT).await
    }

    /// The bytes of any object; `None` where there is none.
    pub(crate) async fn read_at(&self, object: &str) -> Option<Vec<u8>> {
        let address = format!("{}/{object}", self.base);
        let answer = self.request(reqwest::Method::GET, &address).send().await.unwrap();
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

/// Stores, and gives back what was last told of the progress as the journal would keep it.
async fn store_and_keep(
    bench: &Bench,
    segment: &Segment,
    transfer: Option<Transfer>,
) -> (Result<(), Error>, Option<Transfer>) {
    let told = Mutex::new(None);
    let progress = |transfer: Transfer| {
        *told.lock().unwrap() = Some(serde_json::to_string(&transfer).unwrap());
    };
    let stored = bench.storages.store(STORAGE, segment, transfer, progress).await.map(drop);
    let kept = told.into_inner().unwrap();
    (stored, kept.map(|text| serde_json::from_str(&text).unwrap()))
}

/// 64 MiB: eight parts, of which three arrive in the first attempt, two in the next.
pub(crate) async fn a_cut_upload_goes_on_without_sending_a_part_again(
    bench: &Bench,
    proxy: &Proxy,
    part: &'static str,
) {
    let (segment, content) = bench.segment(64 * 1024 * 1024, 31);
    let mut kept = None;
    for (arrive, parts) in [(3, 3), (2, 5)] {
        proxy.set(Fault::CutsAfter(part, arrive));
        let (stored, told) = store_and_keep(bench, &segment, kept).await;
        assert!(stored.unwrap_err().is_transient());
        kept = told;
        assert_eq!(kept.as_ref().map(|kept| kept.parts.len()), Some(parts));
        assert_eq!(bench.read().await, None, "nothing stands before it is whole");
    }
    proxy.set(Fault::None);
    let (stored, _) = store_and_keep(bench, &segment, kept).await;
    stored.unwrap();
    assert_eq!(proxy.passed(part).len(), 8);
    let sent: usize = proxy.passed(part).iter().map(|part| part.body_bytes).sum();
    assert_eq!(sent, content.len());
    assert!(bench.read().await.unwrap() == content);
}

pub(crate) async fn is_proved_without_reading(bench: &Bench, proxy: &Proxy, size: usize) {
    let (mut segment, _) = bench.segment(size, 32);
    segment.object = format!("proved/{size}.pcapng");
    bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap();
    assert_eq!(proxy.passed("GET").len(), 0);
    assert_eq!(proxy.passed(&format!("HEAD {}", segment.object)).len(), 2);
}

pub(crate) async fn is_refused_and_arrives_later(bench: &Bench, proxy: &Proxy, size: usize) {
    let (mut segment, _) = bench.segment(size, 33);
    segment.object = format!("refused/{size}.pcapng");
    let (stored, kept) = store_and_keep(bench, &segment, None).await;
    let error = stored.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("400"), "{error}");
    proxy.wait_for_harm();
    let (stored, _) = store_and_keep(bench, &segment, kept).await;
    stored.unwrap();
}

/// The answers to the first attempt and to its quick repetition are lost.
pub(crate) async fn a_lost_completion_costs_nothing(
    bench: &Bench,
    proxy: &Proxy,
    completion: &'static str,
    part: &'static str,
) {
    let (segment, content) = bench.segment(LARGE_BYTES, 34);
    proxy.set(Fault::LosesAnswers(completion, 2));
    let (stored, kept) = store_and_keep(bench, &segment, None).await;
    proxy.wait_for_harm();
    if let Err(error) = stored {
        assert!(error.is_transient(), "{error:?}");
        let (stored, _) = store_and_keep(bench, &segment, kept).await;
        stored.unwrap();
    }
    assert_eq!(proxy.passed(part).len(), 6);
    assert!(bench.read().await.unwrap() == content);
}

/// `unknown` makes of the kept transfer one that the storage does not know.
pub(crate) async fn an_unknown_upload_begins_anew(
    bench: &Bench,
    proxy: &Proxy,
    part: &'static str,
    unknown: impl FnOnce(&mut Transfer),
    then: Fault,
) {
    proxy.set(Fault::CutsAfter(part, 2));
    let (segment, content) = bench.segment(LARGE_BYTES, 35);
    let (stored, kept) = store_and_keep(bench, &segment, None).await;
    assert!(stored.unwrap_err().is_transient());
    let mut kept = kept.unwrap();
    unknown(&mut kept);
    proxy.set(then);
    let (stored, told) = store_and_keep(bench, &segment, Some(kept.clone())).await;
    stored.unwrap();
    assert_eq!(told.unwrap().parts.len(), 6);
    assert!(bench.read().await.unwrap() == content);
    // What is about another object is not even tried.
    let mut other = segment;
    other.object = "another.pcapng".to_owned();
    let (stored, told) = store_and_keep(bench, &other, Some(kept)).await;
    stored.unwrap();
    assert_eq!(told.unwrap().parts.len(), 6);
}

pub(crate) async fn a_link_lets_anybody_read(bench: &Bench) {
    let (segment, content) = bench.segment(1_000, 36);
    bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap();
    let valid = Duration::from_secs(3600);
    let link = bench.storages.link(STORAGE, OBJECT, valid).await.unwrap().unwrap();
    let answer = bench.http.get(&link).send().await.unwrap().error_for_status().unwrap();
    assert!(answer.bytes().await.unwrap() == content);
    let (wrong, _) = link.split_once('?').unwrap();
    let answer = bench.http.get(wrong).send().await.unwrap();
    assert!(!answer.status().is_success(), "{wrong}: {answer:?}");
}

pub(crate) async fn there_is_no_link(bench: &Bench) {
    let link = bench.storages.link(STORAGE, OBJECT, Duration::from_secs(60)).await.unwrap();
    assert_eq!(link, None);
}

pub(crate) async fn an_object_is_read_from_any_offset(bench: &Bench) {
    let (mut segment, content) = bench.segment(LARGE_BYTES, 37);
    segment.object = "read/large.pcapng".to_owned();
    bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap();
    for offset in [0, 1, 8 * 1024 * 1024, LARGE_BYTES - 1] {
        let stream = bench.storages.read(STORAGE, &segment.object, offset as u64).await.unwrap();
        let read = stream.try_collect::<Vec<_>>().await.unwrap().concat();
        assert!(read == content[offset..], "from {offset}");
    }
    let gone = bench.storages.read(STORAGE, "read/gone.pcapng", 0).await.err().unwrap();
    assert!(gone.to_string().contains("404"), "{gone}");
}

fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).stderr(Stdio::inherit()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}
