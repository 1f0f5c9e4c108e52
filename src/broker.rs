//! An MQTT broker: where it is, how we sign in to it, and what its refusals mean.
//!
//! Sources and notifiers both speak to brokers, each with a client of its own; what they share is here:
//! an address as users write it, an account whose secrets are read anew at each connection, TLS. No
//! password is ever part of an error or of Debug output.

mod address;
mod ending;
mod tls;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{MqttOptions, TlsConfiguration, Transport};
use rumqttc_v4::MqttOptions as MqttOptionsV4;
use rustls::pki_types::ServerName;

pub use address::Address;

/// What we publish and what is not acknowledged yet: more than the outbox sends at one time. The
/// client holds a table of this size; for all 65,535 it would take 14 MiB.
pub const MAX_UNDER_WAY: u16 = 64;

/// How long setting up a connection may take: name, TCP, TLS, CONNACK.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After how much silence we ping. The broker gives us up after one and a half of it.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// [`KEEP_ALIVE`] as CONNECT carries it, in seconds.
const KEEP_ALIVE_S: u16 = 30;

/// The longest name of a user or password, in bytes. Source: MQTT 5, 1.5.4 and 1.5.6.
const MAX_TEXT_BYTES: u64 = 65_535;

/// Why no connection can be tried, or why one ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "'{0}' is not a broker's address; write mqtt://HOST[:1883] or mqtts://HOST[:8883], with user \
         and password in username and password_file"
    )]
    NotAnAddress(String),
    #[error("cannot read the {what} file {}: {source}", path.display())]
    Secret { what: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot read the certificates in {}: {reason}", path.display())]
    Certificates { path: PathBuf, reason: String },
    #[error("cannot use the client certificate in {} with the key in {}: {reason}", certificate.display(), key.display())]
    ClientCertificate { certificate: PathBuf, key: PathBuf, reason: String },
    #[error("cannot set up TLS with the system's certificates: {0}; ca_file names others")]
    Tls(String),
    /// The connection could not be made, or ended.
    #[error("{0}")]
    Connection(String),
}

/// Which MQTT is spoken. Brokers know both; some know the older one only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5.
    #[default]
    V5,
    /// MQTT 3.1.1.
    V311,
}

/// Who we are at a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub address: Address,
    pub client_id: String,
    pub username: Option<String>,
    /// Instead of `username`.
    pub username_file: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The PEM certificate that we show, with those between it and its authority. Only with
    /// `client_key_file`, and only over TLS.
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
}

/// What TLS towards a broker takes.
#[derive(Clone, Debug)]
pub struct Tls {
    pub config: Arc<rustls::ClientConfig>,
    /// Whose certificate the broker has to show.
    pub server: ServerName<'static>,
}

/// Name and password, as far as there are any.
struct Credentials {
    username: Option<String>,
    password: Option<String>,
}

impl Account {
    /// Options for one connection with MQTT 5. Blocking: reads the secrets and the certificates, so
    /// that new ones are picked up.
    ///
    /// # Errors
    /// A file cannot be read, or holds no certificate.
    pub fn options(&self) -> Result<MqttOptions, Error> {
        let broker = rumqttc::Broker::tcp(self.address.host.clone(), self.address.port);
        let mut options = MqttOptions::new(self.client_id.clone(), broker);
        options.set_keep_alive(KEEP_ALIVE_S);
        options.set_connect_timeout(CONNECT_TIMEOUT);
        options.set_outgoing_inflight_upper_limit(MAX_UNDER_WAY);
        if self.address.encrypted {
            let tls = TlsConfiguration::Rustls(tls::configuration(self)?);
            options.set_transport(Transport::tls_with_config(tls));
        }
        let Credentials { username, password } = self.credentials()?;
        match (username, password) {
            (Some(username), Some(password)) => {
                options.set_credentials(username, password);
            }
            (Some(username), None) => {
                options.set_username(username);
            }
            (None, Some(password)) => {
                options.set_password(password);
            }
            (None, None) => {}
        }
        Ok(options)
    }

    /// As [`options`](Self::options), for MQTT 3.1.1, without TLS: whoever connects adds it. That version
    /// knows no password without a name: it is then not sent.
    ///
    /// # Errors
    /// A file cannot be read, or holds no certificate.
    pub fn options_v311(&self) -> Result<MqttOptionsV4, Error> {
        let broker = rumqttc_v4::Broker::tcp(self.address.host.clone(), self.address.port);
        let mut options = MqttOptionsV4::new(self.client_id.clone(), broker);
        options.set_keep_alive(KEEP_ALIVE_S);
        let Credentials { username, password } = self.credentials()?;
        match (username, password) {
            (Some(username), Some(password)) => {
                options.set_credentials(username, password);
            }
            (Some(username), None) => {
                options.set_username(username);
            }
            (None, _) => {}
        }
        Ok(options)
    }

    /// TLS towards the broker, where its address asks for it. Blocking: reads the certificates.
    ///
    /// # Errors
    /// A file cannot be read, or holds no certificate.
    pub fn tls(&self) -> Result<Option<Tls>, Error> {
        if !self.address.encrypted {
            return Ok(None);
        }
        let host = self.address.host.trim_start_matches('[').trim_end_matches(']');
        let server = ServerName::try_from(host.to_owned())
            .map_err(|error| Error::Connection(format!("'{host}' is no name for TLS: {error}")))?;
        Ok(Some(Tls { config: tls::configuration(self)?, server }))
    }

    fn credentials(&self) -> Result<Credentials, Error> {
        let username = match &self.username_file {
            Some(path) => Some(secret("user name", path)?),
            None => self.username.clone(),
        };
        let password = self.password_file.as_deref().map(|path| secret("password", path));
        Ok(Credentials { username, password: password.transpose()? })
    }
}

/// The content of the file without the line end that editors put there.
fn secret(what: &'static str, path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Secret { what, path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > MAX_TEXT_BYTES {
        let reason = format!("it has {size} bytes; at most {MAX_TEXT_BYTES} can be sent");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, reason)));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(url: &str) -> Account {
        Account {
            address: url.parse().unwrap(),
            client_id: "hindsight-edge-7-plant".into(),
            username: None,
            username_file: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
        }
    }

    #[test]
    fn the_password_is_read_anew_for_each_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let account = Account {
            username: Some("u".into()),
            password_file: Some(path.clone()),
            ..account("mqtt://b")
        };
        for secret in ["first", "second"] {
            fs::write(&path, format!("{secret}\n")).unwrap();
            let options = account.options().unwrap();
            assert!(format!("{:?}", options.auth()).contains(secret));
            assert!(!format!("{account:?}").contains(secret));
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let missing = PathBuf::from("/nonexistent/secret");
        let without = Account { password_file: Some(missing.clone()), ..account("mqtt://b") };
        let error = without.options().unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read the password file /nonexistent/secret: "),
            "{error}"
        );
        let without = Account { ca_file: Some(missing), ..account("mqtts://b") };
        let error = without.options().unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read the certificates in /nonexistent/secret: "),
            "{error}"
        );
    }
}
