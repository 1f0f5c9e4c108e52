//! Azure Blob Storage, against Azurite.

use std::path::Path;

use hindsight::model::Transfer;
use hindsight::upload::{AzureSettings, ManagedIdentity, Settings, Verify};
use support::azurite::Azurite;
use support::faulty_proxy::{Fault, Proxy};
use support::place::Place;
use support::storage_cases::{self, Bench, install_tls};

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

/// 64 bytes of zeros: a key, but not Azurite's.
const WRONG_KEY: &str =
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";

const HEADERS: &[(&str, &str)] = &[("x-ms-blob-type", "BlockBlob")];

fn settings(azurite: &Azurite, container: &str) -> AzureSettings {
    AzureSettings {
        account: Azurite::ACCOUNT.to_owned(),
        container: container.to_owned(),
        endpoint: Some(azurite.endpoint()),
        ..AzureSettings::default()
    }
}

fn with_key(azurite: &Azurite, container: &str, folder: &Path, key: &str) -> Settings {
    let path = folder.join("key");
    std::fs::write(&path, format!("{key}\n")).expect("a folder of this test");
    Settings::Azure(AzureSettings { account_key_file: Some(path), ..settings(azurite, container) })
}

fn with_sas(azurite: &Azurite, folder: &Path, sas: &str) -> Settings {
    let path = folder.join("sas");
    std::fs::write(&path, sas).expect("a folder of this test");
    let settings = settings(azurite, Azurite::CONTAINER);
    Settings::Azure(AzureSettings { sas_file: Some(path), ..settings })
}

fn bench(azurite: &Azurite, folder: &Path) -> Bench {
    install_tls();
    let base = format!("{}/{}", azurite.endpoint(), Azurite::CONTAINER);
    let settings = with_key(azurite, Azurite::CONTAINER, folder, &Azurite::account_key());
    Bench::new(settings, base, format!("?{}", Azurite::signature()), HEADERS)
}

/// The same bench, but its storage goes through a proxy.
fn behind(fault: Fault, bench: &mut Bench, azurite: &Azurite, verify: Verify) -> Proxy {
    let proxy = Proxy::start(azurite.server.port, fault);
    let path = bench.spool.path().join("key");
    std::fs::write(&path, Azurite::account_key()).expect("a folder of this test");
    bench.storages = storage_cases::storages(Settings::Azure(AzureSettings {
        endpoint: Some(format!("http://127.0.0.1:{}/{}", proxy.port, Azurite::ACCOUNT)),
        account_key_file: Some(path),
        verify: Some(verify),
        ..settings(azurite, Azurite::CONTAINER)
    }));
    proxy
}

const BLOCK: &str = "PUT comp=block&";

#[tokio::test]
async fn a_cut_upload_goes_on_without_sending_a_part_again() {
    let (azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&azurite, folder.path());
    let proxy = behind(Fault::None, &mut bench, &azurite, Verify::ReadBack);
    storage_cases::a_cut_upload_goes_on_without_sending_a_part_again(&bench, &proxy, BLOCK).await;
}

#[tokio::test]
async fn checksums_and_metadata_prove_an_object_without_reading_it() {
    let (azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&azurite, folder.path());
    let proxy = behind(Fault::None, &mut bench, &azurite, Verify::Checksum);
    storage_cases::is_proved_without_reading(&bench, &proxy, 1_000).await;
    storage_cases::is_proved_without_reading(&bench, &proxy, storage_cases::LARGE_BYTES).await;
}

#[tokio::test]
async fn bytes_that_change_on_the_way_are_refused_and_sent_again() {
    let (azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&azurite, folder.path());
    let proxy = behind(Fault::None, &mut bench, &azurite, Verify::Checksum);
    for (size, fault) in
        [(1_000, Fault::Spoils("PUT", 0)), (storage_cases::LARGE_BYTES, Fault::Spoils(BLOCK, 2))]
    {
        proxy.set(fault);
        storage_cases::is_refused_and_arrives_later(&bench, &proxy, size).await;
    }
}

#[tokio::test]
async fn an_object_that_appears_after_the_question_is_not_replaced() {
    let (azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&azurite, folder.path());
    let proxy = behind(Fault::SaysAbsent("HEAD"), &mut bench, &azurite, Verify::ReadBack);
    storage_cases::another_object_under_the_name_is_a_conflict_and_stays(&bench).await;
    proxy.wait_for_harm();
}

