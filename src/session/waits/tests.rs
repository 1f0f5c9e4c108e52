use super::*;
use crate::model::{Policy, Times};
use crate::session::samples::{self, at};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn proposal(group: &str, policy: Policy) -> Box<Proposal> {
    Box::new(Proposal { group: GroupKey::from_text(group), policy, plan: samples::plan("web") })
}

fn hold_for(s: u64) -> Policy {
    Policy { hold: Some(seconds(s)), ..Policy::default() }
}

fn three_in(s: u64) -> Policy {
    Policy { times: Some(Times { count: 3, within: seconds(s) }), ..Policy::default() }
}

/// An event comes: what it means, carried out.
fn come(waits: &mut Waits, group: &str, policy: &Policy, now: Now) -> Arrival {
    let proposal = proposal(group, policy.clone());
    let arrival = waits.weigh(&proposal, now);
    match arrival {
        Arrival::Held(_) => waits.hold(proposal, now),
        Arrival::Enough => drop(waits.end(&proposal.group, Wait::Hold)),
        Arrival::Full => {}
    }
    arrival
}

/// The groups that are ready, with the second at which each was.
fn ready(waits: &mut Waits, now: Now, running: &[&str]) -> Vec<(String, BootTime)> {
    let is_running = |group: &GroupKey| running.contains(&group.as_str());
    std::iter::from_fn(|| waits.next_ready(now.boot, is_running))
        .map(|ready| (ready.proposal.group.to_string(), ready.at))
        .collect()
}

/// What a restart at `now` makes of all that was written.
fn restored(changes: &[Change], now: Now) -> Waits {
    let mut waiting = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for change in changes {
        if let Change::Waiting(row) = change {
            waiting.insert(row.proposal.group.clone(), row.clone());
        } else if let Change::Seen { group, at } = change {
            seen.insert(group.clone(), at.clone());
        } else if let Change::WaitingGone(group) = change {
            waiting.remove(group);
            seen.remove(group);
        }
    }
    let mut waits = Waits::default();
    waits.restore(waiting.into_values().map(|row| *row).collect(), seen, |_| None, now);
    waits
}

#[test]
fn a_group_that_goes_on_for_long_enough_is_ready_with_its_newest_proposal() {
    let mut waits = Waits::default();
    let policy = hold_for(30);
    let until = Arrival::Held(Hold::Until(at(30).wall));
    assert_eq!(come(&mut waits, "a", &policy, at(0)), until);
    assert_eq!(come(&mut waits, "a", &policy, at(20)), until);
    let mut newest = proposal("a", policy);
    newest.plan.event_name = "newest".to_owned();
    waits.hold(newest, at(25));
    assert_eq!(waits.next_due(), Some(at(30).boot));
    assert!(waits.next_ready(at(29).boot, |_| false).is_none());
    let ready = waits.next_ready(at(31).boot, |_| false).unwrap();
    assert_eq!((&*ready.proposal.plan.event_name, ready.at), ("newest", at(30).boot));
    assert_eq!((waits.len(), waits.next_due()), (0, None));
}

#[test]
fn an_end_of_the_wait_lets_the_group_begin_anew() {
    let mut waits = Waits::default();
    come(&mut waits, "a", &hold_for(30), at(0));
    assert!(waits.end(&GroupKey::from_text("a"), Wait::Hold));
    assert!(!waits.end(&GroupKey::from_text("a"), Wait::Hold));
    let until = Arrival::Held(Hold::Until(at(50).wall));
    assert_eq!(come(&mut waits, "a", &hold_for(30), at(20)), until);
}

#[test]
fn events_count_within_their_time_and_then_the_group_is_forgotten() {
    let mut waits = Waits::default();
    let policy = three_in(60);
    let seen = |seen| Arrival::Held(Hold::Seen { seen, of: 3 });
    assert_eq!(come(&mut waits, "a", &policy, at(0)), seen(1));
    assert_eq!(come(&mut waits, "a", &policy, at(59)), seen(2));
    assert_eq!(come(&mut waits, "a", &policy, at(60)), seen(2), "the first counts no longer");
    assert_eq!(come(&mut waits, "a", &policy, at(70)), Arrival::Enough);
    assert_eq!(come(&mut waits, "a", &policy, at(71)), seen(1), "counting begins anew");
    assert_eq!(ready(&mut waits, at(130), &[]), []);
    assert_eq!(waits.len(), 1);
    assert_eq!(ready(&mut waits, at(131), &[]), []);
    assert_eq!((waits.len(), waits.next_due()), (0, None));
}

