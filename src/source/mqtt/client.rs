//! The two MQTT clients behind one face: version 5 and version 3.1.1.
//!
//! What a source does with a connection is written once, on this face. Here is what the versions
//! differ in: how the session is asked for, how large messages are kept out, what the packets are
//! called. Knows nothing of the worker, and keeps nothing.

use bytes::Bytes;
use rumqttc::mqttbytes::v5::{
    Packet as PacketV5, PubAck as PubAckV5, RetainForwardRule, SubscribeReasonCode as GrantV5,
};
use rumqttc::{
    AckMode as AckModeV5, Event as EventV5, IncomingPacketSizeLimit, Outgoing as OutgoingV5,
    PersistedAckMode, PersistedSession, QoS, SessionStore, SessionStoreError, SessionStoreKey,
    SubscribeFilterInput as FilterV5,
};
use rumqttc_v4::{
    AckMode as AckModeV4, Event as EventV4, NetworkOptions, Outgoing as OutgoingV4,
    Packet as PacketV4, PubAck as PubAckV4, SubscribeFilterInput as FilterV4,
    SubscribeReasonCode as GrantV4,
};

use crate::broker::{self, Account, Protocol};

use super::Topic;
use super::skim::{self, CUT_BYTES, Cut, Cuts};

/// How long the broker keeps our session while we are away, in seconds: 7 days, longer than a long
/// weekend's outage. MQTT 3.1.1 leaves it to the broker.
const SESSION_EXPIRY_S: u32 = 7 * 24 * 60 * 60;

/// The largest packet that MQTT 5 brokers send us, in bytes; they drop larger messages. Well above
/// what is read of a message, so that what is too long to be read is recorded as such instead of
/// vanishing, and far above the client's default of 10 KiB, at which one long alert closes the
/// connection again and again.
const MAX_PACKET_BYTES: u32 = 16 * 1024 * 1024;

/// The same for MQTT 3.1.1, in bytes; [`skim`](super::skim) lets no longer ones through.
const MAX_PACKET_BYTES_V311: usize = CUT_BYTES + 5;

/// The longest packet that we send: acknowledgements, and subscriptions to many long topics.
const MAX_SENT_BYTES: usize = 1024 * 1024;

/// How many messages the broker may have in flight to us: what a group commit takes at once.
const RECEIVE_MAXIMUM: u16 = 256;

/// Packets read at once: one, so that between any two messages acknowledgements go out, and so that
/// what was read and has no room is at most one message.
const READ_BATCH: usize = 1;

/// Acknowledgements written at once.
const REQUEST_BATCH: usize = 64;

/// The longest that a connection may take to be set up or to take what we write, in seconds.
const PATIENCE_S: u64 = 10;

/// Requests to the broker; each is handed over without waiting.
#[derive(Clone)]
pub(super) enum Client {
    V5(rumqttc::AsyncClient),
    V311(rumqttc_v4::AsyncClient),
}

/// What comes from the broker, and the work of the connection: nothing is sent unless it is polled.
pub(super) enum Events {
    V5(Box<rumqttc::EventLoop>),
    V311(Box<rumqttc_v4::EventLoop>, Cuts),
}

/// What the broker calls a message on this connection, until it is acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketId(u16);

/// One message.
pub(super) struct Message {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    /// The broker had kept it, from before we subscribed.
    pub(super) retained: bool,
    /// What it was, if it was too long and `payload` is only its beginning.
    pub(super) cut: Option<Cut>,
    /// Absent for QoS 0, which nobody waits for.
    pub(super) id: Option<PacketId>,
}

/// What a poll says.
pub(super) enum News {
    /// The broker accepts the connection.
    Accepted {
        session_present: bool,
    },
    /// Its answers to the subscriptions, in their order.
    Subscribed(Vec<Result<QoS, String>>),
    Message(Message),
    /// The good-bye is out.
    Ended,
    /// Nothing that concerns us.
    Other,
}

/// A client and its events, not yet connected. `requests`: how many may wait for the next poll.
/// Blocking: reads the account's files.
///
/// # Errors
/// A file of the account cannot be read.
pub(super) fn connect(
    protocol: Protocol,
    account: &Account,
    requests: usize,
) -> Result<(Client, Events), broker::Error> {
    match protocol {
        Protocol::V5 => {
            let mut options = account.options()?;
            options
                .set_clean_start(false)
                .set_session_expiry_interval(Some(SESSION_EXPIRY_S))
                .set_receive_maximum(Some(RECEIVE_MAXIMUM))
                .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(MAX_PACKET_BYTES))
                .set_ack_mode(AckModeV5::Manual)
                .set_read_batch_size(READ_BATCH)
                .set_max_request_batch(REQUEST_BATCH)
                .set_session_store(NothingOutgoing);
            let builder = rumqttc::AsyncClient::builder(options).capacity(requests);
            let (client, events) = builder.build();
            Ok((Client::V5(client), Events::V5(Box::new(events))))
        }
        Protocol::V311 => {
            let mut options = account.options_v311()?;
            let (tls, cuts) = (account.tls()?, Cuts::default());
            let queue = cuts.clone();
            options
                .set_socket_connector(move |address, network| {
                    skim::connect(address, network, tls.clone(), queue.clone())
                })
                .set_clean_session(false)
                .set_max_packet_size(MAX_PACKET_BYTES_V311, MAX_SENT_BYTES)
                .set_ack_mode(AckModeV4::Manual)
                .set_read_batch_size(READ_BATCH)
                .set_max_request_batch(REQUEST_BATCH);
            let builder = rumqttc_v4::AsyncClient::builder(options).capacity(requests);
            let (client, mut events) = builder.build();
            let mut network = NetworkOptions::new();
            network.set_connection_timeout(PATIENCE_S);
            events.set_network_options(network);
            Ok((Client::V311(client), Events::V311(Box::new(events), cuts)))
        }
    }
}

