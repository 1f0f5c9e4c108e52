//! Notifiers: who is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::check;
use super::notes::Notes;
use super::parts::{Client, HTTP_SCHEMES, Parts, check_name, client_certificate};
use super::raw;
use crate::model::Kind;
use crate::notify;
use crate::yaml::{File, Named, Place, Placed};

const MAIL_SCHEMES: [&str; 3] = ["smtps", "smtp+starttls", "smtp"];

/// The header field of signatures where the configuration names none.
const SIGNATURE_HEADER: &str = "X-Hindsight-Signature";

/// The most header fields, and the most recipients, of one notifier.
const MAX_ITEMS: usize = 50;

impl Parts {
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
                raw::Notifier::Email(raw) => {
                    notify::Settings::Email(email_notifier(notes, notifier, raw))
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
                username_file: raw.username_file.as_ref(),
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
        let (certificate, key) = (raw.client_cert_file.as_ref(), raw.client_key_file.as_ref());
        let (client_cert_file, client_key_file) =
            client_certificate(notes, &raw.url, certificate, key, whole);
        notify::MqttSettings {
            url: raw.url.value.clone(),
            topic,
            client_id,
            username: raw.username.clone(),
            username_file: notes.secret(raw.username_file.as_ref()),
            password_file: notes.secret(raw.password_file.as_ref()),
            ca_file: notes.secret(raw.ca_file.as_ref()),
            client_cert_file,
            client_key_file,
            events: events(notes, raw.events.as_ref()),
        }
    }
}

/// The kinds of notices that are asked for; without a list, the usual ones.
fn events(notes: &mut Notes, listed: Option<&Placed<Vec<Placed<Kind>>>>) -> BTreeSet<Kind> {
    let Some(listed) = listed else {
        return notify::default_events();
    };
    let mut events = BTreeSet::new();
    for kind in &listed.value {
        if !events.insert(kind.value) {
            let message = format!("`{}` stands here twice", kind.value.word());
            notes.note(kind.place, message, "remove one");
        }
    }
    if events.is_empty() && listed.whole {
        notes.note(listed.place, "this notifier gets nothing", "name what it gets, or remove it");
    }
    events
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
    let events = events(notes, raw.events.as_ref());
    notify::WebhookSettings {
        url: raw.url.as_ref().map(|url| url.value.clone()),
        url_file: notes.secret(raw.url_file.as_ref()),
        bearer_file: notes.secret(raw.bearer_file.as_ref()),
        ca_file: notes.secret(raw.ca_file.as_ref()),
        template: webhook_template(notes, raw, &events),
        headers: headers(notes, raw),
        hmac: raw.hmac.as_ref().map(|hmac| signature(notes, hmac, raw)),
        events,
    }
}

fn webhook_template(
    notes: &mut Notes,
    raw: &raw::WebhookNotifier,
    events: &BTreeSet<Kind>,
) -> notify::Template {
    if let (Some(_), Some(second)) = (&raw.template, &raw.template_file) {
        notes.note(second.place, "there are two templates", "keep template or template_file");
    }
    match (&raw.template, &raw.template_file) {
        (_, Some(file)) => {
            notify::Template::File(template_file(notes, file, notify::Form::Json, events))
        }
        (Some(ours), None) => match ours.value {
            raw::Template::CloudEvent => notify::Template::CloudEvent,
            raw::Template::Slack => notify::Template::Slack,
            raw::Template::Teams => notify::Template::Teams,
        },
        (None, None) => notify::Template::CloudEvent,
    }
}

/// A template of the operator's, tried; its mistake is told with its place in the template.
fn template_file(
    notes: &mut Notes,
    file: &Placed<PathBuf>,
    form: notify::Form,
    events: &BTreeSet<Kind>,
) -> PathBuf {
    let path = notes.path(&file.value);
    if let Err((message, hint)) = check::readable(&path) {
        notes.note(file.place, message, hint);
    } else if let Err((mistake, source)) = notify::check_template(form, &path, events) {
        match mistake.place {
            Some((line, column)) => {
                let place = Place { line, column };
                notes.add([File::new(path.clone(), source).problem(place, mistake.message)]);
            }
            None => notes.note(file.place, format!("in this template: {}", mistake.message), None),
        }
    }
    path
}