#[test]
fn of_for_and_times_what_comes_first_is_enough() {
    let both = Policy { hold: Some(seconds(30)), ..three_in(10) };
    let mut waits = Waits::default();
    for second in [0, 15] {
        let until = Arrival::Held(Hold::Until(at(30).wall));
        assert_eq!(come(&mut waits, "a", &both, at(second)), until);
    }
    assert_eq!(ready(&mut waits, at(30), &[]), [("a".to_owned(), at(30).boot)]);
    for second in [40, 41] {
        come(&mut waits, "a", &both, at(second));
    }
    assert_eq!(come(&mut waits, "a", &both, at(42)), Arrival::Enough);
    assert_eq!(ready(&mut waits, at(99), &[]), []);
}

#[test]
fn a_queued_group_is_ready_once_its_capture_has_ended_and_the_cooldown_is_over() {
    let mut waits = Waits::default();
    for group in ["a", "b"] {
        waits.queue(proposal(group, Policy::default()), at(10).boot);
        waits.queue(proposal(group, Policy::default()), at(10).boot);
    }
    assert_eq!(waits.len(), 2);
    assert_eq!(ready(&mut waits, at(9), &[]), []);
    assert_eq!(ready(&mut waits, at(10), &["b"]), [("a".to_owned(), at(10).boot)]);
    assert_eq!(waits.next_due(), None, "the end of the capture is news of its own");
    assert_eq!(ready(&mut waits, at(20), &["b"]), []);
    assert_eq!(ready(&mut waits, at(21), &[]), [("b".to_owned(), at(21).boot)]);
}

#[test]
fn no_more_groups_wait_than_are_remembered() {
    let mut waits = Waits::default();
    for group in 0..MAX_WAITING {
        come(&mut waits, &group.to_string(), &hold_for(30), at(0));
    }
    assert_eq!(come(&mut waits, "one more", &hold_for(30), at(1)), Arrival::Full);
    assert!(!waits.has_room_for(&GroupKey::from_text("one more")));
    assert!(matches!(come(&mut waits, "7", &hold_for(30), at(1)), Arrival::Held(_)));
    assert_eq!(ready(&mut waits, at(30), &[]).len(), MAX_WAITING);
}

#[test]
fn a_storm_writes_one_proposal_a_second_and_every_event_that_counts() {
    let mut waits = Waits::default();
    let policy = Policy { times: Some(Times { count: 900, within: seconds(60) }), ..hold_for(99) };
    let (mut proposals, mut counted) = (0, 0);
    for millis in 0..10_000u64 {
        let now = Now { boot: at(0).boot + Duration::from_millis(millis), ..at(0) };
        if millis % 100 < 8 {
            come(&mut waits, "a", &policy, now);
        } else {
            waits.renew(GroupKey::from_text("a"), proposal("a", policy.clone()));
        }
        for change in waits.take_changes(now) {
            if let Change::Seen { at, .. } = change {
                counted = at.len();
            } else {
                assert!(matches!(change, Change::Waiting(_)), "{change:?}");
                proposals += 1;
            }
        }
    }
    assert_eq!((proposals, counted), (11, 800));
}

#[test]
fn refreshed_proposals_are_few_at_a_time_and_none_is_left_out() {
    let mut waits = Waits::default();
    let groups: Vec<String> = (0..100).map(|group| group.to_string()).collect();
    for group in &groups {
        come(&mut waits, group, &hold_for(90), at(0));
    }
    assert_eq!(waits.take_changes(at(0)).len(), 100);
    let mut written = BTreeSet::new();
    for second in 1..=4 {
        for group in &groups {
            come(&mut waits, group, &hold_for(90), at(second));
        }
        let changes = waits.take_changes(at(second));
        assert!(changes.len() <= REFRESHED, "{}", changes.len());
        for change in changes {
            let Change::Waiting(row) = change else { panic!("a row") };
            written.insert(row.proposal.group);
        }
    }
    assert_eq!(written.len(), 100);
}

