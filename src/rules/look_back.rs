//! How far back a capture reaches: a duration, one that the event gives, or from the alert's begin.

use std::time::Duration;

use crate::model::Event;
use crate::rules::placeholder::{Placeholder, Value};
use crate::units::Span;

/// The longest, in time: more than any ring holds, and less than what makes a begin absurd.
pub const MAX_LOOK_BACK: Duration = Duration::from_secs(24 * 3_600);

/// A rule's look-back.
#[derive(Clone, Debug)]
pub(super) enum LookBack {
    /// At most [`MAX_LOOK_BACK`].
    Given(Duration),
    /// So far before the alert's own begin; before the event's arrival where it names none.
    BeforeStart(Duration),
    Open(Placeholder),
}

impl LookBack {
    /// How far before the event's arrival its capture reaches, at most [`MAX_LOOK_BACK`].
    ///
    /// # Errors
    /// The event gives none, or a longer one.
    pub(super) fn fill(
        &self,
        event: &Event,
        fill: impl Fn(&Placeholder) -> Result<Value, String>,
    ) -> Result<Duration, String> {
        match self {
            Self::Given(span) => Ok(*span),
            Self::BeforeStart(by) => {
                let arrived = event.received_at;
                let since = event.starts_at.map_or(Duration::ZERO, |begin| arrived.since(begin));
                Ok(since.saturating_add(*by).min(MAX_LOOK_BACK))
            }
            Self::Open(placeholder) => match fill(placeholder)? {
                Value::Duration(span) if span <= MAX_LOOK_BACK => Ok(span),
                Value::Duration(span) => Err(format!(
                    "{placeholder} is {}, and no capture reaches further back than {}",
                    Span(span),
                    Span(MAX_LOOK_BACK)
                )),
                _ => Err(format!("{placeholder} does not fit its place")),
            },
        }
    }
}
