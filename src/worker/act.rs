//! Carrying out what the machine wants done: each piece of work on a task of its own, its result
//! back into the loop. How many run at one time the machine bounds.

use std::path::PathBuf;
use std::sync::Arc;

use crate::capture;
use crate::durable;
use crate::model::{CaptureId, Notice, Segment};
use crate::session::{Action, Failure, Input};
use crate::spawn;

use super::run_loop::Loop;

impl Loop {
    /// Starts one action; never waits.
    pub(super) fn act(&self, action: Action) {
        match action {
            Action::Begin(capture) => {
                tracing::info!(capture = %capture.name, rule = %capture.plan.rule, "capture begins");
                self.engine.begin(capture.id, capture.name, capture.plan);
            }
            Action::Stop { capture, reason } => self.engine.stop(&capture, reason),
            Action::SealLeftovers { capture, recorded } => self.seal_leftovers(capture, recorded),
            Action::Upload { storage, segment } => self.upload(storage, segment),
            Action::Remove { capture, index, path } => self.remove(capture, index, path),
            Action::Send(notice) => self.send(notice),
        }
    }

    fn seal_leftovers(&self, capture: CaptureId, recorded: Vec<u32>) {
        let spool = self.spool.clone();
        self.back(async move {
            let id = capture.clone();
            let work = move || capture::seal_leftovers(&spool, &id, &recorded);
            let files = spawn::blocking(work).await.unwrap_or_default();
            tracing::info!(%capture, files = files.len(), "sealed what an earlier run had left");
            Input::Leftovers { capture, files }
        });
    }

    fn upload(&self, storage: String, segment: Box<Segment>) {
        let storages = Arc::clone(&self.storages);
        self.back(async move {
            let result = storages.store(&storage, &segment).await;
            if let Err(error) = &result {
                tracing::warn!(%storage, object = %segment.object, %error, "upload failed");
            }
            let result = result.map_err(|error| Failure {
                transient: error.is_transient(),
                message: error.to_string(),
            });
            Input::Uploaded { capture: segment.capture, index: segment.file.index, result }
        });
    }

    fn remove(&self, capture: CaptureId, index: u32, path: PathBuf) {
        self.back(async move {
            let shown = path.display().to_string();
            let removed = spawn::blocking(move || durable::remove(&path)).await;
            let message = match removed {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("removing the uploaded file '{shown}': {error}")),
                Err(_panicked) => Some(format!("removing the uploaded file '{shown}' panicked")),
            };
            if let Some(message) = &message {
                tracing::warn!("{message}");
            }
            let failed = |message| Err(Failure { transient: true, message });
            Input::Removed { capture, index, result: message.map_or(Ok(()), failed) }
        });
    }

    fn send(&self, notice: Box<Notice>) {
        let notifiers = Arc::clone(&self.notifiers);
        self.back(async move {
            let result = notifiers.send(&notice).await;
            if let Err(error) = &result {
                tracing::warn!(notifier = %notice.notifier, notice = %notice.id, %error, "notice failed");
            }
            let result = result.map_err(|error| Failure {
                transient: error.is_transient(),
                message: error.to_string(),
            });
            Input::Notified { notice: notice.id, result }
        });
    }

    /// Runs work whose result is news. A loop that is gone no longer wants it.
    fn back(&self, work: impl Future<Output = Input> + Send + 'static) {
        let results = self.results.clone();
        spawn::task("work", async move { drop(results.send(work.await).await) });
    }
}
