//! An MQTT broker: where it is, how we sign in to it, and what its refusals mean.
//!
//! Sources and notifiers both speak to brokers, each with a client of its own; what they share is here:
//! an address as users write it, an account whose secrets are read anew at each connection, TLS. No
//! password is ever part of an error or of Debug output.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::{Broker, ConnectionError, MqttOptions, StateError, TlsConfiguration, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// How long setting up a connection may take: name, TCP, TLS, CONNACK.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After how much silence we ping. The broker gives us up after one and a half of it.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// [`KEEP_ALIVE`] as CONNECT carries it, in seconds.
const KEEP_ALIVE_S: u16 = 30;

/// Why no connection can be tried, or why one ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "'{0}' is not a broker's address; write mqtt://HOST[:1883] or mqtts://HOST[:8883], with user \
         and password in username and password_file"
    )]
    NotAnAddress(String),
    #[error("cannot read the password file {}: {source}", path.display())]
    Password { path: PathBuf, source: io::Error },
    #[error("cannot read the certificates in {}: {reason}", path.display())]
    Certificates { path: PathBuf, reason: String },
    #[error("cannot set up TLS with the system's certificates: {0}; ca_file names others")]
    Tls(String),
    /// The connection could not be made, or ended.
    #[error("{0}")]
    Connection(String),
}

/// Where a broker is: `mqtt://host:1883`, or `mqtts://host:8883` for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    encrypted: bool,
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        parse(url).ok_or_else(|| {
            // What stands before an @ may be a password.
            let shown = url.rsplit('@').next().unwrap_or_default();
            Error::NotAnAddress(shown.chars().filter(|c| !c.is_control()).take(128).collect())
        })
    }
}

fn parse(url: &str) -> Option<Address> {
    let (scheme, rest) = url.split_once("://")?;
    let (encrypted, usual_port) = match scheme {
        "mqtt" => (false, 1883),
        "mqtts" => (true, 8883),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // A bracketed IPv6 address holds colons of its own.
    let end_of_host = rest.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match rest[end_of_host..].rfind(':') {
        Some(colon) => {
            let (host, port) = rest.split_at(end_of_host + colon);
            (host, port[1..].parse().ok().filter(|port| *port != 0)?)
        }
        None => (rest, usual_port),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_address = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
    let valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.chars().all(is_address),
        None => !host.is_empty() && host.chars().all(is_plain),
    };
    valid.then(|| Address { host: host.to_owned(), port, encrypted })
}

/// Who we are at a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub address: Address,
    pub client_id: String,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Account {
    /// Options for one connection. Blocking: reads the password and the certificates, so that new
    /// ones are picked up.
    ///
    /// # Errors
    /// A file cannot be read, or holds no certificate.
    pub fn options(&self) -> Result<MqttOptions, Error> {
        let Address { host, port, encrypted } = &self.address;
        let mut options =
            MqttOptions::new(self.client_id.clone(), Broker::tcp(host.clone(), *port));
        options.set_keep_alive(KEEP_ALIVE_S);
        options.set_connect_timeout(CONNECT_TIMEOUT);
        if *encrypted {
            options.set_transport(Transport::tls_with_config(self.tls()?));
        }
        match (&self.username, &self.password_file) {
            (Some(username), Some(path)) => {
                options.set_credentials(username.clone(), password(path)?);
            }
            (Some(username), None) => {
                options.set_username(username.clone());
            }
            (None, Some(path)) => {
                options.set_password(password(path)?);
            }
            (None, None) => {}
        }
        Ok(options)
    }

    fn tls(&self) -> Result<TlsConfiguration, Error> {
        let Some(path) = &self.ca_file else {
            return TlsConfiguration::try_default_rustls()
                .map_err(|error| Error::Tls(error.to_string()));
        };
        let failed = |reason: String| Error::Certificates { path: path.clone(), reason };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?
        {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(failed("it holds no PEM certificate".to_owned()));
        }
        let config =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConfiguration::Rustls(Arc::new(config)))
    }
}

/// The content of the file without the line end that editors put there.
fn password(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path)
        .map_err(|source| Error::Password { path: path.to_owned(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// What the end of a connection means, with the remedy where there is one.
#[expect(clippy::wildcard_enum_match_arm, reason = "the client's own words serve for the rest")]
impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(match error {
            ConnectionError::ConnectionRefused(code) => refusal(code),
            ConnectionError::Io(error) => error.to_string(),
            ConnectionError::Timeout(_) => {
                format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())
            }
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
                dismissal(reason_code)
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) => {
                "the broker closed the connection".to_owned()
            }
            ConnectionError::MqttState(StateError::AwaitPingResp) => {
                format!("the broker did not answer a ping for {KEEP_ALIVE_S} s")
            }
            other => other.to_string(),
        })
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the protocol's name of the rest says enough")]
fn refusal(code: ConnectReturnCode) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            "the broker refuses this account; check username and password_file".to_owned()
        }
        ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid => {
            "the broker refuses this client_id".to_owned()
        }
        ConnectReturnCode::RefusedProtocolVersion
        | ConnectReturnCode::UnsupportedProtocolVersion => {
            "the broker does not speak MQTT 5".to_owned()
        }
        other => format!("the broker refuses the connection: {other:?}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the protocol's name of the rest says enough")]
fn dismissal(code: DisconnectReasonCode) -> String {
    match code {
        DisconnectReasonCode::SessionTakenOver => {
            "another client took the session over; give each worker a client_id of its own"
                .to_owned()
        }
        other => format!("the broker ended the connection: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(url: &str) -> Account {
        Account {
            address: url.parse().unwrap(),
            client_id: "hindsight-edge-7-plant".into(),
            username: None,
            password_file: None,
            ca_file: None,
        }
    }

    #[test]
    fn addresses_read_as_people_write_them() {
        let parsed = |url: &str| {
            let address: Address = url.parse().ok()?;
            Some((address.host, address.port, address.encrypted))
        };
        assert_eq!(parsed("mqtt://broker"), Some(("broker".into(), 1883, false)));
        assert_eq!(parsed("mqtts://b.example:884/"), Some(("b.example".into(), 884, true)));
        assert_eq!(parsed("mqtt://[::1]"), Some(("[::1]".into(), 1883, false)));
        assert_eq!(parsed("mqtt://[fe80::1]:99"), Some(("[fe80::1]".into(), 99, false)));
        for wrong in [
            "broker:1883",
            "http://broker",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://broker:0",
            "mqtt://broker:70000",
            "mqtt://broker/path",
            "mqtt://broker?x=1",
            "mqtt://[::1",
            "mqtt://::1",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let error = "mqtt://user:hunter2@broker".parse::<Address>().unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains("password_file"), "{error}");
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
