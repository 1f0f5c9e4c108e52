//! What sources, storages and notifiers have in common: names, and clients of brokers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::check;
use super::notes::Notes;
use crate::yaml::{Place, Placed};
use crate::{notify, source, upload};

const MQTT_SCHEMES: [&str; 2] = ["mqtt", "mqtts"];
pub(super) const HTTP_SCHEMES: [&str; 2] = ["http", "https"];

/// The longest client id, in bytes: what every broker takes is 23, and all that we know take this.
const MAX_CLIENT_ID_BYTES: usize = 256;

/// All named parts.
pub(super) struct Parts {
    pub(super) host: String,
    /// Whether there is an address that webhooks could be reached at.
    pub(super) listens: bool,
    /// Whether clients can show a certificate at one of them.
    pub(super) takes_certificates: bool,
    pub(super) sources: BTreeMap<String, source::Settings>,
    pub(super) storages: BTreeMap<String, upload::Settings>,
    pub(super) notifiers: BTreeMap<String, notify::Settings>,
    /// Broker and client id of every client, with who has it.
    clients: BTreeMap<(String, String), String>,
    /// Paths of webhooks, with who has it.
    pub(super) paths: BTreeMap<String, String>,
}

/// What a client of a broker is, wherever it stands.
pub(super) struct Client<'r> {
    /// Such as `sources.plant`.
    pub(super) owner: String,
    pub(super) place: Place,
    pub(super) url: &'r Placed<String>,
    pub(super) client_id: Option<&'r Placed<String>>,
    pub(super) default_id: String,
    pub(super) username: Option<&'r String>,
    pub(super) username_file: Option<&'r Placed<PathBuf>>,
    pub(super) password_file: Option<&'r Placed<PathBuf>>,
    pub(super) whole: bool,
}

impl Parts {
    pub(super) fn new(host: &str, listens: bool, takes_certificates: bool) -> Self {
        Self {
            host: host.to_owned(),
            listens,
            takes_certificates,
            sources: BTreeMap::new(),
            storages: BTreeMap::new(),
            notifiers: BTreeMap::new(),
            clients: BTreeMap::new(),
            paths: BTreeMap::new(),
        }
    }

    /// Checks what all clients of brokers have in common; gives the client id.
    pub(super) fn client(&mut self, notes: &mut Notes, client: &Client<'_>) -> String {
        notes.refuse(client.url.place, check::url(&client.url.value, &MQTT_SCHEMES));
        let user = (client.username, client.username_file);
        if let (Some(_), Some(file)) = user {
            notes.note(file.place, "there are two user names", "keep username or username_file");
        }
        if let (Some(password), (None, None), true) = (client.password_file, user, client.whole) {
            notes.note(password.place, "a password needs a `username`", "add the key");
        }
        let (id, place) = match client.client_id {
            Some(id) => (id.value.clone(), id.place),
            None => (client.default_id.clone(), client.place),
        };
        let has_right_form =
            !id.is_empty() && id.len() <= MAX_CLIENT_ID_BYTES && !id.chars().any(char::is_control);
        if !has_right_form {
            let hint = format!("take 1 to {MAX_CLIENT_ID_BYTES} printable characters");
            notes.note(place, "this cannot be a client id", hint);
        }
        let key = (client.url.value.clone(), id.clone());
        if let Some(other) = self.clients.insert(key, client.owner.clone()) {
            let message = format!("{other} has the client id `{id}` at this broker already");
            notes.note(place, message, "two clients with one id disconnect each other");
        }
        id
    }
}

/// The certificate that a client shows, and its key: both or none, and only where there is TLS.
pub(super) fn client_certificate(
    notes: &mut Notes,
    url: &Placed<String>,
    certificate: Option<&Placed<PathBuf>>,
    key: Option<&Placed<PathBuf>>,
    whole: bool,
) -> (Option<PathBuf>, Option<PathBuf>) {
    match (certificate, key) {
        (Some(certificate), None) if whole => {
            notes.note(certificate.place, "a certificate needs its key", "add `client_key_file`");
        }
        (None, Some(key)) if whole => {
            notes.note(key.place, "a key needs its certificate", "add `client_cert_file`");
        }
        (Some(certificate), _) if url.value.starts_with("mqtt://") => {
            let message = "a certificate is shown over TLS only";
            notes.note(certificate.place, message, "write the address with mqtts://");
        }
        _ => {}
    }
    (notes.secret(certificate), notes.secret(key))
}

pub(super) fn check_name(notes: &mut Notes, name: &Placed<String>) {
    if !check::is_name(&name.value) {
        let hint = "take lower-case letters, digits, `_` and `-`, at most 64";
        notes.note(name.place, format!("`{}` cannot be a name", name.value), hint);
    }
}
