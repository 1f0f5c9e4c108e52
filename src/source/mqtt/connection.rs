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

use rumqttc::QoS;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::{self, WallTime};
use crate::source::format::{self, Format};
use crate::source::{Content, Delivery};
use crate::spawn;

use super::acks::{Acks, Waiting};
use super::client::{self, Client, Events, Message, News};
use super::room::{MAX_MESSAGES, Room};
use super::skim::Cut;
use super::{Error, STALL_LIMIT, Settings, Source, Topic};

/// The client's queue of requests: all acknowledgements that can wait while a poll is busy, twice, so
/// that handing one over never fails on a healthy connection.
const MAX_REQUESTS: usize = 2 * MAX_MESSAGES;

/// How long acknowledging and saying good-bye may take when we end the connection.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A message as it came off the wire.
struct Received {
    message: Message,
    at: WallTime,
    room: OwnedSemaphorePermit,
}

/// A connection that the broker accepted.
pub(super) struct Connection {
    client: Client,
    events: Events,
}

impl Connection {
    /// Connects. Also says whether the broker had our session.
    pub(super) async fn open(settings: &Settings) -> Result<(Self, bool), Error> {
        let (account, protocol) = (settings.account()?, settings.protocol);
        let (client, mut events) =
            spawn::blocking(move || client::connect(protocol, &account, MAX_REQUESTS))
                .await
                .map_err(|_panicked| Error::Client("reading the account failed".to_owned()))??;
        loop {
            if let News::Accepted { session_present } = events.poll().await? {
                return Ok((Self { client, events }, session_present));
            }
        }
    }

    /// Asks for the topics: on every connection, because those in the settings may be new.
    pub(super) fn subscribe(&self, settings: &Settings) -> Result<(), Error> {
        self.client
            .subscribe(&settings.topics, settings.retained)
            .map_err(|reason| Error::Client(format!("{reason}; check the topic filters")))
    }

    /// Receives until the connection ends, or until the source is asked to stop, which is Ok. Also gives
    /// what the worker has not answered by then.
    pub(super) async fn serve(mut self, source: &Source) -> (Result<(), Error>, Acks) {
        let (waiting, mut acks) = Acks::new(self.client.clone());
        let ended = self.exchange(source, waiting, &mut acks).await;
        (ended, acks)
    }

    async fn exchange(
        &mut self,
        source: &Source,
        waiting: mpsc::Sender<Waiting>,
        acks: &mut Acks,
    ) -> Result<(), Error> {
        let Self { client, events } = self;
        let (sender, received) = mpsc::channel(MAX_MESSAGES);
        let closing = source.stop.child_token();
        let mut polling = pin!(poll(events, source, &closing, sender));
        let ended = {
            let delivering = deliver(received, waiting, source);
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
        client.disconnect().map_err(Error::Client)?;
        if tokio::time::timeout(CLOSE_LIMIT, polling).await.is_err() {
            debug!(source = source.name, "the broker did not take the good-bye in time");
        }
        ended
    }
}

/// Polls the client and hands on what was received, as far as there is room. Once it is `closing` it
/// goes on until the good-bye is out, and leaves further messages to the broker.
async fn poll(
    events: &mut Events,
    source: &Source,
    closing: &CancellationToken,
    received: mpsc::Sender<Received>,
) -> Result<(), Error> {
    loop {
        match events.poll().await? {
            News::Message(message) => {
                let at = clock::wall_time();
                let Some(room) = make_room(&source.room, closing, message.payload.len()).await?
                else {
                    continue;
                };
                received
                    .try_send(Received { message, at, room })
                    .map_err(|_full_or_closed| Error::WorkerGone)?;
            }
            News::Subscribed(granted) => {
                check_subscriptions(&source.settings.topics, granted)?;
                source.reporter.connected();
            }
            News::Ended => return Ok(()),
            News::Accepted { .. } | News::Other => {}
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

fn check_subscriptions(topics: &[Topic], granted: Vec<Result<QoS, String>>) -> Result<(), Error> {
    for (topic, granted) in topics.iter().zip(granted) {
        let granted = granted.map_err(|reason| {
            let filter = topic.filter.clone();
            Error::Subscription { filter, reason }
        })?;
        if granted == QoS::AtMostOnce {
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
    mut received: mpsc::Receiver<Received>,
    waiting: mpsc::Sender<Waiting>,
    source: &Source,
) -> Error {
    while let Some(Received { message, at, room }) = received.recv().await {
        let (done, answer) = oneshot::channel();
        if message.retained && !source.settings.retained {
            source.reporter.ignored_retained();
            // Answered at once, it keeps its place in the order of acknowledgements. The receiver is
            // in this function, so that sending cannot fail.
            let _sent = done.send(Vec::new());
        } else {
            let content = read(source, &message, at);
            if source.deliveries.send(Delivery { content, done }).await.is_err() {
                return Error::WorkerGone;
            }
        }
        if waiting.try_send(Waiting { id: message.id, done: answer, room }).is_err() {
            return Error::WorkerGone;
        }
    }
    // The poll has ended and says why.
    std::future::pending().await
}

fn read(source: &Source, message: &Message, at: WallTime) -> Content {
    if let Some(Cut { size, sha256 }) = &message.cut {
        let (name, beginning) = (&source.name, &message.payload);
        return Content::Rejected(format::reject_too_long(name, beginning, sha256, *size, at));
    }
    // The MQTT 5 client refuses topics that are not UTF-8 (MQTT 5, 3.3.2.1); in another no filter is found.
    let topic = String::from_utf8_lossy(&message.topic);
    match format_of(&source.settings.topics, &topic) {
        Some(format) => format.decode(&source.name, &message.payload, at),
        // Left over in the session from settings of before; recorded, so that it is not lost silently.
        None => {
            let reason = "its topic matches no filter of the source any more".to_owned();
            Content::Rejected(format::reject(&source.name, &message.payload, at, reason))
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
