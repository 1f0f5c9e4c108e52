//! Azure Blob Storage, against Azurite.

use std::path::Path;

use hindsight::upload::{AzureSettings, Settings};
use support::azurite::Azurite;
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
        account_key_file: None,
        sas_file: None,
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
