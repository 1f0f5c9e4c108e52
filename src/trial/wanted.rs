//! Expectations, and whether something that happened is one.

use std::time::Duration;

use crate::filter;
use crate::model::{CapturePlan, Decision};
use crate::units::Span;
use crate::yaml::Place;

use super::happening::{Happening, Over};
use super::raw::{EndReason, Word};

/// What has to be decided. What is absent may be anything.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) place: Place,
    pub(super) rule: Option<String>,
    pub(super) word: Word,
    /// Since the start of the test.
    pub(super) at: Option<Duration>,
    pub(super) reason: Option<String>,
    pub(super) interfaces: Option<Vec<String>>,
    pub(super) filters: Option<Vec<filter::Entry>>,
    pub(super) bpf: Option<String>,
    pub(super) look_back: Option<Duration>,
    pub(super) duration: Option<Duration>,
    pub(super) storage: Option<String>,
    pub(super) notify: Option<Vec<String>>,
    pub(super) left_out: Option<Vec<String>>,
}

/// A capture that has to have ended.
#[derive(Debug)]
pub(super) struct WantedEnd {
    pub(super) place: Place,
    pub(super) rule: String,
    pub(super) reason: Option<EndReason>,
    pub(super) after: Option<Duration>,
}

/// An expectation that can be held against what happened.
pub(super) trait Expectation {
    type Real;

    fn place(&self) -> Place;
    fn rule(&self) -> Option<&str>;
    fn rule_of(real: &Self::Real) -> Option<&str>;
    fn is_met_by(&self, real: &Self::Real) -> bool;
    /// The expectation, in words.
    fn text(&self) -> String;
    /// What happened, in the same words; of the plan only what the expectation speaks of.
    fn text_of(real: &Self::Real, instead_of: Option<&Self>) -> String;
}

impl Wanted {
    /// What it says beside the decision, each with its key and what there is instead.
    fn fields(&self, real: Option<&Happening>) -> Vec<Field> {
        let plan = real.and_then(|real| real.plan.as_deref());
        let field = |key, wanted: Option<String>, got: &dyn Fn(&CapturePlan) -> String| {
            let wanted = wanted?;
            Some(Field { key, wanted, got: plan.map(got) })
        };
        let at = |wanted| Field { key: "at", wanted: span(wanted), got: real.map(|r| span(r.at)) };
        let fields = [
            self.at.map(at),
            field("interfaces", self.interfaces.as_deref().map(sorted), &|p| sorted(&p.interfaces)),
            field("filters", self.filters.as_deref().map(entries), &|p| entries(&p.filter.entries)),
            field("bpf", self.bpf.clone(), &|p| p.filter.expression.clone().unwrap_or_default()),
            field("look_back", self.look_back.map(span), &|p| span(p.look_back)),
            field("duration", self.duration.map(span), &|p| span(p.limits.duration)),
            field("storage", self.storage.clone(), &|p| p.storage.clone()),
            field("notify", self.notify.as_deref().map(sorted), &|p| sorted(&p.notify)),
            field("left_out", self.left_out.as_deref().map(sorted), &|p| sorted(&p.left_out)),
        ];
        fields.into_iter().flatten().collect()
    }

    fn is_reason(&self, decision: &Decision) -> bool {
        let Some(wanted) = &self.reason else { return true };
        let is_word =
            matches!(decision, Decision::Suppressed(why) if why.word() == wanted.as_str());
        is_word || decision.reason().contains(wanted.as_str())
    }
}

struct Field {
    key: &'static str,
    wanted: String,
    /// Absent where nothing was planned.
    got: Option<String>,
}

impl Expectation for Wanted {
    type Real = Happening;

    fn place(&self) -> Place {
        self.place
    }

    fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    fn rule_of(real: &Happening) -> Option<&str> {
        real.rule.as_deref()
    }

    fn is_met_by(&self, real: &Happening) -> bool {
        let fields = self.fields(Some(real));
        self.word.text() == real.decision.word()
            && self.is_reason(&real.decision)
            && fields.iter().all(|field| field.got.as_ref() == Some(&field.wanted))
    }

