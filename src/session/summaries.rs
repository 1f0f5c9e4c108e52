//! What is told in sums: events that made no capture, sessions that a broker has lost.
//!
//! What was counted is persisted with the batch that counted it, and leaves in the same batch as its
//! notices, so that a restart neither says it twice nor forgets it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::{BootTime, Now};
use crate::model::{Body, Counted, Kind, Summary, Unsaid};

/// At most one summary of a rule, and one of a source, in so long.
pub(super) const PAUSE: Duration = Duration::from_secs(15 * 60);

/// The kind of a summary, and the rule or the source that it is about.
type Key = (Kind, String);

/// Counts, and when each is said. Bounded by the rules and sources that there are.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    counting: BTreeMap<Key, Counting>,
    /// Those that differ from what the journal has.
    changed: BTreeSet<Key>,
    /// Until when nothing more is said of a subject of which something was said.
    quiet_until: BTreeMap<Key, BootTime>,
}

#[derive(Debug)]
struct Counting {
    unsaid: Unsaid,
    due: BootTime,
}

/// When a summary of this kind is said that begins now: what suppresses events goes on for a while
/// and is summed up first, a loss is told at once.
fn first_due(kind: Kind, quiet_until: Option<BootTime>, now: BootTime) -> BootTime {
    let soonest = match kind {
        Kind::UpstreamLoss => now,
        Kind::Suppressed | Kind::Completed | Kind::Partial | Kind::Failed | Kind::Started => {
            now + PAUSE
        }
    };
    quiet_until.map_or(soonest, |until| until.max(soonest))
}

impl Summaries {
    /// Counts one event. Nobody to tell: nothing is counted.
    pub(super) fn count(
        &mut self,
        kind: Kind,
        subject: &str,
        notify: BTreeSet<String>,
        reason: &str,
        now: Now,
    ) {
        if notify.is_empty() {
            return;
        }
        let key = (kind, subject.to_owned());
        let quiet_until = self.quiet_until.get(&key).copied();
        let counting = self.counting.entry(key.clone()).or_insert_with(|| Counting {
            unsaid: Unsaid {
                kind,
                subject: subject.to_owned(),
                since: now.wall,
                until: now.wall,
                notify: BTreeSet::new(),
                counts: BTreeMap::new(),
            },
            due: first_due(kind, quiet_until, now.boot),
        });
        counting.unsaid.until = now.wall;
        counting.unsaid.notify.extend(notify);
        *counting.unsaid.counts.entry(reason.to_owned()).or_default() += 1;
        self.changed.insert(key);
    }

    /// Takes back what was kept over a restart.
    pub(super) fn restore(&mut self, unsaid: Vec<Unsaid>, now: Now) {
        for unsaid in unsaid {
            let passed = now.wall.since(unsaid.since);
            let due = first_due(unsaid.kind, None, now.boot);
            // Where the wall clock went back meanwhile, no more is left than there ever was.
            let due = now.boot + due.since(now.boot).saturating_sub(passed);
            self.counting.insert((unsaid.kind, unsaid.subject.clone()), Counting { unsaid, due });
        }
    }

    /// Takes what is to be said now.
    pub(super) fn take_due(&mut self, now: BootTime) -> Vec<Unsaid> {
        self.quiet_until.retain(|_, until| now < *until);
        let due = |counting: &Counting| now >= counting.due;
        let taken: Vec<(Key, Counting)> =
            self.counting.extract_if(.., |_, counting| due(counting)).collect();
        for (key, _) in &taken {
            self.changed.remove(key);
            self.quiet_until.insert(key.clone(), now + PAUSE);
        }
        taken.into_iter().map(|(_, counting)| counting.unsaid).collect()
    }

    /// Takes what has changed since the last call and is still to be said.
    pub(super) fn take_changed(&mut self) -> Vec<Unsaid> {
        let changed = std::mem::take(&mut self.changed);
        let counting = |key: &Key| self.counting.get(key).map(|counting| counting.unsaid.clone());
        changed.iter().filter_map(counting).collect()
    }

