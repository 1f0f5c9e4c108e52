//! Open places of a rule, filled for one event: what a value is taken for, and what is done
//! without one.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::rules::placeholder::{Placeholder, Typed, Value};
use crate::units::Span;

/// The most places of a plan that are named as left open; the file's comment holds them all.
const MAX_TOLD: usize = 16;

/// What a label does that is missing, or whose text does not read as the type of its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMissing {
    /// There is no capture.
    #[default]
    Refuse,
    /// There is one without what the place would have asked for, and it says so.
    CaptureWithout,
}

/// How a placeholder becomes a value: from an event, or the sample of its type.
pub(super) type Fill<'a> = dyn Fn(&Placeholder) -> Result<Value, String> + 'a;

/// The places of one plan, while they are filled.
pub(super) struct Filling<'a> {
    fill: &'a Fill<'a>,
    on_missing: OnMissing,
    left_out: Vec<String>,
    /// How many places were left open, those included that are not named.
    count: usize,
}

impl<'a> Filling<'a> {
    pub(super) const fn new(fill: &'a Fill<'a>, on_missing: OnMissing) -> Self {
        Self { fill, on_missing, left_out: Vec::new(), count: 0 }
    }

    /// The value for the place `field`; `None` where it stays open.
    ///
    /// # Errors
    /// There is no value, and the rule wants no capture without one.
    pub(super) fn take<T: Typed>(
        &mut self,
        field: impl fmt::Display,
        placeholder: &Placeholder,
    ) -> Result<Option<T>, String> {
        match (self.fill)(placeholder) {
            // Cannot be another type for what was let through when the rule was read.
            Ok(value) => match T::of(value) {
                Some(value) => Ok(Some(value)),
                None => Err(format!("{placeholder} does not fit its place")),
            },
            Err(why) => match self.on_missing {
                OnMissing::Refuse => Err(why),
                OnMissing::CaptureWithout => {
                    self.leave_out(format_args!("{field}: {why}"));
                    Ok(None)
                }
            },
        }
    }

    fn leave_out(&mut self, what: fmt::Arguments<'_>) {
        self.count += 1;
        if self.count <= MAX_TOLD {
            self.left_out.push(what.to_string());
        }
    }

    /// How many places stayed open so far.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// What stayed open and why, in printable ASCII, one place a line.
    pub(super) fn left_out(mut self) -> Vec<String> {
        let more = self.count - self.left_out.len();
        if more > 0 {
            self.left_out.push(format!("{more} more places"));
        }
        self.left_out
    }
}

/// A duration of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Given(Duration),
    Open {
        /// The key, for messages.
        key: &'static str,
        placeholder: Placeholder,
        /// What is taken where the place stays open.
        otherwise: Duration,
        /// `ceilings.duration`, which no event passes.
        most: Duration,
        /// Whether nothing at all makes sense.
        may_be_zero: bool,
    },
}

impl Length {
    /// The duration as it is for one event.
    ///
    /// # Errors
    /// There is no value, and the rule wants no capture without one; or it is above the ceiling.
    pub(super) fn fill(&self, filling: &mut Filling<'_>) -> Result<Duration, String> {
        let (key, placeholder, otherwise, most, may_be_zero) = match self {
            Self::Given(duration) => return Ok(*duration),
            Self::Open { key, placeholder, otherwise, most, may_be_zero } => {
                (*key, placeholder, *otherwise, *most, *may_be_zero)
            }
        };
        let Some(duration) = filling.take::<Duration>(key, placeholder)? else {
            return Ok(otherwise);
        };
        let shown = Span(duration);
        if duration > most {
            let most = Span(most);
            return Err(format!(
                "{placeholder} is {shown} for {key}, above ceilings.duration {most}"
            ));
        }
        if duration.is_zero() && !may_be_zero {
            return Err(format!("{placeholder} is {shown} for {key}, which makes no capture"));
        }
        Ok(duration)
    }
}
