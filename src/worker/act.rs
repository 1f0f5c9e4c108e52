//! Carrying out what the machine wants done: each piece of work on a task of its own, its result
//! back into the loop. How many run at one time the machine bounds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::task::JoinError;

use crate::capture::{Destination, Origin, Standby};
use crate::model::{
    AboutCapture, Body, Capture, CaptureId, File, Notice, Receipt, Report, Segment, State, Totals,
    Transfer,
};
use crate::session::{Action, Failure, Input};
use crate::telemetry::metrics;
use crate::upload::{self, Storages};
use crate::{capture, clock, durable, spawn};

use super::state::Loop;
use super::{count, spool};

/// How long the links of a notice open: over a weekend.
const LINKS_LAST: Duration = Duration::from_secs(72 * 3600);

/// How long making them may take: signing needs the network only where the machine has a role.
const LINKS_PATIENCE: Duration = Duration::from_secs(10);

/// How the message of a failure ends that is a bug of ours.
const PANICKED: &str = "failed inside the worker; its log says where";

/// The captures of one batch that are to begin, or why one cannot.
pub(super) type Ready = BTreeMap<CaptureId, Result<Standby, capture::Error>>;

impl Loop {
    /// Has the captures that are to begin get ready, which may go on while the journal is written.
    pub(super) fn make_ready(&self, actions: &[Action]) -> Ready {
        let mut ready = Ready::new();
        for action in actions {
            if let Action::Begin(capture) = action {
                let Capture { id, name, plan, .. } = capture.as_ref();
                let (origin, destination) = (Origin::Interfaces, Destination::Spool);
                let (name, plan) = (name.clone(), plan.clone());
                let standby = self.engine.stand_by(id.clone(), name, plan, origin, destination);
                ready.insert(id.clone(), standby);
            }
        }
        ready
    }

    /// Starts one action; never waits.
    pub(super) fn act(&self, action: Action, ready: &mut Ready) {
        match action {
            Action::Begin(capture) => self.begin(*capture, ready),
            Action::Stop { capture, reason } => self.engine.stop(&capture, reason),
            Action::Extend { capture, duration } => self.engine.extend(&capture, duration),
            Action::SealLeftovers { capture, recorded } => self.seal_leftovers(capture, recorded),
            Action::Upload { storage, segment, transfer, local_file } => {
                self.upload(Upload { storage, segment, transfer, local_file });
            }
            Action::Remove { capture, index, path } => self.remove(capture, index, path),
            Action::Send(notice) => self.send(notice),
            Action::Ended(capture) => {
                count::ended(&capture);
                tell_end(&capture);
            }
            Action::GivenUp(notice) => tracing::error!(
                notifier = %notice.notifier,
                notice = %notice.id,
                capture = %notice.body.subject(),
                "a notice is given up; it will not be sent"
            ),
        }
    }

    fn begin(&self, capture: Capture, ready: &mut Ready) {
        let Capture { id, name, plan, .. } = capture;
        let begun = ready.remove(&id).map(|standby| standby.map(Standby::begin));
        tracing::info!(capture = %name, rule = plan.rule, "capture begins");
        if let Some(Err(error)) = begun {
            let report = Report::refused(id, error.sentence());
            let results = self.results.clone();
            spawn::task("result", async move {
                drop(results.send(Input::Engine(report)).await);
            });
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

    fn upload(&self, upload: Upload) {
        let (storages, results) = (Arc::clone(&self.storages), self.results.clone());
        let (capture, index) = (upload.segment.capture.clone(), upload.segment.file.index);
        let lost = Input::Uploaded {
            capture: capture.clone(),
            index,
            result: panicked(format!("uploading {} {PANICKED}", upload.segment.object)),
        };
        let work = async move {
            let name = upload.storage.clone();
            let bytes = upload.segment.file.size_bytes;
            metrics::UPLOAD_ATTEMPTS.add(&[&name], 1);
            let began = clock::boot_time();
            let result = upload.run(&storages, &results).await;
            match &result {
                Ok(_receipt) => {
                    metrics::UPLOAD_BYTES.add(&[&name], bytes);
                    metrics::UPLOAD_SECONDS.took(&[&name], clock::boot_time().since(began));
                }
                Err(error) => {
                    metrics::UPLOAD_FAILURES.add(&[&name], 1);
                    tracing::warn!(storage = %name, %capture, index, %error, "upload failed");
                }
            }
            let result = result.map_err(|error| Failure {
                transient: error.is_transient(),
                message: error.to_string(),
            });
            Input::Uploaded { capture, index, result }
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
        let (notifiers, storages) = (Arc::clone(&self.notifiers), Arc::clone(&self.storages));
        let lost = Input::Notified {
            notice: notice.id.clone(),
            result: panicked(format!("sending a notice to '{}' {PANICKED}", notice.notifier)),
        };
        let work = async move {
            let mut notice = *notice;
            if let Body::Capture(about) = &mut notice.body {
                add_links(about, &storages).await;
            }
            let name = notice.notifier.as_str();
            metrics::NOTICE_ATTEMPTS.add(&[name], 1);
            let result = notifiers.send(&notice).await;
            if let Err(error) = &result {
                metrics::NOTICE_FAILURES.add(&[name], 1);
                tracing::warn!(notifier = %name, notice = %notice.id, %error, "notice failed");
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

/// One attempt to store a segment.
struct Upload {
    /// Empty where the local file is all that is asked for.
    storage: String,
    segment: Box<Segment>,
    transfer: Option<Box<Transfer>>,
    local_file: Option<PathBuf>,
}

impl Upload {
    /// To the storage first, because packets that leave the host are safe.
    async fn run(
        self,
        storages: &Storages,
        results: &mpsc::Sender<Input>,
    ) -> Result<Receipt, upload::Error> {
        let Self { storage, segment, transfer, local_file } = self;
        let stored = if storage.is_empty() {
            None
        } else {
            // A progress that finds the queue full is left out: the next one says it as well.
            let progress = |transfer| drop(results.try_send(Input::Transfer(transfer)));
            let transfer = transfer.map(|transfer| *transfer);
            Some(storages.store(&storage, &segment, transfer, progress).await?)
        };
        let Some(path) = local_file else {
            return stored.ok_or(upload::Error::Unknown(storage));
        };
        Storages::place(&path, &segment).await?;
        Ok(stored.unwrap_or_else(|| Receipt {
            storage,
            object: segment.object.clone(),
            location: path.display().to_string(),
            size_bytes: segment.file.size_bytes,
            sha256: segment.file.sha256.clone(),
            verified_at: clock::wall_time(),
        }))
    }
}

/// Puts addresses that open without an account into a notice, where the storage can make them. They
/// are secrets: made at each attempt, and never kept. A notice goes out without them as well.
async fn add_links(about: &mut AboutCapture, storages: &Storages) {
    let storage = &about.storage;
    let link = async |file: &File| {
        // One that could not be stored is still in the spool.
        if Path::new(&file.location).is_absolute() {
            return Ok(None);
        }
        storages.link(storage, &file.object, LINKS_LAST).await
    };
    let made = join_all(about.files.iter().map(link));
    let Ok(made) = tokio::time::timeout(LINKS_PATIENCE, made).await else {
        tracing::debug!(%storage, "no links in time");
        return;
    };
    for (file, link) in about.files.iter_mut().zip(made) {
        match link {
            Ok(link) => file.link = link,
            Err(error) => tracing::debug!(%storage, %error, "a notice goes out without a link"),
        }
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
