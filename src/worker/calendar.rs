//! The calendar as it runs now: one task for the schedules of all rules.
//!
//! It starts with the first schedule and stays: a reload hands it others, so that those which stay the
//! same miss nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::model::Health;
use crate::source::Delivery;
use crate::source::schedule::{self, Schedule};
use crate::{clock, spawn};

use super::revival::{REVIVAL, keep_alive};

/// The calendar of the worker.
#[derive(Debug)]
pub(super) struct Calendar {
    schedules: watch::Sender<Vec<Schedule>>,
    health: watch::Sender<Health>,
    deliveries: mpsc::Sender<Delivery>,
    stop: CancellationToken,
    /// None until there is a schedule.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Calendar {
    pub(super) fn new(deliveries: mpsc::Sender<Delivery>) -> Self {
        let health = Health {
            name: schedule::NAME.to_owned(),
            kind: schedule::NAME.to_owned(),
            ok: true,
            state: "starting".to_owned(),
            since: clock::wall_time(),
            error: None,
            failures: 0,
        };
        Self {
            schedules: watch::Sender::default(),
            health: watch::Sender::new(health),
            deliveries,
            stop: CancellationToken::new(),
            task: Mutex::default(),
        }
    }

    /// Makes events for these schedules from now on. Never waits.
    pub(super) fn set(&self, schedules: Vec<Schedule>) {
        let mut task = self.task();
        let is_wanted = !schedules.is_empty();
        self.schedules.send_replace(schedules);
        if is_wanted && task.is_none() && !self.stop.is_cancelled() {
            *task = Some(self.start());
        }
    }

    fn start(&self) -> JoinHandle<()> {
        let (schedules, deliveries) = (self.schedules.subscribe(), self.deliveries.clone());
        let (health, stop) = (self.health.clone(), self.stop.clone());
        spawn::task("calendar", async move {
            let run = || {
                let (health, stop) = (health.clone(), stop.clone());
                schedule::run(schedules.clone(), deliveries.clone(), health, stop)
            };
            keep_alive(schedule::NAME, run, &health, &stop, REVIVAL).await;
        })
    }

    /// How it is doing, where there are schedules.
    pub(super) fn health(&self) -> Option<Health> {
        let is_wanted = !self.schedules.borrow().is_empty();
        is_wanted.then(|| self.health.borrow().clone())
    }

    /// Stops for good, and waits for the end.
    pub(super) async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task().take();
        if let Some(task) = task
            && let Err(ended) = task.await
        {
            tracing::error!(%ended, "the calendar did not end by itself");
        }
    }

    fn task(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        // It is put in and taken out whole.
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
