//! The only place where threads and tasks start, so that each has a name.

use std::future::Future;
use std::io;
use std::thread::JoinHandle as ThreadHandle;

use tokio::task::JoinHandle;

/// Starts a named thread. The kernel shows at most 15 bytes of the name (`ps -L`, `top -H`).
///
/// # Errors
/// The operating system could not create the thread.
pub fn thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<ThreadHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}

/// Starts a named thread with a stack of so many bytes, for work that goes deep into it.
///
/// # Errors
/// The operating system could not create the thread.
pub fn thread_with_stack<T: Send + 'static>(
    name: &str,
    stack_bytes: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<ThreadHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(body)
}

/// Starts an async task. The name is for its log span.
pub fn task<F>(name: &'static str, body: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    use tracing::Instrument as _;

    let span = tracing::debug_span!("task", name);
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    tokio::spawn(body.instrument(span))
}

/// Runs blocking work off the async threads.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    tokio::task::spawn_blocking(work)
}
