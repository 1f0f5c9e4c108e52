//! Events and plans for the histories.

use std::collections::BTreeMap;
use std::time::Duration;

use hindsight::clock::{Now, WallTime};
use hindsight::filter::Filter;
use hindsight::model::{
    CaptureId, CapturePlan, Event, EventId, FileForm, GroupKey, IncidentId, Limits, OnResolved,
    Placing, Policy, Proposal, Quota, SealedFile, Status, Times, Verdict, WhileRunning,
};
use hindsight::session::{Ceilings, FreeDisk, Space};

/// What each capture may write.
pub(crate) const LIMIT: u64 = 1 << 20;

pub(crate) const CEILINGS: Ceilings = Ceilings {
    duration: Duration::from_secs(60),
    bytes: 1 << 30,
    concurrent: 4,
    captures_per_hour: 1000,
    // Room for what three captures may write.
    spool_bytes: 3 * LIMIT + LIMIT / 2,
    free_disk: FreeDisk::Bytes(10 * LIMIT),
};

/// The groups of the histories; those from [`FOR`] on have a rule each that waits, or counts, or is
/// only tried out.
pub(crate) const GROUPS: u64 = 9;
pub(crate) const FOR: u64 = 3;
pub(crate) const TIMES: u64 = 4;
pub(crate) const QUEUE: u64 = 5;
pub(crate) const EXTEND: u64 = 6;
pub(crate) const TRIAL: u64 = 7;
pub(crate) const LIMITED: u64 = 8;

/// The rule that takes the events of this group.
pub(crate) const fn rule(group: u64) -> &'static str {
    match group {
        FOR => "for",
        TIMES => "times",
        QUEUE => "queue",
        EXTEND => "extend",
        TRIAL => "trial",
        LIMITED => "limited",
        _ => "rule",
    }
}

pub(crate) fn policy(group: u64) -> Policy {
    let seconds = Duration::from_secs;
    let usual = Policy { cooldown: seconds(30), ..Policy::default() };
    match group {
        FOR => Policy { hold: Some(seconds(20)), ..usual },
        TIMES => Policy { times: Some(Times { count: 3, within: seconds(40) }), ..usual },
        QUEUE => Policy { while_running: WhileRunning::Queue, cooldown: seconds(5), ..usual },
        EXTEND => Policy { while_running: WhileRunning::Extend { up_to: seconds(30) }, ..usual },
        TRIAL => Policy { dry_run: true, ..usual },
        LIMITED => {
            let quota = Quota { count: 2, per: seconds(600) };
            Policy { max_captures: Some(quota), cooldown: seconds(1), ..usual }
        }
        _ => usual,
    }
}

/// A disk with so much more free than has to stay so.
pub(crate) const fn space(more: u64, spool_bytes: u64) -> Space {
    Space { free_bytes: 10 * LIMIT + more, total_bytes: 100 * LIMIT, spool_bytes }
}

/// A disk with less free than has to stay so.
pub(crate) const fn short(spool_bytes: u64) -> Space {
    Space { free_bytes: 9 * LIMIT, total_bytes: 100 * LIMIT, spool_bytes }
}

pub(crate) fn plan(group: u64, event: EventId, event_json: &str, at: WallTime) -> CapturePlan {
    CapturePlan {
        rule: rule(group).to_owned(),
        incident: IncidentId::from_text(format!("{group:016x}")),
        event,
        event_name: "Alert".to_owned(),
        event_json: event_json.to_owned(),
        host: "host".to_owned(),
        interfaces: vec!["eth0".to_owned()],
        trigger_at: at,
        look_back: Duration::from_secs(1),
        filter: Filter::default(),
        limits: Limits {
            duration: Duration::from_secs(10),
            bytes: LIMIT,
            packets: None,
            bytes_per_packet: 0,
            segments: None,
        },
        file: FileForm::default(),
        storage: "store".to_owned(),
        notify: vec!["a".to_owned(), "b".to_owned()],
        placing: Placing::default(),
        on_resolved: if group == 1 { OnResolved::Stop } else { OnResolved::Keep },
        left_out: Vec::new(),
    }
}

pub(crate) fn event(id: EventId, group: u64, at: WallTime) -> (Event, Vec<Verdict>) {
    let event = Event {
        id: id.clone(),
        source: "test".to_owned(),
        name: "Alert".to_owned(),
        status: Status::Firing,
        severity: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        value: None,
        starts_at: None,
        received_at: at,
        fingerprint: format!("{group}"),
        payload: String::new(),
    };
    let plan = plan(group, id, "{}", at);
    let key = group_key(group);
    let proposal = Proposal { group: key, policy: policy(group), plan };
    (event, vec![Verdict::Capture(Box::new(proposal))])
}

pub(crate) fn group_key(group: u64) -> GroupKey {
    GroupKey::from_text(format!("group {group}"))
}

pub(crate) fn whole_file(id: &CaptureId, now: Now) -> SealedFile {
    SealedFile {
        index: 0,
        path: format!("/spool/{id}-0.pcap.zst").into(),
        size_bytes: 1000,
        sha256: format!("hash of {id}"),
        packets: 10,
        first_packet: Some(now.wall),
        last_packet: Some(now.wall),
        partial: false,
    }
}
