//! Which rules may match an event, so that those that cannot cost nothing.

use std::collections::{BTreeMap, HashMap};

use crate::model::Event;
use crate::rules::Rule;

/// Rules by what they must find in one label.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Label, then value, to positions of rules that demand exactly that.
    by_label: BTreeMap<String, HashMap<String, Vec<usize>>>,
    /// Positions of rules without an equality matcher: always tried.
    always: Vec<usize>,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (position, rule) in rules.iter().enumerate() {
            let equalities = || rule.matchers.iter().filter_map(|matcher| matcher.equality());
            // What an alert is called divides rules best.
            let chosen = equalities()
                .find(|(label, _)| *label == "alertname")
                .or_else(|| equalities().next());
            match chosen {
                Some((label, value)) => index
                    .by_label
                    .entry(label.to_owned())
                    .or_default()
                    .entry(value.to_owned())
                    .or_default()
                    .push(position),
                None => index.always.push(position),
            }
        }
        index
    }

    /// Positions of the rules that may match, in the order of the set.
    pub(super) fn candidates(&self, event: &Event) -> Vec<usize> {
        let mut candidates = self.always.clone();
        for (label, by_value) in &self.by_label {
            candidates.extend(by_value.get(event.label(label)).into_iter().flatten());
        }
        candidates.sort_unstable();
        candidates
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::decide::tests::{event, rule_set};

    #[test]
    fn rules_that_cannot_match_are_not_tried() {
        let mut text = "version: 1\nrules:\n".to_owned();
        for number in 0..1_000 {
            text.push_str(&format!(
                "  - name: rule-{number}\n    match: [alertname = A{number}]\n"
            ));
        }
        text.push_str("  - name: by-severity\n    match: [team =~ .*, severity = critical]\n");
        text.push_str("  - name: always\n    match: [team != web]\n");
        let rules = rule_set(&text);
        let tried =
            rules.index.candidates(&event(&[("alertname", "A7"), ("severity", "critical")]));
        assert_eq!(tried, [7, 1_000, 1_001]);
        assert_eq!(rules.index.candidates(&event(&[("alertname", "B")])), [1_001]);
    }
}
