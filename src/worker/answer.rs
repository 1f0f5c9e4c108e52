//! Answering requests. What needs the journal is read on a task of its own, so that no reader
//! holds up the loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::clock::{self, Now};
use crate::journal;
use crate::model::{Capture, Change, Decision, Health, State, StopReason, Tally};
use crate::session::{Effects, Input};
use crate::spawn;
use crate::upload::Storages;

use super::request::{ConfigurationStatus, Request, SpoolStatus, Status, StopAnswer, StorageCheck};
use super::state::{Loop, Reply};
use super::stored::{self, StoredFile};

/// How long a storage may take to say that it is there.
const CHECK_PATIENCE: Duration = Duration::from_secs(15);

impl Loop {
    /// Answers one request, now, later, or by the reply once the batch is durable.
    pub(super) fn answer(
        &mut self,
        request: Request,
        now: Now,
        effects: &mut Effects,
    ) -> Option<Reply> {
        match request {
            // The loop takes deliveries before it comes here.
            Request::Deliver(delivery) => drop(delivery),
            Request::Create { request, reply } => self.create(*request, reply),
            Request::Stop { key, reply } => self.stop(key, reply, now, effects),
            Request::Delete { key, reply } => return self.delete(&key, reply, effects),
            Request::DriveAgain { key, reply } => self.drive_again(key, reply),
            Request::Reload { reply } => self.reload(reply),
            Request::Audit { audit, reply } => {
                effects.changes.push(Change::Audit(audit));
                // Whoever asked may be gone.
                return Some(Box::new(move || reply.send(()).unwrap_or_default()));
            }
            Request::Recorders { reply } => drop(reply.send(self.engine.recorders())),
            Request::Rules { reply } => self.tell_rules(now, reply),
            Request::Explain { request, reply } => self.explain(*request, reply),
            Request::StoragesCheck { reply } => self.check_storages(reply),
            Request::Status { reply } => self.tell_status(reply),
            Request::Captures { limit, reply } => self.list(limit, reply),
            Request::Capture { key, reply } => self.show(key, reply),
            Request::File { key, index, reply } => self.find_file(key, index, reply),
            Request::Outcomes { limit, reply } => {
                let journal = self.journal.clone();
                self.ask("outcomes", reply, async move { journal.outcomes(limit).await });
            }
            Request::Audits { limit, reply } => {
                let journal = self.journal.clone();
                self.ask("audits", reply, async move { journal.audit(limit).await });
            }
        }
        None
    }

    /// Sends what the journal answers, from a task of its own.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        name: &'static str,
        reply: oneshot::Sender<T>,
        answer: impl Future<Output = Result<T, journal::Error>> + Send + 'static,
    ) {
        spawn::task(name, async move {
            if let Some(answer) = answered(answer.await) {
                drop(reply.send(answer));
            }
        });
    }

    fn list(&self, limit: usize, reply: oneshot::Sender<Vec<Capture>>) {
        let (open, journal) = (self.open(), self.journal.clone());
        self.ask("captures", reply, async move {
            let mut captures = journal.captures(limit).await?;
            captures.iter_mut().for_each(|capture| freshen(capture, &open));
            Ok(captures)
        });
    }

    fn show(&self, key: String, reply: oneshot::Sender<Option<Box<Capture>>>) {
        let (open, journal) = (self.open(), self.journal.clone());
        self.ask("capture", reply, async move {
            let mut found = journal.capture(&key).await?;
            if let Some(capture) = &mut found {
                freshen(capture, &open);
            }
            Ok(found.map(Box::new))
        });
    }

    fn find_file(&self, key: String, index: u32, reply: oneshot::Sender<Option<StoredFile>>) {
        let (journal, storages) = (self.journal.clone(), Arc::clone(&self.storages));
        self.ask("file", reply, async move {
            let Some(capture) = journal.capture(&key).await? else { return Ok(None) };
            Ok(stored::find(&capture, index, storages).await)
        });
    }

    /// Stops a capture through the machine, or tells how one that has ended did.
    fn stop(
        &mut self,
        key: String,
        reply: oneshot::Sender<Option<StopAnswer>>,
        now: Now,
        effects: &mut Effects,
    ) {
        if let Some(answer) = self.find_open(&key).map(stop_answer) {
            let capture = answer.capture.clone();
            let stop = Input::Stop { capture, reason: StopReason::Manual };
            self.machine.apply(stop, now, effects);
            return drop(reply.send(Some(answer)));
        }
        let journal = self.journal.clone();
        self.ask("stop", reply, async move {
            Ok(journal.capture(&key).await?.as_ref().map(stop_answer))
        });
    }

    /// Asks all storages at once.
    fn check_storages(&self, reply: oneshot::Sender<Vec<StorageCheck>>) {
        let storages = Arc::clone(&self.storages);
        spawn::task("storages check", async move {
            let asked = storages.kinds().map(|(name, kind)| check(&storages, name, kind));
            drop(reply.send(join_all(asked).await));
        });
    }

    fn open(&self) -> BTreeMap<String, Capture> {
        self.machine.open_captures().map(|c| (c.id.to_string(), c.clone())).collect()
    }

    /// The open capture with this id or name, if nobody has deleted it.
    pub(super) fn find_open(&self, key: &str) -> Option<&Capture> {
        let is_it = |capture: &&Capture| {
            !capture.deleted && (capture.id.as_str() == key || capture.name == key)
        };
        self.machine.open_captures().find(is_it)
    }

    fn tell_status(&self, reply: oneshot::Sender<Box<Status>>) {
        let (mut status, journal) = (self.status(), self.journal.clone());
        self.ask("status", reply, async move {
            status.decisions = journal.tallies().await?;
            let is_loss = |tally: &&Tally| tally.decision == Decision::UpstreamLoss.word();
            status.upstream_losses =
                status.decisions.iter().filter(is_loss).map(|tally| tally.count).sum();
            Ok(Box::new(status))
        });
    }

    /// The status but for what the journal knows.
    fn status(&self) -> Status {
        let mut open: BTreeMap<&'static str, (State, usize)> = BTreeMap::new();
        // One that has ended may still be here for the removal of its files.
        for capture in self.machine.open_captures().filter(|capture| !capture.state.is_end()) {
            open.entry(capture.state.word()).or_insert((capture.state, 0)).1 += 1;
        }
        let (storages, notifiers) = self.machine.health();
        let idle = |name: &str, kind: &'static str| Health {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ok: true,
            state: "idle".to_owned(),
            since: self.started_at,
            error: None,
            failures: 0,
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.config.host.clone(),
            started_at: self.started_at,
            ready: !self.machine.is_stopping(),
            configuration: ConfigurationStatus {
                file: self.config.file.as_ref().map(|file| file.display().to_string()),
                loaded_at: self.reload.loaded_at,
                error: self.reload.error.clone(),
                needs_restart: self.reload.needs_restart.clone(),
            },
            sources: self.sources.health(),
            storages: seen(self.storages.kinds().map(|(n, k)| idle(n, k)), storages),
            notifiers: seen(self.notifiers.kinds().map(|(n, k)| idle(n, k)), notifiers),
            recorders: self.engine.recorders(),
            rules: self.config.rules.len(),
            decisions: Vec::new(),
            captures_open: open.into_values().collect(),
            segments_waiting: self.machine.segments_waiting(),
            removals_waiting: self.machine.removals_waiting(),
            notices_waiting: self.machine.notices_waiting(),
            unexplained_files: self.unexplained_files,
            spool: SpoolStatus {
                bytes: self.space.map_or(0, |space| space.spool_bytes),
                ceiling: self.config.ceilings.spool_bytes,
                free_bytes: self.space.map_or(0, |space| space.free_bytes),
                total_bytes: self.space.map_or(0, |space| space.total_bytes),
            },
            upstream_losses: 0,
        }
    }
}

