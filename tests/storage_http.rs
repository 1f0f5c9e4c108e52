//! Files by PUT, against WebDAV of Apache.

use std::path::Path;

use hindsight::upload::{Error, HttpSettings, Settings};
use support::faulty_proxy::{Fault, Proxy};
use support::place::Place;
use support::storage_cases::{self, Bench, LARGE_BYTES, STORAGE, install_tls};
use support::webdav::WebDav;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

fn settings(url: String, folder: &Path, password: &str) -> HttpSettings {
    let path = folder.join("password");
    std::fs::write(&path, format!("{password}\n")).expect("a folder of this test");
    HttpSettings {
        url,
        bearer_file: None,
        username: Some(WebDav::USER.to_owned()),
        password_file: Some(path),
        conditional: true,
        ca_file: None,
    }
}

fn bench(server: &WebDav, folder: &Path) -> Bench {
    install_tls();
    let settings = Settings::Http(settings(server.base(), folder, WebDav::PASSWORD));
    Bench::new(settings, server.base(), String::new(), &[WebDav::BASIC])
}

#[tokio::test]
async fn files_arrive_in_folders_that_are_made_for_them_and_a_second_time_succeeds() {
    let (server, folder) = (WebDav::start(&Place::Host), tempfile::tempdir().unwrap());
    let bench = bench(&server, folder.path());
    for (size, seed) in [(1_000, 1), (0, 2), (LARGE_BYTES, 3)] {
        let (mut segment, content) = bench.segment(size, seed);
        segment.object = format!("2026/11/{size}/edge-7/web.pcapng");
        let receipt = bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap();
        assert_eq!(receipt.location, format!("{}/{}", bench.base, segment.object));
        assert!(bench.read_at(&segment.object).await.unwrap() == content, "{size} bytes differ");
        std::fs::remove_file(&segment.file.path).unwrap();
        bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap();
    }
    storage_cases::an_object_is_read_from_any_offset(&bench).await;
    storage_cases::there_is_no_link(&bench).await;
}

#[tokio::test]
async fn nothing_is_replaced_and_nothing_false_is_stored() {
    let (server, folder) = (WebDav::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&server, folder.path());
    storage_cases::what_is_not_what_was_sealed_does_not_arrive(&bench).await;
    // This one makes the folder that the case writes to.
    let (mut segment, _) = bench.segment(10, 4);
    segment.object = segment.object.replace("web", "other");
    bench.storages.store(STORAGE, &segment, None, |_| {}).await.unwrap();
    storage_cases::another_object_under_the_name_is_a_conflict_and_stays(&bench).await;

    let proxy = Proxy::start(server.port, Fault::SaysAbsent("HEAD"));
    let behind = format!("http://127.0.0.1:{}/dav", proxy.port);
    let settings = settings(behind, folder.path(), WebDav::PASSWORD);
    bench.storages = storage_cases::storages(Settings::Http(settings));
    storage_cases::another_object_under_the_name_is_a_conflict_and_stays(&bench).await;
    proxy.wait_for_harm();
}

#[tokio::test]
async fn wrong_bytes_at_the_server_are_found() {
    let (server, folder) = (WebDav::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&server, folder.path());
    let proxy = Proxy::start(server.port, Fault::None);
    let behind = format!("http://127.0.0.1:{}/dav", proxy.port);
    let settings = settings(behind, folder.path(), WebDav::PASSWORD);
    bench.storages = storage_cases::storages(Settings::Http(settings));
    for size in [1_000, LARGE_BYTES] {
        proxy.set(Fault::Spoils("PUT", 0));
        let (mut segment, _) = bench.segment(size, 5);
        segment.object = format!("spoiled-{size}.pcapng");
        let stored = bench.storages.store(STORAGE, &segment, None, |_| {}).await;
        assert!(matches!(stored, Err(Error::Conflict(_))), "{stored:?}");
        proxy.wait_for_harm();
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_repeated_and_a_token_opens_its_folder() {
    let (mut server, folder) = (WebDav::start(&Place::Host), tempfile::tempdir().unwrap());
    let bench = bench(&server, folder.path());
    bench.storages.check(STORAGE).await.unwrap();
    let wrong = settings(server.base(), folder.path(), "wr0ng-password");
    let wrong = storage_cases::storages(Settings::Http(wrong));
    let (segment, _) = bench.segment(1_000, 6);
    for error in [
        wrong.store(STORAGE, &segment, None, |_| {}).await.unwrap_err(),
        wrong.check(STORAGE).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Denied { .. }) && error.is_transient(), "{error:?}");
        let texts = format!("{error} {error:?} {wrong:?}");
        assert!(!texts.contains("wr0ng") && texts.contains("401"), "{texts}");
    }
    let path = folder.path().join("token");
    std::fs::write(&path, WebDav::TOKEN).unwrap();
    let with_token = HttpSettings {
        url: server.token_base(),
        bearer_file: Some(path),
        username: None,
        password_file: None,
        conditional: true,
        ca_file: None,
    };
    let with_token = storage_cases::storages(Settings::Http(with_token));
    with_token.store(STORAGE, &segment, None, |_| {}).await.unwrap();
    server.kill();
    storage_cases::a_server_that_is_away_is_transient(&bench).await;
}
