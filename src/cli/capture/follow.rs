//! Follows a capture until its files are stored: a bar on a terminal, lines elsewhere.
//!
//! Progress goes to standard error, so that standard output holds the answer alone.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::show;
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{Format, print, say};
use crate::clock;
use crate::control::CaptureView;
use crate::model::{Capture, State};
use crate::units::Bytes;

/// How often the worker is asked: it learns of progress about once a second.
const PERIOD: Duration = Duration::from_millis(500);

/// How often a line is written while nothing but the figures changes.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// Follows the capture with this name or id, then shows it whole.
///
/// # Errors
/// The worker does not answer, or the capture ended with an error or was cut short.
pub(super) async fn until_end(client: &Client, key: &str, format: Format) -> Result<(), Error> {
    let mut progress = Progress::new();
    let ended = loop {
        let view: CaptureView = client.get(&["captures", key], &[]).await?;
        progress.show(&view.capture);
        if view.capture.state.is_end() {
            break view;
        }
        tokio::time::sleep(PERIOD).await;
    };
    progress.end();
    print(format, &ended, show::text)?;
    let Capture { name, state, .. } = ended.capture;
    match state {
        State::Failed | State::Partial => Err(Error::NotWhole { name, state }),
        State::Pending | State::Capturing | State::Sealed | State::Uploading | State::Done => {
            Ok(())
        }
    }
}

/// What the user sees meanwhile.
enum Progress {
    Bar(ProgressBar),
    Lines { said: Option<(State, clock::BootTime)> },
}

impl Progress {
    fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines { said: None };
        }
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}");
        bar.set_style(
            style.unwrap_or_else(|_wrong| ProgressStyle::default_bar()).progress_chars("=> "),
        );
        Self::Bar(bar)
    }

    fn show(&mut self, capture: &Capture) {
        match self {
            Self::Bar(bar) => {
                let length = millis(capture.plan.limits.duration);
                bar.set_length(length.max(1));
                bar.set_position(millis(elapsed(capture)).min(length));
                bar.set_prefix(capture.name.clone());
                bar.set_message(line(capture));
            }
            Self::Lines { said } => {
                let now = clock::boot_time();
                let is_news = said.is_none_or(|(state, at)| {
                    state != capture.state || now.since(at) >= LINE_PERIOD
                });
                if is_news {
                    *said = Some((capture.state, now));
                    say(&format!("{}: {}", capture.name, line(capture)));
                }
            }
        }
    }

    fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// How long it has captured.
fn elapsed(capture: &Capture) -> Duration {
    let until = capture.stopped_at.unwrap_or_else(clock::wall_time);
    until.since(capture.plan.trigger_at)
}

fn line(capture: &Capture) -> String {
    let totals = &capture.totals;
    let lost = totals.dropped_by_kernel.saturating_add(totals.overrun);
    let lost = if lost > 0 { format!(", {lost} lost") } else { String::new() };
    let figures = format!("{} packets, {}{lost}", totals.packets, Bytes(totals.bytes).rounded());
    match capture.state {
        State::Capturing => format!(
            "{} {} s of {} s, {figures}",
            capture.state,
            elapsed(capture).as_secs(),
            capture.plan.limits.duration.as_secs()
        ),
        State::Pending
        | State::Sealed
        | State::Uploading
        | State::Done
        | State::Partial
        | State::Failed => format!("{}, {figures}", capture.state),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
