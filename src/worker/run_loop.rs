//! Select, apply, commit, act, answer.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, BootTime, Now};
use crate::config::Config;
use crate::journal::{self};
use crate::model::{Change, Event, Outcome, Report};
use crate::session::{Effects, Input};
use crate::source::{self, Content, Delivery};
use crate::telemetry::metrics;

use super::request::Request;
use super::state::{Loop, Prepared, Reply};
use super::{count, spool};

/// The most news in one batch, and so in one transaction: bounds its memory and its latency.
const BATCH: usize = 512;

/// One piece of news, before the machine sees it.
#[derive(Debug)]
enum News {
    Input(Input),
    Delivery(Delivery),
    Request(Request),
    Prepared(Prepared),
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
    pub(super) prepared: mpsc::Receiver<Prepared>,
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

impl Loop {
    /// Runs until everything has stopped.
    ///
    /// # Errors
    /// The journal failed: nothing that was not acknowledged can be relied on.
    pub(super) async fn run(
        mut self,
        mut inbox: Inbox,
        halt: Halt,
    ) -> Result<Self, journal::Error> {
        let mut batch = Vec::with_capacity(BATCH);
        self.unexplained_files = spool::unexplained(&self.spool, &self.journal).await;
        // What an earlier run left is taken up before any news but the room on the disk.
        batch.extend(self.first_look_at_the_disk().await.map(News::Input));
        self.turn(&mut batch).await?;
        loop {
            let stopping = self.machine.is_stopping();
            let deadline =
                self.machine.next_deadline().into_iter().chain([self.upkeep.due()]).min();
            let first = select(&mut inbox, stopping, deadline, &halt).await;
            let drained = matches!(first, News::Drained);
            batch.push(first);
            gather(&mut inbox, &mut batch, drained);
            self.turn(&mut batch).await?;
            self.keep_up(clock::now());
            if drained {
                return Ok(self);
            }
            if self.disk_full {
                halt.stop.cancel();
            }
            if self.machine.is_stopping() {
                halt.drain.cancel();
            }
        }
    }

