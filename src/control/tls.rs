//! TLS for a listener: its certificate, and whose certificates clients may show.
//!
//! The files are looked at again when a connection comes, at most every few seconds, and read when they
//! have changed: a renewed certificate needs no restart. While new ones are wrong, or half written, the
//! last right ones stay in use, and the log says so once. Does not know what is served.

mod subject;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::clock::{self, BootTime};
use crate::config::TlsFiles;
use crate::spawn;

/// How long what was found of the files is believed.
const FRESH: Duration = Duration::from_secs(2);

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot read PEM from {}: {reason}", path.display())]
    Pem { path: PathBuf, reason: String },
    #[error("cannot use the certificate {} with the key {}: {reason}", certificate.display(), key.display())]
    Pair { certificate: PathBuf, key: PathBuf, reason: String },
    #[error("cannot take client certificates of {}: {reason}", path.display())]
    Authorities { path: PathBuf, reason: String },
}

/// What a file is, as far as the kernel tells without reading it: another version of it is another one.
type Stamp = (u64, u64, u64, i64, i64);

/// The TLS side of one listener.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// Of the files that were last tried.
    stamps: Vec<Stamp>,
    looked_at: BootTime,
}

impl Tls {
    /// Blocking: reads the files.
    pub(super) fn new(files: TlsFiles) -> Result<Self, Error> {
        // First the stamps: what changes while we read is read again.
        let stamps = stamps(&files)?;
        let config = Arc::new(configuration(&files)?);
        let state = State { config, stamps, looked_at: clock::boot_time() };
        Ok(Self { files, state: Mutex::new(state) })
    }

    /// Makes a connection a TLS one; also the subject of the client's certificate, where it shows one
    /// that we trust.
    ///
    /// # Errors
    /// The client does not speak TLS, or shows a certificate of a stranger.
    pub(super) async fn accept(
        self: Arc<Self>,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<String>)> {
        let config = Arc::clone(&self).current().await;
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        // One that was verified and that we cannot name has a name all the same: nobody's.
        let subject = shown.map(|der| subject::of(der).unwrap_or_default());
        Ok((stream, subject))
    }

    async fn current(self: Arc<Self>) -> Arc<ServerConfig> {
        let (last, is_fresh) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock::boot_time();
            let is_fresh = now.since(state.looked_at) < FRESH;
            if !is_fresh {
                // One connection looks; those beside it take what there is.
                state.looked_at = now;
            }
            (Arc::clone(&state.config), is_fresh)
        };
        if is_fresh {
            return last;
        }
        spawn::blocking(move || self.look()).await.unwrap_or(last)
    }

    fn look(&self) -> Arc<ServerConfig> {
        let (last, tried) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&state.config), state.stamps.clone())
        };
        let Ok(stamps) = stamps(&self.files) else {
            // Between two versions there may be none.
            return last;
        };
        if stamps == tried {
            return last;
        }
        let certificate = self.files.cert_file.display();
        let config = match configuration(&self.files) {
            Ok(config) => {
                tracing::info!(%certificate, "a changed certificate is taken up");
                Arc::new(config)
            }
            Err(error) => {
                tracing::warn!("{error}; the certificate of before stays in use");
                last
            }
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stamps = stamps;
        state.config = Arc::clone(&config);
        config
    }
}

fn stamps(files: &TlsFiles) -> Result<Vec<Stamp>, Error> {
    let TlsFiles { cert_file, key_file, client_ca_file } = files;
    let stamp = |path: &PathBuf| {
        let meta = fs::metadata(path)
            .map_err(|source| Error::Unreadable { path: path.clone(), source })?;
        Ok((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
    };
    [Some(cert_file), Some(key_file), client_ca_file.as_ref()]
        .into_iter()
        .flatten()
        .map(stamp)
        .collect()
}

fn configuration(files: &TlsFiles) -> Result<ServerConfig, Error> {
    let TlsFiles { cert_file, key_file, client_ca_file } = files;
    let chain = certificates(cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| Error::Pem { path: key_file.clone(), reason: error.to_string() })?;
    let builder = ServerConfig::builder();
    let builder = match client_ca_file {
        Some(path) => {
            let failed = |reason: String| Error::Authorities { path: path.clone(), reason };
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| failed(error.to_string()))?;
            }
            // Who shows none may still do what needs none.
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                .allow_unauthenticated()
                .build()
                .map_err(|error| failed(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| Error::Pair {
        certificate: cert_file.clone(),
        key: key_file.clone(),
        reason: error.to_string(),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |reason: String| Error::Pem { path: path.to_owned(), reason };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(failed("it holds no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
