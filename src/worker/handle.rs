//! How the outside talks to the run loop.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::model::{Audit, Capture, Outcome, RecorderStatus};
use crate::source::Delivery;
use crate::telemetry::metrics;

use super::explain::{ExplainAnswer, ExplainRequest, NotExplained};
use super::request::{
    CreateRequest, DeleteAnswer, NotCreated, RedriveAnswer, ReloadAnswer, Request, Status,
    StopAnswer, StorageCheck,
};
use super::standing::RuleView;
use super::stored::StoredFile;

/// How long a request waits for the loop before it is given up: a healthy loop answers in
/// milliseconds, also under a storm.
const PATIENCE: Duration = Duration::from_secs(10);

/// As long for what asks files, programs or the network behind the loop.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

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
        self.ask(PATIENCE, |reply| Request::Captures { limit, reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn capture(&self, key: String) -> Result<Option<Box<Capture>>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::Capture { key, reply }).await
    }

    /// Begins a capture by hand; answered once it is recorded.
    ///
    /// # Errors
    /// See [`Unavailable`]: whether it was begun is then not known; see `capture` with its name.
    pub async fn create(
        &self,
        request: CreateRequest,
    ) -> Result<Result<Box<Capture>, NotCreated>, Unavailable> {
        let request = Box::new(request);
        // libpcap compiles its filter first.
        self.ask(LONG_PATIENCE, |reply| Request::Create { request, reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn stop(&self, key: String) -> Result<Option<StopAnswer>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::Stop { key, reply }).await
    }

    /// Takes a capture off the list; none where there is none of that name or id.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn delete(&self, key: String) -> Result<Option<DeleteAnswer>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::Delete { key, reply }).await
    }

    /// Tries again what was given up of a capture; none where there is none of that name or id.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn drive_again(&self, key: String) -> Result<Option<RedriveAnswer>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::DriveAgain { key, reply }).await
    }

    /// One file of a capture; none where there is no such capture or file.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn file(&self, key: String, index: u32) -> Result<Option<StoredFile>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::File { key, index, reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn outcomes(&self, limit: usize) -> Result<Vec<Outcome>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::Outcomes { limit, reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn recorders(&self) -> Result<Vec<RecorderStatus>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::Recorders { reply }).await
    }

    /// How each rule stands, in the order of the rule files.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn rules(&self) -> Result<Vec<RuleView>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::Rules { reply }).await
    }

    /// What the rules and the state would make of a payload; changes nothing.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn explain(
        &self,
        request: ExplainRequest,
    ) -> Result<Result<ExplainAnswer, NotExplained>, Unavailable> {
        let request = Box::new(request);
        // Every rule is asked, on a thread beside the loop.
        self.ask(LONG_PATIENCE, |reply| Request::Explain { request, reply }).await
    }

    /// How every storage answers, asked all at once; takes as long as the slowest, at most about 15
    /// seconds.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn storages_check(&self) -> Result<Vec<StorageCheck>, Unavailable> {
        self.ask(LONG_PATIENCE, |reply| Request::StoragesCheck { reply }).await
    }

    /// Reads the configuration and the rules again: all of it acts, or nothing, and then the problems
    /// come back as people read them.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn reload(&self) -> Result<Result<ReloadAnswer, Vec<String>>, Unavailable> {
        self.ask(LONG_PATIENCE, |reply| Request::Reload { reply }).await
    }

    /// Keeps a record of a call that changed something.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn audit(&self, audit: Audit) -> Result<(), Unavailable> {
        self.ask(PATIENCE, |reply| Request::Audit { audit, reply }).await
    }

    /// The newest records of such calls, newest first.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn audits(&self, limit: usize) -> Result<Vec<Audit>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::Audits { limit, reply }).await
    }

    /// # Errors
    /// See [`Unavailable`].
    pub async fn status(&self) -> Result<Box<Status>, Unavailable> {
        self.ask(PATIENCE, |reply| Request::Status { reply }).await
    }

    /// All counters, as Prometheus reads them. Asks nobody: it answers also where the loop hangs.
    pub fn metrics(&self) -> String {
        metrics::render()
    }

    async fn ask<T>(
        &self,
        patience: Duration,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply)).await?;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Unavailable),
        }
    }

    async fn send(&self, request: Request) -> Result<(), Unavailable> {
        self.requests.send_timeout(request, PATIENCE).await.map_err(|_request| Unavailable)
    }
}