/// Asks one storage, for a bounded time.
async fn check(storages: &Storages, name: &str, kind: &str) -> StorageCheck {
    let began = clock::boot_time();
    let error = match tokio::time::timeout(CHECK_PATIENCE, storages.check(name)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_elapsed) => Some(format!("no answer within {} s", CHECK_PATIENCE.as_secs())),
    };
    let took = clock::boot_time().since(began).as_millis();
    let millis = u64::try_from(took).unwrap_or(u64::MAX);
    StorageCheck { name: name.to_owned(), kind: kind.to_owned(), error, millis }
}

/// What the journal says. Whoever asked only learns that there is no answer.
pub(super) fn answered<T>(answer: Result<T, journal::Error>) -> Option<T> {
    answer.map_err(|error| tracing::error!(%error, "a question to the journal failed")).ok()
}

/// Every configured party, with what the attempts at it have shown; then those that only earlier
/// work names, because the configuration no longer has them.
fn seen(configured: impl Iterator<Item = Health>, tried: Vec<Health>) -> Vec<Health> {
    let mut tried: BTreeMap<String, Health> =
        tried.into_iter().map(|health| (health.name.clone(), health)).collect();
    let mut seen: Vec<Health> = configured
        .map(|idle| match tried.remove(&idle.name) {
            Some(health) => Health { kind: idle.kind, ..health },
            None => idle,
        })
        .collect();
    seen.extend(
        tried.into_values().map(|gone| Health { kind: "not configured".to_owned(), ..gone }),
    );
    seen
}

fn stop_answer(capture: &Capture) -> StopAnswer {
    StopAnswer { capture: capture.id.clone(), name: capture.name.clone(), state: capture.state }
}

/// The loop knows more of an open capture than the journal: how far it is.
fn freshen(capture: &mut Capture, open: &BTreeMap<String, Capture>) {
    if let Some(live) = open.get(capture.id.as_str()) {
        capture.clone_from(live);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;

    fn health(name: &str, kind: &str, state: &str) -> Health {
        Health {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ok: state != "retrying",
            state: state.to_owned(),
            since: WallTime::default(),
            error: None,
            failures: 0,
        }
    }

    #[test]
    fn a_party_that_only_earlier_work_names_is_shown_as_such() {
        let configured = [health("a", "s3", "idle"), health("b", "azure", "idle")];
        let tried = vec![health("b", "", "ok"), health("old", "", "retrying")];
        let seen = seen(configured.into_iter(), tried);
        let shown: Vec<_> =
            seen.iter().map(|h| (h.name.as_str(), h.kind.as_str(), h.state.as_str())).collect();
        let old = ("old", "not configured", "retrying");
        assert_eq!(shown, [("a", "s3", "idle"), ("b", "azure", "ok"), old]);
    }
}
