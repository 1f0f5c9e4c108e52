//! Events that the calendar makes: one for each instant at which a schedule comes round.
//!
//! They go the way of all others, as a [`Delivery`] whose answer is waited for. The wall clock is what
//! counts, and it may be set, or stand still while the host sleeps: so it is looked at again at least
//! once a minute, no instant comes twice for a schedule, and one that is found too late is left out.
//! Nothing is made up for the time in which nobody looked. Knows nothing of rules: it is told names.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::calendar::{Cron, Zone};
use crate::clock::{self, WallTime};
use crate::model::{Event, EventId, Health, Outcome, Status};
use crate::random;

use super::{Content, Delivery};

/// What the source is called, which no configured one may be.
pub const NAME: &str = "schedule";

/// The label that names the rule.
const LABEL: &str = "rule";

/// The longest sleep: a clock that was set meanwhile is noticed so late at most.
const LOOK: Duration = Duration::from_secs(60);

/// How late an instant may be found that still counts: a few looks too many on a busy host. What is older
/// was slept over.
const LATEST: Duration = LOOK;

/// How far the clock may be set back while what it goes through again stays left out. Corrections of a
/// running host are smaller; by more, the time before was the wrong one, and waiting for it to come again
/// could take years.
const MOST_BACK: Duration = Duration::from_secs(600);

/// How long the worker may take to record what came round: a commit on a disk that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// How soon what could not be recorded is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// One schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The rule that it is for; unique among all schedules.
    pub rule: String,
    pub cron: Cron,
    pub zone: Zone,
}

/// Makes events until `stop`, for the schedules that are in `schedules` by then. One that stays the same
/// while others change misses nothing.
pub async fn run(
    mut schedules: watch::Receiver<Vec<Schedule>>,
    deliveries: mpsc::Sender<Delivery>,
    health: watch::Sender<Health>,
    stop: CancellationToken,
) {
    let mut calendar = Calendar::default();
    loop {
        let now = clock::wall_time();
        calendar.set(&schedules.borrow_and_update(), now);
        let due = calendar.take_due(now);
        let pause = if due.is_empty() {
            let next = calendar.next();
            tell(&health, next.as_ref());
            next.map_or(LOOK, |(at, _rule)| at.since(now).min(LOOK))
        } else {
            let recorded = tokio::select! {
                () = stop.cancelled() => return,
                recorded = deliver(&due, &deliveries) => recorded,
            };
            match recorded {
                Ok(()) => continue,
                Err(error) => {
                    warn!("an event of a schedule: {error}");
                    fail(&health, error);
                    calendar.put_back(due);
                    PAUSE
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            changed = schedules.changed() => if changed.is_err() { return },
        }
    }
}

/// An instant at which a schedule came round.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Due {
    schedule: Schedule,
    at: WallTime,
    /// What was behind it before.
    before: WallTime,
}

/// The schedules, and up to when each of them is done.
#[derive(Debug, Default)]
struct Calendar {
    done: BTreeMap<String, (Schedule, WallTime)>,
}

impl Calendar {
    /// Takes over what schedules there are. What is new begins now.
    fn set(&mut self, schedules: &[Schedule], now: WallTime) {
        let mut before = std::mem::take(&mut self.done);
        for schedule in schedules {
            let known = before.remove(&schedule.rule).filter(|(known, _)| known == schedule);
            let entry = known.unwrap_or_else(|| (schedule.clone(), now));
            self.done.insert(schedule.rule.clone(), entry);
        }
    }

    /// What has come round by now, at most one instant of each schedule, which counts as done then.
    fn take_due(&mut self, now: WallTime) -> Vec<Due> {
        let mut due = Vec::new();
        for (schedule, done) in self.done.values_mut() {
            if done.since(now) > MOST_BACK {
                info!(rule = schedule.rule, "the clock was set back; the schedule begins anew");
                *done = now;
            }
            let oldest = now - LATEST;
            let next = schedule.cron.next_after(*done, &schedule.zone);
            if next.is_some_and(|next| next < oldest) {
                let rule = &schedule.rule;
                warn!(rule, since = %done, "the host slept, or its clock was set: what the schedule missed is left out");
                // The oldest that still counts may be this very instant.
                *done = oldest - Duration::from_nanos(1);
            }
            let next = schedule.cron.next_after(*done, &schedule.zone);
            if let Some(at) = next.filter(|next| *next <= now) {
                due.push(Due { schedule: schedule.clone(), at, before: *done });
                *done = at;
            }
        }
        due
    }

    /// What was taken could not be recorded: it is due again.
    fn put_back(&mut self, due: Vec<Due>) {
        for Due { schedule, before, .. } in due {
            self.done.insert(schedule.rule.clone(), (schedule, before));
        }
    }

    /// What comes next, and for which rule.
    fn next(&self) -> Option<(WallTime, &str)> {
        let next = |(schedule, done): &(Schedule, WallTime)| {
            schedule.cron.next_after(*done, &schedule.zone)
        };
        self.done.iter().filter_map(|(rule, entry)| Some((next(entry)?, rule.as_str()))).min()
    }
}

/// Has the worker record what came round, all of it at once.
async fn deliver(due: &[Due], deliveries: &mpsc::Sender<Delivery>) -> Result<(), &'static str> {
    let (done, recorded) = oneshot::channel::<Vec<Outcome>>();
    let content = Content::Events(due.iter().map(event).collect());
    match tokio::time::timeout(PATIENCE, deliveries.send(Delivery { content, done })).await {
        Ok(Ok(())) => {}
        Ok(Err(_closed)) => return Err("the worker takes no more events"),
        Err(_elapsed) => return Err("the worker is overloaded; it is tried again"),
    }
    match tokio::time::timeout(PATIENCE, recorded).await {
        Ok(Ok(_outcomes)) => Ok(()),
        Ok(Err(_dropped)) => Err("it could not be recorded; it is tried again"),
        Err(_elapsed) => {
            // It is on its way: a second one would capture twice.
            warn!("the worker takes long to record the event of a schedule");
            Ok(())
        }
    }
}

