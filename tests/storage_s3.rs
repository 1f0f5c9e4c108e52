//! S3, against moto.

use std::path::Path;
use std::sync::atomic::Ordering;

use hindsight::model::Transfer;
use hindsight::upload::{Error, S3Settings, Settings, Verify};
use support::faulty_proxy::{Fault, Proxy};
use support::place::Place;
use support::s3::{CREDENTIAL, S3};
use support::storage_cases::{self, Bench, install_tls};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

const SECRET: &str = "s3cr3t+access/key";

const HEADERS: &[(&str, &str)] = &[CREDENTIAL];

fn settings(s3: &S3, bucket: &str, folder: &Path) -> Settings {
    Settings::S3(settings_at(s3.endpoint(), bucket, folder))
}

fn settings_at(address: String, bucket: &str, folder: &Path) -> S3Settings {
    let path = folder.join("secret");
    std::fs::write(&path, format!("{SECRET}\n")).expect("a folder of this test");
    S3Settings {
        bucket: bucket.to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(address),
        access_key_id: Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
        secret_access_key_file: Some(path),
        path_style: None,
        conditional: true,
        verify: None,
        ca_file: None,
    }
}

/// The same bench, but its storage goes through a proxy that does harm.
fn behind(fault: Fault, bench: &mut Bench, s3: &S3, folder: &Path) -> Proxy {
    let proxy = Proxy::start(s3.server.port, fault);
    let address = format!("http://127.0.0.1:{}", proxy.port);
    bench.storages =
        storage_cases::storages(Settings::S3(settings_at(address, S3::BUCKET, folder)));
    proxy
}

fn bench(s3: &S3, folder: &Path) -> Bench {
    install_tls();
    let base = format!("{}/{}", s3.endpoint(), S3::BUCKET);
    Bench::new(settings(s3, S3::BUCKET, folder), base, String::new(), HEADERS)
}

#[tokio::test]
async fn segments_arrive_byte_identical_and_a_second_time_succeeds() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let bench = bench(&s3, folder.path());
    storage_cases::arrives_byte_identical_and_a_second_time_succeeds(&bench).await;
}

#[tokio::test]
async fn nothing_is_replaced_and_nothing_false_is_stored() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let bench = bench(&s3, folder.path());
    storage_cases::what_is_not_what_was_sealed_does_not_arrive(&bench).await;
    storage_cases::another_object_under_the_name_is_a_conflict_and_stays(&bench).await;
}

#[tokio::test]
async fn a_bucket_that_is_missing_and_a_server_that_is_away_are_told_apart() {
    let (mut s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let bench = bench(&s3, folder.path());
    let missing = settings(&s3, "missing", folder.path());
    storage_cases::a_check_sees_the_container_and_writes_nothing(&bench, missing).await;
    s3.server.kill();
    storage_cases::a_server_that_is_away_is_transient(&bench).await;
}

#[tokio::test]
async fn a_wrong_key_is_for_good_and_is_not_repeated() {
    let (s3, folder) = (S3::start_closed(&Place::Host), tempfile::tempdir().unwrap());
    let bench = bench(&s3, folder.path());
    let wrong = settings(&s3, S3::BUCKET, folder.path());
    storage_cases::a_wrong_credential_is_for_good_and_is_not_repeated(&bench, wrong, SECRET).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_one_object_and_the_next_attempt_succeeds() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&s3, folder.path());
    // Once is met by the quick second try, often by the next attempt.
    for (times, size) in [(1, 1_000), (2, 2_000)] {
        let fault = Fault::LosesAnswers("PUT", times);
        let proxy = behind(fault, &mut bench, &s3, folder.path());
        let (mut segment, _) = bench.segment(size, 11);
        segment.object = format!("lost/{size}.pcapng");
        let first = bench.storages.store(storage_cases::STORAGE, &segment, None, |_| {}).await;
        assert!(proxy.harmed.load(Ordering::Relaxed) >= times);
        if times > 1 {
            assert!(first.unwrap_err().is_transient());
            bench.storages.store(storage_cases::STORAGE, &segment, None, |_| {}).await.unwrap();
        } else {
            first.unwrap();
        }
    }
}

#[tokio::test]
async fn an_object_that_appears_after_the_question_is_not_replaced() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&s3, folder.path());
    let proxy = behind(Fault::SaysAbsent("HEAD"), &mut bench, &s3, folder.path());
    storage_cases::a_small_other_object_is_a_conflict_and_stays(&bench).await;
    assert!(proxy.harmed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn what_cannot_be_read_back_whole_gets_no_receipt() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&s3, folder.path());
    let proxy = behind(Fault::CutsAnswers("GET"), &mut bench, &s3, folder.path());
    let (segment, _) = bench.segment(100_000, 12);
    let error =
        bench.storages.store(storage_cases::STORAGE, &segment, None, |_| {}).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(proxy.harmed.load(Ordering::Relaxed) > 0);
}

