//! Sources, storages and notifiers: what is named in the configuration and reaches out of the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check;
use super::notes::Notes;
use super::raw;
use crate::source::format::{Format, json};
use crate::source::{mqtt, webhook};
use crate::yaml::{Named, Place, Placed};
use crate::{notify, source, upload};

const MQTT_SCHEMES: [&str; 2] = ["mqtt", "mqtts"];
const HTTP_SCHEMES: [&str; 2] = ["http", "https"];

/// The longest client id, in bytes: what every broker takes is 23, and all that we know take this.
const MAX_CLIENT_ID_BYTES: usize = 256;

/// All named parts.
pub(super) struct Parts {
    host: String,
    /// Whether there is an address that webhooks could be reached at.
    listens: bool,
    pub(super) sources: BTreeMap<String, source::Settings>,
    pub(super) storages: BTreeMap<String, upload::Settings>,
    pub(super) notifiers: BTreeMap<String, notify::Settings>,
    /// Broker and client id of every client, with who has it.
    clients: BTreeMap<(String, String), String>,
    /// Paths of webhooks, with who has it.
    paths: BTreeMap<String, String>,
}

/// What a client of a broker is, wherever it stands.
struct Client<'r> {
    /// Such as `sources.plant`.
    owner: String,
    place: Place,
    url: &'r Placed<String>,
    client_id: Option<&'r Placed<String>>,
    default_id: String,
    username: Option<&'r String>,
    password_file: Option<&'r Placed<PathBuf>>,
    whole: bool,
}

impl Parts {
    pub(super) fn new(host: &str, listens: bool) -> Self {
        Self {
            host: host.to_owned(),
            listens,
            sources: BTreeMap::new(),
            storages: BTreeMap::new(),
            notifiers: BTreeMap::new(),
            clients: BTreeMap::new(),
            paths: BTreeMap::new(),
        }
    }

    pub(super) fn add_sources(&mut self, notes: &mut Notes, named: &Named<Placed<raw::Source>>) {
        for (name, source) in &named.0 {
            check_name(notes, name);
            let settings = match &source.value {
                raw::Source::Mqtt(raw) => {
                    source::Settings::Mqtt(self.mqtt_source(notes, name, raw, source.whole))
                }
                raw::Source::Webhook(raw) => {
                    source::Settings::Webhook(self.webhook_source(notes, name, raw))
                }
            };
            self.sources.insert(name.value.clone(), settings);
        }
    }

    fn mqtt_source(
        &mut self,
        notes: &mut Notes,
        name: &Placed<String>,
        raw: &raw::MqttSource,
        whole: bool,
    ) -> mqtt::Settings {
        let client_id = self.client(
            notes,
            &Client {
                owner: format!("sources.{}", name.value),
                place: name.place,
                url: &raw.url,
                client_id: raw.client_id.as_ref(),
                default_id: format!("hindsight-{}-{}", self.host, name.value),
                username: raw.username.as_ref(),
                password_file: raw.password_file.as_ref(),
                whole,
            },
        );
        if raw.topics.whole && raw.topics.value.is_empty() {
            notes.note(raw.topics.place, "no topic is named", "subscribe to one at least");
        }
        let topics = raw.topics.value.iter().map(|topic| {
            notes.refuse(topic.filter.place, check::topic_filter(&topic.filter.value));
            mqtt::Topic {
                filter: topic.filter.value.clone(),
                format: format(notes, topic.format, topic.fields.as_ref()),
            }
        });
        mqtt::Settings {
            topics: topics.collect(),
            url: raw.url.value.clone(),
            client_id,
            username: raw.username.clone(),
            password_file: notes.secret(raw.password_file.as_ref()),
            ca_file: notes.secret(raw.ca_file.as_ref()),
        }
    }

