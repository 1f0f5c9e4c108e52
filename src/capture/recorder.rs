//! The always-on recorder of one interface: a thread that follows the headers of the blocks.
//!
//! It does no work per packet, and looks at a timer: that costs the same at every packet rate. The
//! period follows the fill rate, so that the slack that the kernel has always outlasts it.
//! When its interface goes away it tries to open a new ring once a second.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{info, warn};

use crate::capture::bell::Bell;
use crate::capture::budget::{Budget, Share};
use crate::capture::log::Log;
use crate::capture::memory::check_memory;
use crate::capture::opener::{self, Opened, Request};
use crate::capture::{Error, interface};
use crate::clock::{self, BootTime};
use crate::model::RecorderStatus;
use crate::spawn;

/// The longest time between two looks at the ring: in it, a burst at 10 Gbit/s that comes out of
/// silence fills what the smallest sensible ring (64 MiB) has in reserve.
const LONGEST_PERIOD: Duration = Duration::from_millis(20);

/// The shortest: below it the thread does little else.
const SHORTEST_PERIOD: Duration = Duration::from_micros(500);

/// How often the recorder makes sure that its interface is still there, and how often it tries to
/// open a new ring once it is not. The kernel tells a packet socket nothing that is worth waiting for.
const INTERFACE_CHECK: Duration = Duration::from_secs(1);

/// A running recorder. Dropping it ends the thread soon; [`stop`](Self::stop) waits for the end.
#[derive(Debug)]
pub(super) struct Recorder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The memory of its ring.
    _memory: Share,
}

#[derive(Debug)]
struct Shared {
    request: Request,
    current: Mutex<Current>,
    stopping: AtomicBool,
    bell: Bell,
}

#[derive(Debug)]
enum Current {
    Recording(Arc<Log>),
    /// Not recording, and why.
    Away(String),
}

/// How following a ring ended.
enum Outcome {
    Stopped,
    Lost(String),
}