const PART: &str = "PUT partNumber=";

/// Behind a proxy, and trusted to compare checksums.
fn trusted(bench: &mut Bench, s3: &S3, folder: &Path) -> Proxy {
    let proxy = Proxy::start(s3.server.port, Fault::None);
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let settings = settings_at(address, S3::BUCKET, folder);
    let settings = S3Settings { verify: Some(Verify::Checksum), ..settings };
    bench.storages = storage_cases::storages(Settings::S3(settings));
    proxy
}

#[tokio::test]
async fn a_cut_upload_goes_on_without_sending_a_part_again() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&s3, folder.path());
    let proxy = behind(Fault::None, &mut bench, &s3, folder.path());
    storage_cases::a_cut_upload_goes_on_without_sending_a_part_again(&bench, &proxy, PART).await;
    let numbers: Vec<_> = proxy.passed(PART).iter().map(|part| part.line.clone()).collect();
    for number in 1..=8 {
        let named = |line: &&String| line.contains(&format!("partNumber={number}&"));
        assert_eq!(numbers.iter().filter(named).count(), 1, "part {number}: {numbers:?}");
    }
    let completion = &proxy.passed("POST uploadId=")[0];
    assert!(completion.head.contains("if-none-match: *"), "{}", completion.head);
}

#[tokio::test]
async fn checksums_and_metadata_prove_an_object_in_parts_without_reading_it() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&s3, folder.path());
    let proxy = trusted(&mut bench, &s3, folder.path());
    storage_cases::is_proved_without_reading(&bench, &proxy, storage_cases::LARGE_BYTES).await;
    for part in proxy.passed(PART) {
        assert!(part.head.contains("x-amz-checksum-sha256: "), "{}", part.head);
    }
}

#[tokio::test]
async fn wrong_bytes_in_the_bucket_are_found_also_where_nobody_refused_them() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&s3, folder.path());
    let trusted = trusted(&mut bench, &s3, folder.path());
    for (size, fault) in
        [(1_000, Fault::Spoils("PUT", 0)), (storage_cases::LARGE_BYTES, Fault::Spoils(PART, 2))]
    {
        trusted.set(fault);
        let (mut segment, _) = bench.segment(size, 21);
        segment.object = format!("spoiled/{size}.pcapng");
        let stored = bench.storages.store(storage_cases::STORAGE, &segment, None, |_| {}).await;
        assert!(matches!(stored, Err(Error::Conflict(_))), "{stored:?}");
    }
    let proxy = behind(Fault::Spoils(PART, 2), &mut bench, &s3, folder.path());
    let (mut segment, _) = bench.segment(storage_cases::LARGE_BYTES, 22);
    segment.object = "spoiled/read-back.pcapng".to_owned();
    let stored = bench.storages.store(storage_cases::STORAGE, &segment, None, |_| {}).await;
    assert!(matches!(stored, Err(Error::Conflict(_))), "{stored:?}");
    proxy.wait_for_harm();
}

#[tokio::test]
async fn the_answer_to_a_completion_that_is_lost_costs_nothing() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&s3, folder.path());
    let proxy = trusted(&mut bench, &s3, folder.path());
    storage_cases::a_lost_completion_costs_nothing(&bench, &proxy, "POST uploadId=", PART).await;
}

#[tokio::test]
async fn an_upload_that_the_storage_has_forgotten_begins_anew() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&s3, folder.path());
    let proxy = behind(Fault::None, &mut bench, &s3, folder.path());
    let answer = "<Error><Code>NoSuchUpload</Code><Message>It is gone.</Message></Error>";
    let then = Fault::Says("PUT uploadId=gone", "404 Not Found", answer);
    let forget = |kept: &mut Transfer| kept.upload = "gone".to_owned();
    storage_cases::an_unknown_upload_begins_anew(&bench, &proxy, PART, forget, then).await;
    assert!(proxy.harmed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_link_lets_anybody_read() {
    let (s3, folder) = (S3::start(&Place::Host), tempfile::tempdir().unwrap());
    let bench = bench(&s3, folder.path());
    storage_cases::a_link_lets_anybody_read(&bench).await;
    storage_cases::an_object_is_read_from_any_offset(&bench).await;
}
