//! Settings in, storages out. The only place that reads a storage's secrets.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::{MicrosoftAzureBuilder, split_sas};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::fault::Secrets;
use super::remote::Remote;
use super::{AzureSettings, Error, S3Settings, name};

/// More than any credential, in bytes; keeps a wrong path from filling the memory.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

const CONNECT: Duration = Duration::from_secs(10);

/// A server that says nothing for this long is given up. Longer than the time allowed for one part,
/// because the wait for the answer to a part counts from its first byte.
const SILENCE: Duration = Duration::from_secs(150);

/// One quick second try, for a kept connection that the server has just closed. All other patience
/// is the session's, which counts it and shows it.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(200),
            base: 2.0,
        },
        max_retries: 1,
        retry_timeout: Duration::from_secs(10),
    }
}

fn client(endpoint: Option<&str>) -> ClientOptions {
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE)
        .with_allow_http(plain)
}

pub(super) fn azure(storage: &str, settings: &AzureSettings) -> Result<Remote, Error> {
    let AzureSettings { account, container, endpoint, account_key_file, sas_file } = settings;
    let problem = |problem: String| Error::Settings { storage: storage.to_owned(), problem };
    plain("account", account).and_then(|()| plain("container", container)).map_err(problem)?;
    let endpoint = endpoint.as_deref().map(address).transpose().map_err(problem)?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_retry(retry())
        .with_client_options(client(endpoint));
    let mut secrets = Secrets::default();
    builder = match (account_key_file, sas_file) {
        (Some(path), None) => {
            let key = secret(storage, "account_key_file", path)?;
            secrets.keep(&key);
            builder.with_access_key(key)
        }
        (None, Some(path)) => {
            let text = secret(storage, "sas_file", path)?;
            // People paste the whole URL as often as the token.
            let token = text.split_once('?').map_or(text.as_str(), |(_url, token)| token);
            let pairs = split_sas(token).map_err(|_may_quote_it| {
                problem(format!("{} holds no SAS as in sv=..&sig=..", path.display()))
            })?;
            secrets.keep(token);
            let signatures = || pairs.iter().filter(|(key, _)| key == "sig");
            signatures().for_each(|(_, signature)| secrets.keep(signature));
            if signatures().count() == 0 {
                return Err(problem(format!("the SAS in {} has no sig=", path.display())));
            }
            builder.with_sas_authorization(pairs)
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(problem("give one of account_key_file and sas_file".to_owned()));
        }
    };
    let base = match endpoint {
        Some(endpoint) => {
            builder = builder.with_endpoint(endpoint.to_owned());
            format!("{endpoint}/{container}")
        }
        None => format!("https://{account}.blob.core.windows.net/{container}"),
    };
    let objects = builder.build().map_err(|error| problem(secrets.scrub(&error.to_string())))?;
    let objects = Arc::new(objects);
    Ok(Remote {
        storage: storage.to_owned(),
        kind: "azure",
        parts: Some(Arc::clone(&objects) as _),
        // A shared access signature cannot sign another one.
        signer: account_key_file.as_ref().map(|_| Arc::clone(&objects) as _),
        objects,
        base,
        secrets,
    })
}

pub(super) fn s3(storage: &str, settings: &S3Settings) -> Result<Remote, Error> {
    let S3Settings { bucket, region, endpoint, access_key_id, secret_access_key_file } = settings;
    let problem = |problem: String| Error::Settings { storage: storage.to_owned(), problem };
    plain("bucket", bucket).and_then(|()| plain("region", region)).map_err(problem)?;
    let endpoint = endpoint.as_deref().map(address).transpose().map_err(problem)?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_retry(retry())
        .with_client_options(client(endpoint))
        .with_virtual_hosted_style_request(endpoint.is_none());
    let mut secrets = Secrets::default();
    builder = match (access_key_id, secret_access_key_file) {
        (Some(id), Some(path)) => {
            let key = secret(storage, "secret_access_key_file", path)?;
            secrets.keep(&key);
            builder.with_access_key_id(id).with_secret_access_key(key)
        }
        // The role of the machine, from its instance metadata.
        (None, None) => builder,
        (Some(_), None) | (None, Some(_)) => {
            let both = "give both access_key_id and secret_access_key_file, or neither to use the \
                        role of the machine";
            return Err(problem(both.to_owned()));
        }
    };
    let base = match endpoint {
        Some(endpoint) => {
            builder = builder.with_endpoint(endpoint);
            format!("{endpoint}/{bucket}")
        }
        None => format!("https://{bucket}.s3.{region}.amazonaws.com"),
    };
    let objects = builder.build().map_err(|error| problem(secrets.scrub(&error.to_string())))?;
    let objects = Arc::new(objects);
    Ok(Remote {
        storage: storage.to_owned(),
        kind: "s3",
        parts: Some(Arc::clone(&objects) as _),
        signer: Some(Arc::clone(&objects) as _),
        objects,
        base,
        secrets,
    })
}

