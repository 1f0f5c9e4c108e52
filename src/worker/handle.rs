//! How the outside talks to the run loop: typed requests, each with a way back.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::clock::WallTime;
use crate::model::{Capture, CaptureId, Health, Outcome, RecorderStatus, State, Tally};
use crate::source::Delivery;

/// How long a request waits for the loop before it is given up: a healthy loop answers in
/// milliseconds, also under a storm.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the outside asks of the run loop.
#[derive(Debug)]
pub enum Request {
    /// An event by hand; answered like every delivery, after the commit.
    Deliver(Delivery),
    /// The newest captures, newest first.
    Captures {
        limit: usize,
        reply: oneshot::Sender<Vec<Capture>>,
    },
    /// The capture with this name or id.
    Capture {
        key: String,
        reply: oneshot::Sender<Option<Box<Capture>>>,
    },
    /// End this capture as `Manual`. Answered when the stop is on its way.
    Stop {
        key: String,
        reply: oneshot::Sender<Option<StopAnswer>>,
    },
    /// The newest outcomes, newest first.
    Outcomes {
        limit: usize,
        reply: oneshot::Sender<Vec<Outcome>>,
    },
    Recorders {
        reply: oneshot::Sender<Vec<RecorderStatus>>,
    },
    Status {
        reply: oneshot::Sender<Box<Status>>,
    },
}

/// The answer to a stop. Stopping what has ended is fine, and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopAnswer {
    pub capture: CaptureId,
    pub name: String,
    /// The state at the time of the answer.
    pub state: State,
}

/// How the whole worker is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub host: String,
    pub started_at: WallTime,
    /// Every remote party, and the journal.
    pub sources: Vec<Health>,
    pub storages: Vec<Health>,
    pub notifiers: Vec<Health>,
    pub recorders: Vec<RecorderStatus>,
    /// How many rules are loaded.
    pub rules: usize,
    /// What was decided since the journal began.
    pub decisions: Vec<Tally>,
    /// Captures that have not reached their end, by state.
    pub captures_open: Vec<(State, usize)>,
    /// Segments that are sealed and not yet verified in their storage.
    pub segments_waiting: usize,
    /// Segments that are stored, and whose local copy is still to be removed.
    pub removals_waiting: usize,
    pub notices_waiting: usize,
    /// Files that stood in the spool at the start and that no capture names; the log names them.
    pub unexplained_files: usize,
}

/// There was no answer: the run loop is stopping, or it hangs, or the journal could not be read,
/// which the log says.
#[derive(Debug, thiserror::Error)]
#[error("the worker does not answer; it is stopping or overloaded, or its log says why")]
pub struct Unavailable;

/// A way to the run loop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

impl Handle {
    pub fn new(requests: mpsc::Sender<Request>) -> Self {
        Self { requests }
    }

    /// Hands over a delivery; its outcomes come back through its own `done`.
    ///
    /// # Errors
    /// The loop is gone, or its queue stayed full for [`PATIENCE`].
    pub async fn deliver(&self, delivery: Delivery) -> Result<(), Unavailable> {
        self.send(Request::Deliver(delivery)).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn captures(&self, limit: usize) -> Result<Vec<Capture>, Unavailable> {
        self.ask(|reply| Request::Captures { limit, reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn capture(&self, key: String) -> Result<Option<Box<Capture>>, Unavailable> {
        self.ask(|reply| Request::Capture { key, reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn stop(&self, key: String) -> Result<Option<StopAnswer>, Unavailable> {
        self.ask(|reply| Request::Stop { key, reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn outcomes(&self, limit: usize) -> Result<Vec<Outcome>, Unavailable> {
        self.ask(|reply| Request::Outcomes { limit, reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn recorders(&self) -> Result<Vec<RecorderStatus>, Unavailable> {
        self.ask(|reply| Request::Recorders { reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn status(&self) -> Result<Box<Status>, Unavailable> {
        self.ask(|reply| Request::Status { reply }).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply)).await?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Unavailable),
        }
    }

    async fn send(&self, request: Request) -> Result<(), Unavailable> {
        self.requests.send_timeout(request, PATIENCE).await.map_err(|_request| Unavailable)
    }
}
