//! S3, against moto.

use std::path::Path;
use std::sync::atomic::Ordering;

use hindsight::upload::{S3Settings, Settings};
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
    settings_at(s3.endpoint(), bucket, folder)
}

fn settings_at(address: String, bucket: &str, folder: &Path) -> Settings {
    let path = folder.join("secret");
    std::fs::write(&path, format!("{SECRET}\n")).expect("a folder of this test");
    Settings::S3(S3Settings {
        bucket: bucket.to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(address),
        access_key_id: Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
        secret_access_key_file: Some(path),
    })
}

/// The same bench, but its storage goes through a proxy that does harm.
fn behind(fault: Fault, bench: &mut Bench, s3: &S3, folder: &Path) -> Proxy {
    let proxy = Proxy::start(s3.server.port, fault);
    let address = format!("http://127.0.0.1:{}", proxy.port);
    bench.storages = storage_cases::storages(settings_at(address, S3::BUCKET, folder));
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
