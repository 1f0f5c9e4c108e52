//! What `status` says of an MQTT source.

use tokio::sync::watch;
use tracing::warn;

use crate::clock;
use crate::model::Health;

use super::Error;

/// Tells how the source is doing.
pub(super) struct Reporter {
    name: String,
    health: watch::Sender<Health>,
}

impl Reporter {
    pub(super) fn new(name: String, health: watch::Sender<Health>) -> Self {
        let reporter = Self { name, health };
        reporter.tell(false, "connecting", None, 0);
        reporter
    }

    /// The subscriptions stand. `session_lost`: the broker had forgotten what we had with it.
    pub(super) fn connected(&self, session_lost: bool) {
        let state = if session_lost {
            "connected; the broker had lost the session: possible upstream loss"
        } else {
            "connected"
        };
        self.tell(true, state, None, 0);
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
