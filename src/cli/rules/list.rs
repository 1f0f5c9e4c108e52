//! `hindsight rules list`: how each rule stands, and why it does not capture now.

use std::time::Duration;

use crate::cli::Error;
use crate::cli::client::{Client, Reach};
use crate::cli::output::{Rows, print, second};
use crate::control::Rules;
use crate::units::Span;
use crate::worker::RuleView;

pub(super) async fn run(reach: &Reach) -> Result<(), Error> {
    let answer: Rules = Client::new(reach)?.get(&["rules"], &[]).await?;
    print(reach.output, &answer, table)
}

fn table(answer: &Rules) -> String {
    if answer.rules.is_empty() {
        return "No rules: events are recorded, and none makes a capture.".to_owned();
    }
    let mut rows = Rows::with_header(&[
        "RULE", "STATE", "LAST", "DECISION", "COOLDOWN", "CAPTURES", "COUNTS", "WHY",
    ]);
    for rule in &answer.rules {
        let last = rule.last.as_ref();
        rows.row([
            &rule.name,
            rule.state.words(),
            &last.map(|last| second(last.at)).unwrap_or_default(),
            last.map(|last| last.decision.as_str()).unwrap_or_default(),
            &cooldown(rule),
            &captures(rule),
            &counts(rule),
            &rule.why,
        ]);
    }
    rows.finish()
}

/// The longest one, and how many groups are in theirs.
fn cooldown(rule: &RuleView) -> String {
    let Some(left) = rule.cooldown_left_ms else { return String::new() };
    let left = Span(Duration::from_secs(left.div_ceil(1_000)));
    match rule.in_cooldown {
        0 | 1 => left.to_string(),
        groups => format!("{left} ({groups} groups)"),
    }
}

fn captures(rule: &RuleView) -> String {
    let of = |quota: &crate::worker::QuotaView| {
        let per = Span(Duration::from_millis(quota.per_ms));
        format!("{} of {} in {per}", quota.counted, quota.max)
    };
    rule.quota.as_ref().map(of).unwrap_or_default()
}

fn counts(rule: &RuleView) -> String {
    let counts: Vec<String> =
        rule.decisions.iter().map(|(decision, count)| format!("{count} {decision}")).collect();
    counts.join(", ")
}
