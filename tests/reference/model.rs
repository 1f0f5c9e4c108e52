//! The reference: what the decision engine has to decide, as slowly and plainly as it can be said.
//!
//! Written from the language's description alone. Every question is answered by looking through
//! everything that ever happened; nothing is indexed, swept, or remembered twice. All times are
//! milliseconds since the start of the story.

use crate::story::{Event, Host, Rule, Running, Step, Story, When};

/// What happened, in the words that both sides speak. Captures are known by the order of their begin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) at: u64,
    /// The event's number; absent where something happened by itself.
    pub(crate) event: Option<usize>,
    pub(crate) rule: Option<usize>,
    pub(crate) what: String,
}

/// A group of a rule.
type Group = (usize, String);

struct Capture {
    group: Group,
    trigger: u64,
    until: u64,
    runs: bool,
}

/// A begin, also one that was only tried.
struct Begin {
    group: Group,
    at: u64,
    real: bool,
}

struct Wait {
    group: Group,
    /// When `for` is over; absent for a rule without.
    due: Option<u64>,
}

pub(crate) struct Model<'s> {
    story: &'s Story,
    now: u64,
    captures: Vec<Capture>,
    begins: Vec<Begin>,
    waits: Vec<Wait>,
    /// Events that count for `times`, with their instants.
    seen: Vec<(Group, u64)>,
    queued: Vec<Group>,
    restarted: bool,
    pub(crate) lines: Vec<Line>,
    /// Two things were due at one instant, and nothing says which comes first: the story ends there.
    pub(crate) unclear: bool,
}

impl<'s> Model<'s> {
    pub(crate) fn play(story: &'s Story) -> Self {
        let mut model = Self {
            story,
            now: 0,
            captures: Vec::new(),
            begins: Vec::new(),
            waits: Vec::new(),
            seen: Vec::new(),
            queued: Vec::new(),
            restarted: false,
            lines: Vec::new(),
            unclear: false,
        };
        let mut number = 0;
        for step in &story.steps {
            match step {
                Step::Wait(span) => model.wait(*span),
                Step::Event(event) => {
                    model.event(number, event);
                    number += 1;
                }
                Step::Restart => model.restart(),
            }
            model.begin_queued();
            if model.unclear {
                break;
            }
        }
        model
    }

    fn say(&mut self, event: Option<usize>, rule: Option<usize>, what: impl Into<String>) {
        self.lines.push(Line { at: self.now, event, rule, what: what.into() });
    }

    // ---- Time ----

    fn wait(&mut self, span: u64) {
        let end = self.now + span;
        while let Some(next) = self.next_due().filter(|next| *next <= end) {
            self.now = next;
            self.end_captures();
            self.come_due();
            self.begin_queued();
            if self.unclear {
                return;
            }
        }
        self.now = end;
    }

    /// The next instant, after now, at which something happens by itself.
    fn next_due(&self) -> Option<u64> {
        let ends = self.captures.iter().filter(|capture| capture.runs).map(|capture| capture.until);
        let waits = self.waits.iter().filter_map(|wait| wait.due);
        let queued = self.queued.iter().filter(|group| self.running(group).is_none());
        let queued = queued.filter_map(|group| self.cooldown_until(group));
        ends.chain(waits).chain(queued).filter(|due| *due > self.now).min()
    }

    fn end_captures(&mut self) {
        for index in 0..self.captures.len() {
            if self.captures[index].runs && self.captures[index].until <= self.now {
                self.end(index, "time");
            }
        }
    }

    fn end(&mut self, index: usize, why: &str) {
        self.captures[index].runs = false;
        let rule = self.captures[index].group.0;
        self.say(None, Some(rule), format!("ended {index} {why}"));
    }