    /// When [`take_due`](Self::take_due) wants to be called again.
    pub(super) fn next_due(&self) -> Option<BootTime> {
        self.counting.values().map(|counting| counting.due).min()
    }
}

/// What the notices of a summary say.
pub(super) fn body_of(unsaid: &Unsaid, host: &str) -> Body {
    let events: u64 = unsaid.counts.values().sum();
    let subject = &unsaid.subject;
    let text = match (unsaid.kind, events) {
        (Kind::UpstreamLoss, _) => format!(
            "the broker of source '{subject}' no longer had the session of this host; messages \
             that it held for us may be lost"
        ),
        (_, 1) => format!("1 event that rule '{subject}' matched made no capture"),
        (_, events) => format!("{events} events that rule '{subject}' matched made no capture"),
    };
    let counted =
        |(reason, events): (&String, &u64)| Counted { reason: reason.clone(), events: *events };
    Body::Summary(Summary {
        subject: subject.clone(),
        host: host.to_owned(),
        from: unsaid.since,
        until: unsaid.until,
        text,
        counts: unsaid.counts.iter().map(counted).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::samples::at;

    fn count(summaries: &mut Summaries, kind: Kind, reason: &str, now: Now) {
        let notify = BTreeSet::from(["bus".to_owned()]);
        summaries.count(kind, "web", notify, reason, now);
    }

    #[test]
    fn suppressed_events_are_summed_up_for_a_quarter_of_an_hour() {
        let mut summaries = Summaries::default();
        count(&mut summaries, Kind::Suppressed, "cooldown", at(100));
        count(&mut summaries, Kind::Suppressed, "cooldown", at(200));
        count(&mut summaries, Kind::Suppressed, "hourly_ceiling", at(300));
        assert_eq!(summaries.take_changed().len(), 1);
        assert_eq!(summaries.take_changed(), []);
        assert_eq!(summaries.next_due(), Some(at(1_000).boot));
        assert_eq!(summaries.take_due(at(999).boot), []);
        let said = summaries.take_due(at(1_000).boot);
        assert_eq!((said[0].since, said[0].until), (at(100).wall, at(300).wall));
        let Body::Summary(summary) = body_of(&said[0], "edge-7") else { panic!("a summary") };
        assert_eq!(summary.text, "3 events that rule 'web' matched made no capture");
        let counts: Vec<_> =
            summary.counts.iter().map(|counted| (&*counted.reason, counted.events)).collect();
        assert_eq!(counts, [("cooldown", 2), ("hourly_ceiling", 1)]);
        assert_eq!(summaries.next_due(), None, "what was said is not said again");
    }

    #[test]
    fn a_lost_session_is_told_at_once_and_then_at_most_every_quarter_of_an_hour() {
        let mut summaries = Summaries::default();
        count(&mut summaries, Kind::UpstreamLoss, "session_lost", at(0));
        assert_eq!(summaries.take_due(at(0).boot).len(), 1);
        for second in 1..=3 {
            count(&mut summaries, Kind::UpstreamLoss, "session_lost", at(second));
        }
        assert_eq!(summaries.take_due(at(899).boot), []);
        let said = summaries.take_due(at(900).boot);
        assert_eq!(said[0].counts.values().copied().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_restart_waits_for_what_is_left_and_never_longer() {
        let unsaid = || {
            let mut before = Summaries::default();
            count(&mut before, Kind::Suppressed, "cooldown", at(100));
            before.take_changed()
        };
        for (wall, due) in [(at(400).wall, 5 + 600), (at(50).wall, 5 + 900), (at(9_999).wall, 5)] {
            let mut summaries = Summaries::default();
            summaries.restore(unsaid(), Now { wall, ..at(5) });
            assert_eq!(summaries.next_due(), Some(at(due).boot));
            assert_eq!(summaries.take_changed(), [], "the journal has it");
        }
    }

    #[test]
    fn what_nobody_wants_to_know_is_not_counted() {
        let mut summaries = Summaries::default();
        summaries.count(Kind::Suppressed, "web", BTreeSet::new(), "cooldown", at(0));
        assert_eq!(summaries.next_due(), None);
    }
}