/// These become part of a URL.
fn plain(key: &str, value: &str) -> Result<(), String> {
    if name::is_plain(value) {
        return Ok(());
    }
    let value: String = value.chars().take(64).flat_map(char::escape_default).collect();
    Err(format!("{key} '{value}' may hold only letters, digits, '.', '_' and '-'"))
}

/// An endpoint without the slash at its end. It is shown to people and written into receipts, so
/// it may hold no credential, and one that does is not repeated.
fn address(endpoint: &str) -> Result<&str, String> {
    let Some(rest) = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"))
    else {
        return Err("endpoint has to begin with https:// or http://".to_owned());
    };
    if rest.is_empty() || rest.contains(['@', '?', '#']) || rest.contains(char::is_whitespace) {
        return Err("endpoint has to be scheme, host, port and path alone, as in \
                    http://127.0.0.1:10000/devstoreaccount1; credentials have keys of their own"
            .to_owned());
    }
    Ok(endpoint.trim_end_matches('/'))
}

fn secret(storage: &str, key: &'static str, path: &Path) -> Result<String, Error> {
    let failed =
        |source| Error::Secret { storage: storage.to_owned(), key, path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET_BYTES).read_to_string(&mut text))
        .map_err(failed)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "the file is empty")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn azure_settings() -> AzureSettings {
        AzureSettings {
            account: "net".to_owned(),
            container: "captures".to_owned(),
            endpoint: None,
            account_key_file: None,
            sas_file: None,
        }
    }

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn exactly_one_azure_credential_is_given() {
        let text = azure("archive", &azure_settings()).unwrap_err().to_string();
        assert!(text.contains("give one of account_key_file and sas_file"), "{text}");
    }

    #[test]
    fn a_wrong_secret_is_never_repeated() {
        for text in ["k3y-that-is-not-base64!", "", "\u{0}"] {
            let (_folder, path) = file(text);
            let key = AzureSettings { account_key_file: Some(path.clone()), ..azure_settings() };
            let sas = AzureSettings { sas_file: Some(path), ..azure_settings() };
            for settings in [key, sas] {
                let error = azure("archive", &settings).unwrap_err();
                assert!(!format!("{error} {error:?}").contains("k3y-that"), "{error:?}");
            }
        }
    }

    #[test]
    fn an_endpoint_with_a_credential_in_it_is_refused_and_not_repeated() {
        for endpoint in ["https://u:s3cr3t@h", "https://h?sig=s3cr3t", "ftp://s3cr3t", "http://"] {
            let settings =
                AzureSettings { endpoint: Some(endpoint.to_owned()), ..azure_settings() };
            let text = azure("archive", &settings).unwrap_err().to_string();
            assert!(text.contains("endpoint has to") && !text.contains("s3cr3t"), "{text}");
        }
    }

    #[test]
    fn half_of_an_s3_credential_is_refused() {
        let settings = S3Settings {
            bucket: "b".to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: None,
            access_key_id: Some("k".to_owned()),
            secret_access_key_file: None,
        };
        let text = s3("bucket", &settings).unwrap_err().to_string();
        assert!(text.contains("give both access_key_id"), "{text}");
    }

    #[test]
    fn a_secret_file_that_is_missing_is_named_with_its_key() {
        let settings =
            AzureSettings { account_key_file: Some("/nonexistent/k".into()), ..azure_settings() };
        let text = azure("archive", &settings).unwrap_err().to_string();
        assert!(text.contains("reading account_key_file /nonexistent/k"), "{text}");
    }
}
