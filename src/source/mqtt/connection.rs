//! One connection to the broker: three things at once that never wait for each other in a circle.
//!
//! ```text
//! poll --Received--> deliver --Waiting--> Acks --try_ack--> (client's queue) --> poll
//!   ^                   |                   ^
//!  room                 +----Delivery----> worker --done--+
//! ```
//!
//! `poll` waits for room, `deliver` for the worker's queue, `Acks` for the worker's answers; the way
//! back to `poll` never waits. Between them are queues that hold as many messages as have room.

use std::pin::pin;
use std::time::Duration;

use rumqttc::mqttbytes::v5::{Packet, Publish, RetainForwardRule, SubAck, SubscribeReasonCode};
use rumqttc::{
    AckMode, AsyncClient, ConnectionError, Event, EventLoop, IncomingPacketSizeLimit, MqttOptions,
    Outgoing, PersistedAckMode, PersistedSession, QoS, SessionStore, SessionStoreError,
    SessionStoreKey, SubscribeFilterInput,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::broker;
use crate::clock::{self, WallTime};
use crate::source::format::{self, Format};
use crate::source::{Content, Delivery};
use crate::spawn;

use super::acks::{Acks, Waiting};
use super::room::{MAX_MESSAGES, Room};
use super::{Error, STALL_LIMIT, Settings, Source, Topic};

/// How long the broker keeps our session while we are away, in seconds: 7 days, longer than a long
/// weekend's outage.
const SESSION_EXPIRY_S: u32 = 7 * 24 * 60 * 60;

/// The largest packet that is received, in bytes; the broker is told, and drops larger messages. Well
/// above [`format::MAX_BODY_BYTES`], so that what is too long to be read is recorded as such instead of
/// vanishing, and far above the client's default of 10 KiB, at which one long alert closes the connection
/// again and again.
const MAX_PACKET_BYTES: u32 = 16 * 1024 * 1024;

/// How many messages the broker may have in flight to us: what a group commit takes at once.
const RECEIVE_MAXIMUM: u16 = 256;

/// Packets read at once: one, so that between any two messages acknowledgements go out, and so that
/// what was read and has no room is at most one message.
const READ_BATCH: usize = 1;

/// Acknowledgements written at once.
const REQUEST_BATCH: usize = 64;

/// The client's queue of requests: all acknowledgements that can wait while a poll is busy, twice, so
/// that handing one over never fails on a healthy connection.
const MAX_REQUESTS: usize = 2 * MAX_MESSAGES;

/// How long acknowledging and saying good-bye may take when we end the connection.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A message as it came off the wire.
struct Received {
    publish: Publish,
    at: WallTime,
    room: OwnedSemaphorePermit,
}

/// A connection that the broker accepted.
pub(super) struct Connection {
    client: AsyncClient,
    events: EventLoop,
}

impl Connection {
    /// Connects and asks for the subscriptions. Also says whether the broker had our session.
    pub(super) async fn open(settings: &Settings) -> Result<(Self, bool), Error> {
        let account = settings.account()?;
        let mut options = spawn::blocking(move || account.options())
            .await
            .map_err(|_panicked| Error::Client("reading the account failed".to_owned()))??;
        keep_the_session(&mut options);
        let (client, mut events) = AsyncClient::builder(options).capacity(MAX_REQUESTS).build();
        let session_present = loop {
            match events.poll().await.map_err(broker::Error::from)? {
                Event::Incoming(Packet::ConnAck(connack)) => break connack.session_present,
                Event::Incoming(_) | Event::Outgoing(_) | Event::Auth(_) => {}
            }
        };
        // On every connection, because the topics in the settings may be new. Retained messages are
        // old news, and would come again each time.
        let filters = settings.topics.iter().map(|topic| {
            SubscribeFilterInput::new(topic.filter.clone(), QoS::AtLeastOnce)
                .retain_forward_rule(RetainForwardRule::Never)
        });
        client
            .try_subscribe_many(filters)
            .map_err(|error| Error::Client(format!("{error}; check the topic filters")))?;
        Ok((Self { client, events }, session_present))
    }

    /// Receives until the connection ends, or until the source is asked to stop, which is Ok. Also gives
    /// what the worker has not answered by then.
    pub(super) async fn serve(
        mut self,
        source: &Source,
        session_lost: bool,
    ) -> (Result<(), Error>, Acks) {
        let (waiting, mut acks) = Acks::new(self.client.clone());
        let ended = self.exchange(source, session_lost, waiting, &mut acks).await;
        (ended, acks)
    }

    async fn exchange(
        &mut self,
        source: &Source,
        session_lost: bool,
        waiting: mpsc::Sender<Waiting>,
        acks: &mut Acks,
    ) -> Result<(), Error> {
        let Self { client, events } = self;
        let (sender, received) = mpsc::channel(MAX_MESSAGES);
        let closing = source.stop.child_token();
        let mut polling = pin!(poll(events, source, &closing, sender, session_lost));
        let ended = {
            let delivering = deliver(client, received, waiting, source);
            tokio::select! {
                biased;
                () = source.stop.cancelled() => Ok(()),
                ended = &mut polling => return ended,
                error = delivering => Err(error),
                error = acks.run() => Err(error),
            }
        };
        // The broker is well; what was recorded by now need not come again.
        closing.cancel();
        acks.flush()?;
        client.try_disconnect().map_err(|error| Error::Client(error.to_string()))?;
        if tokio::time::timeout(CLOSE_LIMIT, polling).await.is_err() {
            debug!(source = source.name, "the broker did not take the good-bye in time");
        }
        ended
    }
}

fn keep_the_session(options: &mut MqttOptions) {
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_EXPIRY_S))
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(MAX_PACKET_BYTES))
        .set_ack_mode(AckMode::Manual)
        .set_read_batch_size(READ_BATCH)
        .set_max_request_batch(REQUEST_BATCH)
        .set_session_store(NothingOutgoing);
}

