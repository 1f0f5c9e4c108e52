//! Events from an MQTT broker: QoS 1, persistent session, acknowledged after the commit.
//!
//! A message is acknowledged, in the order of arrival, once the worker has answered its delivery. What
//! was not acknowledged when a connection ends comes again on the next one, because the broker keeps
//! the session.
//!
//! Each connection has a client of its own, and its acknowledgements live and die with it: an answer
//! that comes late can never acknowledge a message of a later connection, whose packet ids the broker
//! has used anew.
//!
//! Back pressure. There is room for a bounded number of messages and bytes that wait for the worker;
//! without room the socket is not read, so the broker (and TCP) holds the rest. Acknowledgements are
//! handed to the client without waiting, so the task that polls it never waits for itself. Without
//! reading there are no pings either: when no room comes for as long as a
//! keep alive, before the broker would give us up, the connection is closed, and opened again once the worker has answered what it has.
//!
//! The versions of MQTT differ in [`client`] only. Whether the broker still had our session goes to the
//! worker before anything is received in it.
//!
//! Invariant: no PUBACK before the worker's answer. Knows nothing of rules or captures.

mod acks;
mod client;
mod connection;
mod health;
mod room;
mod skim;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::backoff::Backoff;
use crate::broker::{self, Account};
use crate::clock;
use crate::model::Health;
use crate::random;

use super::format::Format;
use super::{Content, Delivery};
use acks::Acks;
use connection::Connection;
use health::Reporter;
use room::Room;

pub use crate::broker::Protocol;

/// How long received messages may wait for room before the connection is closed: no longer than the
/// broker waits for a ping (one and a half of the keep alive).
const STALL_LIMIT: Duration = broker::KEEP_ALIVE;

/// A connection that lasted this long had nothing to do with the failures before it.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Settings of one MQTT source.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `mqtt://host:1883` or `mqtts://host:8883`.
    pub url: String,
    /// Fixed, so that the broker keeps the session; defaults to `hindsight-<host>-<source>`.
    pub client_id: String,
    pub topics: Vec<Topic>,
    pub protocol: Protocol,
    pub username: Option<String>,
    /// Instead of `username`. All files are read at each connect, so that a rotated secret is picked up.
    pub username_file: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
    /// A file of PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that we show the broker, in PEM; with `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    /// Whether messages that the broker had kept from before we subscribed are events. Else they are
    /// old news: acknowledged, counted, and not handed over.
    pub retained: bool,
    /// How old an event may be, by its own time, to be acted on; absent: any age. The worker judges it.
    pub max_event_age: Option<Duration>,
}

/// One subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// An MQTT topic filter, as in `alerts/#`.
    pub filter: String,
    pub format: Format,
}

/// Settings that no broker can be asked for.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    #[error(transparent)]
    Address(broker::Error),
    #[error("'{0}' is not an MQTT topic filter; write one as in alerts/# or metrics/+/net")]
    Filter(String),
    #[error("an MQTT source needs at least one topic")]
    NoTopics,
}

impl Settings {
    /// Finds what [`run`] could never work with, so that `check` can say it.
    ///
    /// # Errors
    /// See [`Invalid`].
    pub fn check(&self) -> Result<(), Invalid> {
        self.account().map(drop).map_err(Invalid::Address)?;
        if self.topics.is_empty() {
            return Err(Invalid::NoTopics);
        }
        match self.topics.iter().find(|topic| !rumqttc::valid_filter(&topic.filter)) {
            Some(wrong) => Err(Invalid::Filter(wrong.filter.chars().take(128).collect())),
            None => Ok(()),
        }
    }

    fn account(&self) -> Result<Account, broker::Error> {
        Ok(Account {
            address: self.url.parse()?,
            client_id: self.client_id.clone(),
            username: self.username.clone(),
            username_file: self.username_file.clone(),
            password_file: self.password_file.clone(),
            ca_file: self.ca_file.clone(),
            client_cert_file: self.client_cert_file.clone(),
            client_key_file: self.client_key_file.clone(),
        })
    }

