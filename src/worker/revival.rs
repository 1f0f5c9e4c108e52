//! Sources that fail inside begin anew.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::Health;
use crate::{clock, spawn};

/// How long a source that failed inside rests before it begins anew: a message that it fails on comes
/// again, and must not keep the host busy.
pub(super) const REVIVAL: Duration = Duration::from_secs(10);

/// Runs a source until it ends by itself. One that panics begins anew after `pause`: what it had not
/// acknowledged is sent again, and without it no event would come any more.
pub(super) async fn keep_alive<F>(
    name: &str,
    run: impl Fn() -> F,
    health: &watch::Sender<Health>,
    stop: &CancellationToken,
    pause: Duration,
) where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(ended) = spawn::task("source", run()).await {
        tracing::error!(source = name, %ended, "the source failed inside; it begins anew");
        health.send_modify(|health| {
            health.ok = false;
            health.state = "failed inside".to_owned();
            health.since = clock::wall_time();
            health.error = Some("a bug of the worker; its log says where".to_owned());
            health.failures = health.failures.saturating_add(1);
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_source_that_panics_is_reported_and_begins_anew() {
        let (health, seen) = watch::channel(Health {
            name: "plant".to_owned(),
            kind: "mqtt".to_owned(),
            ok: true,
            state: "connected".to_owned(),
            since: clock::wall_time(),
            error: None,
            failures: 0,
        });
        let runs = Arc::new(AtomicU32::new(0));
        let run = || {
            let runs = Arc::clone(&runs);
            async move { assert!(runs.fetch_add(1, Ordering::Relaxed) > 0, "a bug") }
        };
        keep_alive("plant", run, &health, &CancellationToken::new(), Duration::ZERO).await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        assert!(!seen.borrow().ok && seen.borrow().state == "failed inside");
    }
}
