//! Azure Blob Storage, against Azurite.

#[path = "support/object_servers.rs"]
mod object_servers;
#[path = "support/storage_cases.rs"]
mod storage_cases;

use std::path::Path;

use hindsight::upload::{AzureSettings, Settings};
use object_servers::{AZURITE_ACCOUNT, AZURITE_KEY, Server};
use storage_cases::{Bench, install_tls};

const CONTAINER: &str = "captures";

/// 64 bytes of zeros: a key, but not Azurite's.
const WRONG_KEY: &str =
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";

const HEADERS: &[(&str, &str)] = &[("x-ms-blob-type", "BlockBlob")];

fn settings(server: &Server, container: &str) -> AzureSettings {
    AzureSettings {
        account: AZURITE_ACCOUNT.to_owned(),
        container: container.to_owned(),
        endpoint: Some(server.azurite_endpoint()),
        account_key_file: None,
        sas_file: None,
    }
}

fn with_key(server: &Server, container: &str, folder: &Path, key: &str) -> Settings {
    let path = folder.join("key");
    std::fs::write(&path, format!("{key}\n")).expect("a folder of this test");
    Settings::Azure(AzureSettings { account_key_file: Some(path), ..settings(server, container) })
}

fn with_sas(server: &Server, folder: &Path, sas: &str) -> Settings {
    let path = folder.join("sas");
    std::fs::write(&path, sas).expect("a folder of this test");
    Settings::Azure(AzureSettings { sas_file: Some(path), ..settings(server, CONTAINER) })
}

fn bench(server: &Server, folder: &Path) -> (Bench, String) {
    install_tls();
    let sas = server.make_container(CONTAINER);
    let base = format!("{}/{CONTAINER}", server.azurite_endpoint());
    let settings = with_key(server, CONTAINER, folder, AZURITE_KEY);
    (Bench::new(settings, base, format!("?{sas}"), HEADERS), sas)
}

#[tokio::test]
async fn segments_arrive_byte_identical_and_a_second_time_succeeds() {
    let (server, folder) = (Server::azurite(), tempfile::tempdir().unwrap());
    let (bench, _) = bench(&server, folder.path());
    storage_cases::arrives_byte_identical_and_a_second_time_succeeds(&bench).await;
}

#[tokio::test]
async fn nothing_is_replaced_and_nothing_false_is_stored_also_with_a_sas() {
    let (server, folder) = (Server::azurite(), tempfile::tempdir().unwrap());
    let (mut bench, sas) = bench(&server, folder.path());
    bench.storages = storage_cases::storages(with_sas(&server, folder.path(), &sas));
    storage_cases::what_is_not_what_was_sealed_does_not_arrive(&bench).await;
    storage_cases::another_object_under_the_name_is_a_conflict_and_stays(&bench).await;
}

#[tokio::test]
async fn a_container_that_is_missing_a_wrong_key_and_a_server_that_is_away_are_told_apart() {
    let (mut server, folder) = (Server::azurite(), tempfile::tempdir().unwrap());
    let (bench, sas) = bench(&server, folder.path());
    let missing = with_key(&server, "missing", folder.path(), AZURITE_KEY);
    storage_cases::a_check_sees_the_container_and_writes_nothing(&bench, missing).await;
    let wrong = with_key(&server, CONTAINER, folder.path(), WRONG_KEY);
    storage_cases::a_wrong_credential_is_for_good_and_is_not_repeated(&bench, wrong, WRONG_KEY)
        .await;
    let signature = "c2lnbmF0dXJlIHRoYXQgaXMgd3Jvbmc=";
    let (before, _) = sas.split_once("sig=").unwrap();
    let wrong = with_sas(&server, folder.path(), &format!("{before}sig={signature}"));
    storage_cases::a_wrong_credential_is_for_good_and_is_not_repeated(&bench, wrong, signature)
        .await;
    server.end();
    storage_cases::a_server_that_is_away_is_transient(&bench).await;
}
