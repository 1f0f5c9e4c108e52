//! What the rules make of a payload, and why: asked without an event, and changing nothing.
//!
//! Needs no running worker: `hindsight rules explain` asks here with the configuration alone. What a
//! worker that runs adds, its state's word on each verdict, comes from `rules.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::model::{Decision, Event, Explanation, Policy, Proposal, Status, Step, Verdict};
use crate::rules::RuleSet;
use crate::session::Input;
use crate::source::format::{Format, json};
use crate::source::{self, Content};
use crate::units::Span;

/// The most explanations of one answer, each of one rule and one event: some 20 MB of JSON.
const MAX_EXPLANATIONS: usize = 20_000;

/// A payload to be explained.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainRequest {
    /// The source that it is taken to come through.
    pub source: String,
    /// How it is written. Absent: as the configuration says of the source, else by a look at it.
    pub format: Option<Format>,
    pub body: Vec<u8>,
    /// Only this rule.
    pub rule: Option<String>,
}

/// Why nothing is explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExplained {
    #[error("the payload is no event: {0}")]
    Unreadable(String),
    #[error("there is no rule `{0}`; 'hindsight rules list' shows those that the worker has")]
    NoSuchRule(String),
    #[error(
        "{events} events at {rules} rules are more than {MAX_EXPLANATIONS} explanations; name one \
         rule, or take fewer events"
    )]
    TooMany { events: usize, rules: usize },
    #[error("as much as the worker explains at once is being explained; try again")]
    Busy,
}

/// What the rules make of a payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainAnswer {
    pub events: Vec<ExplainedEvent>,
}

/// What the rules make of one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedEvent {
    /// As it was read.
    pub event: EventView,
    /// Why no rule acts on it whatever it matches, where that is so.
    pub expired: Option<String>,
    /// In the order of the rule files.
    pub rules: Vec<ExplainedRule>,
}

/// An event without what nobody asks for here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    pub source: String,
    pub name: String,
    pub status: Status,
    pub severity: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub value: Option<f64>,
    pub starts_at: Option<WallTime>,
    pub fingerprint: String,
}

/// What one rule makes of one event, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRule {
    pub rule: String,
    /// `no_match`, `capture`, `resolved`, `unmet`, `inactive`, `refused` or `condition_error`.
    pub verdict: String,
    /// The sentence why.
    pub reason: String,
    pub steps: Vec<Step>,
    /// The first of the steps that did not hold, counted from 0.
    pub failed: Option<usize>,
    /// What the worker would decide now; only where a running one was asked and the rule says
    /// something.
    pub now: Option<Expected>,
}

/// What would be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// [`Decision::word`].
    pub decision: String,
    /// Empty where the word says it all.
    pub reason: String,
}

/// One event with the word of each rule.
#[derive(Debug)]
pub(super) struct Explained {
    event: Event,
    expired: Option<Decision>,
    rules: Vec<Explanation>,
}

/// Explains a payload with the rules alone.
///
/// # Errors
/// See [`NotExplained`].
pub fn explain(
    rules: &RuleSet,
    sources: &BTreeMap<String, source::Settings>,
    request: &ExplainRequest,
    now: WallTime,
) -> Result<ExplainAnswer, NotExplained> {
    explained(rules, sources, request, now).map(|events| answer(events, |_verdict| None))
}

/// As [`explain`], before it is put into words. Takes long where there are many rules.
pub(super) fn explained(
    rules: &RuleSet,
    sources: &BTreeMap<String, source::Settings>,
    request: &ExplainRequest,
    now: WallTime,
) -> Result<Vec<Explained>, NotExplained> {
    let settings = sources.get(&request.source);
    let format = request.format.clone().or_else(|| settings.and_then(format_of));
    let events = match format.unwrap_or(Format::Auto).decode(&request.source, &request.body, now) {
        Content::Events(events) => events,
        Content::Rejected(rejected) => return Err(NotExplained::Unreadable(rejected.reason)),
        Content::Session { .. } => Vec::new(),
    };
    let asked = request.rule.as_ref().map_or(rules.len(), |_one| 1);
    if events.len().saturating_mul(asked) > MAX_EXPLANATIONS {
        return Err(NotExplained::TooMany { events: events.len(), rules: asked });
    }
    let of_event = |event: Event| {
        let rules = match &request.rule {
            None => rules.explain(&event),
            Some(name) => match rules.explain_rule(name, &event) {
                Some(one) => vec![one],
                None => return Err(NotExplained::NoSuchRule(name.clone())),
            },
        };
        let max_age = settings.and_then(source::Settings::max_event_age);
        let judged = Input::judged(event.clone(), Vec::new(), max_age);
        let expired = if let Input::Expired { age, .. } = judged {
            Some(Decision::Expired { age_s: age.as_secs() })
        } else {
            None
        };
        Ok(Explained { event, expired, rules })
    };
    events.into_iter().map(of_event).collect()
}

