//! Notices: as CloudEvents over MQTT and HTTP, in the words of chats over HTTP, and by mail; at least
//! once, with a stable idempotency key.
//!
//! One attempt is one call of [`Notifiers::send`]; whether and when to try again is the outbox's
//! business, which asks [`Error::is_transient`]. Success means that the other side has confirmed: a PUBACK,
//! a 2xx or the mail server's answer to all of the mail. Knows nothing of captures beyond what a notice says.

mod cloudevent;
mod email;
mod error;
mod mqtt;
mod plain;
mod samples;
mod secret;
mod settings;
mod signature;
mod template;
mod view;
mod webhook;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::Notice;

pub use email::{check_mailbox, check_server};
pub use error::Error;
pub use settings::{
    EmailSettings, HeaderText, Hmac, MqttSettings, Settings, Template, WebhookSettings,
    default_events,
};
pub use template::{Form, Mistake, check as check_template};
pub use webhook::{check_header_name, check_header_value};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// All configured notifiers, by name.
#[derive(Debug)]
pub struct Notifiers(BTreeMap<String, Notifier>);

#[derive(Debug)]
enum Notifier {
    Mqtt(mqtt::Publisher),
    Webhook(Box<webhook::Sender>),
    Email(Box<email::Mailer>),
}

impl Notifiers {
    /// Sets all of them up; MQTT ones begin to connect. To be called on the async runtime, once the
    /// process has its TLS provider. Blocking: reads files.
    ///
    /// # Errors
    /// Settings that can never work, or a file that cannot be read.
    pub fn build(settings: &BTreeMap<String, Settings>) -> Result<Self, Error> {
        let built = settings.iter().map(|(name, settings)| {
            let notifier = match settings {
                Settings::Mqtt(settings) => Notifier::Mqtt(mqtt::Publisher::start(name, settings)?),
                Settings::Webhook(settings) => {
                    Notifier::Webhook(Box::new(webhook::Sender::new(name, settings)?))
                }
                Settings::Email(settings) => {
                    Notifier::Email(Box::new(email::Mailer::new(name, settings)?))
                }
            };
            Ok((name.clone(), notifier))
        });
        built.collect::<Result<_, _>>().map(Self)
    }

    /// Sends a notice to its notifier; Ok once the other side has confirmed it. Takes at most about
    /// half a minute.
    ///
    /// # Errors
    /// It was not confirmed; it may have arrived all the same.
    pub async fn send(&self, notice: &Notice) -> Result<(), Error> {
        match self.0.get(&notice.notifier) {
            Some(Notifier::Mqtt(publisher)) => publisher.send(notice).await,
            Some(Notifier::Webhook(sender)) => sender.send(notice).await,
            Some(Notifier::Email(mailer)) => mailer.send(notice).await,
            None => Err(Error::Unknown(notice.notifier.clone())),
        }
    }

    /// The name of every notifier, and its kind: `mqtt`, `webhook` or `email`.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.0.iter().map(|(name, notifier)| match notifier {
            Notifier::Mqtt(_) => (name.as_str(), "mqtt"),
            Notifier::Webhook(_) => (name.as_str(), "webhook"),
            Notifier::Email(_) => (name.as_str(), "email"),
        })
    }

    /// Says good-bye to the brokers. Bounded.
    pub async fn shutdown(self) {
        for notifier in self.0.into_values() {
            match notifier {
                Notifier::Mqtt(publisher) => publisher.shutdown().await,
                Notifier::Webhook(_) | Notifier::Email(_) => {}
            }
        }
    }
}
