//! How long one step of an attempt may take.

use std::future::Future;
use std::time::Duration;

use super::Error;

/// For a step that moves no data: resolve, connect, ask, answer.
const STEP: Duration = Duration::from_secs(60);

/// A link slower than this is as good as down, in bytes per second. An 8 MiB part may so take two
/// minutes.
const SLOWEST_BYTES_PER_SECOND: u64 = 128 * 1024;

/// The longest that a step that moves `bytes` may take.
pub(super) const fn allowed(bytes: u64) -> Duration {
    STEP.saturating_add(Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND))
}

/// Runs a step that moves `bytes`.
///
/// # Errors
/// [`Error::Deadline`] after the time allowed; otherwise what the step says.
pub(super) async fn within<T>(
    storage: &str,
    doing: &'static str,
    bytes: u64,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    limited(storage, doing, allowed(bytes), step).await
}

async fn limited<T>(
    storage: &str,
    doing: &'static str,
    allowed: Duration,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(allowed, step).await.unwrap_or_else(|_elapsed| {
        Err(Error::Deadline { storage: storage.to_owned(), doing, seconds: allowed.as_secs() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_allowed_grows_with_the_size() {
        assert_eq!(allowed(0), STEP);
        assert_eq!(allowed(8 * 1024 * 1024), STEP + Duration::from_secs(64));
        assert_eq!(allowed(1 << 30), STEP + Duration::from_secs(8_192));
    }

    #[tokio::test]
    async fn a_step_that_hangs_ends_with_a_transient_error() {
        let hangs = std::future::pending::<Result<(), Error>>();
        let error = limited("archive", "asking", Duration::ZERO, hangs).await.unwrap_err();
        assert!(error.is_transient());
        assert_eq!(error.to_string(), "storage 'archive', asking: no end after 0 s");
    }
}