    fn webhook_source(
        &mut self,
        notes: &mut Notes,
        name: &Placed<String>,
        raw: &raw::WebhookSource,
    ) -> webhook::Settings {
        notes.refuse(raw.path.place, check::webhook_path(&raw.path.value));
        if let Some(other) = self.paths.insert(raw.path.value.clone(), name.value.clone()) {
            let message = format!("the source `{other}` has the path `{}` already", raw.path.value);
            notes.note(raw.path.place, message, "give each webhook a path of its own");
        }
        if !self.listens {
            let message = "a webhook can be reached at no address: control.listen is empty";
            notes.note(name.place, message, "give it one, as in listen: [\"127.0.0.1:9188\"]");
        }
        webhook::Settings {
            path: raw.path.value.clone(),
            format: format(notes, raw.format, raw.fields.as_ref()),
            bearer_file: notes.secret(raw.bearer_file.as_ref()),
        }
    }

    /// Checks what all clients of brokers have in common; gives the client id.
    fn client(&mut self, notes: &mut Notes, client: &Client<'_>) -> String {
        notes.refuse(client.url.place, check::url(&client.url.value, &MQTT_SCHEMES));
        if let (Some(password), None, true) = (client.password_file, client.username, client.whole)
        {
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

    /// `folder` is where relative paths start, if not at the file's folder.
    pub(super) fn add_storages(
        &mut self,
        notes: &mut Notes,
        named: &Named<Placed<raw::Storage>>,
        folder: Option<&Path>,
    ) {
        for (name, storage) in &named.0 {
            check_name(notes, name);
            let settings = match &storage.value {
                raw::Storage::Directory(raw) => upload::Settings::Directory {
                    path: match folder {
                        Some(folder) => folder.join(&raw.path.value),
                        None => notes.path(&raw.path.value),
                    },
                },
                raw::Storage::Azure(raw) => upload::Settings::Azure(azure(notes, storage, raw)),
                raw::Storage::S3(raw) => upload::Settings::S3(s3(notes, storage, raw)),
            };
            self.storages.insert(name.value.clone(), settings);
        }
    }

    pub(super) fn add_notifiers(
        &mut self,
        notes: &mut Notes,
        named: &Named<Placed<raw::Notifier>>,
    ) {
        for (name, notifier) in &named.0 {
            check_name(notes, name);
            let settings = match &notifier.value {
                raw::Notifier::Mqtt(raw) => {
                    notify::Settings::Mqtt(self.mqtt_notifier(notes, name, raw, notifier.whole))
                }
                raw::Notifier::Webhook(raw) => {
                    notify::Settings::Webhook(webhook_notifier(notes, notifier, raw))
                }
            };
            self.notifiers.insert(name.value.clone(), settings);
        }
    }

    fn mqtt_notifier(
        &mut self,
        notes: &mut Notes,
        name: &Placed<String>,
        raw: &raw::MqttNotifier,
        whole: bool,
    ) -> notify::MqttSettings {
        let client_id = self.client(
            notes,
            &Client {
                owner: format!("notifiers.{}", name.value),
                place: name.place,
                url: &raw.url,
                client_id: raw.client_id.as_ref(),
                default_id: format!("hindsight-{}-{}-notices", self.host, name.value),
                username: raw.username.as_ref(),
                password_file: raw.password_file.as_ref(),
                whole,
            },
        );
        let topic = raw.topic.value.replace("${host}", &self.host);
        if topic.contains("${") {
            notes.note(raw.topic.place, "unknown placeholder", "only `${host}` is known here");
        } else {
            notes.refuse(raw.topic.place, check::topic(&topic));
        }
        notify::MqttSettings {
            url: raw.url.value.clone(),
            topic,
            client_id,
            username: raw.username.clone(),
            password_file: notes.secret(raw.password_file.as_ref()),
            ca_file: notes.secret(raw.ca_file.as_ref()),
        }
    }
}

fn azure(
    notes: &mut Notes,
    storage: &Placed<raw::Storage>,
    raw: &raw::Azure,
) -> upload::AzureSettings {
    check_endpoint(notes, raw.endpoint.as_ref());
    match (&raw.account_key_file, &raw.sas_file) {
        (Some(_), Some(second)) => {
            notes.note(second.place, "there are two secrets", "keep account_key_file or sas_file");
        }
        (None, None) if storage.whole => {
            let hint = "add account_key_file or sas_file";
            notes.note(storage.place, "there is no secret for the account", hint);
        }
        _ => {}
    }
    upload::AzureSettings {
        account: raw.account.clone(),
        container: raw.container.clone(),
        endpoint: raw.endpoint.as_ref().map(|endpoint| endpoint.value.clone()),
        account_key_file: notes.secret(raw.account_key_file.as_ref()),
        sas_file: notes.secret(raw.sas_file.as_ref()),
    }
}

fn s3(notes: &mut Notes, storage: &Placed<raw::Storage>, raw: &raw::S3) -> upload::S3Settings {
    check_endpoint(notes, raw.endpoint.as_ref());
    match (&raw.access_key_id, &raw.secret_access_key_file) {
        (Some(id), None) if storage.whole => {
            notes.note(id.place, "the key has no secret", "add secret_access_key_file");
        }
        (None, Some(secret)) if storage.whole => {
            notes.note(secret.place, "the secret has no key", "add access_key_id");
        }
        _ => {}
    }
    upload::S3Settings {
        bucket: raw.bucket.clone(),
        region: raw.region.clone(),
        endpoint: raw.endpoint.as_ref().map(|endpoint| endpoint.value.clone()),
        access_key_id: raw.access_key_id.as_ref().map(|id| id.value.clone()),
        secret_access_key_file: notes.secret(raw.secret_access_key_file.as_ref()),
    }
}

fn webhook_notifier(
    notes: &mut Notes,
    notifier: &Placed<raw::Notifier>,
    raw: &raw::WebhookNotifier,
) -> notify::WebhookSettings {
    if let Some(url) = &raw.url {
        notes.refuse(url.place, check::url(&url.value, &HTTP_SCHEMES));
    }
    match (&raw.url, &raw.url_file) {
        (Some(_), Some(second)) => {
            notes.note(second.place, "there are two addresses", "keep url or url_file");
        }
        (None, None) if notifier.whole => {
            notes.note(notifier.place, "there is no address", "add url or url_file");
        }
        _ => {}
    }
    notify::WebhookSettings {
        url: raw.url.as_ref().map(|url| url.value.clone()),
        url_file: notes.secret(raw.url_file.as_ref()),
        bearer_file: notes.secret(raw.bearer_file.as_ref()),
    }
}

fn check_endpoint(notes: &mut Notes, endpoint: Option<&Placed<String>>) {
    if let Some(endpoint) = endpoint {
        notes.refuse(endpoint.place, check::url(&endpoint.value, &HTTP_SCHEMES));
    }
}

fn check_name(notes: &mut Notes, name: &Placed<String>) {
    if !check::is_name(&name.value) {
        let hint = "take lower-case letters, digits, `_` and `-`, at most 64";
        notes.note(name.place, format!("`{}` cannot be a name", name.value), hint);
    }
}

fn format(notes: &mut Notes, format: raw::Format, fields: Option<&Placed<raw::Fields>>) -> Format {
    match (format, fields) {
        (raw::Format::Json, fields) => {
            let raw = fields.map(|fields| fields.value.clone()).unwrap_or_default();
            Format::Json(json::Mapping {
                name: raw.name,
                status: raw.status,
                severity: raw.severity,
                value: raw.value,
                starts_at: raw.starts_at,
                fingerprint: raw.fingerprint,
                labels: raw.labels,
                annotations: raw.annotations,
            })
        }
        (raw::Format::Alertmanager, fields) => {
            if let Some(fields) = fields {
                let hint = "remove the key, or take `format: json`";
                notes.note(fields.place, "`fields` goes with the format json only", hint);
            }
            Format::Alertmanager
        }
    }
}
