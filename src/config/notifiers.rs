//! Notifiers: who is told.

use super::check;
use super::notes::Notes;
use super::parts::{Client, HTTP_SCHEMES, Parts, check_name};
use super::raw;
use crate::notify;
use crate::yaml::{Named, Placed};

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
