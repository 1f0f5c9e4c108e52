//! Expectations held against what happened.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::yaml::Place;

use super::report::Difference;
use super::wanted::{Expectation, span};

/// What is expected of one rule, and what it did.
type Sides<'a, W> = (Vec<&'a W>, Vec<&'a <W as Expectation>::Real>);

/// All differences. What rules do does not depend on their order, so that only the order within one
/// rule counts; `step` is the place of what nobody expected.
pub(super) fn compare<W: Expectation>(
    wanted: &[W],
    real: &[W::Real],
    step: Place,
    at: Duration,
) -> Vec<Difference> {
    let mut by_rule: BTreeMap<Option<&str>, Sides<'_, W>> = BTreeMap::new();
    for wanted in wanted {
        by_rule.entry(wanted.rule()).or_default().0.push(wanted);
    }
    for real in real {
        by_rule.entry(W::rule_of(real)).or_default().1.push(real);
    }
    let mut differences = Vec::new();
    for (wanted, real) in by_rule.into_values() {
        for index in 0..wanted.len().max(real.len()) {
            let (wanted, real) = (wanted.get(index).copied(), real.get(index).copied());
            if let (Some(wanted), Some(real)) = (wanted, real)
                && wanted.is_met_by(real)
            {
                continue;
            }
            let place = wanted.map_or(step, Expectation::place);
            let nothing = || "nothing".to_owned();
            differences.push(Difference {
                line: place.line,
                column: place.column,
                at: span(at),
                wanted: wanted.map_or_else(nothing, Expectation::text),
                got: real.map_or_else(nothing, |real| W::text_of(real, wanted)),
            });
        }
    }
    differences.sort_by_key(|difference| (difference.line, difference.column));
    differences
}