/// Polls the client and hands on what was received, as far as there is room. Once it is `closing` it
/// goes on until the good-bye is out, and leaves further messages to the broker.
async fn poll(
    events: &mut EventLoop,
    source: &Source,
    closing: &CancellationToken,
    received: mpsc::Sender<Received>,
    session_lost: bool,
) -> Result<(), Error> {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let at = clock::wall_time();
                let Some(room) = make_room(&source.room, closing, publish.payload.len()).await?
                else {
                    continue;
                };
                received
                    .try_send(Received { publish, at, room })
                    .map_err(|_full_or_closed| Error::WorkerGone)?;
            }
            Ok(Event::Incoming(Packet::SubAck(answer))) => {
                check_subscriptions(&source.settings.topics, &answer)?;
                source.reporter.connected(session_lost);
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(ConnectionError::RequestsDone) => {
                return Ok(());
            }
            Ok(Event::Incoming(_) | Event::Outgoing(_) | Event::Auth(_)) => {}
            Err(error) => return Err(broker::Error::from(error).into()),
        }
    }
}

/// None when the connection is closing: what comes then is not wanted any more.
async fn make_room(
    room: &Room,
    closing: &CancellationToken,
    bytes: usize,
) -> Result<Option<OwnedSemaphorePermit>, Error> {
    tokio::select! {
        biased;
        () = closing.cancelled() => Ok(None),
        room = room.take(bytes) => Ok(Some(room)),
        () = tokio::time::sleep(STALL_LIMIT) => Err(Error::Stalled),
    }
}

fn check_subscriptions(topics: &[Topic], answer: &SubAck) -> Result<(), Error> {
    for (topic, code) in topics.iter().zip(&answer.return_codes) {
        let SubscribeReasonCode::Success(granted) = code else {
            let (filter, reason) = (topic.filter.clone(), format!("{code:?}"));
            return Err(Error::Subscription { filter, reason });
        };
        if *granted == QoS::AtMostOnce {
            warn!(
                filter = topic.filter,
                "the broker grants QoS 0 only: it does not send again what is lost on the way"
            );
        }
    }
    Ok(())
}

