//! Rules that wait, queue, extend, count and are tried out, one at a time and cut by crashes.

use std::time::Duration;

use hindsight::clock::WallTime;
use hindsight::model::{CaptureId, Decision, Hold, Kind, Suppression, Verdict};
use hindsight::session::Input;

use super::nouns::{EXTEND, FOR, LIMITED, QUEUE, TIMES, TRIAL, rule};
use super::world::World;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Time passes, and the loop looks at what is due as its deadline tells it to.
fn pass(world: &mut World, by: u64) {
    for _ in 0..by {
        world.wait(seconds(1));
        if world.machine.next_deadline().is_some_and(|due| due <= world.now.boot) {
            world.turn(Vec::new());
        }
    }
}

/// One event of this group comes; what was decided on it.
fn come(world: &mut World, group: u64) -> Decision {
    let event = world.event(group);
    world.turn(vec![event]);
    let Some(last) = world.disk.outcomes.last() else { panic!("an event has an outcome") };
    last.decision.clone()
}

/// When the captures of this world were triggered, oldest first.
fn triggers(world: &World) -> Vec<WallTime> {
    world.disk.captures.values().map(|capture| capture.plan.trigger_at).collect()
}

fn suppressed(why: Suppression) -> Decision {
    Decision::Suppressed(why)
}

