//! Notices: CloudEvents over MQTT and HTTP, at least once, with a stable idempotency key.
//!
//! One attempt is one call of [`Notifiers::send`]; whether and when to try again is the outbox's
//! business, which asks [`Error::is_transient`]. Success means that the other side has confirmed: a PUBACK
//! or a 2xx. Knows nothing of captures beyond what a notice says.

mod cloudevent;
mod mqtt;
mod webhook;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::broker;
use crate::model::Notice;

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of one named notifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    Mqtt(MqttSettings),
    Webhook(WebhookSettings),
}

/// Notices to a topic of an MQTT broker, QoS 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSettings {
    /// `mqtt://host:1883` or `mqtts://host:8883`.
    pub url: String,
    /// The topic, complete.
    pub topic: String,
    pub client_id: String,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

/// Notices by HTTP POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The address; not both of these are given.
    pub url: Option<String>,
    /// A file that holds the address, for addresses that are secrets.
    pub url_file: Option<PathBuf>,
    pub bearer_file: Option<PathBuf>,
}

/// Why a notifier cannot be set up, or why a notice was not delivered. Holds no credential and no
/// address that came from a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no notifier is called '{0}'; the configuration names the notifiers")]
    Unknown(String),
    #[error("notifier {name}: {problem}")]
    Setup { name: String, problem: String },
    #[error(transparent)]
    Broker(#[from] broker::Error),
    #[error("the broker cannot be reached: {0}")]
    NoBroker(String),
    #[error("not confirmed within {} s", PATIENCE.as_secs())]
    Unconfirmed,
    #[error("the connection ended before the notice was confirmed: {0}")]
    Interrupted(String),
    /// The broker's answer; `for_good` where it will be the same the next time.
    #[error("the broker refuses the notice: {reason}")]
    Refused { reason: String, for_good: bool },
    #[error("cannot read {what} from {}: {reason}", path.display())]
    Secret { what: &'static str, path: PathBuf, reason: String },
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(String),
    #[error("the receiver answers {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Status { status: u16, text: String },
}

impl Error {
    /// Whether the same notice may be delivered later without anybody changing anything. Files can be
    /// put right while we run, so they count as passing.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Broker(_)
            | Self::NoBroker(_)
            | Self::Unconfirmed
            | Self::Interrupted(_)
            | Self::Secret { .. }
            | Self::Unreachable(_) => true,
            Self::Unknown(_) | Self::Setup { .. } => false,
            Self::Refused { for_good, .. } => !*for_good,
            // What is wrong with this very notice stays so. A path, a token or a right is put right at
            // the receiver, and whatever is 5xx is the receiver's own trouble.
            Self::Status { status, .. } => {
                !matches!(*status, 400 | 405 | 410 | 411 | 413..=415 | 422)
            }
        }
    }
}

/// All configured notifiers, by name.
#[derive(Debug)]
pub struct Notifiers(BTreeMap<String, Notifier>);

#[derive(Debug)]
enum Notifier {
    Mqtt(mqtt::Publisher),
    Webhook(webhook::Sender),
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
                    Notifier::Webhook(webhook::Sender::new(name, settings)?)
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
            None => Err(Error::Unknown(notice.notifier.clone())),
        }
    }

    /// The name of every notifier, and its kind: `mqtt` or `webhook`.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.0.iter().map(|(name, notifier)| match notifier {
            Notifier::Mqtt(_) => (name.as_str(), "mqtt"),
            Notifier::Webhook(_) => (name.as_str(), "webhook"),
        })
    }

    /// Says good-bye to the brokers. Bounded.
    pub async fn shutdown(self) {
        for notifier in self.0.into_values() {
            match notifier {
                Notifier::Mqtt(publisher) => publisher.shutdown().await,
                Notifier::Webhook(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        let status = |status| Error::Status { status, text: String::new() }.is_transient();
        assert!([302, 401, 403, 404, 408, 429, 500, 502, 503, 504].into_iter().all(status));
        assert!(![400, 405, 410, 413, 415, 422].into_iter().any(status));
        assert!(!Error::Unknown("x".into()).is_transient());
        assert!(Error::Unconfirmed.is_transient());
    }
}