    fn text(&self) -> String {
        let fields = self.fields(None).into_iter().map(|field| (field.key, field.wanted));
        let reason = self.reason.clone().unwrap_or_default();
        told(self.rule(), self.word.text(), &reason, fields)
    }

    fn text_of(real: &Happening, instead_of: Option<&Self>) -> String {
        let fields = instead_of.map(|wanted| wanted.fields(Some(real)));
        let fields = fields.into_iter().flatten();
        let fields = fields.filter_map(|field| Some((field.key, field.got?)));
        told(real.rule.as_deref(), real.decision.word(), &reason_of(&real.decision), fields)
    }
}

impl Expectation for WantedEnd {
    type Real = Over;

    fn place(&self) -> Place {
        self.place
    }

    fn rule(&self) -> Option<&str> {
        Some(&self.rule)
    }

    fn rule_of(real: &Over) -> Option<&str> {
        Some(&real.rule)
    }

    fn is_met_by(&self, real: &Over) -> bool {
        self.reason.is_none_or(|reason| EndReason::of(real.reason) == Some(reason))
            && self.after.is_none_or(|after| after == real.after)
    }

    fn text(&self) -> String {
        let after = self.after.map(|after| ("after", span(after)));
        let reason = self.reason.map(EndReason::text).unwrap_or_default();
        told(Some(&self.rule), "ended", reason, after)
    }

    fn text_of(real: &Over, _instead_of: Option<&Self>) -> String {
        let reason = EndReason::of(real.reason).map(EndReason::text);
        let reason = reason.map_or_else(|| real.reason.to_string(), str::to_owned);
        told(Some(&real.rule), "ended", &reason, [("after", span(real.after))])
    }
}

/// `rule: word (reason), key: value, ...`
fn told(
    rule: Option<&str>,
    word: &str,
    reason: &str,
    fields: impl IntoIterator<Item = (&'static str, String)>,
) -> String {
    let mut text = rule.map(|rule| format!("{rule}: ")).unwrap_or_default();
    text.push_str(word);
    if !reason.is_empty() {
        text.push_str(&format!(" ({reason})"));
    }
    for (key, value) in fields {
        text.push_str(&format!(", {key}: {value}"));
    }
    text
}

/// Why, without the identifiers of captures: they mean nothing to who reads a test.
pub(super) fn reason_of(decision: &Decision) -> String {
    match decision {
        Decision::Suppressed(why) => format!("{}: {}", why.word(), why.sentence()),
        Decision::Held(_)
        | Decision::Refused(_)
        | Decision::Expired { .. }
        | Decision::Rejected(_) => decision.reason(),
        Decision::Capture(_)
        | Decision::Coalesced(_)
        | Decision::Extended(_)
        | Decision::Queued(_)
        | Decision::DryRun
        | Decision::UpstreamLoss
        | Decision::NoMatch => String::new(),
    }
}

pub(super) fn span(duration: Duration) -> String {
    Span(duration).to_string()
}

fn sorted(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    format!("[{}]", names.join(", "))
}

/// Entries as a rule writes them.
fn entries(entries: &[filter::Entry]) -> String {
    let entry = |entry: &filter::Entry| {
        let protocol = entry.protocol.map(|protocol| protocol.to_string());
        let fields = [
            ("protocol", protocol.unwrap_or_default()),
            ("local_ip", joined(&entry.local_ip)),
            ("remote_ip", joined(&entry.remote_ip)),
            ("local_port", joined(&entry.local_port)),
            ("remote_port", joined(&entry.remote_port)),
            ("mac", joined(&entry.mac)),
        ];
        let given = fields.iter().filter(|(_, value)| !value.is_empty());
        let fields: Vec<String> = given.map(|(key, value)| format!("{key}: {value}")).collect();
        format!("{{ {} }}", fields.join(", "))
    };
    let entries: Vec<String> = entries.iter().map(entry).collect();
    format!("[{}]", entries.join(", "))
}

fn joined<T: ToString>(alternatives: &[T]) -> String {
    let alternatives: Vec<String> = alternatives.iter().map(ToString::to_string).collect();
    alternatives.join(";")
}
