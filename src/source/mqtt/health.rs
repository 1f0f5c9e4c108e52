//! What `status` says of an MQTT source.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock;
use crate::model::Health;
use crate::telemetry::metrics;

use super::Error;

/// Tells how the source is doing.
pub(super) struct Reporter {
    name: String,
    health: watch::Sender<Health>,
    /// The log has it that retained messages are ignored: once is enough, the metrics count them.
    told_of_retained: AtomicBool,
}

impl Reporter {
    pub(super) fn new(name: String, health: watch::Sender<Health>) -> Self {
        let reporter = Self { name, health, told_of_retained: AtomicBool::new(false) };
        reporter.tell(false, "connecting", None, 0);
        reporter
    }

    /// The subscriptions stand.
    pub(super) fn connected(&self) {
        self.tell(true, "connected", None, 0);
    }

    /// A retained message was acknowledged and not handed over.
    pub(super) fn ignored_retained(&self) {
        metrics::RETAINED_IGNORED.add(&[&self.name], 1);
        if !self.told_of_retained.swap(true, Ordering::Relaxed) {
            info!(
                source = self.name,
                "a retained message is old news: ignored, as all that follow"
            );
        }
    }

    pub(super) fn failed(&self, error: &Error, failures: u32) {
        warn!(source = self.name, failures, "MQTT source: {error}; retrying");
        self.tell(false, "retrying", Some(error.to_string()), failures);
    }

    pub(super) fn stopped(&self) {
        self.tell(true, "stopped", None, 0);
    }

    fn tell(&self, ok: bool, state: &str, error: Option<String>, failures: u32) {
        self.health.send_modify(|health| {
            // `since` counts from the change of state, not from the last of many equal failures.
            if health.state != state {
                health.since = clock::wall_time();
            }
            health.name.clone_from(&self.name);
            health.kind = "mqtt".to_owned();
            health.ok = ok;
            health.state = state.to_owned();
            health.error = error;
            health.failures = failures;
        });
    }
}