/// Reads each message and hands it to the worker, and its way back to `waiting`. Ends only with an error.
async fn deliver(
    client: &AsyncClient,
    mut received: mpsc::Receiver<Received>,
    waiting: mpsc::Sender<Waiting>,
    source: &Source,
) -> Error {
    let mut retained: u64 = 0;
    while let Some(Received { publish, at, room }) = received.recv().await {
        let (done, answer) = oneshot::channel();
        if publish.retain {
            retained += 1;
            debug!(source = source.name, retained, "a retained message is old news: ignored");
            // Answered at once, it keeps its place in the order of acknowledgements. The receiver is
            // in this function, so that sending cannot fail.
            let _sent = done.send(Vec::new());
        } else {
            let content = read(source, &publish, at);
            if source.deliveries.send(Delivery { content, done }).await.is_err() {
                return Error::WorkerGone;
            }
        }
        let ack = client.prepare_ack(&publish);
        if waiting.try_send(Waiting { ack, done: answer, room }).is_err() {
            return Error::WorkerGone;
        }
    }
    // The poll has ended and says why.
    std::future::pending().await
}

fn read(source: &Source, publish: &Publish, at: WallTime) -> Content {
    // The client refuses topics that are not UTF-8 (MQTT 5, 3.3.2.1).
    let topic = String::from_utf8_lossy(&publish.topic);
    match format_of(&source.settings.topics, &topic) {
        Some(format) => format.decode(&source.name, &publish.payload, at),
        // Left over in the session from settings of before; recorded, so that it is not lost silently.
        None => {
            let reason = "its topic matches no filter of the source any more".to_owned();
            Content::Rejected(format::reject(&source.name, &publish.payload, at, reason))
        }
    }
}

/// The format of the first filter that the topic matches.
fn format_of<'t>(topics: &'t [Topic], topic: &str) -> Option<&'t Format> {
    let matches = |filter: &str| {
        // `$share/<group>/<filter>`: the group is none of the topic's business.
        let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
        let filter = shared.map_or(filter, |(_group, filter)| filter);
        // The client's own matching leaves topics that begin with a $ out.
        filter == topic || rumqttc::matches(topic, filter)
    };
    topics.iter().find(|known| matches(&known.filter)).map(|known| &known.format)
}

/// Says that our half of the session is there and empty. It is: this client never publishes, and the
/// receiving side of QoS 1 holds no state. Without it the client refuses a session that the broker has
/// kept from before this process, or refuses to subscribe in it.
#[derive(Debug)]
struct NothingOutgoing;

type Stored<'a, T> =
    std::pin::Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for NothingOutgoing {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(SESSION_EXPIRY_S),
            outgoing_inflight_upper_limit: None,
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(Some(session))))
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::format::json;

    #[test]
    fn the_first_filter_that_matches_names_the_format() {
        let json = Format::Json(json::Mapping::default());
        let topic =
            |filter: &str, format: &Format| Topic { filter: filter.into(), format: format.clone() };
        let topics = [
            topic("alerts/#", &Format::Alertmanager),
            topic("$share/hindsight/metrics/+/net", &json),
            topic("$SYS/broker/log", &json),
        ];
        assert_eq!(format_of(&topics, "alerts"), Some(&Format::Alertmanager));
        assert_eq!(format_of(&topics, "alerts/a/b"), Some(&Format::Alertmanager));
        assert_eq!(format_of(&topics, "metrics/edge-7/net"), Some(&json));
        assert_eq!(format_of(&topics, "$SYS/broker/log"), Some(&json));
        assert_eq!(format_of(&topics, "metrics/edge-7/disk"), None);
    }
}
