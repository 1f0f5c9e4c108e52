//! Events by HTTP POST. Framework-free: `control` owns the server and calls this.
//!
//! Alertmanager sends again on 5xx only; every other answer ends the matter. So: 2xx after the commit,
//! 503 where a second try can help, 4xx where none can.

mod auth;

use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::clock::{self, WallTime};

use super::format::{self, Format, MAX_BODY_BYTES};
use super::{Content, Delivery};

pub use auth::{
    Auth, Basic, Error, SIGNATURE_HEADER, Shown, Signature, TIMESTAMP_HEADER, TOLERANCE,
};
use auth::{Check, Guard};

/// How long a request may wait for its events to be recorded: below the least `group_interval` that
/// people set (10 s), so that tries do not pile up.
const PATIENCE: Duration = Duration::from_secs(8);

/// When a sender that got 503 should try again, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// The most bytes of a body that are taken off the wire, to record the digest of one that is too long;
/// what is behind them is left where it is.
const MAX_RECEIVED_BYTES: u64 = 64 * 1024 * 1024;

/// Settings of one webhook source.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The path it answers on, as in `/hooks/alertmanager`.
    pub path: String,
    pub format: Format,
    pub auth: Auth,
    /// How old an event may be, by its own time, to be acted on; absent: any age. The worker judges it.
    pub max_event_age: Option<Duration>,
}

/// What to answer a request. The body is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// For the header `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
    /// For the header `WWW-Authenticate`.
    pub challenge: Option<&'static str>,
}

impl Answer {
    fn accepted(events: usize) -> Self {
        let body = json!({ "accepted": events }).to_string();
        Self { status: 200, body, retry_after_s: None, challenge: None }
    }

    fn refused(status: u16, reason: &str) -> Self {
        let body = json!({ "error": reason }).to_string();
        Self { status, body, retry_after_s: None, challenge: None }
    }

    fn unauthorized(challenge: &'static str, reason: &str) -> Self {
        Self { challenge: Some(challenge), ..Self::refused(401, reason) }
    }

    /// For a body that did not come to its end.
    pub fn broken_off() -> Self {
        Self::refused(400, "the body broke off")
    }

    fn try_again(reason: &str) -> Self {
        Self { retry_after_s: Some(RETRY_AFTER_S), ..Self::refused(503, reason) }
    }
}

/// One webhook, ready to take requests.
pub struct Receiver {
    name: String,
    path: String,
    format: Format,
    guard: Guard,
    deliveries: mpsc::Sender<Delivery>,
    /// [`PATIENCE`].
    patience: Duration,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("name", &self.name).field("path", &self.path).finish()
    }
}

impl Receiver {
    /// Blocking: reads the secrets.
    ///
    /// # Errors
    /// A secret cannot be read, or is empty.
    pub fn new(
        name: String,
        settings: Settings,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Self, Error> {
        let Settings { path, format, auth, max_event_age: _ } = settings;
        let guard = Guard::new(&name, auth)?;
        Ok(Self { name, path, format, guard, deliveries, patience: PATIENCE })
    }

    /// The path it answers on.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Lets a request in, so that its body is read; a stranger's is not.
    ///
    /// # Errors
    /// What to answer a sender that is not let in.
    pub fn admit(&self, shown: &Shown<'_>) -> Result<Reception<'_>, Answer> {
        let at = clock::wall_time();
        let check = self.guard.admit(shown, at)?;
        Ok(Reception { receiver: self, at, check, body: Body::default() })
    }

    /// Hands a message over and answers once it is recorded.
    async fn record(&self, content: Content, answer: Answer) -> Answer {
        let (done, recorded) = oneshot::channel();
        if self.deliveries.try_send(Delivery { content, done }).is_err() {
            return Answer::try_again("the worker is overloaded or stopping");
        }
        match tokio::time::timeout(self.patience, recorded).await {
            Ok(Ok(_outcomes)) => answer,
            Ok(Err(_dropped)) => Answer::try_again("the events could not be recorded"),
            Err(_late) => Answer::try_again("recording the events takes too long"),
        }
    }
}

/// A request that was let in and whose body is coming.
pub struct Reception<'r> {
    receiver: &'r Receiver,
    at: WallTime,
    check: Option<Check>,
    body: Body,
}

impl std::fmt::Debug for Reception<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reception").field("receiver", self.receiver).finish_non_exhaustive()
    }
}

/// A body, or the beginning and the digest of one that is too long.
#[derive(Default)]
struct Body {
    kept: Vec<u8>,
    size: u64,
    /// Of all of it, once it is too long to be kept.
    digest: Option<Sha256>,
}

impl Body {
    fn push(&mut self, piece: &[u8]) {
        self.size += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if self.digest.is_none() && self.kept.len() + piece.len() > MAX_BODY_BYTES {
            self.digest = Some(Sha256::new_with_prefix(&self.kept));
        }
        match &mut self.digest {
            Some(digest) => digest.update(piece),
            None => self.kept.extend_from_slice(piece),
        }
    }
}

impl Reception<'_> {
    /// More of the body. False: there is enough of it, and the rest is not wanted.
    #[must_use]
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let room = usize::try_from(MAX_RECEIVED_BYTES - self.body.size).unwrap_or(usize::MAX);
        let piece = &piece[..piece.len().min(room)];
        self.body.push(piece);
        if let Some(check) = &mut self.check {
            check.update(piece);
        }
        self.body.size < MAX_RECEIVED_BYTES
    }

    /// The body has come, or enough of it; answers once its events are recorded.
    pub async fn finish(self) -> Answer {
        let Self { receiver, at, check, body } = self;
        if let Some(check) = check
            && let Err(refused) = check.verify()
        {
            return refused;
        }
        let is_too_long = body.digest.is_some();
        let content = match body.digest {
            None => receiver.format.decode(&receiver.name, &body.kept, at),
            Some(digest) => Content::Rejected(format::reject_too_long(
                &receiver.name,
                &body.kept,
                &digest.finalize(),
                body.size,
                at,
            )),
        };
        let answer = match &content {
            Content::Events(events) => Answer::accepted(events.len()),
            Content::Rejected(rejected) if is_too_long => Answer::refused(413, &rejected.reason),
            Content::Rejected(rejected) => Answer::refused(400, &rejected.reason),
            Content::Session { .. } => unreachable!("no body is a session"),
        };
        receiver.record(content, answer).await
    }
}

#[cfg(test)]
mod tests;
