//! The TCP addresses that the worker listens on, and how each is protected.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::notes::Notes;
use crate::yaml::Placed;

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    /// Absent: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Who may use the control API there. Absent: nobody, the API is not served at this address.
    pub tokens_file: Option<PathBuf>,
}

/// The files of a TLS listener, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and its authority.
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Authorities whose certificates clients may show. Absent: none is asked for.
    pub client_ca_file: Option<PathBuf>,
}

impl From<SocketAddr> for Listen {
    /// Plain HTTP, without the control API.
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None, tokens_file: None }
    }
}

/// An entry of the list: the address alone, or a mapping that has it.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum RawListen {
    Plain(String),
    Protected(RawProtected),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProtected {
    pub(super) address: Placed<String>,
    pub(super) tls: Option<Placed<RawTls>>,
    pub(super) tokens_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) cert_file: Placed<PathBuf>,
    pub(super) key_file: Placed<PathBuf>,
    pub(super) client_ca_file: Option<Placed<PathBuf>>,
}

impl<'de> Deserialize<'de> for RawListen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = RawListen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address to listen on, or a mapping that has it")
            }

            fn visit_str<E: Error>(self, address: &str) -> Result<RawListen, E> {
                Ok(RawListen::Plain(address.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawListen, A::Error> {
                RawProtected::deserialize(MapAccessDeserializer::new(map)).map(RawListen::Protected)
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

/// Checks the entries; those with a mistake are noted and left out.
pub(super) fn read(notes: &mut Notes, entries: &[Placed<RawListen>]) -> Vec<Listen> {
    let mut listen: Vec<Listen> = Vec::with_capacity(entries.len());
    for entry in entries {
        let (text, place) = match &entry.value {
            RawListen::Plain(text) => (text, entry.place),
            RawListen::Protected(raw) => (&raw.address.value, raw.address.place),
        };
        let Ok(address) = text.parse() else {
            let message = format!("`{text}` is no address to listen on");
            let hint = "write an IP address and a port, as in 127.0.0.1:9188 or [::]:9188";
            notes.note(place, message, hint);
            continue;
        };
        if listen.iter().any(|other| other.address == address) {
            notes.note(place, format!("`{text}` is named twice"), "name each address once");
        }
        listen.push(match &entry.value {
            RawListen::Plain(_) => Listen::from(address),
            RawListen::Protected(raw) => protected(notes, address, raw),
        });
    }
    listen
}

fn protected(notes: &mut Notes, address: SocketAddr, raw: &RawProtected) -> Listen {
    if let (Some(tokens), None, false) = (&raw.tokens_file, &raw.tls, address.ip().is_loopback()) {
        let message = "without TLS the tokens could be read on the network";
        notes.note(tokens.place, message, "add `tls`, or listen on a loopback address");
    }
    let tls = raw.tls.as_ref().map(|tls| {
        let tls = &tls.value;
        let mut file =
            |file: &Placed<PathBuf>| notes.secret(Some(file)).unwrap_or_else(|| file.value.clone());
        TlsFiles {
            cert_file: file(&tls.cert_file),
            key_file: file(&tls.key_file),
            client_ca_file: tls.client_ca_file.as_ref().map(file),
        }
    });
    Listen { address, tls, tokens_file: notes.secret(raw.tokens_file.as_ref()) }
}