#[tokio::test]
async fn the_answer_to_a_completion_that_is_lost_costs_nothing() {
    let (azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&azurite, folder.path());
    let proxy = behind(Fault::None, &mut bench, &azurite, Verify::Checksum);
    let completion = "PUT comp=blocklist";
    storage_cases::a_lost_completion_costs_nothing(&bench, &proxy, completion, BLOCK).await;
}

/// Azurite takes tokens over TLS only, so what counts is what it was sent.
#[tokio::test]
async fn a_managed_identity_asks_the_machine_for_its_token_and_shows_it() {
    let azurite = Azurite::start(&Place::Host);
    install_tls();
    let token = r#"{ "access_token": "t0ken-of-the-machine", "expires_on": "4102444800" }"#;
    let machine = Fault::Says("GET client_id=id-1", "200 OK", token);
    let proxy = Proxy::start(azurite.server.port, machine);
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let storages = storage_cases::storages(Settings::Azure(AzureSettings {
        endpoint: Some(format!("{address}/{}", Azurite::ACCOUNT)),
        managed_identity: Some(ManagedIdentity {
            client_id: Some("id-1".to_owned()),
            endpoint: Some(format!("{address}/metadata/identity/oauth2/token")),
        }),
        ..settings(&azurite, Azurite::CONTAINER)
    }));
    let error = storages.check(storage_cases::STORAGE).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("t0ken"), "{error:?}");
    let asked = proxy.passed(&format!("GET /{}", Azurite::CONTAINER));
    let shown = |head: &str| head.contains("authorization: bearer t0ken-of-the-machine");
    assert!(asked.iter().any(|request| shown(&request.head)), "{asked:?} {error}");
}

#[tokio::test]
async fn an_upload_whose_blocks_are_gone_begins_anew() {
    let (azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&azurite, folder.path());
    let proxy = behind(Fault::None, &mut bench, &azurite, Verify::ReadBack);
    // Names of as many characters, and no such blocks.
    let forget = |kept: &mut Transfer| {
        for part in &mut kept.parts {
            let (name, hash) = part.split_once(' ').unwrap();
            *part = format!("{} {hash}", "0".repeat(name.len()));
        }
    };
    storage_cases::an_unknown_upload_begins_anew(&bench, &proxy, BLOCK, forget, Fault::None).await;
}

#[tokio::test]
async fn a_link_lets_anybody_read_and_only_the_key_makes_one() {
    let (azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&azurite, folder.path());
    storage_cases::a_link_lets_anybody_read(&bench).await;
    storage_cases::an_object_is_read_from_any_offset(&bench).await;
    bench.storages =
        storage_cases::storages(with_sas(&azurite, folder.path(), &Azurite::signature()));
    storage_cases::there_is_no_link(&bench).await;
}

#[tokio::test]
async fn segments_arrive_byte_identical_and_a_second_time_succeeds() {
    let (azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let bench = bench(&azurite, folder.path());
    storage_cases::arrives_byte_identical_and_a_second_time_succeeds(&bench).await;
}

#[tokio::test]
async fn nothing_is_replaced_and_nothing_false_is_stored_also_with_a_sas() {
    let (azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let mut bench = bench(&azurite, folder.path());
    bench.storages =
        storage_cases::storages(with_sas(&azurite, folder.path(), &Azurite::signature()));
    storage_cases::what_is_not_what_was_sealed_does_not_arrive(&bench).await;
    storage_cases::another_object_under_the_name_is_a_conflict_and_stays(&bench).await;
}

#[tokio::test]
async fn a_container_that_is_missing_a_wrong_key_and_a_server_that_is_away_are_told_apart() {
    let (mut azurite, folder) = (Azurite::start(&Place::Host), tempfile::tempdir().unwrap());
    let (bench, sas) = (bench(&azurite, folder.path()), Azurite::signature());
    let missing = with_key(&azurite, "missing", folder.path(), &Azurite::account_key());
    storage_cases::a_check_sees_the_container_and_writes_nothing(&bench, missing).await;
    let wrong = with_key(&azurite, Azurite::CONTAINER, folder.path(), WRONG_KEY);
    storage_cases::a_wrong_credential_is_for_good_and_is_not_repeated(&bench, wrong, WRONG_KEY)
        .await;
    let signature = "c2lnbmF0dXJlIHRoYXQgaXMgd3Jvbmc=";
    let (before, _) = sas.split_once("sig=").unwrap();
    let wrong = with_sas(&azurite, folder.path(), &format!("{before}sig={signature}"));
    storage_cases::a_wrong_credential_is_for_good_and_is_not_repeated(&bench, wrong, signature)
        .await;
    azurite.server.kill();
    storage_cases::a_server_that_is_away_is_transient(&bench).await;
}
