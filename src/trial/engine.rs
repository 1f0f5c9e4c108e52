//! The pretended engine: captures that take no packets and end when their time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::WallTime;
use crate::model::{Capture, CaptureId, Report, StopReason, Totals};

/// The captures that run. Bounded by the ceilings of the machine that begins them.
#[derive(Debug, Default)]
pub(super) struct Engine {
    running: BTreeMap<CaptureId, Running>,
}

#[derive(Debug)]
struct Running {
    rule: String,
    trigger_at: WallTime,
    until: WallTime,
}

/// A capture that has just ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) rule: String,
    pub(super) reason: StopReason,
    /// How long after its trigger.
    pub(super) after: Duration,
    pub(super) report: Report,
}

impl Engine {
    /// Begins a capture; the report says that it holds all that was asked for.
    pub(super) fn begin(&mut self, capture: &Capture) -> Report {
        let plan = &capture.plan;
        self.running.insert(
            capture.id.clone(),
            Running { rule: plan.rule.clone(), trigger_at: plan.trigger_at, until: plan.until() },
        );
        Report::Started {
            capture: capture.id.clone(),
            held_from: plan.from(),
            interfaces: Vec::new(),
        }
    }

    /// Lets a capture go on until so long after its trigger; it never ends earlier for it.
    pub(super) fn extend(&mut self, capture: &CaptureId, duration: Duration) {
        if let Some(running) = self.running.get_mut(capture) {
            running.until = running.until.max(running.trigger_at + duration);
        }
    }

    /// Ends a capture; nothing where it has ended.
    pub(super) fn stop(
        &mut self,
        capture: &CaptureId,
        reason: StopReason,
        now: WallTime,
    ) -> Option<Ended> {
        let running = self.running.remove(capture)?;
        Some(Ended {
            rule: running.rule,
            reason,
            after: now.since(running.trigger_at),
            report: Report::Ended {
                capture: capture.clone(),
                reason,
                error: None,
                totals: Totals::default(),
                interfaces: Vec::new(),
            },
        })
    }

    /// The next capture whose time is over, and when that is.
    pub(super) fn next_end(&self) -> Option<(WallTime, &CaptureId)> {
        self.running.iter().map(|(id, running)| (running.until, id)).min()
    }
}
