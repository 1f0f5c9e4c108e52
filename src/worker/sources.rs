//! The sources as they run now: MQTT clients on tasks of their own, webhooks in the control server, and
//! the calendar of the rules' schedules.
//!
//! [`Sources::set`] brings them to what a configuration says. Only clients whose settings have
//! changed are restarted, because a broker has to be asked for everything again by each new one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::model::Health;
use crate::source::schedule::Schedule;
use crate::source::webhook::Receiver;
use crate::source::{self, Delivery, Receivers, mqtt, webhook};
use crate::{clock, spawn};

use super::calendar::Calendar;
use super::revival::{REVIVAL, keep_alive};
use super::settle::settle;

/// All sources of the worker.
#[derive(Debug)]
pub(super) struct Sources {
    deliveries: mpsc::Sender<Delivery>,
    receivers: Receivers,
    running: Mutex<Running>,
    calendar: Calendar,
}

#[derive(Debug, Default)]
struct Running {
    parts: BTreeMap<String, Part>,
    /// The worker is stopping: nothing is started any more.
    closed: bool,
}

#[derive(Debug)]
struct Part {
    settings: source::Settings,
    health: watch::Receiver<Health>,
    /// None for a webhook, which the control server serves.
    client: Option<Client>,
}

/// An MQTT client that runs.
#[derive(Debug)]
struct Client {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sources {
    pub(super) fn new(deliveries: mpsc::Sender<Delivery>) -> Self {
        let calendar = Calendar::new(deliveries.clone());
        Self { deliveries, receivers: Receivers::default(), running: Mutex::default(), calendar }
    }

    /// The webhooks, for the control server to mount.
    pub(super) fn receivers(&self) -> Receivers {
        self.receivers.clone()
    }

    /// Makes the webhooks of a configuration, all of them, so that their secrets are read again.
    /// Blocking: reads files.
    ///
    /// # Errors
    /// A secret cannot be read.
    pub(super) fn build(
        &self,
        settings: &BTreeMap<String, source::Settings>,
    ) -> Result<Vec<Receiver>, webhook::Error> {
        let webhooks = settings.iter().filter_map(|(name, settings)| match settings {
            source::Settings::Webhook(settings) => Some((name, settings)),
            source::Settings::Mqtt(_) => None,
        });
        webhooks
            .map(|(name, settings)| {
                Receiver::new(name.clone(), settings.clone(), self.deliveries.clone())
            })
            .collect()
    }

    /// Lets webhooks answer in place of those before.
    pub(super) fn mount(&self, receivers: Vec<Receiver>) {
        self.receivers.replace(receivers);
    }

    /// Starts, restarts and stops clients until they are those of a configuration. Never waits.
    pub(super) fn set(&self, settings: &BTreeMap<String, source::Settings>) {
        let mut running = self.running();
        if running.closed {
            return;
        }
        let is_gone = |name: &String, part: &mut Part| {
            settings.get(name).is_none_or(|settings| *settings != part.settings)
        };
        let mut gone: BTreeMap<String, Part> = running.parts.extract_if(.., is_gone).collect();
        for (name, settings) in settings {
            if !running.parts.contains_key(name) {
                let before = gone.remove(name).and_then(|part| part.client);
                let part = self.start(name, settings, before);
                running.parts.insert(name.clone(), part);
            }
        }
        for client in gone.into_values().filter_map(|part| part.client) {
            client.stop.cancel();
        }
    }

    /// Starts one source, after the client `before` it has ended: two with one client id would
    /// disconnect each other.
    fn start(&self, name: &str, settings: &source::Settings, before: Option<Client>) -> Part {
        let (kind, state) = match settings {
            source::Settings::Mqtt(_) => ("mqtt", "starting".to_owned()),
            source::Settings::Webhook(settings) => {
                ("webhook", format!("listening on {}", settings.path))
            }
        };
        let (health, watched) = watch::channel(Health {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ok: true,
            state,
            since: clock::wall_time(),
            error: None,
            failures: 0,
        });
        let client = match settings {
            source::Settings::Webhook(_) => {
                if let Some(before) = before {
                    before.stop.cancel();
                }
                None
            }
            source::Settings::Mqtt(settings) => {
                let stop = CancellationToken::new();
                let deliveries = self.deliveries.clone();
                let (name, settings, ended) = (name.to_owned(), settings.clone(), stop.clone());
                let task = spawn::task("source", async move {
                    if let Some(before) = before {
                        before.stop.cancel();
                        settle("the source before", before.task).await;
                    }
                    run_client(name, settings, deliveries, health, ended).await;
                });
                Some(Client { stop, task })
            }
        };
        Part { settings: settings.clone(), health: watched, client }
    }

    /// Lets the calendar make the events of these schedules from now on. Never waits.
    pub(super) fn schedule(&self, schedules: Vec<Schedule>) {
        self.calendar.set(schedules);
    }

    /// How each is doing.
    pub(super) fn health(&self) -> Vec<Health> {
        let parts = self.running();
        let parts = parts.parts.values().map(|part| part.health.borrow().clone());
        parts.chain(self.calendar.health()).collect()
    }

    /// Stops all clients and waits until what was answered to them is acknowledged.
    pub(super) async fn shutdown(&self) {
        let parts = {
            let mut running = self.running();
            running.closed = true;
            std::mem::take(&mut running.parts)
        };
        let clients: Vec<Client> = parts.into_values().filter_map(|part| part.client).collect();
        clients.iter().for_each(|client| client.stop.cancel());
        self.calendar.shutdown().await;
        join_all(clients.into_iter().map(|client| client.task)).await;
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // Parts are put in and taken out whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run_client(
    name: String,
    settings: mqtt::Settings,
    deliveries: mpsc::Sender<Delivery>,
    health: watch::Sender<Health>,
    stop: CancellationToken,
) {
    let run = || {
        let (settings, deliveries) = (settings.clone(), deliveries.clone());
        mqtt::run(name.clone(), settings, deliveries, health.clone(), stop.clone())
    };
    keep_alive(&name, run, &health, &stop, REVIVAL).await;
}
