//! What the journal would keep of the decisions, and give back to a restart.

use std::collections::BTreeMap;

use hindsight::clock::WallTime;
use hindsight::model::{Begun, Capture, CaptureId, Change, Group, GroupKey, Saved, Waiting};

#[derive(Default)]
pub(crate) struct Kept {
    captures: BTreeMap<CaptureId, Capture>,
    groups: BTreeMap<GroupKey, Group>,
    waiting: BTreeMap<GroupKey, Waiting>,
    seen: BTreeMap<GroupKey, Vec<WallTime>>,
    begun: Vec<Begun>,
    began: Vec<WallTime>,
}

impl Kept {
    pub(crate) fn write(&mut self, change: &Change) {
        match change {
            Change::Capture(capture) => {
                let known = self.captures.insert(capture.id.clone(), (**capture).clone());
                if known.is_none() {
                    self.began.push(capture.created_at);
                }
            }
            Change::CaptureGone(id) => drop(self.captures.remove(id)),
            Change::Group(group) => drop(self.groups.insert(group.key.clone(), group.clone())),
            Change::GroupClosed(key) => drop(self.groups.remove(key)),
            Change::Waiting(waiting) => {
                drop(self.waiting.insert(waiting.proposal.group.clone(), (**waiting).clone()));
            }
            Change::Seen { group, at } => drop(self.seen.insert(group.clone(), at.clone())),
            Change::WaitingGone(group) => {
                self.waiting.remove(group);
                self.seen.remove(group);
            }
            Change::Begun(begun) => self.begun.push(begun.clone()),
            Change::CameDue { .. }
            | Change::Outcome(_)
            | Change::Rejected(_)
            | Change::Notice(_)
            | Change::Transfer(_)
            | Change::TransferGone { .. }
            | Change::BrokerSession(_)
            | Change::Unsaid(_)
            | Change::Said { .. }
            | Change::Audit(_)
            | Change::FileGone { .. } => {}
        }
    }

    pub(crate) fn saved(&self) -> Saved {
        let open = self.captures.values().filter(|capture| capture.has_work());
        Saved {
            captures: open.cloned().collect(),
            groups: self.groups.values().cloned().collect(),
            waiting: self.waiting.values().cloned().collect(),
            seen: self.seen.clone(),
            begun: self.begun.clone(),
            began: self.began.clone(),
            ..Saved::default()
        }
    }
}