    /// What names our session at the broker.
    fn session_key(&self) -> String {
        format!("{} {}", self.url.trim_end_matches('/'), self.client_id)
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Broker(#[from] broker::Error),
    #[error("the broker refuses the subscription to '{filter}': {reason}")]
    Subscription { filter: String, reason: String },
    #[error("an event could not be recorded; the broker is asked for it again")]
    NotRecorded,
    #[error("the worker answered nothing for {} s; the broker keeps the messages", STALL_LIMIT.as_secs())]
    Stalled,
    #[error("the worker takes no more events")]
    WorkerGone,
    #[error("the MQTT client refuses a request: {0}")]
    Client(String),
}

/// Receives until `stop`: then what the worker has answered is acknowledged and the broker keeps the
/// rest. Failures are retried with back-off, and told through `health`.
pub async fn run(
    name: String,
    settings: Settings,
    deliveries: mpsc::Sender<Delivery>,
    health: watch::Sender<Health>,
    stop: CancellationToken,
) {
    let mut source = Source {
        reporter: Reporter::new(name.clone(), health),
        room: Room::new(),
        unanswered: None,
        name,
        settings,
        deliveries,
        stop,
    };
    let stop = source.stop.clone();
    let mut failures: u32 = 0;
    loop {
        let began = clock::boot_time();
        let Err(error) = source.receive().await else {
            return source.reporter.stopped();
        };
        let lasted = clock::boot_time().since(began);
        failures = if lasted >= STEADY_AFTER { 1 } else { failures.saturating_add(1) };
        source.reporter.failed(&error, failures);
        let delay = Backoff::REMOTE.delay(failures, random::seed());
        let wait = async {
            source.settle().await;
            tokio::time::sleep(delay).await;
        };
        tokio::select! {
            () = stop.cancelled() => return source.reporter.stopped(),
            () = wait => {}
        }
    }
}

/// One source over all its connections.
struct Source {
    name: String,
    settings: Settings,
    deliveries: mpsc::Sender<Delivery>,
    reporter: Reporter,
    room: Room,
    /// What the worker has not answered of the connection before.
    unanswered: Option<Acks>,
    stop: CancellationToken,
}

impl Source {
    /// One connection, from its beginning to its end. Ok means that it was asked to stop.
    async fn receive(&mut self) -> Result<(), Error> {
        let stop = self.stop.clone();
        let opened = async {
            let (connection, present) = Connection::open(&self.settings).await?;
            self.record_session(present).await?;
            connection.subscribe(&self.settings)?;
            info!(source = self.name, session_present = present, "connected");
            Ok::<_, Error>(connection)
        };
        let connection = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            opened = opened => opened?,
        };
        let (ended, unanswered) = connection.serve(self).await;
        self.unanswered = Some(unanswered);
        ended
    }

    /// Has the worker record whether the broker had our session, before anything is asked for in it: a
    /// loss that were forgotten now would show at no later connection.
    async fn record_session(&self, present: bool) -> Result<(), Error> {
        let (done, recorded) = oneshot::channel();
        let (source, key) = (self.name.clone(), self.settings.session_key());
        let delivery = Delivery { content: Content::Session { source, key, present }, done };
        let answer = async {
            self.deliveries.send(delivery).await.map_err(|_closed| Error::WorkerGone)?;
            recorded.await.map_err(|_dropped| Error::NotRecorded)
        };
        match tokio::time::timeout(STALL_LIMIT, answer).await {
            Ok(answer) => answer.map(drop),
            Err(_elapsed) => Err(Error::Stalled),
        }
    }

    /// Waits until the worker holds nothing more of the connection that ended. Its messages come again
    /// on the next one; to open that only now bounds memory, and duplicates, while the worker stalls.
    async fn settle(&mut self) {
        if let Some(mut unanswered) = self.unanswered.take() {
            unanswered.settle().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, filters: &[&str]) -> Settings {
        let topic =
            |filter: &&str| Topic { filter: (*filter).to_owned(), format: Format::Alertmanager };
        Settings {
            url: url.into(),
            client_id: "hindsight-edge-7-plant".into(),
            topics: filters.iter().map(topic).collect(),
            protocol: Protocol::V5,
            username: None,
            username_file: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            retained: false,
            max_event_age: None,
        }
    }

    #[test]
    fn settings_that_can_never_work_are_found_before_connecting() {
        let error = |url, filters: &[&str]| settings(url, filters).check().unwrap_err().to_string();
        assert!(settings("mqtts://broker", &["alerts/#", "$share/g/metrics/+"]).check().is_ok());
        assert!(error("broker", &["a"]).starts_with("'broker' is not a broker's address"));
        assert!(error("mqtt://b", &["a/#/b"]).starts_with("'a/#/b' is not an MQTT topic filter"));
        assert_eq!(error("mqtt://b", &[]), "an MQTT source needs at least one topic");
    }
}
