//! What a file may say of notifiers.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::model::Kind;
use crate::yaml::{List, Named, Placed};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Notifier {
    Mqtt(Box<MqttNotifier>),
    Webhook(Box<WebhookNotifier>),
    Email(Box<EmailNotifier>),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct MqttNotifier {
    pub(in crate::config) url: Placed<String>,
    pub(in crate::config) topic: Placed<String>,
    pub(in crate::config) client_id: Option<Placed<String>>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) username_file: Option<Placed<PathBuf>>,
    pub(in crate::config) password_file: Option<Placed<PathBuf>>,
    pub(in crate::config) ca_file: Option<Placed<PathBuf>>,
    pub(in crate::config) client_cert_file: Option<Placed<PathBuf>>,
    pub(in crate::config) client_key_file: Option<Placed<PathBuf>>,
    pub(in crate::config) events: Option<Placed<Vec<Placed<Kind>>>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct WebhookNotifier {
    pub(in crate::config) url: Option<Placed<String>>,
    pub(in crate::config) url_file: Option<Placed<PathBuf>>,
    pub(in crate::config) bearer_file: Option<Placed<PathBuf>>,
    pub(in crate::config) ca_file: Option<Placed<PathBuf>>,
    pub(in crate::config) template: Option<Placed<Template>>,
    pub(in crate::config) template_file: Option<Placed<PathBuf>>,
    pub(in crate::config) headers: Option<Named<Placed<HeaderText>>>,
    pub(in crate::config) hmac: Option<Signing>,
    pub(in crate::config) events: Option<Placed<Vec<Placed<Kind>>>>,
}

/// A template of ours.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Template {
    CloudEvent,
    Slack,
    Teams,
}

/// The value of a header field: a text, or `{ file: PATH }`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum HeaderText {
    Text(String),
    Secret(HeaderFile),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HeaderFile {
    pub(in crate::config) file: Placed<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Signing {
    pub(in crate::config) secret_file: Placed<PathBuf>,
    pub(in crate::config) header: Option<Placed<String>>,
    pub(in crate::config) timestamp_header: Option<Placed<String>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct EmailNotifier {
    pub(in crate::config) url: Placed<String>,
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) to: Placed<List<Placed<String>>>,
    pub(in crate::config) username: Option<Placed<String>>,
    pub(in crate::config) password_file: Option<Placed<PathBuf>>,
    pub(in crate::config) ca_file: Option<Placed<PathBuf>>,
    pub(in crate::config) text_template_file: Option<Placed<PathBuf>>,
    pub(in crate::config) html_template_file: Option<Placed<PathBuf>>,
    pub(in crate::config) events: Option<Placed<Vec<Placed<Kind>>>>,
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = HeaderText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or { file: PATH }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HeaderText, E> {
                Ok(HeaderText::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HeaderText, A::Error> {
                HeaderFile::deserialize(MapAccessDeserializer::new(map)).map(HeaderText::Secret)
            }
        }

        deserializer.deserialize_any(Forms)
    }
}
