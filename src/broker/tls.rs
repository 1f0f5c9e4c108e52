//! TLS towards a broker: whom we trust, and what we show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rumqttc::TlsConfiguration;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::{Account, Error};

/// Blocking: reads the certificates.
pub(super) fn configuration(account: &Account) -> Result<Arc<rustls::ClientConfig>, Error> {
    let mut config = match &account.ca_file {
        Some(path) => trusting(path)?,
        None => of_the_system()?,
    };
    if let (Some(certificate), Some(key)) = (&account.client_cert_file, &account.client_key_file) {
        let shown = shown(certificate, key, config.crypto_provider()).map_err(|reason| {
            let (certificate, key) = (certificate.clone(), key.clone());
            Error::ClientCertificate { certificate, key, reason }
        })?;
        Arc::make_mut(&mut config).client_auth_cert_resolver = shown;
    }
    Ok(config)
}

fn of_the_system() -> Result<Arc<rustls::ClientConfig>, Error> {
    match TlsConfiguration::try_default_rustls().map_err(|error| Error::Tls(error.to_string()))? {
        TlsConfiguration::Rustls(config) => Ok(config),
        TlsConfiguration::Simple { .. } => Err(Error::Tls("they are of another kind".to_owned())),
    }
}

fn trusting(path: &Path) -> Result<Arc<rustls::ClientConfig>, Error> {
    let failed = |reason: String| Error::Certificates { path: PathBuf::from(path), reason };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(path).map_err(failed)? {
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    let config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

fn shown(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<dyn ResolvesClientCert>, String> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| error.to_string())?;
    let pair = CertifiedKey::from_der(chain, key, provider).map_err(|error| error.to_string())?;
    Ok(Arc::new(SingleCertAndKey::from(pair)))
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err("it holds no PEM certificate".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}
