//! Waiting for parts to stop.

use std::time::Duration;

/// How long a part may take to stop before it is left behind: longer than the engine's own patience
/// with a slow disk.
pub(super) const GRACE: Duration = Duration::from_secs(25);

/// Waits for a part to stop, but not for ever.
pub(super) async fn settle(part: &'static str, stopped: impl Future) {
    if tokio::time::timeout(GRACE, stopped).await.is_err() {
        tracing::warn!(part, "did not stop in {} s; leaving it behind", GRACE.as_secs());
    }
}