impl Client {
    /// Asks for the topics with QoS 1. With `retained`, the broker also sends what it keeps of them:
    /// MQTT 5 for subscriptions that it has not yet, MQTT 3.1.1 each time.
    pub(super) fn subscribe(&self, topics: &[Topic], retained: bool) -> Result<(), String> {
        match self {
            Self::V5(client) => {
                let rule = if retained {
                    RetainForwardRule::OnNewSubscribe
                } else {
                    RetainForwardRule::Never
                };
                let filters = topics.iter().map(|topic| {
                    FilterV5::new(topic.filter.clone(), QoS::AtLeastOnce)
                        .retain_forward_rule(rule.clone())
                });
                client.try_subscribe_many(filters).map_err(|error| error.to_string())
            }
            Self::V311(client) => {
                let filters = topics
                    .iter()
                    .map(|topic| FilterV4::new(topic.filter.clone(), QoS::AtLeastOnce));
                client.try_subscribe_many(filters).map_err(|error| error.to_string())
            }
        }
    }

    /// Acknowledges a message of this connection.
    pub(super) fn acknowledge(&self, PacketId(id): PacketId) -> Result<(), String> {
        match self {
            Self::V5(client) => client
                .try_manual_ack(rumqttc::ManualAck::PubAck(PubAckV5::new(id, None)))
                .map_err(|error| error.to_string()),
            Self::V311(client) => client
                .try_manual_ack(rumqttc_v4::ManualAck::PubAck(PubAckV4::new(id)))
                .map_err(|error| error.to_string()),
        }
    }

    /// Says good-bye, behind all acknowledgements. The broker keeps the session.
    pub(super) fn disconnect(&self) -> Result<(), String> {
        match self {
            Self::V5(client) => client.try_disconnect().map_err(|error| error.to_string()),
            Self::V311(client) => client.try_disconnect().map_err(|error| error.to_string()),
        }
    }
}

impl Events {
    /// The next news. Does what the connection needs meanwhile: sends, pings, reads.
    pub(super) async fn poll(&mut self) -> Result<News, broker::Error> {
        match self {
            Self::V5(events) => match events.poll().await {
                Ok(event) => Ok(news_of_v5(event)),
                Err(rumqttc::ConnectionError::RequestsDone) => Ok(News::Ended),
                Err(error) => Err(error.into()),
            },
            Self::V311(events, cuts) => match events.poll().await {
                Ok(event) => Ok(news_of_v311(event, cuts)),
                Err(rumqttc_v4::ConnectionError::RequestsDone) => Ok(News::Ended),
                Err(error) => Err(error.into()),
            },
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a subscriber hears of four packets")]
fn news_of_v5(event: EventV5) -> News {
    match event {
        EventV5::Incoming(PacketV5::ConnAck(answer)) => {
            News::Accepted { session_present: answer.session_present }
        }
        EventV5::Incoming(PacketV5::SubAck(answer)) => {
            let granted = answer.return_codes.iter().map(|code| match code {
                GrantV5::Success(granted) => Ok(*granted),
                refused => Err(format!("{refused:?}")),
            });
            News::Subscribed(granted.collect())
        }
        EventV5::Incoming(PacketV5::Publish(publish)) => News::Message(Message {
            id: identity(publish.qos, publish.pkid),
            topic: publish.topic,
            payload: publish.payload,
            retained: publish.retain,
            cut: None,
        }),
        EventV5::Outgoing(OutgoingV5::Disconnect) => News::Ended,
        _ => News::Other,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a subscriber hears of four packets")]
fn news_of_v311(event: EventV4, cuts: &Cuts) -> News {
    match event {
        EventV4::Incoming(PacketV4::ConnAck(answer)) => {
            News::Accepted { session_present: answer.session_present }
        }
        EventV4::Incoming(PacketV4::SubAck(answer)) => {
            let granted = answer.return_codes.iter().map(|code| match code {
                GrantV4::Success(granted) => Ok(*granted),
                GrantV4::Failure => Err("it gives no reason".to_owned()),
            });
            News::Subscribed(granted.collect())
        }
        EventV4::Incoming(PacketV4::Publish(publish)) => News::Message(Message {
            cut: cuts.of(
                publish.topic.len(),
                publish.payload.len(),
                publish.qos != QoS::AtMostOnce,
            ),
            id: identity(publish.qos, publish.pkid),
            topic: publish.topic,
            payload: publish.payload,
            retained: publish.retain,
        }),
        EventV4::Outgoing(OutgoingV4::Disconnect) => News::Ended,
        _ => News::Other,
    }
}

/// No broker sends with QoS 2 what was asked for with QoS 1 (MQTT 5, 3.8.4).
fn identity(qos: QoS, id: u16) -> Option<PacketId> {
    (qos == QoS::AtLeastOnce).then_some(PacketId(id))
}

/// Says that our half of the session is there and empty. It is: this client never publishes, and the
/// receiving side of QoS 1 holds no state. Without it the MQTT 5 client refuses a session that the
/// broker has kept from before this process, or refuses to subscribe in it.
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
            outgoing_inflight_upper_limit: Some(broker::MAX_UNDER_WAY),
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
