//! Events by HTTP POST. Framework-free: `control` owns the server and calls this.
//!
//! Alertmanager sends again on 5xx only; every other answer ends the matter. So: 2xx after the commit,
//! 503 where a second try can help, 4xx where none can.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::clock;

use super::format::{Format, MAX_BODY_BYTES};
use super::{Content, Delivery};

/// How long a request may wait for its events to be recorded: below the least `group_interval` that
/// people set (10 s), so that tries do not pile up.
const PATIENCE: Duration = Duration::from_secs(8);

/// When a sender that got 503 should try again, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// Settings of one webhook source.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The path it answers on, as in `/hooks/alertmanager`.
    pub path: String,
    pub format: Format,
    /// A file that holds the token senders show as `Authorization: Bearer`; absent: anybody who
    /// reaches the address may send.
    pub bearer_file: Option<PathBuf>,
}

/// Why a receiver cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the bearer token of the webhook {name} from {}: {source}", path.display())]
    Unreadable { name: String, path: PathBuf, source: io::Error },
    #[error("the bearer token of the webhook {name} in {} is empty; put a secret there", path.display())]
    Empty { name: String, path: PathBuf },
}

/// What to answer a request. The body is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// For the header `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
}

impl Answer {
    fn accepted(events: usize) -> Self {
        Self { status: 200, body: json!({ "accepted": events }).to_string(), retry_after_s: None }
    }

    fn refused(status: u16, reason: &str) -> Self {
        Self { status, body: json!({ "error": reason }).to_string(), retry_after_s: None }
    }

    fn try_again(reason: &str) -> Self {
        Self { retry_after_s: Some(RETRY_AFTER_S), ..Self::refused(503, reason) }
    }
}

/// The SHA-256 of a token: comparing digests takes the same time whatever is compared.
struct Token([u8; 32]);

