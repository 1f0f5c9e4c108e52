//! Carrying out what the machine wants done: each piece of work on a task of its own, its result
//! back into the loop. How many run at one time the machine bounds.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinError;

use crate::capture;
use crate::durable;
use crate::model::{Capture, CaptureId, Notice, Report, Segment, State, Totals};
use crate::session::{Action, Failure, Input};
use crate::spawn;

use super::run_loop::Loop;
use super::spool;

/// How the message of a failure ends that is a bug of ours.
const PANICKED: &str = "failed inside the worker; its log says where";

impl Loop {
    /// Starts one action; never waits.
    pub(super) fn act(&self, action: Action) {
        match action {
            Action::Begin(capture) => {
                tracing::info!(capture = %capture.name, rule = %capture.plan.rule, "capture begins");
                let id = capture.id.clone();
                if let Err(error) = self.engine.begin(id.clone(), capture.name, capture.plan) {
                    let report = Report::refused(id, error.sentence());
                    let results = self.results.clone();
                    spawn::task("result", async move {
                        drop(results.send(Input::Engine(report)).await);
                    });
                }
            }
            Action::Stop { capture, reason } => self.engine.stop(&capture, reason),
            Action::SealLeftovers { capture, recorded } => self.seal_leftovers(capture, recorded),
            Action::Upload { storage, segment, .. } => self.upload(storage, segment),
            Action::Remove { capture, index, path } => self.remove(capture, index, path),
            Action::Send(notice) => self.send(notice),
            Action::Ended(capture) => tell_end(&capture),
            Action::GivenUp(notice) => tracing::error!(
                notifier = %notice.notifier,
                notice = %notice.id,
                capture = %notice.body.subject(),
                "a notice is given up; it will not be sent"
            ),
        }
    }

    fn seal_leftovers(&self, capture: CaptureId, recorded: Vec<u32>) {
        let spool = self.spool.clone();
        let lost = Input::Leftovers {
            capture: capture.clone(),
            files: Vec::new(),
            error: Some(format!("sealing what capture {capture} left {PANICKED}")),
        };
        let work = move || {
            let files = capture::seal_leftovers(&spool, &capture, &recorded);
            let error = spool::left_of(&spool, &capture, &recorded, &files);
            match &error {
                None => {
                    let files = files.len();
                    tracing::info!(%capture, files, "sealed what an earlier run had left");
                }
                Some(error) => tracing::warn!(%capture, error, "leftovers stay in the spool"),
            }
            Input::Leftovers { capture, files, error }
        };
        self.back(async move { resumed(spawn::blocking(work).await) }, lost);
    }

    fn upload(&self, storage: String, segment: Box<Segment>) {
        let storages = Arc::clone(&self.storages);
        let lost = Input::Uploaded {
            capture: segment.capture.clone(),
            index: segment.file.index,
            result: panicked(format!("uploading {} {PANICKED}", segment.object)),
        };
        let work = async move {
            let result = storages.store(&storage, &segment, None, |_part| {}).await;
            if let Err(error) = &result {
                tracing::warn!(%storage, object = %segment.object, %error, "upload failed");
            }
            let result = result.map_err(|error| Failure {
                transient: error.is_transient(),
                message: error.to_string(),
            });
            Input::Uploaded { capture: segment.capture, index: segment.file.index, result }
        };
        self.back(work, lost);
    }

    fn remove(&self, capture: CaptureId, index: u32, path: PathBuf) {
        let doing = format!("removing the uploaded file {}", path.display());
        let lost = Input::Removed {
            capture: capture.clone(),
            index,
            result: panicked(format!("{doing} {PANICKED}")),
        };
        let work = async move {
            let removed = resumed(spawn::blocking(move || durable::remove(&path)).await);
            let result = removed.map_err(|error| {
                let message = format!("{doing}: {error}");
                tracing::warn!("{message}");
                Failure { transient: true, message }
            });
            Input::Removed { capture, index, result }
        };
        self.back(work, lost);
    }

    fn send(&self, notice: Box<Notice>) {
        let notifiers = Arc::clone(&self.notifiers);
        let lost = Input::Notified {
            notice: notice.id.clone(),
            result: panicked(format!("sending a notice to '{}' {PANICKED}", notice.notifier)),
        };
        let work = async move {
            let result = notifiers.send(&notice).await;
            if let Err(error) = &result {
                tracing::warn!(notifier = %notice.notifier, notice = %notice.id, %error, "notice failed");
            }
            let result = result.map_err(|error| Failure {
                transient: error.is_transient(),
                message: error.to_string(),
            });
            Input::Notified { notice: notice.id, result }
        };
        self.back(work, lost);
    }

    fn back(&self, work: impl Future<Output = Input> + Send + 'static, lost: Input) {
        back(self.results.clone(), work, lost);
    }
}

/// An error is what somebody has to look at: packets that were wanted are not where they belong.
fn tell_end(ended: &Capture) {
    let (capture, rule) = (&ended.name, &ended.plan.rule);
    let Totals { packets, bytes, .. } = ended.totals;
    let reason = ended.stop_reason.map(tracing::field::display);
    let error = ended.error.as_deref();
    match ended.state {
        State::Done => tracing::info!(capture, rule, packets, bytes, reason, "capture is stored"),
        State::Partial => tracing::warn!(
            capture,
            rule,
            packets,
            bytes,
            reason,
            error,
            "capture is stored, but cut short"
        ),
        State::Failed | State::Pending | State::Capturing | State::Sealed | State::Uploading => {
            tracing::error!(capture, rule, packets, bytes, reason, error, "capture failed");
        }
    }
}

/// Runs work whose result is news; `lost` is the news where it panics, so that no attempt stays
/// under way for ever. A loop that is gone no longer wants it.
fn back(
    results: mpsc::Sender<Input>,
    work: impl Future<Output = Input> + Send + 'static,
    lost: Input,
) {
    spawn::task("result", async move {
        let news = spawn::task("work", work).await.unwrap_or_else(|ended| {
            tracing::error!(%ended, "work of the run loop failed inside");
            lost
        });
        drop(results.send(news).await);
    });
}

/// Not worth many attempts: what panics on a file or a notice once does so again.
fn panicked<T>(message: String) -> Result<T, Failure> {
    Err(Failure { transient: false, message })
}

/// The result of blocking work; its panic goes on in the task that waits for it.
fn resumed<T>(ended: Result<T, JoinError>) -> T {
    match ended {
        Ok(result) => result,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => panic!("blocking work was {cancelled}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NoticeId;

    #[tokio::test]
    async fn work_that_panics_comes_back_as_a_failure() {
        let (results, mut news) = mpsc::channel(1);
        let lost = || Input::Notified {
            notice: NoticeId::from_text("n1"),
            result: panicked(format!("sending {PANICKED}")),
        };
        back(results.clone(), async { panic!("a bug") }, lost());
        let told = news.recv().await;
        assert!(matches!(told, Some(Input::Notified { result: Err(_), .. })), "{told:?}");
        let blocking = async { resumed(spawn::blocking(|| panic!("a bug")).await) };
        back(results, blocking, lost());
        let told = news.recv().await;
        assert!(matches!(told, Some(Input::Notified { result: Err(_), .. })), "{told:?}");
    }
}
