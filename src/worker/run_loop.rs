//! Select, apply, commit, answer, act.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::capture::Engine;
use crate::clock::{self, BootTime, Now, WallTime};
use crate::journal::{self, Journal};
use crate::model::{Change, Health, Outcome, Report};
use crate::notify::Notifiers;
use crate::rules::RuleSet;
use crate::session::{Effects, Input, Machine};
use crate::source::{Content, Delivery};
use crate::upload::Storages;

use super::request::Request;
use super::spool;

/// The most news in one batch, and so in one transaction: bounds its memory and its latency.
const BATCH: usize = 512;

/// One piece of news, before the machine sees it.
#[derive(Debug)]
enum News {
    Input(Input),
    Delivery(Delivery),
    Request(Request),
    /// Something became due.
    Deadline,
    /// The worker is asked to stop.
    Stop,
    /// The sources and the engine have stopped; nothing more comes.
    Drained,
}

/// The queues that end in the loop.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Results of work that the loop started.
    pub(super) results: mpsc::Receiver<Input>,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    /// Completes when the sources and the engine have stopped.
    pub(super) drained: oneshot::Receiver<()>,
}

/// How the worker stops.
#[derive(Clone, Debug, Default)]
pub(super) struct Halt {
    /// Cancelled from outside to stop the worker.
    pub(super) stop: CancellationToken,
    /// Cancelled by the loop once it takes no more events and has acted on all that it took: the
    /// sources and the engine may stop.
    pub(super) drain: CancellationToken,
}

/// The loop and all that it acts through.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) machine: Machine,
    pub(super) rules: RuleSet,
    pub(super) journal: Journal,
    /// Shared with the stop, which shuts it down.
    pub(super) engine: Arc<Engine>,
    pub(super) storages: Arc<Storages>,
    pub(super) notifiers: Arc<Notifiers>,
    /// The way back for work that the loop starts.
    pub(super) results: mpsc::Sender<Input>,
    /// The sources' own word on how they are.
    pub(super) sources: Vec<watch::Receiver<Health>>,
    pub(super) spool: PathBuf,
    /// Files that stood in the spool at the start and that no capture names.
    pub(super) unexplained_files: usize,
    pub(super) host: String,
    pub(super) started_at: WallTime,
}

/// A sender that waits for its outcomes.
type Waiting = (oneshot::Sender<Vec<Outcome>>, Vec<Outcome>);

impl Loop {
    /// Runs until everything has stopped.
    ///
    /// # Errors
    /// The journal failed: nothing that was not acknowledged can be relied on.
    pub(super) async fn run(
        mut self,
        mut inbox: Inbox,
        halt: Halt,
    ) -> Result<Journal, journal::Error> {
        let mut batch = Vec::with_capacity(BATCH);
        self.unexplained_files = spool::unexplained(&self.spool, &self.journal).await;
        // What an earlier run left is taken up before any news.
        self.turn(&mut batch).await?;
        loop {
            let first = select(&mut inbox, &self.machine, &halt).await;
            let drained = matches!(first, News::Drained);
            batch.push(first);
            gather(&mut inbox, &mut batch, drained);
            self.turn(&mut batch).await?;
            if drained {
                return Ok(self.journal);
            }
            if self.machine.is_stopping() {
                halt.drain.cancel();
            }
        }
    }

    /// One batch, from news to deeds.
    async fn turn(&mut self, batch: &mut Vec<News>) -> Result<(), journal::Error> {
        let now = clock::now();
        let mut effects = Effects::default();
        let mut waiting = Vec::new();
        for news in batch.drain(..) {
            match news {
                News::Input(input) => self.machine.apply(input, now, &mut effects),
                News::Delivery(delivery) | News::Request(Request::Deliver(delivery)) => {
                    waiting.extend(self.take(delivery, now, &mut effects));
                }
                News::Request(request) => self.answer(request, now, &mut effects),
                News::Stop => self.machine.apply(Input::Shutdown, now, &mut effects),
                News::Deadline | News::Drained => {}
            }
        }
        self.machine.settle(now, &mut effects);
        self.finish(effects, waiting).await
    }

    /// Applies one delivery's events; returns who waits for what. While the worker stops, a delivery
    /// is dropped: its sender is not told that it arrived, and sends it to the next worker, which can
    /// still capture for it.
    fn take(&mut self, delivery: Delivery, now: Now, effects: &mut Effects) -> Option<Waiting> {
        if self.machine.is_stopping() {
            return None;
        }
        let first = effects.changes.len();
        match delivery.content {
            Content::Events(events) => {
                for event in events {
                    let verdicts = self.rules.decide(&event);
                    self.machine.apply(Input::Event { event, verdicts }, now, effects);
                }
            }
            Content::Rejected(rejected) => {
                self.machine.apply(Input::Rejected(rejected), now, effects);
            }
            Content::Session { .. } => {}
        }
        let outcomes =
            effects.changes[first..].iter().filter_map(Change::outcome).cloned().collect();
        Some((delivery.done, outcomes))
    }

