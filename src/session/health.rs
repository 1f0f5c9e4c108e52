//! How the storages and notifiers are doing, seen from the attempts at them.

use std::collections::BTreeMap;

use crate::clock::WallTime;
use crate::model::Health;

use super::Failure;

/// The health of every named party of one kind of work.
#[derive(Debug, Default)]
pub(super) struct Board {
    parties: BTreeMap<String, Health>,
}

impl Board {
    /// Notes the result of one attempt.
    pub(super) fn note(&mut self, name: &str, result: Result<(), &Failure>, at: WallTime) {
        let health = self.parties.entry(name.to_owned()).or_insert_with(|| Health {
            name: name.to_owned(),
            kind: String::new(),
            ok: true,
            state: String::new(),
            since: at,
            error: None,
            failures: 0,
        });
        let was_ok = health.ok && !health.state.is_empty();
        match result {
            Ok(()) => {
                health.state = "ok".to_owned();
                health.ok = true;
                health.error = None;
                health.failures = 0;
            }
            Err(failure) => {
                health.state = "retrying".to_owned();
                health.ok = false;
                health.error = Some(failure.message.clone());
                health.failures = health.failures.saturating_add(1);
            }
        }
        if was_ok != health.ok {
            health.since = at;
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Health> {
        self.parties.values()
    }
}