fn headers(notes: &mut Notes, raw: &raw::WebhookNotifier) -> BTreeMap<String, notify::HeaderText> {
    let mut headers: BTreeMap<String, notify::HeaderText> = BTreeMap::new();
    let Some(named) = &raw.headers else {
        return headers;
    };
    for (index, (name, text)) in named.0.iter().enumerate() {
        if index == MAX_ITEMS {
            notes.note(name.place, format!("there are more than {MAX_ITEMS} header fields"), None);
            break;
        }
        notes.refuse(name.place, notify::check_header_name(&name.value));
        if headers.keys().any(|other| other.eq_ignore_ascii_case(&name.value)) {
            notes.note(name.place, "this header field stands here twice", "remove one");
        }
        if raw.bearer_file.is_some() && name.value.eq_ignore_ascii_case("authorization") {
            notes.note(name.place, "`bearer_file` makes this header field, too", "remove one");
        }
        let value = match &text.value {
            raw::HeaderText::Text(value) => {
                notes.refuse(text.place, notify::check_header_value(value));
                notify::HeaderText::Text(value.clone())
            }
            raw::HeaderText::Secret(secret) => match notes.secret(Some(&secret.file)) {
                Some(path) => notify::HeaderText::File(path),
                None => continue,
            },
        };
        headers.insert(name.value.clone(), value);
    }
    headers
}

fn signature(notes: &mut Notes, hmac: &raw::Signing, raw: &raw::WebhookNotifier) -> notify::Hmac {
    let named = raw.headers.iter().flat_map(|headers| &headers.0);
    let named: Vec<&str> = named.map(|(name, _)| name.value.as_str()).collect();
    let mut check = |name: &Placed<String>| {
        notes.refuse(name.place, notify::check_header_name(&name.value));
        if named.iter().any(|other| other.eq_ignore_ascii_case(&name.value)) {
            notes.note(name.place, "`headers` sets this header field, too", "remove one");
        }
        name.value.clone()
    };
    let header = hmac.header.as_ref().map_or_else(|| SIGNATURE_HEADER.to_owned(), &mut check);
    let timestamp_header = hmac.timestamp_header.as_ref().map(check);
    if let (Some(place), Some(time)) = (&hmac.timestamp_header, &timestamp_header)
        && header.eq_ignore_ascii_case(time)
    {
        notes.note(place.place, "this is the header field of the signature", "take another");
    }
    let secret_file = notes.secret(Some(&hmac.secret_file));
    let secret_file = secret_file.unwrap_or_else(|| hmac.secret_file.value.clone());
    notify::Hmac { secret_file, header, timestamp_header }
}

fn email_notifier(
    notes: &mut Notes,
    notifier: &Placed<raw::Notifier>,
    raw: &raw::EmailNotifier,
) -> notify::EmailSettings {
    let url = &raw.url;
    match check::url(&url.value, &MAIL_SCHEMES) {
        Ok(()) => notes.refuse(url.place, notify::check_server(&url.value)),
        Err(message) => notes.note(url.place, message, None),
    }
    for mailbox in std::iter::once(&raw.from).chain(&raw.to.value.0) {
        notes.refuse(mailbox.place, notify::check_mailbox(&mailbox.value));
    }
    let recipients = raw.to.value.0.len();
    if recipients == 0 && raw.to.whole {
        notes.note(raw.to.place, "there is no recipient", "add a mail address");
    } else if recipients > MAX_ITEMS {
        notes.note(raw.to.place, format!("there are more than {MAX_ITEMS} recipients"), None);
    }
    match (&raw.username, &raw.password_file) {
        (Some(lone), None) if notifier.whole => {
            notes.note(lone.place, "a user needs a `password_file`", "add the key");
        }
        (None, Some(lone)) if notifier.whole => {
            notes.note(lone.place, "a password needs a `username`", "add the key");
        }
        (Some(_), Some(password)) if url.value.starts_with("smtp://") => {
            let message = "`smtp://` would send this password unencrypted";
            notes.note(password.place, message, "write smtps:// or smtp+starttls://");
        }
        _ => {}
    }
    let events = events(notes, raw.events.as_ref());
    let mut template = |file: &Option<Placed<PathBuf>>, form| {
        file.as_ref().map(|file| template_file(notes, file, form, &events))
    };
    let text_template_file = template(&raw.text_template_file, notify::Form::Text);
    let html_template_file = template(&raw.html_template_file, notify::Form::Html);
    notify::EmailSettings {
        url: url.value.clone(),
        from: raw.from.value.clone(),
        to: raw.to.value.0.iter().map(|to| to.value.clone()).collect(),
        username: raw.username.as_ref().map(|username| username.value.clone()),
        password_file: notes.secret(raw.password_file.as_ref()),
        ca_file: notes.secret(raw.ca_file.as_ref()),
        text_template_file,
        html_template_file,
        events,
    }
}
