//! How far back a capture reaches: a duration, one that the event gives, or from the alert's begin.

use std::time::Duration;

use crate::model::Event;
use crate::rules::filling::{Filling, Length};

/// The longest, in time: more than any ring holds.
pub const MAX_LOOK_BACK: Duration = Duration::from_secs(24 * 3_600);

/// A rule's look-back.
#[derive(Clone, Debug)]
pub(super) enum LookBack {
    /// Before the event's arrival.
    Given(Length),
    /// Before the alert's own begin; before the event's arrival where it names none.
    BeforeStart(Duration),
}

impl LookBack {
    /// How far before the event's arrival its capture reaches, at most [`MAX_LOOK_BACK`].
    ///
    /// # Errors
    /// The event should say it, and does not.
    pub(super) fn fill(
        &self,
        event: &Event,
        filling: &mut Filling<'_>,
    ) -> Result<Duration, String> {
        let asked = match self {
            Self::Given(length) => length.fill(filling)?,
            Self::BeforeStart(by) => {
                let arrived = event.received_at;
                let since = event.starts_at.map_or(Duration::ZERO, |begin| arrived.since(begin));
                since.saturating_add(*by)
            }
        };
        Ok(asked.min(MAX_LOOK_BACK))
    }
}