    /// One batch, from news to deeds.
    async fn turn(&mut self, batch: &mut Vec<News>) -> Result<(), journal::Error> {
        metrics::BATCH_PIECES
            .record(&[], f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
        let now = clock::now();
        let mut effects = Effects::default();
        let mut replies: Vec<Reply> = Vec::new();
        for news in batch.drain(..) {
            match news {
                News::Input(input) => self.hear(input, now, &mut effects),
                News::Delivery(delivery) => {
                    replies.extend(self.take(delivery, None, now, &mut effects));
                }
                News::Request(Request::Deliver(delivery)) => {
                    replies.extend(self.take(delivery, Some(count::BY_HAND), now, &mut effects));
                }
                News::Request(request) => replies.extend(self.answer(request, now, &mut effects)),
                News::Prepared(prepared) => {
                    replies.extend(self.go_on(prepared, now, &mut effects));
                }
                News::Stop => self.machine.apply(Input::Shutdown, now, &mut effects),
                News::Deadline | News::Drained => {}
            }
        }
        self.machine.settle(now, &mut effects);
        self.finish(effects, replies).await
    }

    /// Hands one input to the machine.
    fn hear(&mut self, input: Input, now: Now, effects: &mut Effects) {
        if let Input::Engine(report) = &input {
            count::report(report, &self.machine, now);
        }
        if let Input::Space(space) = &input {
            self.space = Some(*space);
        }
        self.machine.apply(input, now, effects);
    }

    /// Goes on with what was prepared beside the loop.
    fn go_on(&mut self, prepared: Prepared, now: Now, effects: &mut Effects) -> Option<Reply> {
        match prepared {
            // Nothing new begins while the worker stops; whoever asks learns that it does.
            Prepared::Create { .. } if self.machine.is_stopping() => None,
            Prepared::Create { name, plan, asker } => {
                Some(self.created(name, *plan, asker, now, effects))
            }
            Prepared::Delete { capture, asker } => {
                Some(self.delete_ended(*capture, asker, effects))
            }
            Prepared::DriveAgain { capture, dead, asker } => {
                Some(self.driven_again(*capture, dead, asker, now, effects))
            }
            Prepared::Reloaded(result) => {
                self.reloaded(result, now);
                None
            }
            Prepared::Explained(ready) => {
                self.preview(ready, now);
                None
            }
            Prepared::Swept(swept) => {
                self.upkeep.swept();
                effects.changes.extend(swept.changes);
                self.machine.apply(Input::Freed(swept.freed), now, effects);
                None
            }
        }
    }

    /// Applies one delivery's events; returns who waits for what. While the worker stops, a delivery
    /// is dropped: its sender is not told that it arrived, and sends it to the next worker, which can
    /// still capture for it.
    fn take(
        &mut self,
        delivery: Delivery,
        source: Option<&'static str>,
        now: Now,
        effects: &mut Effects,
    ) -> Option<Reply> {
        if self.machine.is_stopping() {
            return None;
        }
        count::delivery(&delivery.content, source);
        let first = effects.changes.len();
        match delivery.content {
            Content::Events(events) => {
                for event in events {
                    let input = judged(event, &self.config);
                    self.machine.apply(input, now, effects);
                }
            }
            Content::Rejected(rejected) => {
                self.machine.apply(Input::Rejected(rejected), now, effects);
            }
            Content::Session { source, key, present } => {
                self.machine.apply(Input::Session { source, key, present }, now, effects);
            }
        }
        let outcomes: Vec<Outcome> =
            effects.changes[first..].iter().filter_map(Change::outcome).cloned().collect();
        let done = delivery.done;
        // A sender that went away asks again, and finds its event coalesced.
        Some(Box::new(move || drop(done.send(outcomes))))
    }

    /// Makes the changes durable, then acts, then answers: acting never waits, and a capture that is to
    /// begin is what somebody waits for. It gets ready meanwhile; where the commit fails it never was.
    async fn finish(
        &mut self,
        effects: Effects,
        replies: Vec<Reply>,
    ) -> Result<(), journal::Error> {
        let Effects { changes, actions } = effects;
        let mut ready = self.make_ready(&actions);
        if !changes.is_empty() {
            count::decisions(&changes);
            let began = clock::boot_time();
            let committed = self.journal.commit(changes).await?;
            metrics::COMMIT_SECONDS.took(&[], clock::boot_time().since(began));
            self.disk_full |= committed.disk_full;
            if !committed.freed.is_empty() {
                let freed = Input::Freed(committed.freed);
                self.machine.apply(freed, clock::now(), &mut Effects::default());
            }
        }
        for action in actions {
            self.act(action, &mut ready);
        }
        replies.into_iter().for_each(|reply| reply());
        Ok(())
    }
}

/// An event with the rules' word on it, and whether it is too old for its source.
fn judged(event: Event, config: &Config) -> Input {
    let verdicts = config.rules.decide(&event);
    let allowed = config.sources.get(&event.source).and_then(source::Settings::max_event_age);
    Input::judged(event, verdicts, allowed)
}

/// Waits for the next piece of news. The worker's own work comes before people's requests, and
/// these before new events, so that a storm of events delays no capture that runs. Before all comes
/// the end: whoever goes on asking or posting must not put it off. The last turn takes what waits.
async fn select(
    inbox: &mut Inbox,
    stopping: bool,
    deadline: Option<BootTime>,
    halt: &Halt,
) -> News {
    tokio::select! {
        biased;
        _ = &mut inbox.drained => News::Drained,
        () = halt.stop.cancelled(), if !stopping => News::Stop,
        Some(result) = inbox.results.recv() => News::Input(result),
        Some(report) = inbox.reports.recv() => News::Input(Input::Engine(report)),
        Some(prepared) = inbox.prepared.recv() => News::Prepared(prepared),
        Some(request) = inbox.requests.recv() => News::Request(request),
        Some(delivery) = inbox.deliveries.recv() => News::Delivery(delivery),
        () = until(deadline) => News::Deadline,
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
        let Ok(prepared) = inbox.prepared.try_recv() else { break };
        batch.push(News::Prepared(prepared));
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
    use super::*;
    use crate::model::{CaptureId, Status};

    #[tokio::test]
    async fn a_storm_does_not_put_off_the_end_and_the_last_turn_takes_what_waits() {
        let (results, results_in) = mpsc::channel(1);
        let (_prepared, prepared_in) = mpsc::channel(1);
        let (_reports, reports_in) = mpsc::channel(1);
        let (_requests, requests_in) = mpsc::channel(1);
        let (deliveries, deliveries_in) = mpsc::channel(1);
        let (drained, drained_in) = oneshot::channel();
        let mut inbox = Inbox {
            results: results_in,
            prepared: prepared_in,
            reports: reports_in,
            requests: requests_in,
            deliveries: deliveries_in,
            drained: drained_in,
        };
        let capture = CaptureId::from_text("c1");
        results.try_send(Input::Removed { capture, index: 0, result: Ok(()) }).unwrap();
        let (done, _answer) = oneshot::channel();
        deliveries.try_send(Delivery { content: Content::Events(Vec::new()), done }).unwrap();
        let halt = Halt::default();
        halt.stop.cancel();
        assert!(matches!(select(&mut inbox, false, None, &halt).await, News::Stop));
        drained.send(()).unwrap();
        assert!(matches!(select(&mut inbox, false, None, &halt).await, News::Drained));
        let mut batch = Vec::new();
        gather(&mut inbox, &mut batch, true);
        assert!(matches!(batch[..], [News::Input(_), News::Delivery(_)]), "{batch:?}");
    }

    #[test]
    fn only_an_alert_that_is_older_than_its_source_lets_pass_is_expired() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let text = "version: 1\nrules: []\nsources: { hook: { webhook: { path: /a, \
                    format: alertmanager, max_event_age: 5m } } }\n";
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file)).unwrap_or_else(|found| panic!("{}", found[0]));
        let now = clock::wall_time();
        let event = |source: &str, status, age_s: Option<u64>| Event {
            id: crate::model::EventId::from_text("e"),
            source: source.to_owned(),
            name: "X".to_owned(),
            status,
            severity: None,
            labels: [].into(),
            annotations: [].into(),
            value: None,
            starts_at: age_s.map(|age| now - std::time::Duration::from_secs(age)),
            received_at: now,
            fingerprint: String::new(),
            payload: String::new(),
        };
        for (source, status, age_s, expired) in [
            ("hook", Status::Firing, Some(300), false),
            ("hook", Status::Firing, Some(301), true),
            ("hook", Status::Firing, None, false),
            ("hook", Status::Resolved, Some(301), false),
            ("other", Status::Firing, Some(301), false),
        ] {
            let input = judged(event(source, status, age_s), &config);
            let is_expired = matches!(input, Input::Expired { .. });
            assert_eq!(is_expired, expired, "{source} {status:?} {age_s:?}");
        }
    }
}