impl Recorder {
    /// Opens the ring and starts the thread. An interface that is not there is waited for if
    /// `patient`, and an error if not.
    pub(super) fn start(
        request: Request,
        budget: &Arc<Budget>,
        patient: bool,
    ) -> Result<Self, Error> {
        let bytes = request.geometry().bytes();
        let memory = budget.take("a ring", bytes)?;
        check_memory(bytes)?;
        let current = match opener::open(&request) {
            Ok(opened) => Current::Recording(log_of(opened)),
            Err(error) if patient && error.is_transient() => {
                warn!(interface = request.interface, "not recording: {}", error.sentence());
                Current::Away(error.sentence())
            }
            Err(error) => return Err(error),
        };
        let name = format!("rec {}", request.interface);
        let stopping = AtomicBool::new(false);
        let current = Mutex::new(current);
        let shared = Arc::new(Shared { request, current, stopping, bell: Bell::default() });
        let body = {
            let shared = Arc::clone(&shared);
            move || shared.run()
        };
        let thread = spawn::thread(&name, body).map_err(|source| Error::Thread { name, source })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), _memory: memory })
    }

    pub(super) fn interface(&self) -> &str {
        &self.shared.request.interface
    }

    /// What it records into.
    pub(super) fn log(&self) -> Result<Arc<Log>, Error> {
        match &*self.shared.current() {
            Current::Recording(log) => Ok(Arc::clone(log)),
            Current::Away(why) => {
                Err(Error::Away { interface: self.interface().to_owned(), why: why.clone() })
            }
        }
    }

    pub(super) fn status(&self) -> RecorderStatus {
        let dead = self.thread().as_ref().is_none_or(JoinHandle::is_finished);
        let (log, state) = match &*self.shared.current() {
            Current::Recording(_) if dead => (None, "stopped unexpectedly".to_owned()),
            Current::Recording(log) => (Some(Arc::clone(log)), "recording".to_owned()),
            Current::Away(why) => (None, why.clone()),
        };
        let figures = log.map(|log| log.figures()).unwrap_or_default();
        let window = clock::wall_time().since(figures.held_from);
        let window = if figures.memory_bytes == 0 { Duration::ZERO } else { window };
        RecorderStatus {
            interface: self.interface().to_owned(),
            state,
            memory_bytes: figures.memory_bytes,
            window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
            held_packets: figures.held_packets,
            held_bytes: figures.held_bytes,
            received: figures.received,
            dropped: figures.dropped,
            readers: figures.readers,
        }
    }

    /// Ends the thread and waits for it: at most one look at the ring, or one try to open it.
    pub(super) fn stop(&self) {
        self.shared.stop();
        let thread = self.thread().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            warn!(interface = self.interface(), "the recorder had stopped unexpectedly");
        }
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let current = match &*self.current() {
                Current::Recording(log) => Some(Arc::clone(log)),
                Current::Away(_) => None,
            };
            if let Some(log) = current {
                match guarded(|| self.follow(&log)) {
                    Outcome::Stopped => return,
                    Outcome::Lost(why) => {
                        warn!(interface = self.request.interface, "recording ended: {why}");
                        log.lose(why.clone());
                        *self.current() = Current::Away(why);
                    }
                }
            }
            self.bell.wait(INTERFACE_CHECK);
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            *self.current() = match opener::open(&self.request) {
                Ok(opened) => {
                    info!(interface = self.request.interface, "recording");
                    Current::Recording(log_of(opened))
                }
                Err(error) => Current::Away(error.sentence()),
            };
        }
    }

    /// Looks at the ring until told to stop or until nothing more can come.
    fn follow(&self, log: &Log) -> Outcome {
        let mut period = LONGEST_PERIOD;
        let mut check_at: BootTime = clock::boot_time() + INTERFACE_CHECK;
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return Outcome::Stopped;
            }
            let now = clock::now();
            let new = match log.look(now) {
                Ok(new) => new,
                Err(error) => return Outcome::Lost(format!("reading the drop counter: {error}")),
            };
            if now.boot >= check_at {
                check_at = now.boot + INTERFACE_CHECK;
                if interface::index(&self.request.interface) != Some(log.index()) {
                    return self.look_last(log);
                }
            }
            period = next_period(period, new, log.ring().geometry().slack());
            self.bell.wait(period);
        }
    }

    /// Takes what the kernel has still to close.
    fn look_last(&self, log: &Log) -> Outcome {
        self.bell.wait(log.ring().geometry().retire() * 2);
        match log.look(clock::now()) {
            Ok(_) => Outcome::Lost("the interface is gone".to_owned()),
            Err(error) => Outcome::Lost(format!("the interface is gone: {error}")),
        }
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.bell.ring();
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Each change is a single assignment.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A panic ends the ring, not the thread: the captures hear that nothing more comes, and a new ring
/// is opened. Otherwise they would go on in silence.
fn guarded(follow: impl FnOnce() -> Outcome) -> Outcome {
    // What may be left half changed is given up with the ring.
    let outcome = catch_unwind(AssertUnwindSafe(follow));
    outcome.unwrap_or_else(|_panic| {
        Outcome::Lost("the recorder failed inside; the log says where".to_owned())
    })
}

fn log_of(opened: Opened) -> Arc<Log> {
    Arc::new(Log::new(opened, clock::wall_time()))
}

/// The time until the next look, after one that found `new` blocks of a ring with this slack: short
/// enough that at this rate at most three quarters of the slack fill, so that a look that comes late,
/// or a burst, is still covered; longer again, step by step, when the rate falls.
fn next_period(period: Duration, new: u32, slack: u32) -> Duration {
    let budget = (slack / 4 * 3).max(1);
    if new > budget {
        (period * budget / new).max(SHORTEST_PERIOD)
    } else {
        (period * 2).min(LONGEST_PERIOD).min(period * budget / new.max(1)).max(SHORTEST_PERIOD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Geometry;
    use proptest::prelude::*;

    #[test]
    fn an_idle_ring_is_looked_at_fifty_times_a_second() {
        assert_eq!(next_period(LONGEST_PERIOD, 0, 32), LONGEST_PERIOD);
        assert_eq!(next_period(SHORTEST_PERIOD, 0, 32), SHORTEST_PERIOD * 2);
    }

    #[test]
    fn a_recorder_that_fails_inside_tells_its_captures() {
        let outcome = guarded(|| panic!("as a broken invariant would"));
        assert!(matches!(outcome, Outcome::Lost(why) if why.contains("failed inside")));
    }

    proptest! {
        #[test]
        fn at_a_steady_rate_the_slack_outlasts_the_period(
            blocks_per_second in 1_u32..10_000, memory_bits in 19_u32..36
        ) {
            let slack = Geometry::for_memory(1 << memory_bits).slack();
            let mut period = LONGEST_PERIOD;
            let filled = |period: Duration| (period.as_secs_f64() * f64::from(blocks_per_second)).floor();
            for _ in 0..12 {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
                let new = filled(period) as u32;
                period = next_period(period, new, slack);
            }
            prop_assert!(filled(period) <= f64::from(slack), "{period:?}");
            prop_assert!((SHORTEST_PERIOD..=LONGEST_PERIOD).contains(&period));
        }
    }
}
