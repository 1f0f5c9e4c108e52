//! S3, against moto.

#[path = "support/faulty_proxy.rs"]
mod faulty_proxy;
#[path = "support/object_servers.rs"]
mod object_servers;
#[path = "support/storage_cases.rs"]
mod storage_cases;

use std::path::Path;
use std::sync::atomic::Ordering;

use faulty_proxy::{Fault, Proxy};
use hindsight::upload::{S3Settings, Settings};
use object_servers::Server;
use storage_cases::{Bench, install_tls};

const BUCKET: &str = "captures";

const SECRET: &str = "s3cr3t+access/key";

/// moto hides objects from requests without any credential; which one does not matter to it.
const HEADERS: &[(&str, &str)] = &[("authorization", "AWS4-HMAC-SHA256 Credential=any/x/x/s3/x")];

fn settings(server: &Server, bucket: &str, folder: &Path) -> Settings {
    settings_at(server.address(), bucket, folder)
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
fn behind(fault: Fault, bench: &mut Bench, server: &Server, folder: &Path) -> Proxy {
    let proxy = Proxy::start(server.port, fault);
    let address = format!("http://127.0.0.1:{}", proxy.port);
    bench.storages = storage_cases::storages(settings_at(address, BUCKET, folder));
    proxy
}

async fn bench(server: &Server, folder: &Path) -> Bench {
    install_tls();
    let base = format!("{}/{BUCKET}", server.address());
    let made = reqwest::Client::new().put(&base).send().await.expect("moto is up");
    assert!(made.status().is_success(), "{}", made.status());
    Bench::new(settings(server, BUCKET, folder), base, String::new(), HEADERS)
}

#[tokio::test]
async fn segments_arrive_byte_identical_and_a_second_time_succeeds() {
    let (server, folder) = (Server::moto(None), tempfile::tempdir().unwrap());
    let bench = bench(&server, folder.path()).await;
    storage_cases::arrives_byte_identical_and_a_second_time_succeeds(&bench).await;
}

#[tokio::test]
async fn nothing_is_replaced_and_nothing_false_is_stored() {
    let (server, folder) = (Server::moto(None), tempfile::tempdir().unwrap());
    let bench = bench(&server, folder.path()).await;
    storage_cases::what_is_not_what_was_sealed_does_not_arrive(&bench).await;
    storage_cases::another_object_under_the_name_is_a_conflict_and_stays(&bench).await;
}

#[tokio::test]
async fn a_bucket_that_is_missing_and_a_server_that_is_away_are_told_apart() {
    let (mut server, folder) = (Server::moto(None), tempfile::tempdir().unwrap());
    let bench = bench(&server, folder.path()).await;
    let missing = settings(&server, "missing", folder.path());
    storage_cases::a_check_sees_the_container_and_writes_nothing(&bench, missing).await;
    server.end();
    storage_cases::a_server_that_is_away_is_transient(&bench).await;
}

#[tokio::test]
async fn a_wrong_key_is_for_good_and_is_not_repeated() {
    // The one free request makes the bucket; no key is known to this server.
    let (server, folder) = (Server::moto(Some(1)), tempfile::tempdir().unwrap());
    let bench = bench(&server, folder.path()).await;
    let wrong = settings(&server, BUCKET, folder.path());
    storage_cases::a_wrong_credential_is_for_good_and_is_not_repeated(&bench, wrong, SECRET).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_one_object_and_the_next_attempt_succeeds() {
    let (server, folder) = (Server::moto(None), tempfile::tempdir().unwrap());
    let mut bench = bench(&server, folder.path()).await;
    // Once is met by the quick second try, often by the next attempt.
    for (times, size) in [(1, 1_000), (2, 2_000)] {
        let fault = Fault::LosesAnswers("PUT", times);
        let proxy = behind(fault, &mut bench, &server, folder.path());
        let (mut segment, _) = bench.segment(size, 11);
        segment.object = format!("lost/{size}.pcapng");
        let first = bench.storages.store(storage_cases::STORAGE, &segment).await;
        assert!(proxy.harmed.load(Ordering::Relaxed) >= times);
        if times > 1 {
            assert!(first.unwrap_err().is_transient());
            bench.storages.store(storage_cases::STORAGE, &segment).await.unwrap();
        } else {
            first.unwrap();
        }
    }
}

#[tokio::test]
async fn an_object_that_appears_after_the_question_is_not_replaced() {
    let (server, folder) = (Server::moto(None), tempfile::tempdir().unwrap());
    let mut bench = bench(&server, folder.path()).await;
    let proxy = behind(Fault::SaysAbsent("HEAD"), &mut bench, &server, folder.path());
    storage_cases::a_small_other_object_is_a_conflict_and_stays(&bench).await;
    assert!(proxy.harmed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn what_cannot_be_read_back_whole_gets_no_receipt() {
    let (server, folder) = (Server::moto(None), tempfile::tempdir().unwrap());
    let mut bench = bench(&server, folder.path()).await;
    let proxy = behind(Fault::CutsAnswers("GET"), &mut bench, &server, folder.path());
    let (segment, _) = bench.segment(100_000, 12);
    let error = bench.storages.store(storage_cases::STORAGE, &segment).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(proxy.harmed.load(Ordering::Relaxed) > 0);
}