impl Token {
    fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    fn is(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |bits, (a, b)| bits | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

/// One webhook, ready to take requests.
pub struct Receiver {
    name: String,
    path: String,
    format: Format,
    token: Option<Token>,
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
    /// Blocking: reads the token.
    ///
    /// # Errors
    /// The token cannot be read, or is empty.
    pub fn new(
        name: String,
        settings: Settings,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Self, Error> {
        let Settings { path, format, bearer_file } = settings;
        let token = bearer_file.map(|file| read_token(&name, &file)).transpose()?;
        Ok(Self { name, path, format, token, deliveries, patience: PATIENCE })
    }

    /// The path it answers on.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes one request and answers it once its events are recorded. `authorization` is the header
    /// of that name.
    pub async fn receive(&self, authorization: Option<&str>, body: Bytes) -> Answer {
        if !self.admits(authorization) {
            return Answer::refused(401, "a valid bearer token is needed");
        }
        let content = self.format.decode(&self.name, &body, clock::wall_time());
        let answer = match &content {
            Content::Events(events) => Answer::accepted(events.len()),
            Content::Rejected(rejected) if body.len() > MAX_BODY_BYTES => {
                Answer::refused(413, &rejected.reason)
            }
            Content::Rejected(rejected) => Answer::refused(400, &rejected.reason),
        };
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

    fn admits(&self, authorization: Option<&str>) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let shown = authorization.and_then(|header| header.split_once(' '));
        // The scheme's name is in any case (RFC 9110, 11.1).
        shown.is_some_and(|(scheme, secret)| {
            scheme.eq_ignore_ascii_case("bearer") && token.is(&Token::of(secret.trim().as_bytes()))
        })
    }
}

fn read_token(name: &str, path: &Path) -> Result<Token, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Unreadable {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    match text.trim() {
        "" => Err(Error::Empty { name: name.to_owned(), path: path.to_owned() }),
        secret => Ok(Token::of(secret.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    const ALERT: &[u8] = br#"{"version":"4","alerts":[{"labels":{"a":"1"}},{"labels":{"a":"2"}}]}"#;

    fn receiver(bearer_file: Option<PathBuf>) -> (Receiver, mpsc::Receiver<Delivery>) {
        let (deliveries, received) = mpsc::channel(1);
        let settings = Settings {
            path: "/hooks/alertmanager".into(),
            format: Format::Alertmanager,
            bearer_file,
        };
        (Receiver::new("hook".into(), settings, deliveries).unwrap(), received)
    }

    /// Sends a body and lets `worker` treat the delivery.
    async fn exchange(body: &'static [u8], worker: impl AsyncFnOnce(Delivery)) -> Answer {
        let (receiver, mut received) = receiver(None);
        let (answer, ()) = tokio::join!(receiver.receive(None, Bytes::from_static(body)), async {
            worker(received.recv().await.unwrap()).await;
        });
        answer
    }

    async fn record(delivery: Delivery) {
        delivery.done.send(Vec::new()).unwrap();
    }

    #[tokio::test]
    async fn success_is_said_only_after_the_events_were_recorded() {
        let (receiver, mut received) = receiver(None);
        let mut request = pin!(receiver.receive(None, Bytes::from_static(ALERT)));
        assert_eq!(request.as_mut().now_or_never(), None);
        let delivery = received.try_recv().unwrap();
        assert!(matches!(&delivery.content, Content::Events(events) if events.len() == 2));
        delivery.done.send(Vec::new()).unwrap();
        let answer = request.await;
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"accepted":2}"#));
    }

    #[tokio::test]
    async fn poison_is_recorded_before_it_is_refused() {
        let answer = exchange(b"nonsense", async |delivery| {
            assert!(matches!(delivery.content, Content::Rejected(_)));
            record(delivery).await;
        });
        let answer = answer.await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("the message is not JSON"), "{}", answer.body);

        let unrecorded = exchange(b"nonsense", async |delivery| drop(delivery)).await;
        assert_eq!(unrecorded.status, 503);
    }

    #[tokio::test]
    async fn what_could_not_be_recorded_is_asked_for_again() {
        let answer = exchange(ALERT, async |delivery| drop(delivery)).await;
        assert_eq!((answer.status, answer.retry_after_s), (503, Some(RETRY_AFTER_S)));
    }

    #[tokio::test]
    async fn waiting_for_the_record_is_bounded() {
        let (receiver, mut received) = receiver(None);
        let hurried = Receiver { patience: Duration::from_millis(1), ..receiver };
        let answer = hurried.receive(None, Bytes::from_static(ALERT)).await;
        assert_eq!((answer.status, answer.retry_after_s), (503, Some(RETRY_AFTER_S)));
        assert!(received.try_recv().is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_is_said_at_once() {
        let (receiver, _received) = receiver(None);
        let mut first = pin!(receiver.receive(None, Bytes::from_static(ALERT)));
        assert_eq!(first.as_mut().now_or_never(), None);
        let refused = receiver.receive(None, Bytes::from_static(ALERT)).await;
        assert_eq!((refused.status, refused.retry_after_s), (503, Some(RETRY_AFTER_S)));
        assert!(refused.body.contains("overloaded"), "{}", refused.body);
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_recorded_and_refused_as_too_large() {
        let (receiver, mut received) = receiver(None);
        let body = Bytes::from(vec![b'x'; MAX_BODY_BYTES + 1]);
        let (answer, ()) = tokio::join!(receiver.receive(None, body), async {
            record(received.recv().await.unwrap()).await;
        });
        assert_eq!(answer.status, 413);
    }

    #[tokio::test]
    async fn only_the_right_token_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("am.token");
        fs::write(&file, "s3cret\n").unwrap();
        let (receiver, mut received) = receiver(Some(file));
        for wrong in [
            None,
            Some(""),
            Some("s3cret"),
            Some("Bearer"),
            Some("Bearer s3cre"),
            Some("Bearer s3crets"),
            Some("Basic s3cret"),
        ] {
            let answer = receiver.receive(wrong, Bytes::from_static(ALERT)).await;
            assert_eq!(answer.status, 401, "{wrong:?}");
        }
        let right = receiver.receive(Some("bearer s3cret"), Bytes::from_static(ALERT));
        let (answer, ()) = tokio::join!(right, async {
            record(received.recv().await.unwrap()).await;
        });
        assert_eq!(answer.status, 200);
        assert!(!format!("{receiver:?}").contains("s3cret"));
    }

    #[test]
    fn a_token_that_is_missing_or_empty_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("am.token");
        let error = || {
            let (deliveries, _received) = mpsc::channel(1);
            let settings = Settings {
                path: "/h".into(),
                format: Format::Alertmanager,
                bearer_file: Some(file.clone()),
            };
            Receiver::new("hook".into(), settings, deliveries).unwrap_err().to_string()
        };
        assert!(error().contains("am.token: No such file"), "{}", error());
        fs::write(&file, " \n").unwrap();
        assert!(error().ends_with("am.token is empty; put a secret there"), "{}", error());
    }
}