    fn come_due(&mut self) {
        let is_due = |wait: &Wait| wait.due == Some(self.now);
        let due: Vec<Group> =
            self.waits.iter().filter(|w| is_due(w)).map(|w| w.group.clone()).collect();
        self.unclear |= due.len() > 1;
        for group in due {
            self.forget_wait(&group);
            self.admit(None, &group);
        }
    }

    fn begin_queued(&mut self) {
        let is_free = |group: &&Group| {
            self.running(group).is_none()
                && self.cooldown_until(group).is_none_or(|c| c <= self.now)
        };
        let free: Vec<Group> = self.queued.iter().filter(is_free).cloned().collect();
        self.unclear |= free.len() > 1;
        for group in free {
            self.queued.retain(|queued| *queued != group);
            self.admit(None, &group);
        }
    }

    /// Captures that ran are cut, and what was counted, awaited and queued stays.
    fn restart(&mut self) {
        self.restarted = true;
        for index in 0..self.captures.len() {
            if self.captures[index].runs {
                self.end(index, "interrupted");
            }
        }
    }

    // ---- What rules say of an event ----

    fn event(&mut self, number: usize, event: &Event) {
        let mut said = false;
        for index in 0..self.story.rules.len() {
            let rule = &self.story.rules[index];
            said |= self.rule(number, index, rule, event);
        }
        if !said {
            self.say(Some(number), None, "no_match");
        }
    }

    /// Whether the rule says anything.
    fn rule(&mut self, number: usize, index: usize, rule: &Rule, event: &Event) -> bool {
        let is_for_this_host = match rule.host {
            None | Some(Host::Here) => true,
            Some(Host::Elsewhere) => false,
            Some(Host::Named) => event.h.split(':').next() == Some(crate::story::HOST),
        };
        let matches = rule.matches.is_none_or(|value| value == event.a);
        if !rule.enabled || !matches || !is_for_this_host {
            return false;
        }
        let key = if rule.grouped { event.g.to_owned() } else { fingerprint(event) };
        let group = (index, key);
        if event.resolved {
            self.resolved(number, rule, &group);
            return true;
        }
        let holds = match rule.when {
            None => Some(true),
            Some(When::Value) => event.value.map(|value| value > 5),
            Some(When::Label) => event.k.map(|k| k == "1"),
        };
        match holds {
            None => {
                self.say(Some(number), Some(index), "refused");
                return true;
            }
            Some(false) if rule.hold.is_none() => return false,
            Some(false) => {
                self.forget_wait(&group);
                self.say(Some(number), Some(index), "suppressed unmet");
                return true;
            }
            Some(true) => {}
        }
        let minute = (self.now / 60_000) % 60;
        if rule.half_hours && minute >= 30 {
            self.say(Some(number), Some(index), "suppressed inactive");
            return true;
        }
        self.propose(number, rule, &group);
        true
    }

    // ---- What has state ----

    fn propose(&mut self, number: usize, rule: &Rule, group: &Group) {
        let event = Some(number);
        let of = Some(group.0);
        if let Some(index) = self.running(group) {
            let what = match rule.while_running {
                Running::Ignore => format!("coalesced {index}"),
                Running::Extend => self.extend(index, rule),
                Running::Queue => {
                    self.queued.retain(|queued| queued != group);
                    self.queued.push(group.clone());
                    format!("queued {index}")
                }
            };
            self.say(event, of, what);
            return;
        }
        if self.cooldown_until(group).is_some_and(|until| self.now < until) {
            self.say(event, of, "suppressed cooldown");
            return;
        }
        if rule.hold.is_none() && rule.times.is_none() {
            self.admit(event, group);
            return;
        }
        self.seen.push((group.clone(), self.now));
        if let Some((count, within)) = rule.times {
            let recent = |at: u64| self.now - at < within * 1_000;
            let seen = self.seen.iter().filter(|(of, at)| of == group && recent(*at)).count();
            if seen >= count as usize {
                self.forget_wait(group);
                self.admit(event, group);
                return;
            }
        }
        let due = rule.hold.map(|hold| self.now + hold * 1_000);
        if !self.waits.iter().any(|wait| wait.group == *group) {
            self.waits.push(Wait { group: group.clone(), due });
        }
        self.say(event, of, "held");
    }