    /// Makes the changes durable, then answers, then acts.
    async fn finish(
        &mut self,
        effects: Effects,
        waiting: Vec<Waiting>,
    ) -> Result<(), journal::Error> {
        let Effects { changes, actions } = effects;
        if !changes.is_empty() {
            let committed = self.journal.commit(changes).await?;
            if committed.disk_full {
                return Err(journal::Error::Full);
            }
            if !committed.freed.is_empty() {
                let freed = Input::Freed(committed.freed);
                self.machine.apply(freed, clock::now(), &mut Effects::default());
            }
        }
        for (done, outcomes) in waiting {
            // A sender that went away asks again, and finds its event coalesced.
            drop(done.send(outcomes));
        }
        for action in actions {
            self.act(action);
        }
        Ok(())
    }
}

/// Waits for the next piece of news. The worker's own work comes before people's requests, and
/// these before new events, so that a storm of events delays no capture that runs. Before all comes
/// the end: whoever goes on asking or posting must not put it off. The last turn takes what waits.
async fn select(inbox: &mut Inbox, machine: &Machine, halt: &Halt) -> News {
    tokio::select! {
        biased;
        _ = &mut inbox.drained => News::Drained,
        () = halt.stop.cancelled(), if !machine.is_stopping() => News::Stop,
        Some(result) = inbox.results.recv() => News::Input(result),
        Some(report) = inbox.reports.recv() => News::Input(Input::Engine(report)),
        Some(request) = inbox.requests.recv() => News::Request(request),
        Some(delivery) = inbox.deliveries.recv() => News::Delivery(delivery),
        () = until(machine.next_deadline()) => News::Deadline,
    }
}

/// Adds what has already arrived, up to [`BATCH`]; on the last turn, all of it.
fn gather(inbox: &mut Inbox, batch: &mut Vec<News>, last: bool) {
    let room = |batch: &Vec<News>| last || batch.len() < BATCH;
    while room(batch) {
        let Ok(input) = inbox.results.try_recv() else { break };
        batch.push(News::Input(input));
    }
    while room(batch) {
        let Ok(report) = inbox.reports.try_recv() else { break };
        batch.push(News::Input(Input::Engine(report)));
    }
    while room(batch) {
        let Ok(request) = inbox.requests.try_recv() else { break };
        batch.push(News::Request(request));
    }
    while room(batch) {
        let Ok(delivery) = inbox.deliveries.try_recv() else { break };
        batch.push(News::Delivery(delivery));
    }
}

async fn until(deadline: Option<BootTime>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(clock::boot_time())).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::CaptureId;
    use crate::session::{Ceilings, FreeDisk, Settings};

    #[tokio::test]
    async fn a_storm_does_not_put_off_the_end_and_the_last_turn_takes_what_waits() {
        let (results, results_in) = mpsc::channel(1);
        let (_reports, reports_in) = mpsc::channel(1);
        let (_requests, requests_in) = mpsc::channel(1);
        let (deliveries, deliveries_in) = mpsc::channel(1);
        let (drained, drained_in) = oneshot::channel();
        let mut inbox = Inbox {
            results: results_in,
            reports: reports_in,
            requests: requests_in,
            deliveries: deliveries_in,
            drained: drained_in,
        };
        let capture = CaptureId::from_text("c1");
        results.try_send(Input::Removed { capture, index: 0, result: Ok(()) }).unwrap();
        let (done, _answer) = oneshot::channel();
        deliveries.try_send(Delivery { content: Content::Events(Vec::new()), done }).unwrap();
        let ceilings = Ceilings {
            duration: Duration::from_secs(1),
            bytes: 1,
            concurrent: 1,
            captures_per_hour: 1,
            spool_bytes: 1,
            free_disk: FreeDisk::Bytes(0),
        };
        let (machine, halt) = (Machine::new(Settings::new(ceilings), 0), Halt::default());
        halt.stop.cancel();
        assert!(matches!(select(&mut inbox, &machine, &halt).await, News::Stop));
        drained.send(()).unwrap();
        assert!(matches!(select(&mut inbox, &machine, &halt).await, News::Drained));
        let mut batch = Vec::new();
        gather(&mut inbox, &mut batch, true);
        assert!(matches!(batch[..], [News::Input(_), News::Delivery(_)]), "{batch:?}");
    }
}
