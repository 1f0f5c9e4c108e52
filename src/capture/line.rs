//! The line between a capture and the outside: orders come in, reports go out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::debug;

use crate::capture::bell::Bell;
use crate::clock::WallTime;
use crate::model::{CaptureId, Report, StopReason};

/// What the outside tells a capture.
#[derive(Debug, Default)]
pub(super) struct Orders {
    bell: Arc<Bell>,
    stop: Mutex<Option<(StopReason, WallTime)>>,
    /// The longest time limit that it was given since it began.
    duration: Mutex<Option<Duration>>,
}

impl Orders {
    /// Ends the capture at this instant. The first order stands.
    pub(super) fn stop(&self, reason: StopReason, at: WallTime) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((reason, at));
        self.bell.ring();
    }

    /// Lets the capture last so long after its trigger. The longest order stands.
    pub(super) fn extend(&self, duration: Duration) {
        let mut longest = self.duration.lock().unwrap_or_else(PoisonError::into_inner);
        *longest = (*longest).max(Some(duration));
        drop(longest);
        self.bell.ring();
    }
}

/// A capture's end of the line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) capture: CaptureId,
    pub(super) orders: Arc<Orders>,
    pub(super) reports: mpsc::Sender<Report>,
}

impl Line {
    /// Rings when there is news for the capture.
    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.orders.bell
    }

    /// Whether somebody has ended the capture, why and when.
    pub(super) fn stopped(&self) -> Option<(StopReason, WallTime)> {
        *self.orders.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time limit that somebody has given the capture since it began.
    pub(super) fn extended(&self) -> Option<Duration> {
        *self.orders.duration.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports, waiting for room: what ends a capture must arrive.
    pub(super) fn tell(&self, report: Report) {
        if self.reports.blocking_send(report).is_err() {
            debug!(capture = %self.capture, "nobody listens to the reports any more");
        }
    }

    /// Reports if there is room for it.
    pub(super) fn mention(&self, report: Report) {
        if self.reports.try_send(report).is_err() {
            debug!(capture = %self.capture, "progress was not told");
        }
    }
}
