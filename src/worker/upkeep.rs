//! What the loop does by the clock: a sign of life, gauges, retention.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{BootTime, Now};
use crate::session::Input;
use crate::telemetry::metrics;
use crate::{service, spawn};

use super::run_loop::{Loop, Prepared};
use super::{count, retention, watch};

/// Between two rounds, where the service manager does not want to hear of us more often. Histograms
/// take memory until a round folds them.
const EVERY: Duration = Duration::from_secs(2);

/// Between two sweeps of what is kept long enough.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// When what is due.
#[derive(Debug)]
pub(super) struct Upkeep {
    every: Duration,
    round_at: BootTime,
    sweep_at: BootTime,
    sweeping: bool,
}

impl Upkeep {
    /// `watchdog` is how often the service manager wants a sign of life at least.
    pub(super) fn new(watchdog: Option<Duration>, now: BootTime) -> Self {
        // Four times as often: one that is late is no death.
        let every = watchdog.map_or(EVERY, |interval| (interval / 4).min(EVERY));
        Self { every, round_at: now, sweep_at: now, sweeping: false }
    }

    pub(super) const fn due(&self) -> BootTime {
        self.round_at
    }

    /// A sweep is due now: what is kept has changed.
    pub(super) const fn sweep_again(&mut self, now: BootTime) {
        self.sweep_at = now;
    }

    /// A sweep has ended.
    pub(super) const fn swept(&mut self) {
        self.sweeping = false;
    }
}

impl Loop {
    /// One round, if it is due. It stands at the end of a turn of the loop, so that a loop that hangs
    /// gives no sign of life.
    pub(super) fn keep_up(&mut self, now: Now) {
        if now.boot < self.upkeep.round_at {
            return;
        }
        self.upkeep.round_at = now.boot + self.upkeep.every;
        service::alive();
        count::open(&self.machine);
        for recorder in self.engine.recorders() {
            let interface = [recorder.interface.as_str()];
            let window = Duration::from_millis(recorder.window_ms);
            metrics::RECORDER_WINDOW.set(&interface, window.as_secs_f64());
            metrics::RECORDER_PACKETS.reached(&interface, recorder.received);
            metrics::RECORDER_DROPPED.reached(&interface, recorder.dropped);
        }
        if let Some(space) = self.space {
            metrics::SPOOL_BYTES.set_count(&[], space.spool_bytes);
            metrics::SPOOL_FREE_BYTES.set_count(&[], space.free_bytes);
        }
        metrics::tidy();
        let due = now.boot >= self.upkeep.sweep_at && !self.upkeep.sweeping;
        if due && !self.machine.is_stopping() {
            self.upkeep.sweep_at = now.boot + SWEEP_EVERY;
            self.upkeep.sweeping = true;
            self.sweep();
        }
    }

    /// Removes beside the loop what is kept long enough.
    fn sweep(&self) {
        let (journal, storages) = (self.journal.clone(), Arc::clone(&self.storages));
        let kept = retention::kept(&self.config);
        let (retention, prepared) = (self.config.retention, self.prepared.clone());
        spawn::task("retention", async move {
            let swept =
                spawn::task("sweep", retention::sweep(journal, storages, kept, retention)).await;
            let swept = swept.unwrap_or_else(|ended| {
                tracing::error!(%ended, "retention failed inside");
                retention::Swept::default()
            });
            drop(prepared.send(Prepared::Swept(swept)).await);
        });
    }

    /// The room on the disk before the first event is taken.
    pub(super) async fn first_look_at_the_disk(&self) -> Option<Input> {
        let spool = self.spool.clone();
        match spawn::blocking(move || watch::space(&spool)).await {
            Ok(Ok(space)) => Some(Input::Space(space)),
            Ok(Err(error)) => {
                let spool = self.spool.display();
                tracing::warn!(%spool, %error, "the disk cannot be looked at");
                None
            }
            Err(ended) => {
                tracing::error!(%ended, "looking at the disk failed inside");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_sign_of_life_comes_well_within_the_patience_of_the_service_manager() {
        let now = clock::boot_time();
        let every = |watchdog| Upkeep::new(watchdog, now).every;
        assert_eq!(every(None), EVERY);
        assert_eq!(every(Some(Duration::from_secs(60))), EVERY);
        assert_eq!(every(Some(Duration::from_secs(2))), Duration::from_millis(500));
    }
}