/// The format that the configuration gives all messages of a source.
fn format_of(settings: &source::Settings) -> Option<Format> {
    match settings {
        source::Settings::Webhook(webhook) => Some(webhook.format.clone()),
        source::Settings::Mqtt(mqtt) => {
            let (first, others) = mqtt.topics.split_first()?;
            let alike = others.iter().all(|topic| topic.format == first.format);
            alike.then(|| first.format.clone())
        }
    }
}

/// Puts it into words; `now` is what the worker's state makes of a verdict.
pub(super) fn answer(
    events: Vec<Explained>,
    now: impl Fn(&Verdict) -> Option<Expected>,
) -> ExplainAnswer {
    let of_event = |Explained { event, expired, rules }: Explained| {
        let too_late = expired.as_ref().map(expected);
        let of_rule = |explanation: Explanation| {
            let said = explanation.verdict.as_ref();
            // What is too old makes nothing, whatever the state would make of it.
            let now = said.and_then(|verdict| {
                let word = now(verdict)?;
                Some(too_late.clone().unwrap_or(word))
            });
            ExplainedRule {
                verdict: said.map_or("no_match", word).to_owned(),
                reason: reason(&explanation),
                rule: explanation.rule,
                steps: explanation.steps,
                failed: explanation.failed,
                now,
            }
        };
        ExplainedEvent {
            expired: expired.map(|expired| expired.reason()),
            rules: rules.into_iter().map(of_rule).collect(),
            event: view(event),
        }
    };
    ExplainAnswer { events: events.into_iter().map(of_event).collect() }
}

/// A decision in words.
pub(super) fn expected(decision: &Decision) -> Expected {
    Expected { decision: decision.word().to_owned(), reason: decision.reason() }
}

fn view(event: Event) -> EventView {
    let Event { source, name, status, severity, labels, annotations, .. } = event;
    let Event { value, starts_at, fingerprint, .. } = event;
    EventView { source, name, status, severity, labels, annotations, value, starts_at, fingerprint }
}

const fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Capture(_) => "capture",
        Verdict::Resolved { .. } => "resolved",
        Verdict::Unmet { .. } => "unmet",
        Verdict::Inactive { .. } => "inactive",
        Verdict::Refused { cause, .. } => cause.word(),
    }
}

fn reason(explanation: &Explanation) -> String {
    let failed = explanation.failed.and_then(|at| explanation.steps.get(at));
    match (&explanation.verdict, failed) {
        (Some(Verdict::Capture(proposal)), _) => planned(proposal),
        (Some(Verdict::Resolved { .. }), _) => {
            "the alert is over: what waits for it ends, and what runs as on_resolved says"
                .to_owned()
        }
        (Some(Verdict::Refused { reason, .. }), _) => reason.clone(),
        (_, Some(Step { condition, saw, .. })) => format!("{condition}: {saw}"),
        (Some(_) | None, None) => String::new(),
    }
}

/// What would be captured, and what comes before that.
fn planned(proposal: &Proposal) -> String {
    let Proposal { plan, policy, .. } = proposal;
    let interfaces = plan.interfaces.join(", ");
    let (before, after) = (Span(plan.look_back), Span(plan.limits.duration));
    let mut text = format!("captures on {interfaces} from {before} before to {after} after");
    let waits = waits(policy);
    if !waits.is_empty() {
        text = format!("once it {}, {text}", waits.join(" or "));
    }
    if policy.dry_run {
        text.push_str("; the rule is only tried out");
    }
    if !plan.left_out.is_empty() {
        text.push_str(&format!("; without {}", plan.left_out.join("; ")));
    }
    text
}

fn waits(policy: &Policy) -> Vec<String> {
    let mut waits = Vec::new();
    waits.extend(policy.hold.map(|hold| format!("has gone on for {}", Span(hold))));
    waits.extend(policy.times.map(|times| {
        let (count, within) = (times.count, Span(times.within));
        format!("has come {count} times within {within}")
    }));
    waits
}

/// The source of payloads for which none is named: as for events by hand.
pub const BY_HAND: &str = "control";

/// The format with this name, without a mapping of its own.
///
/// # Errors
/// No format has the name.
pub fn format_named(name: &str) -> Result<Format, source::format::NotAFormat> {
    Format::from_name(name, json::Mapping::default())
}
