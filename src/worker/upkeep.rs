//! What the loop does by the clock: a sign of life, gauges, retention.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::session::Input;
use crate::telemetry::metrics;
use crate::{service, spawn};

use super::state::{Loop, Prepared};
use super::{count, retention, watch};

/// Between two sweeps of what is kept long enough.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

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
