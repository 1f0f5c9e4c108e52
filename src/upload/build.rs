//! Settings in, storages out. The only place that reads a storage's secrets.

mod azure;
mod http;
mod s3;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};

pub(super) use azure::azure;
pub(super) use http::http;
pub(super) use s3::s3;

use super::{Error, name};

/// More than any credential, in bytes; keeps a wrong path from filling the memory.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// More than the bundle of certificates of any system, in bytes.
const MAX_CERTIFICATE_BYTES: u64 = 4 * 1024 * 1024;

/// What a certificate begins with.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

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

fn client(
    storage: &str,
    endpoint: Option<&str>,
    ca_file: Option<&Path>,
) -> Result<ClientOptions, Error> {
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut options = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE)
        .with_allow_http(plain);
    if let Some(path) = ca_file {
        let pem = certificates(storage, path)?;
        let trusted = Certificate::from_pem_bundle(&pem).map_err(|_unhelpful| Error::Settings {
            storage: storage.to_owned(),
            problem: format!("ca_file {} holds no certificate in PEM", path.display()),
        })?;
        options = options.with_no_system_certificates(true);
        for certificate in trusted {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// The content of a file of certificates that holds at least one.
fn certificates(storage: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Secret {
        storage: storage.to_owned(),
        key: "ca_file",
        path: path.to_owned(),
        source,
    };
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CERTIFICATE_BYTES).read_to_end(&mut pem))
        .map_err(failed)?;
    if !pem.windows(PEM.len()).any(|window| window == PEM) {
        let problem = "there is no certificate in PEM in it";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, problem)));
    }
    Ok(pem)
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

    /// A file with a secret, and the folder that keeps it.
    pub(super) fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let (_folder, path) = file("no certificate");
        let text = client("archive", None, Some(&path)).unwrap_err().to_string();
        assert!(text.contains("ca_file") && text.contains("no certificate in PEM"), "{text}");
    }
}