/// What would have been decided on an event of this group.
fn preview(world: &mut World, group: u64) -> Decision {
    match world.event(group) {
        Input::Event { verdicts, .. } => world.machine.preview(&verdicts[0], world.now),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_that_goes_on_is_captured_when_it_came_due_also_over_a_restart() {
    for restarts in [false, true] {
        let mut world = World::quiet(3);
        let due = world.now.wall + seconds(20);
        assert_eq!(preview(&mut world, FOR), Decision::Held(Hold::Until(due)));
        assert_eq!(come(&mut world, FOR), Decision::Held(Hold::Until(due)));
        pass(&mut world, 10);
        assert_eq!(come(&mut world, FOR), Decision::Held(Hold::Until(due)));
        let state = &world.machine.rule_states(world.now)[rule(FOR)];
        assert_eq!((state.waiting, state.next_due), (1, Some(due)));
        if restarts {
            world.crash();
        }
        pass(&mut world, 9);
        assert_eq!(triggers(&world), []);
        pass(&mut world, 1);
        assert_eq!(triggers(&world), [due], "restarts: {restarts}");
        assert_eq!(world.disk.outcomes.len(), 2, "what comes due is no event");
        assert!(matches!(come(&mut world, FOR), Decision::Coalesced(_)));
        world.drain();
        world.check();
    }
}

#[test]
fn the_end_of_the_alert_or_of_the_condition_ends_the_wait() {
    for ends in [World::resolved, World::unmet] {
        let mut world = World::quiet(3);
        come(&mut world, FOR);
        pass(&mut world, 10);
        let end = ends(&mut world, FOR);
        world.turn(vec![end]);
        pass(&mut world, 30);
        assert_eq!((triggers(&world), world.machine.groups_waiting()), (Vec::new(), 0));
        let due = world.now.wall + seconds(20);
        assert_eq!(come(&mut world, FOR), Decision::Held(Hold::Until(due)), "it begins anew");
        world.drain();
        world.check();
    }
}

#[test]
fn what_a_crash_may_lose_of_a_wait_is_its_newest_event_and_never_the_capture() {
    let mut world = World::quiet(3);
    come(&mut world, FOR);
    world.wait(Duration::from_millis(300));
    come(&mut world, FOR);
    world.wait(Duration::from_millis(300));
    come(&mut world, FOR);
    world.crash();
    pass(&mut world, 20);
    assert_eq!(triggers(&world).len(), 1);
    world.drain();
    world.check();
}

#[test]
fn a_storm_on_a_group_that_waits_does_not_write_its_events_again_and_again() {
    let mut world = World::quiet(3);
    for _ in 0..1_000 {
        let events = (0..10).map(|_| world.event(FOR)).collect();
        world.turn(events);
        world.wait(Duration::from_millis(10));
    }
    assert!((10..=12).contains(&world.disk.proposals_written), "{}", world.disk.proposals_written);
    world.drain();
    world.check();
}

#[test]
fn the_third_event_in_time_captures_also_where_the_worker_dies_between_any_two() {
    for restarts in [false, true] {
        let mut world = World::quiet(3);
        for seen in 1..=2 {
            assert_eq!(come(&mut world, TIMES), Decision::Held(Hold::Seen { seen, of: 3 }));
            if restarts {
                world.crash();
            }
            pass(&mut world, 15);
        }
        let event = come(&mut world, TIMES);
        assert!(matches!(event, Decision::Capture(_)), "{event:?}");
        assert_eq!(world.machine.groups_waiting(), 0);
        world.drain();
        world.check();
    }
}

#[test]
fn events_that_come_too_far_apart_are_forgotten() {
    let mut world = World::quiet(3);
    for _ in 0..5 {
        let expected = Decision::Held(Hold::Seen { seen: 1, of: 3 });
        assert_eq!(come(&mut world, TIMES), expected);
        pass(&mut world, 40);
        assert_eq!(world.machine.groups_waiting(), 0);
    }
    world.drain();
    world.check();
}

#[test]
fn a_queued_event_begins_a_capture_after_the_one_that_runs() {
    for restarts in [false, true] {
        let mut world = World::quiet(3);
        let Decision::Capture(first) = come(&mut world, QUEUE) else { panic!("the first") };
        for _ in 0..3 {
            assert_eq!(come(&mut world, QUEUE), Decision::Queued(first.clone()));
        }
        let state = &world.machine.rule_states(world.now)[rule(QUEUE)];
        assert_eq!((state.queued, &*state.running), (1, &[first][..]));
        pass(&mut world, 8);
        assert_eq!(triggers(&world).len(), 1, "the capture runs");
        if restarts {
            world.crash();
        } else {
            while triggers(&world).len() == 1 && world.step() {}
        }
        assert_eq!(triggers(&world).len(), 2, "restarts: {restarts}");
        assert_eq!(triggers(&world)[1], world.now.wall);
        world.drain();
        world.check();
    }
}

#[test]
fn the_end_of_the_alert_drops_what_is_queued() {
    let mut world = World::quiet(3);
    come(&mut world, QUEUE);
    come(&mut world, QUEUE);
    let end = world.resolved(QUEUE);
    world.turn(vec![end]);
    world.drain();
    world.check();
    assert_eq!(triggers(&world).len(), 1);
}

#[test]
fn what_is_refused_when_it_comes_due_is_counted_with_its_reason() {
    let mut world = World::quiet(3);
    come(&mut world, FOR);
    for name in ["x", "y", "z"] {
        world.create(name).unwrap();
    }
    pass(&mut world, 20);
    let full = suppressed(Suppression::SpoolCeiling);
    assert_eq!(world.disk.came_due, [(rule(FOR).to_owned(), full)]);
    world.drain();
    world.check();
    assert_eq!(world.disk.summaries(Kind::Suppressed).count(), 1);
}

#[test]
fn an_event_lets_its_capture_go_on_for_its_whole_time_and_not_beyond_the_bound() {
    let mut world = World::quiet(3);
    let Decision::Capture(id) = come(&mut world, EXTEND) else { panic!("the first") };
    let lasts = |world: &World, id: &CaptureId| world.disk.captures[id].plan.limits.duration;
    world.wait(Duration::from_millis(900));
    assert_eq!(come(&mut world, EXTEND), Decision::Coalesced(id.clone()));
    assert_eq!(lasts(&world, &id), seconds(10));
    for (wait, decision, duration) in [
        (Duration::from_millis(100), Decision::Extended(id.clone()), seconds(11)),
        (seconds(8), Decision::Extended(id.clone()), seconds(19)),
        (seconds(15), Decision::Extended(id.clone()), seconds(30)),
        (seconds(3), Decision::Coalesced(id.clone()), seconds(30)),
    ] {
        world.wait(wait);
        assert_eq!(preview(&mut world, EXTEND), decision);
        assert_eq!(come(&mut world, EXTEND), decision);
        assert_eq!(lasts(&world, &id), duration);
    }
    assert_eq!(world.disk.captures[&id].coalesced, 5);
    world.drain();
    world.check();
}

#[test]
fn a_rule_that_is_tried_out_decides_and_captures_nothing() {
    let mut world = World::quiet(3);
    assert_eq!(preview(&mut world, TRIAL), Decision::DryRun);
    assert_eq!(come(&mut world, TRIAL), Decision::DryRun);
    let cooldown = suppressed(Suppression::Cooldown);
    assert_eq!(come(&mut world, TRIAL), cooldown);
    world.crash();
    assert_eq!(come(&mut world, TRIAL), cooldown);
    pass(&mut world, 30);
    assert_eq!(come(&mut world, TRIAL), Decision::DryRun);
    world.drain();
    world.check();
    assert_eq!(triggers(&world), []);
}

#[test]
fn a_rule_begins_no_more_captures_than_its_quota_allows_also_over_a_restart() {
    let mut world = World::quiet(3);
    for _ in 0..2 {
        assert!(matches!(come(&mut world, LIMITED), Decision::Capture(_)));
        while world.step() {}
        pass(&mut world, 2);
    }
    let full = suppressed(Suppression::MaxCaptures);
    assert_eq!(come(&mut world, LIMITED), full);
    world.crash();
    assert_eq!(come(&mut world, LIMITED), full);
    let used = world.machine.rule_states(world.now)[rule(LIMITED)].quota.unwrap();
    assert_eq!((used.counted, used.max, used.next_free), (2, 2, Some(seconds(596))));
    pass(&mut world, 595);
    assert_eq!(come(&mut world, LIMITED), full);
    pass(&mut world, 1);
    assert!(matches!(come(&mut world, LIMITED), Decision::Capture(_)));
    world.drain();
    world.check();
}

#[test]
fn what_waits_for_a_rule_that_a_reload_changes_or_removes_is_dropped_and_nothing_else() {
    let mut world = World::new(3, None, false);
    for group in [FOR, TIMES] {
        come(&mut world, group);
    }
    let mut settings = world.settings.clone();
    settings.rules.as_mut().unwrap().insert("other".to_owned(), 1);
    world.machine.configure(settings.clone());
    assert_eq!(world.machine.groups_waiting(), 2);
    settings.rules.as_mut().unwrap().insert(rule(FOR).to_owned(), 1);
    world.machine.configure(settings.clone());
    assert_eq!(world.machine.groups_waiting(), 1);
    settings.rules.as_mut().unwrap().remove(rule(TIMES));
    world.machine.configure(settings);
    assert_eq!(world.machine.groups_waiting(), 0);
    let mut effects = hindsight::session::Effects::default();
    world.machine.settle(world.now, &mut effects);
    assert_eq!(effects.changes.len(), 2, "both rows go: {:?}", effects.changes);
    assert_eq!(world.disk.waiting.len(), 2);
    // A start without one of the rules drops what waits for it as well.
    world.settings.rules.as_mut().unwrap().remove(rule(TIMES));
    let mut machine = hindsight::session::Machine::new(world.settings.clone(), 1);
    machine.restore(world.disk.saved(), world.now);
    assert_eq!(machine.groups_waiting(), 1);
}

#[test]
fn a_preview_of_what_is_no_proposal_says_what_an_event_would_get() {
    let mut world = World::quiet(3);
    let group = super::nouns::group_key(FOR);
    let unmet = Verdict::Unmet { rule: rule(FOR).to_owned(), group };
    come(&mut world, FOR);
    let decision = world.machine.preview(&unmet, world.now);
    assert_eq!(decision, suppressed(Suppression::Unmet));
    assert_eq!(world.machine.groups_waiting(), 1, "a preview changes nothing");
}