    /// The capture goes on for its whole duration from now, within its bounds.
    fn extend(&mut self, index: usize, rule: &Rule) -> String {
        let up_to = rule.max_duration.unwrap_or(5 * rule.duration).max(rule.duration);
        let up_to = up_to.min(self.story.longest);
        let capture = &mut self.captures[index];
        let until = (self.now + rule.duration * 1_000).min(capture.trigger + up_to * 1_000);
        if until >= capture.until + 1_000 {
            capture.until = until;
            format!("extended {index}")
        } else {
            format!("coalesced {index}")
        }
    }

    fn resolved(&mut self, number: usize, rule: &Rule, group: &Group) {
        // An alert that comes again and again ends in between: `times` alone goes on counting.
        if rule.hold.is_some() {
            self.forget_wait(group);
        }
        self.queued.retain(|queued| queued != group);
        match self.running(group) {
            Some(index) => {
                self.say(Some(number), Some(group.0), format!("coalesced {index}"));
                if rule.stops {
                    self.end(index, "resolved");
                }
            }
            None => self.say(Some(number), Some(group.0), "suppressed resolved"),
        }
    }

    /// The last word: quotas and ceilings; what passes them begins.
    fn admit(&mut self, event: Option<usize>, group: &Group) {
        let rule = &self.story.rules[group.0];
        let of = Some(group.0);
        if let Some((count, per)) = rule.max_captures {
            let recent =
                |begin: &&Begin| begin.group.0 == group.0 && self.now - begin.at < per * 1_000;
            if self.begins.iter().filter(recent).count() >= count as usize {
                self.say(event, of, "suppressed max_captures");
                return;
            }
        }
        if self.captures.iter().filter(|capture| capture.runs).count() >= self.story.concurrent {
            self.say(event, of, "suppressed concurrent_ceiling");
            return;
        }
        // What is only tried out takes no place from what is not.
        let real = !(rule.dry_run || self.story.dry_run);
        let recent = |begin: &&Begin| self.now - begin.at < 3_600_000;
        let all = self.begins.iter().filter(recent).count() >= self.story.per_hour;
        let begun = self.begins.iter().filter(recent).filter(|begin| begin.real).count();
        let begun = begun >= self.story.per_hour;
        // A restart may forget what was only tried out: nothing was begun that could do harm.
        self.unclear |= !real && all != begun && self.restarted;
        let is_full = if real { begun } else { all };
        if is_full {
            self.say(event, of, "suppressed hourly_ceiling");
            return;
        }
        self.begins.push(Begin { group: group.clone(), at: self.now, real });
        if !real {
            self.say(event, of, "dry_run");
            return;
        }
        let until = self.now + rule.duration * 1_000;
        let capture = Capture { group: group.clone(), trigger: self.now, until, runs: true };
        self.captures.push(capture);
        self.say(event, of, format!("capture {}", self.captures.len() - 1));
    }

    fn forget_wait(&mut self, group: &Group) {
        self.waits.retain(|wait| wait.group != *group);
        self.seen.retain(|(of, _)| of != group);
    }

    /// The group's capture that takes packets.
    fn running(&self, group: &Group) -> Option<usize> {
        self.captures.iter().position(|capture| capture.runs && capture.group == *group)
    }

    /// It counts from the begin.
    fn cooldown_until(&self, group: &Group) -> Option<u64> {
        let cooldown = self.story.rules[group.0].cooldown * 1_000;
        let last = self.begins.iter().rev().find(|begin| begin.group == *group)?;
        Some(last.at + cooldown)
    }
}

/// Who the event is, to a rule that does not group.
pub(crate) fn fingerprint(event: &Event) -> String {
    format!("{}{}", event.a, event.g)
}