#[test]
fn what_comes_and_goes_in_one_batch_is_not_written() {
    let mut waits = Waits::default();
    come(&mut waits, "a", &hold_for(30), at(0));
    waits.end(&GroupKey::from_text("a"), Wait::Hold);
    assert_eq!(waits.take_changes(at(0)), []);
    come(&mut waits, "a", &three_in(30), at(1));
    let changes = waits.take_changes(at(1));
    assert!(matches!(changes[..], [Change::Waiting(_), Change::Seen { .. }]), "{changes:?}");
    waits.retain(|rule| rule != "web");
    let group = GroupKey::from_text("a");
    assert_eq!(waits.take_changes(at(2)), [Change::WaitingGone(group)]);
}

#[test]
fn a_restart_takes_up_what_is_left_and_never_more_than_there_was() {
    let mut waits = Waits::default();
    come(&mut waits, "for", &hold_for(30), at(100));
    come(&mut waits, "times", &three_in(60), at(100));
    come(&mut waits, "times", &three_in(60), at(110));
    waits.queue(proposal("queue", Policy::default()), at(500).boot);
    let changes = waits.take_changes(at(110));
    let seen = |seen| Arrival::Held(Hold::Seen { seen, of: 3 });
    // Boot time starts anew with the machine, so that only differences may count.
    let after = |wall| restored(&changes, Now { wall, ..at(5) });
    let mut waits = after(at(120).wall);
    let event = proposal("times", three_in(60));
    assert_eq!(waits.weigh(&event, at(5)), Arrival::Enough);
    assert_eq!(waits.weigh(&event, at(5 + 39)), Arrival::Enough);
    assert_eq!(waits.weigh(&event, at(5 + 40)), seen(2));
    let queued = ("queue".to_owned(), at(5).boot);
    assert_eq!(ready(&mut waits, at(5 + 9), &[]), [queued], "its incident is closed");
    assert_eq!(ready(&mut waits, at(5 + 10), &[]), [("for".to_owned(), at(15).boot)]);
    let mut waits = after(at(110).wall - seconds(1_000_000));
    ready(&mut waits, at(5), &[]);
    assert_eq!(ready(&mut waits, at(5 + 29), &[]), []);
    assert_eq!(ready(&mut waits, at(5 + 30), &[]), [("for".to_owned(), at(35).boot)]);
    let mut waits = after(at(9_999_999).wall);
    let due_at_once: Vec<_> = ["for", "queue"].map(|group| (group.to_owned(), at(5).boot)).into();
    assert_eq!(ready(&mut waits, at(5), &[]), due_at_once);
    assert_eq!(waits.len(), 0, "no event counts any more");
}

#[test]
fn a_wall_clock_that_is_set_changes_no_wait_also_over_a_restart() {
    let mut waits = Waits::default();
    come(&mut waits, "for", &hold_for(30), at(100));
    waits.take_changes(at(100));
    let far = at(100).wall + seconds(10 * 365 * 86_400);
    come(&mut waits, "for", &hold_for(30), Now { wall: far, ..at(110) });
    let changes = waits.take_changes(Now { wall: far, ..at(110) });
    assert_eq!(changes.len(), 1);
    let mut waits = restored(&changes, Now { wall: far + seconds(5), ..at(5) });
    assert_eq!(ready(&mut waits, at(5 + 14), &[]), []);
    assert_eq!(ready(&mut waits, at(5 + 15), &[]), [("for".to_owned(), at(20).boot)]);
}

#[test]
fn the_end_of_an_alert_ends_the_wait_by_for_and_lets_times_go_on_counting() {
    let mut waits = Waits::default();
    let both = Policy { hold: Some(seconds(30)), ..three_in(60) };
    for (group, policy) in [("for", hold_for(30)), ("times", three_in(60)), ("both", both)] {
        come(&mut waits, group, &policy, at(0));
        waits.break_off(&GroupKey::from_text(group));
    }
    assert_eq!(waits.len(), 1);
    let seen = Arrival::Held(Hold::Seen { seen: 2, of: 3 });
    assert_eq!(come(&mut waits, "times", &three_in(60), at(10)), seen);
}