fn event(due: &Due) -> Event {
    let Due { schedule: Schedule { rule, cron, zone }, at, .. } = due;
    let received_at = clock::wall_time();
    let payload = json!({
        "schedule": rule, "at": at, "cron": cron.to_string(), "timezone": zone.to_string(),
    });
    Event {
        id: EventId::mint(received_at, [random::seed(), random::seed()]),
        source: NAME.to_owned(),
        name: rule.clone(),
        status: Status::Firing,
        severity: None,
        labels: BTreeMap::from([(LABEL.to_owned(), rule.clone())]),
        annotations: BTreeMap::new(),
        value: None,
        starts_at: Some(*at),
        received_at,
        fingerprint: fingerprint(rule, *at),
        payload: payload.to_string(),
    }
}

/// The same on every host with the rule: 16 hexadecimal digits.
fn fingerprint(rule: &str, at: WallTime) -> String {
    // The time has no line break in it, so no two different pairs run together into one.
    let hash = Sha256::digest(format!("{at}\n{rule}"));
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tell(health: &watch::Sender<Health>, next: Option<&(WallTime, &str)>) {
    let state = next.map_or_else(
        || "nothing comes any more".to_owned(),
        |(at, rule)| format!("next is {rule} at {}", at.to_string().replace(".000000000", "")),
    );
    change(health, true, state, None);
}

fn fail(health: &watch::Sender<Health>, error: &str) {
    change(health, false, "retrying".to_owned(), Some(error.to_owned()));
}

fn change(health: &watch::Sender<Health>, ok: bool, state: String, error: Option<String>) {
    health.send_if_modified(|health| {
        let is_new = health.state != state || health.error != error;
        if is_new {
            health.since = clock::wall_time();
        }
        health.failures = if ok { 0 } else { health.failures.saturating_add(1) };
        (health.ok, health.state, health.error) = (ok, state, error);
        is_new
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallTime {
        text.parse().unwrap()
    }

    fn schedule(rule: &str, cron: &str) -> Schedule {
        let (cron, zone) = (Cron::parse(cron).unwrap(), Zone::UTC);
        Schedule { rule: rule.to_owned(), cron, zone }
    }

    fn hourly() -> Schedule {
        schedule("hourly", "0 0 * * * *")
    }

    /// What comes round when the clock is looked at at these times, as rule and instant.
    fn looks(calendar: &mut Calendar, times: &[&str]) -> Vec<String> {
        let look = |time: &&str| calendar.take_due(at(time));
        let due = times.iter().flat_map(look);
        due.map(|due| format!("{} {}", due.schedule.rule, &due.at.to_string()[11..19])).collect()
    }

    fn calendar(schedules: &[Schedule], from: &str) -> Calendar {
        let mut calendar = Calendar::default();
        calendar.set(schedules, at(from));
        calendar
    }

    #[test]
    fn each_instant_comes_once_however_often_it_is_looked() {
        let mut calendar = calendar(&[hourly()], "2026-01-01T10:00:00Z");
        let times = [
            "2026-01-01T10:00:00Z",
            "2026-01-01T10:59:59.999Z",
            "2026-01-01T11:00:00Z",
            "2026-01-01T11:00:00.001Z",
            "2026-01-01T12:00:59Z",
        ];
        assert_eq!(looks(&mut calendar, &times), ["hourly 11:00:00", "hourly 12:00:00"]);
        assert_eq!(calendar.next(), Some((at("2026-01-01T13:00:00Z"), "hourly")));
    }

    #[test]
    fn a_host_that_slept_leaves_out_what_it_slept_over() {
        let secondly = schedule("secondly", "*/20 * * * * *");
        let mut calendar = calendar(&[hourly(), secondly], "2026-01-01T10:00:00Z");
        let woken = ["2026-01-01T18:01:00Z"; 6];
        let expected = [
            "hourly 18:00:00",
            "secondly 18:00:00",
            "secondly 18:00:20",
            "secondly 18:00:40",
            "secondly 18:01:00",
        ];
        assert_eq!(looks(&mut calendar, &woken), expected);
        let later = ["2026-01-02T03:01:01Z"; 2];
        let expected = ["secondly 03:00:20", "secondly 03:00:40"];
        assert_eq!(looks(&mut calendar, &later), expected);
    }

    #[test]
    fn a_clock_that_is_set_back_a_little_lets_nothing_come_twice() {
        let mut calendar = calendar(&[hourly()], "2026-01-01T10:00:00Z");
        let times = [
            "2026-01-01T11:00:00Z",
            "2026-01-01T10:50:00Z",
            "2026-01-01T11:00:00Z",
            "2026-01-01T11:00:01Z",
            "2026-01-01T12:00:01Z",
        ];
        assert_eq!(looks(&mut calendar, &times), ["hourly 11:00:00", "hourly 12:00:00"]);
    }

    #[test]
    fn a_clock_that_is_set_back_by_years_begins_anew() {
        let mut calendar = calendar(&[hourly()], "2036-01-01T10:00:00Z");
        let times = ["2036-01-01T11:00:00Z", "2026-01-01T11:59:00Z", "2026-01-01T12:00:00Z"];
        assert_eq!(looks(&mut calendar, &times), ["hourly 11:00:00", "hourly 12:00:00"]);
    }

    #[test]
    fn another_set_keeps_what_stays_and_begins_what_is_new_now() {
        let mut calendar = calendar(&[hourly()], "2026-01-01T10:00:00Z");
        let daily = schedule("daily", "0 0 11 * * *");
        calendar.set(&[hourly(), daily.clone()], at("2026-01-01T11:00:00.5Z"));
        assert_eq!(looks(&mut calendar, &["2026-01-01T11:00:01Z"]), ["hourly 11:00:00"]);
        let other = schedule("hourly", "0 30 * * * *");
        calendar.set(&[other, daily], at("2026-01-01T11:40:00Z"));
        assert_eq!(looks(&mut calendar, &["2026-01-01T11:40:01Z"]), Vec::<String>::new());
        calendar.set(&[], at("2026-01-01T11:41:00Z"));
        assert_eq!(calendar.next(), None);
    }

    #[test]
    fn what_was_put_back_is_due_again() {
        let mut calendar = calendar(&[hourly()], "2026-01-01T10:00:00Z");
        let due = calendar.take_due(at("2026-01-01T11:00:00Z"));
        calendar.put_back(due.clone());
        assert_eq!(calendar.take_due(at("2026-01-01T11:00:01Z")), due);
    }

    #[test]
    fn the_same_instant_of_a_rule_has_one_fingerprint() {
        let due = |rule, time| Due {
            schedule: schedule(rule, "0 0 * * * *"),
            at: at(time),
            before: at(time),
        };
        let first = event(&due("a", "2026-01-01T11:00:00Z"));
        let again = event(&due("a", "2026-01-01T11:00:00Z"));
        assert_ne!(first.id, again.id);
        assert_eq!((&first.fingerprint, first.fingerprint.len()), (&again.fingerprint, 16));
        assert_ne!(first.fingerprint, event(&due("b", "2026-01-01T11:00:00Z")).fingerprint);
        assert_ne!(first.fingerprint, event(&due("a", "2026-01-01T12:00:00Z")).fingerprint);
        assert_eq!((first.name.as_str(), first.label("rule")), ("a", "a"));
        assert_eq!((first.source.as_str(), first.status), ("schedule", Status::Firing));
        assert_eq!(first.starts_at, Some(at("2026-01-01T11:00:00Z")));
    }

    fn health() -> watch::Sender<Health> {
        let (name, kind) = (NAME.to_owned(), NAME.to_owned());
        let (state, since) = (String::new(), clock::wall_time());
        watch::Sender::new(Health { name, kind, ok: true, state, since, error: None, failures: 0 })
    }

    async fn next(
        deliveries: &mut mpsc::Receiver<Delivery>,
    ) -> (Event, oneshot::Sender<Vec<Outcome>>) {
        let wait = tokio::time::timeout(Duration::from_secs(30), deliveries.recv());
        let delivery = wait.await.unwrap().unwrap();
        let Content::Events(mut events) = delivery.content else {
            panic!("{:?}", delivery.content)
        };
        assert_eq!(events.len(), 1);
        (events.remove(0), delivery.done)
    }

    #[tokio::test]
    async fn each_second_is_delivered_in_time_and_what_was_not_recorded_again() {
        let (deliveries, mut taken) = mpsc::channel(4);
        let (schedules, told) = watch::channel(Vec::new());
        let (stop, health) = (CancellationToken::new(), health());
        let seen = health.subscribe();
        let task = crate::spawn::task("test", run(told, deliveries, health, stop.clone()));
        schedules.send(vec![schedule("each", "* * * * * *")]).unwrap();
        let (first, done) = next(&mut taken).await;
        let late = first.received_at.since(first.starts_at.unwrap());
        assert!(late < Duration::from_secs(5), "{late:?}");
        assert_eq!(first.starts_at.unwrap().as_nanos() % 1_000_000_000, 0);
        drop(done);
        let (again, done) = next(&mut taken).await;
        assert_eq!(again.fingerprint, first.fingerprint, "it was not recorded");
        assert_eq!((seen.borrow().ok, seen.borrow().failures), (false, 1));
        done.send(Vec::new()).unwrap();
        for number in 1..3 {
            let (event, done) = next(&mut taken).await;
            let expected = first.starts_at.unwrap() + Duration::from_secs(number);
            assert_eq!(event.starts_at, Some(expected));
            done.send(Vec::new()).unwrap();
        }
        schedules.send(vec![hourly()]).unwrap();
        let mut seen = seen;
        let wait =
            seen.wait_for(|health| health.ok && health.state.starts_with("next is hourly at "));
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap().unwrap();
        stop.cancel();
        task.await.unwrap();
    }
}
