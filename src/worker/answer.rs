//! Answering requests. What needs the journal is read on a task of its own, so that no reader
//! holds up the loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::clock::{self, Now};
use crate::journal;
use crate::model::{Capture, Health, State, StopReason};
use crate::session::{Effects, Input};
use crate::spawn;
use crate::upload::Storages;

use super::request::{ConfigurationStatus, Request, SpoolStatus, Status, StopAnswer, StorageCheck};
use super::run_loop::Loop;
use super::stored;

/// How long a storage may take to say that it is there.
const CHECK_PATIENCE: Duration = Duration::from_secs(15);

impl Loop {
    /// Answers one request; a stop goes through the machine.
    pub(super) fn answer(&mut self, request: Request, now: Now, effects: &mut Effects) {
        let journal = self.journal.clone();
        match request {
            // The loop takes deliveries before it comes here.
            Request::Deliver(delivery) => drop(delivery),
            Request::Captures { limit, reply } => {
                let open = self.open();
                spawn::task("captures", async move {
                    if let Some(mut captures) = answered(journal.captures(limit).await) {
                        captures.iter_mut().for_each(|capture| freshen(capture, &open));
                        drop(reply.send(captures));
                    }
                });
            }
            Request::Capture { key, reply } => {
                let open = self.open();
                spawn::task("capture", async move {
                    if let Some(mut found) = answered(journal.capture(&key).await) {
                        if let Some(capture) = &mut found {
                            freshen(capture, &open);
                        }
                        drop(reply.send(found.map(Box::new)));
                    }
                });
            }
            Request::Stop { key, reply } => match self.find_open(&key) {
                Some(answer) => {
                    let capture = answer.capture.clone();
                    let stop = Input::Stop { capture, reason: StopReason::Manual };
                    self.machine.apply(stop, now, effects);
                    drop(reply.send(Some(answer)));
                }
                None => {
                    spawn::task("stop", async move {
                        if let Some(found) = answered(journal.capture(&key).await) {
                            drop(reply.send(found.as_ref().map(stop_answer)));
                        }
                    });
                }
            },
            Request::Outcomes { limit, reply } => {
                spawn::task("outcomes", async move {
                    if let Some(outcomes) = answered(journal.outcomes(limit).await) {
                        drop(reply.send(outcomes));
                    }
                });
            }
            Request::Recorders { reply } => drop(reply.send(self.engine.recorders())),
            Request::File { key, index, reply } => {
                spawn::task("file", async move {
                    if let Some(found) = answered(journal.capture(&key).await) {
                        drop(reply.send(found.and_then(|capture| stored::find(&capture, index))));
                    }
                });
            }
            Request::StoragesCheck { reply } => self.check_storages(reply),
            // Whoever asks learns that there is no answer.
            Request::Create { .. }
            | Request::Delete { .. }
            | Request::DriveAgain { .. }
            | Request::Reload { .. }
            | Request::Audit { .. }
            | Request::Audits { .. } => {}
            Request::Status { reply } => {
                let mut status = self.status();
                spawn::task("status", async move {
                    if let Some(tallies) = answered(journal.tallies().await) {
                        status.decisions = tallies;
                        drop(reply.send(Box::new(status)));
                    }
                });
            }
        }
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

    fn find_open(&self, key: &str) -> Option<StopAnswer> {
        let is_it = |capture: &&Capture| capture.id.as_str() == key || capture.name == key;
        self.machine.open_captures().find(is_it).map(stop_answer)
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
            host: self.host.clone(),
            started_at: self.started_at,
            ready: !self.machine.is_stopping(),
            configuration: ConfigurationStatus {
                file: None,
                loaded_at: self.started_at,
                error: None,
                needs_restart: Vec::new(),
            },
            sources: self.sources.iter().map(|health| health.borrow().clone()).collect(),
            storages: seen(self.storages.kinds().map(|(n, k)| idle(n, k)), storages),
            notifiers: seen(self.notifiers.kinds().map(|(n, k)| idle(n, k)), notifiers),
            recorders: self.engine.recorders(),
            rules: self.rules.len(),
            decisions: Vec::new(),
            captures_open: open.into_values().collect(),
            segments_waiting: self.machine.segments_waiting(),
            removals_waiting: self.machine.removals_waiting(),
            notices_waiting: self.machine.notices_waiting(),
            unexplained_files: self.unexplained_files,
            spool: SpoolStatus::default(),
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
fn answered<T>(answer: Result<T, journal::Error>) -> Option<T> {
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
