//! What has to be true of a world that has come to rest.

use std::collections::BTreeMap;
use std::time::Duration;

use hindsight::clock::WallTime;
use hindsight::model::{CaptureId, Delivery, Kind, Notice, SegmentState};

use super::world::World;

impl World {
    pub(crate) fn check(&self) {
        for event in &self.acknowledged {
            let outcomes = self.disk.outcomes.iter().filter(|outcome| outcome.event == *event);
            assert_eq!(outcomes.count(), 1, "event {event}");
        }
        assert!(self.disk.sealed.is_empty() && self.disk.open.is_empty(), "a file was left behind");
        assert!(self.disk.transfers.is_empty(), "an upload that is over is remembered");
        assert!(
            self.disk.waiting.is_empty() && self.disk.seen.is_empty(),
            "a group waits for ever"
        );
        for capture in self.disk.captures.values() {
            assert!(capture.state.is_end(), "capture {} is {}", capture.id, capture.state);
            assert!(!capture.deleted, "the row of deleted {} stays", capture.id);
            for segment in &capture.segments {
                // What a crash cut short is not packed, and its object says so.
                let ending = if segment.file.partial { "-0.pcap" } else { "-0.pcap.zst" };
                assert!(segment.object.ends_with(ending), "{}", segment.object);
                let (hash, _) = &self.storage[&segment.object];
                assert_eq!(*hash, segment.file.sha256);
                assert_eq!(segment.state, SegmentState::Retired);
            }
            let started = self.notices_of(&capture.id, "b", |kind| kind == Kind::Started).count();
            let wants_started = self.settings.notifier_kinds.contains_key("b");
            let has_started = capture.held_from.is_some() && wants_started;
            assert_eq!(started, usize::from(has_started), "beginnings of {}", capture.id);
        }
        self.check_ends();
        self.check_pauses();
        self.check_quotas();
    }

    /// Every capture that there ever was is told of at its end, also one that was deleted.
    fn check_ends(&self) {
        let is_end = |kind| matches!(kind, Kind::Completed | Kind::Partial | Kind::Failed);
        for (id, again) in &self.ever {
            assert_eq!(self.notices_of(id, "a", |kind| kind == Kind::Started).count(), 0);
            for notifier in ["a", "b"] {
                let notices: Vec<_> = self.notices_of(id, notifier, is_end).collect();
                assert_eq!(notices.len(), 1 + again, "notices of {id} to {notifier}");
                for notice in &notices {
                    assert_eq!(notice.delivery, Delivery::Delivered);
                    assert!(self.notified.contains_key(&notice.id));
                }
                let last = notices.last().and_then(|notice| notice.body.capture());
                if let (Some(last), Some(capture)) = (last, self.disk.captures.get(id)) {
                    assert_eq!(last.state, capture.state);
                }
            }
        }
    }

    /// Summaries of one rule come a quarter of an hour apart.
    fn check_pauses(&self) {
        let mut last: BTreeMap<&str, WallTime> = BTreeMap::new();
        for notice in self.disk.summaries(Kind::Suppressed) {
            let rule = notice.body.subject();
            if let Some(last) = last.insert(rule, notice.created_at) {
                let pause = notice.created_at.since(last);
                assert!(pause >= Duration::from_secs(15 * 60), "rule {rule}: after {pause:?}");
            }
        }
    }

    /// No rule begins more captures than its quota allows, whatever is restarted or pruned.
    fn check_quotas(&self) {
        for begins in self.disk.begun.windows(3) {
            assert!(begins[2].at.since(begins[0].at) >= Duration::from_secs(600), "{begins:?}");
        }
    }

    fn notices_of(
        &self,
        id: &CaptureId,
        notifier: &str,
        is_kind: impl Fn(Kind) -> bool,
    ) -> impl Iterator<Item = &Notice> {
        let of_it = move |notice: &&Notice| {
            is_kind(notice.kind)
                && notice.notifier == notifier
                && notice.body.capture().is_some_and(|about| about.capture == *id)
        };
        self.disk.notices.values().filter(of_it)
    }
}
