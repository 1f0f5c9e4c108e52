//! Sources: what events come through.

use super::check;
use super::notes::Notes;
use super::parts::{Client, Parts, check_name};
use super::raw;
use crate::source;
use crate::source::format::{Format, json};
use crate::source::{mqtt, webhook};
use crate::yaml::{Named, Placed};

impl Parts {
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
}

fn format(notes: &mut Notes, format: raw::Format, fields: Option<&Placed<raw::Fields>>) -> Format {
    let fixed = match format {
        raw::Format::Auto => Format::Auto,
        raw::Format::Alertmanager => Format::Alertmanager,
        raw::Format::Azure => Format::Azure,
        raw::Format::CloudEvents => Format::CloudEvents,
        raw::Format::Telegraf => Format::Telegraf,
        raw::Format::Suricata => Format::Suricata,
        raw::Format::Json => return Format::Json(mapping(fields)),
    };
    if let Some(fields) = fields {
        let hint = "remove the key, or take `format: json`";
        notes.note(fields.place, "`fields` goes with the format json only", hint);
    }
    fixed
}

fn mapping(fields: Option<&Placed<raw::Fields>>) -> json::Mapping {
    let raw = fields.map(|fields| fields.value.clone()).unwrap_or_default();
    json::Mapping {
        name: raw.name,
        status: raw.status,
        severity: raw.severity,
        value: raw.value,
        starts_at: raw.starts_at,
        fingerprint: raw.fingerprint,
        labels: raw.labels,
        annotations: raw.annotations,
    }
}
