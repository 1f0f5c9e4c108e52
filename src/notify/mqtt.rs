//! Notices to an MQTT broker: QoS 1, confirmed by the broker's own PUBACK.
//!
//! A task of its own keeps a connection and polls it. Each connection has a client of its own, and what
//! it has not confirmed when it ends counts as not sent: the outbox has it, and sends it again. So
//! nothing is queued here, and nothing old is sent behind the outbox's back.

use std::time::Duration;

use rumqttc::mqttbytes::v5::{Packet, PubAckReason, PublishProperties};
use rumqttc::{AsyncClient, Event, EventLoop, Outgoing, PublishNoticeError, PublishOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::broker::{self, Account};
use crate::model::Notice;
use crate::{random, spawn};

use super::{Error, MqttSettings, PATIENCE, cloudevent};

/// Publishes that may wait for the task; the outbox sends a few at a time.
const MAX_REQUESTS: usize = 64;

/// How long a notice waits for a connection that is just being made. Longer would hold up the outbox,
/// which tries again anyway.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(5);

/// How long saying good-bye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Marks the payload as UTF-8 text (MQTT 5, 3.3.2.3.2).
const UTF8_PAYLOAD: u8 = 1;

/// The connection as it stands.
#[derive(Clone)]
enum Link {
    Up(AsyncClient),
    /// With the last failure, once there was one.
    Down(Option<String>),
}

/// One MQTT notifier.
pub(super) struct Publisher {
    topic: String,
    link: watch::Receiver<Link>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Publisher {
    pub(super) fn start(name: &str, settings: &MqttSettings) -> Result<Self, Error> {
        let setup = |problem: String| Error::Setup { name: name.to_owned(), problem };
        let MqttSettings { url, topic, client_id, .. } = settings.clone();
        if topic.is_empty() || !rumqttc::valid_topic(&topic) {
            let shown: String = topic.escape_debug().take(128).collect();
            return Err(setup(format!(
                "'{shown}' is no topic to publish to; it has no + and no #"
            )));
        }
        let address = url.parse().map_err(|error: broker::Error| setup(error.to_string()))?;
        let account = Account {
            address,
            client_id,
            username: settings.username.clone(),
            username_file: settings.username_file.clone(),
            password_file: settings.password_file.clone(),
            ca_file: settings.ca_file.clone(),
            client_cert_file: settings.client_cert_file.clone(),
            client_key_file: settings.client_key_file.clone(),
        };
        let (told, link) = watch::channel(Link::Down(None));
        let stop = CancellationToken::new();
        let keeper = Keeper { name: name.to_owned(), account, link: told, stop: stop.clone() };
        Ok(Self { topic, link, stop, task: spawn::task("notifier", keeper.run()) })
    }

    /// Publishes a notice; Ok once the broker has confirmed it.
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), Error> {
        let client = self.client().await?;
        let properties = PublishProperties {
            payload_format_indicator: Some(UTF8_PAYLOAD),
            content_type: Some(cloudevent::CONTENT_TYPE.to_owned()),
            ..PublishProperties::default()
        };
        let options = PublishOptions::at_least_once().properties(properties);
        let confirmed = async {
            client
                .publish_tracked(self.topic.clone(), cloudevent::encode(notice), options)
                .await
                .map_err(|error| Error::Interrupted(error.to_string()))?
                .wait_completion_async()
                .await
                .map_err(refusal)
        };
        timeout(PATIENCE, confirmed).await.unwrap_or(Err(Error::Unconfirmed))
    }

    async fn client(&self) -> Result<AsyncClient, Error> {
        let mut link = self.link.clone();
        let up = link.wait_for(|link| matches!(link, Link::Up(_)));
        let link = match timeout(CONNECTION_PATIENCE, up).await {
            Ok(Ok(link)) => link.clone(),
            Ok(Err(_)) | Err(_) => self.link.borrow().clone(),
        };
        match link {
            Link::Up(client) => Ok(client),
            Link::Down(Some(reason)) => Err(Error::NoBroker(reason)),
            Link::Down(None) => Err(Error::NoBroker("not connected yet".to_owned())),
        }
    }

    pub(super) async fn shutdown(self) {
        self.stop.cancel();
        // The task ends by itself within its own limits; a panic in it was reported by the runtime.
        let _ended = self.task.await;
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other end leaves the notice unconfirmed")]
fn refusal(error: PublishNoticeError) -> Error {
    match error {
        PublishNoticeError::V5PubAck(reason) => Error::Refused {
            reason: format!("{reason:?}"),
            for_good: matches!(
                reason,
                PubAckReason::NotAuthorized
                    | PubAckReason::TopicNameInvalid
                    | PubAckReason::PayloadFormatInvalid
            ),
        },
        other => Error::Interrupted(other.to_string()),
    }
}

/// Keeps the connection.
struct Keeper {
    name: String,
    account: Account,
    link: watch::Sender<Link>,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(self) {
        let mut failures: u32 = 0;
        loop {
            let Err(error) = self.connection(&mut failures).await else {
                return;
            };
            failures = failures.saturating_add(1);
            warn!(notifier = self.name, failures, "MQTT notifier: {error}; retrying");
            self.link.send_replace(Link::Down(Some(error.to_string())));
            let delay = Backoff::REMOTE.delay(failures, random::seed());
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// One connection, from its beginning to its end. Ok means that it was asked to stop.
    async fn connection(&self, failures: &mut u32) -> Result<(), broker::Error> {
        let account = self.account.clone();
        let options = spawn::blocking(move || account.options()).await;
        let mut options = options.map_err(|_panicked| {
            broker::Error::Connection("reading the account failed".to_owned())
        })??;
        options.set_clean_start(true).set_max_request_batch(MAX_REQUESTS);
        let (client, mut events) = AsyncClient::builder(options).capacity(MAX_REQUESTS).build();
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.link.send_replace(Link::Down(None));
                    good_bye(&client, &mut events).await;
                    return Ok(());
                }
                event = events.poll() => event?,
            };
            if let Event::Incoming(Packet::ConnAck(_)) = event {
                info!(notifier = self.name, "connected");
                *failures = 0;
                self.link.send_replace(Link::Up(client.clone()));
            }
        }
    }
}

/// Ends the connection in order, where there is one.
async fn good_bye(client: &AsyncClient, events: &mut EventLoop) {
    if client.try_disconnect_now().is_err() {
        return;
    }
    let said = async {
        while !matches!(events.poll().await, Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) {}
    };
    // Late or not, the connection closes when the client is dropped.
    let _late = timeout(CLOSE_LIMIT, said).await;
}
