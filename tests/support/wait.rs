//! Waiting for the thing itself, with an end.

use std::time::Duration;

use hindsight::clock;

/// How often a condition is looked at: short against everything that is waited for.
const PERIOD: Duration = Duration::from_millis(10);

/// Looks at `condition` until it gives a value, and panics after `patience` with what was missing.
pub(crate) fn until<T>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let started = clock::boot_time();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        let waited = clock::boot_time().since(started);
        assert!(waited < patience, "waited {waited:.1?} in vain for {what}");
        std::thread::sleep(PERIOD);
    }
}
