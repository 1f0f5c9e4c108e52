//! The service manager that runs this process, systemd or none: what it is told, and how often it
//! wants to hear that we are alive. Knows nothing of what the process does.
//!
//! Without a service manager all of it does nothing. Source: sd_notify(3), systemd.service(5).

use std::time::Duration;

use sd_notify::NotifyState;

/// The longest text of a status, in characters; the manager shows one line.
const MAX_STATUS_CHARS: usize = 200;

/// The process does its work from here on, or again after [`reloading`].
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// The configuration is being read again; [`ready`] has to follow.
pub fn reloading() {
    // `Type=notify-reload` tells this reload from an earlier one by the time.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager cannot be told of the reload"),
    }
}

/// The process is about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The process is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] has to be said at least, where the manager watches.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

fn line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(MAX_STATUS_CHARS).collect()
}

fn tell(news: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(news) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(line("config.yaml:3:1: wrong\nREADY=1\n"), "config.yaml:3:1: wrong");
        assert_eq!(line(&"x".repeat(1_000)).len(), 200);
    }
}
