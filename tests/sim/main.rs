//! Random and scripted histories of the session machine against a small world, cut by crashes.
//!
//! The world keeps what a disk, a storage and a notifier would keep; a crash loses everything
//! else, and the machine is restored from the changes that were committed. Every assertion is a
//! promise: exactly one outcome for an acknowledged event and rule (P2), nothing that was sealed
//! is lost and no part of it sent again (P3, P4), every notice comes, after its files, and every
//! event that is only summed up is in one sum (P5), nothing begins that has no room (P6).

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "the world below is smaller than its types"
)]

mod disk;
mod nouns;
mod promises;
mod waiting;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use hindsight::model::{Decision, Delivery, Kind, SegmentState, State, StopReason, Suppression};
use hindsight::session::{Failure, Input, NotCreated, Redriven};

use nouns::{LIMIT, space};
use world::{Task, World};

/// A history of events in nine groups, of what people do and of what the disk and the broker do,
/// with everything else in between.
fn history(world: &mut World, length: u32) {
    for _ in 0..length {
        let group = world.below(3);
        let any = world.below(nouns::GROUPS);
        match world.below(16) {
            0 | 1 => {
                let events = vec![world.event(any), world.event(any)];
                world.turn(events);
            }
            2 => {
                world.wait(Duration::from_millis(700));
                world.turn(Vec::new());
            }
            3 | 4 => {
                world.wait(Duration::from_secs(if group == 0 { 240 } else { 20 }));
                world.turn(Vec::new());
            }
            5 => drop(world.create(["x", "y", "z"][group as usize])),
            6 => {
                if let Some(id) = world.any_capture() {
                    if group == 0 {
                        world.drive_again(&id);
                    } else {
                        world.delete(&id);
                    }
                }
            }
            7 => {
                let in_spool = world.disk.sealed.len() as u64 * 1000;
                let sample = match world.below(4) {
                    // Too little is free: what runs has to end.
                    0 => nouns::short(in_spool),
                    1 => space(2 * LIMIT, in_spool),
                    _ => space(50 * LIMIT, in_spool),
                };
                world.sample(sample);
            }
            8 => {
                let news = match group {
                    0 => world.expired(any),
                    1 if any == nouns::FOR => world.unmet(any),
                    _ => world.resolved(any),
                };
                world.turn(vec![news]);
            }
            9 => world.connect(group == 0),
            _ => {
                world.step();
            }
        }
    }
}

#[test]
fn a_history_cut_after_any_effect_keeps_every_promise() {
    let seed = 7;
    let mut whole = World::new(seed, None, true);
    history(&mut whole, 150);
    whole.drain();
    whole.check();
    assert!(whole.ever.len() > 3, "the history makes captures");
    assert!(whole.disk.summaries(Kind::Suppressed).count() > 0, "and suppresses events");
    assert!(whole.disk.summaries(Kind::UpstreamLoss).count() > 0, "and loses sessions");
    let effects = whole.effects_done;
    assert!(effects > 200);
    for fuse in 0..effects {
        let mut world = World::new(seed, Some(fuse), true);
        history(&mut world, 150);
        world.drain();
        world.check();
    }
}

#[test]
fn random_histories_with_many_crashes_keep_every_promise() {
    let mut met: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..300 {
        let mut world = World::new(seed, None, true);
        for _ in 0..6 {
            world.fuse = Some(world.random.next() % 60);
            history(&mut world, 40);
        }
        world.drain();
        world.check();
        assert!(world.crashes > 0, "seed {seed}");
        for (what, times) in world.met {
            *met.entry(what).or_default() += times;
        }
    }
    println!("{met:#?}");
    for what in [
        "a capture by hand",
        "a capture by hand that a ceiling refuses",
        "a full disk",
        "a name that history frees",
        "a name that is taken",
        "a person who stops a capture",
        "a row that goes",
        "a wait that ends in a capture",
        "a wait that ends in a refusal",
        "an upload that goes on",
        "cooldown",
        "disk_ceiling",
        "dry_run",
        "expired",
        "extended",
        "held",
        "max_captures",
        "queued",
        "spool_ceiling",
        "the end of an alert",
        "unmet",
    ] {
        assert!(met.contains_key(what), "no history met {what}");
    }
}

#[test]
fn a_storm_in_one_group_makes_one_capture_and_counts_every_event() {
    let mut world = World::quiet(1);
    for _ in 0..100 {
        let events = (0..100).map(|_| world.event(1)).collect();
        world.turn(events);
    }
    assert_eq!(world.disk.captures.len(), 1);
    assert_eq!(world.disk.outcomes.len(), 10_000);
    let capture = world.disk.captures.values().next().unwrap();
    assert_eq!(capture.coalesced, 9_999);
    world.drain();
    world.check();
    assert_eq!(world.told.into_values().collect::<Vec<_>>(), [1], "its end is told once");
}

/// A world in which one capture has ended and its two notices are on their way.
fn with_notices_under_way() -> World {
    let mut world = World::quiet(3);
    let event = world.event(1);
    world.turn(vec![event]);
    while world.machine.notices_waiting() == 0 {
        assert!(world.step(), "the capture reaches its end");
    }
    world
}

/// Every notice that is under way fails, as a receiver that is away for a moment makes it.
fn fail_every_notice(world: &mut World) -> usize {
    let sends = |task: &mut Task| matches!(task, Task::Send(_));
    let failed: Vec<_> = world.tasks.extract_if(.., sends).collect();
    let count = failed.len();
    for task in failed {
        let Task::Send(notice) = task else { continue };
        let away = Failure { transient: true, message: "away".to_owned() };
        world.turn(vec![Input::Notified { notice: notice.id, result: Err(away) }]);
    }
    count
}

#[test]
fn a_clock_that_is_put_right_by_years_kills_no_notice() {
    let years = Duration::from_secs(50 * 365 * 86_400);
    for restarts in [false, true] {
        let mut world = with_notices_under_way();
        world.now.wall = world.now.wall + years;
        if restarts {
            world.crash();
        }
        assert_eq!(fail_every_notice(&mut world), 2);
        assert_eq!(world.machine.notices_waiting(), 2, "restarts: {restarts}");
        world.drain();
        world.check();
    }
}

#[test]
fn a_notice_that_nobody_takes_for_a_day_is_dead_also_when_the_clock_goes_back() {
    let mut world = with_notices_under_way();
    world.now.wall = world.now.wall - Duration::from_secs(50 * 365 * 86_400);
    let minutes = (0..2 * 24 * 60).take_while(|_| {
        fail_every_notice(&mut world);
        world.wait(Duration::from_secs(60));
        world.turn(Vec::new());
        world.machine.notices_waiting() > 0
    });
    assert_eq!(minutes.count(), 24 * 60);
    assert!(world.disk.notices.values().all(|notice| notice.delivery == Delivery::Dead));
    assert_eq!(world.told.into_values().collect::<Vec<_>>(), [3], "its end and two notices");
}

#[test]
fn once_it_is_stopping_the_machine_asks_for_no_more_time() {
    let mut world = World::quiet(3);
    let event = world.event(1);
    world.turn(vec![event, Input::Shutdown]);
    while world.step() {}
    assert_eq!(world.machine.segments_waiting(), 1, "it waits for the next start");
    assert_eq!(world.machine.next_deadline(), None, "the loop would spin");
}

#[test]
fn leftovers_that_cannot_be_sealed_end_their_capture_with_the_reason_and_hold_up_nobody() {
    let mut world = World::quiet(3);
    let event = world.event(1);
    world.turn(vec![event]);
    world.crash();
    let mut attempts = 0;
    while let Some(Task::Leftovers { capture, .. }) = world.tasks.pop() {
        attempts += 1;
        let error = Some("reading /spool/x.part: Input/output error".to_owned());
        world.turn(vec![Input::Leftovers { capture, files: Vec::new(), error }]);
        if attempts == 1 {
            // The old capture takes no packets: what comes after its cooldown gets a new one.
            world.wait(Duration::from_secs(31));
            let event = world.event(1);
            world.turn(vec![event]);
            world.tasks.retain(|task| !matches!(task, Task::Engine(_)));
        } else {
            world.wait(Duration::from_secs(60));
            world.turn(Vec::new());
        }
    }
    assert_eq!(attempts, 12);
    let captures: Vec<_> = world.disk.captures.values().collect();
    assert_eq!(captures.len(), 2, "the event did not belong to what a crash had cut");
    assert_eq!(captures[0].state, State::Failed);
    let error = captures[0].error.as_deref().unwrap();
    assert!(error.contains("Input/output error; that stays in the spool"), "{error}");
}

#[test]
fn a_capture_whose_file_is_on_its_way_says_so() {
    let mut world = World::quiet(3);
    let event = world.event(1);
    world.turn(vec![event]);
    while world.machine.segments_waiting() == 0 {
        assert!(world.step(), "its file is sealed");
    }
    // The upload began with the seal; the end of the capture is told after it.
    let upload = |task: &Task| matches!(task, Task::Upload { .. });
    let uploads: Vec<_> = world.tasks.extract_if(.., |task| upload(task)).collect();
    assert_eq!(uploads.len(), 1);
    while world.step() {}
    let states: Vec<_> = world.machine.open_captures().map(|capture| capture.state).collect();
    assert_eq!(states, [State::Uploading]);
}

/// A history of one capture that no storage takes, until somebody puts that right.
fn stranded(fuse: Option<u64>) -> World {
    let mut world = World::new(5, fuse, false);
    world.refuses = true;
    let event = world.event(1);
    world.turn(vec![event]);
    for _ in 0..60 {
        while world.step() {}
        world.wait(Duration::from_secs(61));
        world.turn(Vec::new());
    }
    world.refuses = false;
    if let Some(id) = world.any_capture() {
        world.drive_again(&id);
    }
    world
}

#[test]
fn what_is_stranded_is_stored_once_it_is_driven_again_whenever_the_worker_dies() {
    let mut whole = stranded(None);
    let effects = whole.effects_done;
    whole.drain();
    whole.check();
    let capture = whole.disk.captures.values().next().unwrap();
    assert_eq!((capture.state, capture.error.as_deref()), (State::Done, None));
    assert_eq!(whole.told[&capture.id], 2, "its failure, and then that it is stored");
    for fuse in 0..effects {
        let mut world = stranded(Some(fuse));
        // A crash may have come before somebody could put it right.
        if let Some(id) = world.any_capture() {
            world.drive_again(&id);
        }
        world.drain();
        world.check();
    }
}

#[test]
fn a_storage_that_is_away_for_a_day_strands_a_segment_and_not_sooner() {
    for restarts in [false, true] {
        let mut world = World::quiet(3);
        let event = world.event(1);
        world.turn(vec![event]);
        while world.machine.segments_waiting() == 0 {
            assert!(world.step(), "its file is sealed");
        }
        let mut minutes = 0;
        while world.disk.captures.values().all(|capture| !capture.has_stranded()) {
            // Everything else goes on.
            let upload = |task: &mut Task| matches!(task, Task::Upload { .. });
            let away: Vec<_> = world.tasks.extract_if(.., upload).collect();
            for task in away {
                let Task::Upload { key: (capture, index), .. } = task else { continue };
                let failure = Failure { transient: true, message: "timed out".to_owned() };
                world.turn(vec![Input::Uploaded { capture, index, result: Err(failure) }]);
            }
            if minutes < 3 {
                let engine = |task: &mut Task| matches!(task, Task::Engine(_));
                if world.tasks.iter_mut().any(engine) {
                    world.step();
                }
            }
            if restarts && minutes == 20 * 60 {
                world.crash();
            }
            world.wait(Duration::from_secs(60));
            world.turn(Vec::new());
            minutes += 1;
            assert!(minutes < 3 * 24 * 60, "it is tried for ever");
        }
        assert!((24 * 60..24 * 60 + 5).contains(&minutes), "{minutes} minutes");
        while world.step() {}
        let capture = world.disk.captures.values().next().unwrap();
        assert_eq!(capture.state, State::Failed);
        let error = capture.error.as_deref().unwrap();
        assert_eq!(error, "not stored: storage 'store' has failed for too long: timed out");
    }
}

#[test]
fn a_dead_notice_is_sent_again_once_somebody_asks_for_it() {
    let mut world = with_notices_under_way();
    let sends = |task: &mut Task| matches!(task, Task::Send(_));
    for _ in 0..12 {
        let refused: Vec<_> = world.tasks.extract_if(.., sends).collect();
        for task in refused {
            let Task::Send(notice) = task else { continue };
            let failure = Failure { transient: false, message: "403".to_owned() };
            world.turn(vec![Input::Notified { notice: notice.id, result: Err(failure) }]);
        }
        world.wait(Duration::from_secs(61));
        world.turn(Vec::new());
    }
    while world.step() {}
    assert!(world.disk.notices.values().all(|notice| notice.delivery == Delivery::Dead));
    let id = world.any_capture().unwrap();
    assert_eq!(world.drive_again(&id), Redriven { segments: 0, notices: 2 });
    assert_eq!(world.drive_again(&id), Redriven::default(), "they are on their way");
    world.crash();
    world.drain();
    world.check();
}

#[test]
fn a_name_is_free_once_its_capture_is_deleted_and_no_sooner() {
    let mut world = World::quiet(3);
    world.create("x").unwrap();
    let first = world.any_capture().unwrap();
    assert_eq!(world.create("x"), Err(NotCreated::NameTaken));
    world.delete(&first);
    assert_eq!(world.machine.open_captures().count(), 1, "it is stopped and stored first");
    world.create("x").unwrap();
    assert_eq!(world.create("x"), Err(NotCreated::NameTaken));
    world.drain();
    world.check();
    assert_eq!(world.storage.len(), 2, "what a deleted capture had stored stays");
    assert_eq!(world.disk.captures.len(), 1);
    assert_eq!(world.create("x"), Err(NotCreated::NameTaken), "also once it has ended");
    world.crash();
    assert_eq!(world.create("x"), Err(NotCreated::NameTaken), "also after a restart");
    let second = world.any_capture().unwrap();
    world.delete(&second);
    world.create("x").unwrap();
    world.drain();
    world.check();
}

#[test]
fn a_capture_that_a_person_deletes_ends_at_once_and_is_told_of_under_its_name() {
    let mut world = World::quiet(3);
    world.create("x").unwrap();
    let id = world.any_capture().unwrap();
    world.delete(&id);
    world.drain();
    world.check();
    assert_eq!(world.disk.captures.len(), 0);
    for notice in world.disk.notices.values() {
        let about = notice.body.capture().unwrap();
        assert_eq!((&*about.name, about.stop_reason), ("x", Some(StopReason::Manual)));
    }
}

#[test]
fn a_late_word_of_the_journal_deletes_and_revives_nothing_else() {
    let mut world = World::quiet(3);
    world.create("x").unwrap();
    world.drain();
    let id = world.any_capture().unwrap();
    let late = world.disk.captures[&id].clone();
    world.delete(&id);
    world.create("x").unwrap();
    let mut effects = hindsight::session::Effects::default();
    world.machine.delete_ended(late.clone(), &mut effects);
    let again = world.machine.drive_again(late, Vec::new(), world.now, &mut effects);
    assert_eq!((again, effects.changes.len()), (Redriven::default(), 0));
    assert_eq!(world.create("x"), Err(NotCreated::NameTaken), "the new one keeps its name");
    world.drain();
    world.check();
}

#[test]
fn captures_by_hand_pass_the_same_ceilings_and_join_no_incident() {
    let mut world = World::quiet(3);
    for name in ["x", "y", "z"] {
        world.create(name).unwrap();
    }
    let refused = Err(NotCreated::Suppressed(Suppression::SpoolCeiling));
    assert_eq!(world.create("w"), refused);
    let event = world.event(1);
    world.turn(vec![event]);
    let decisions: Vec<_> = world.disk.outcomes.iter().map(|outcome| &outcome.decision).collect();
    assert_eq!(decisions, [&Decision::Suppressed(Suppression::SpoolCeiling)]);
    world.drain();
    world.sample(space(LIMIT - 1, 0));
    let refused = Err(NotCreated::Suppressed(Suppression::DiskCeiling));
    assert_eq!(world.create("w"), refused);
    world.sample(space(LIMIT, 0));
    world.create("w").unwrap();
    world.drain();
    world.check();
}

#[test]
fn a_disk_that_runs_full_ends_what_runs() {
    let mut world = World::quiet(3);
    let event = world.event(1);
    world.turn(vec![event]);
    world.sample(space(0, 0));
    world.sample(nouns::short(0));
    world.drain();
    world.check();
    let capture = world.disk.captures.values().next().unwrap();
    assert_eq!((capture.state, capture.stop_reason), (State::Partial, Some(StopReason::NoSpace)));
}

#[test]
fn the_end_of_the_alert_ends_a_capture_whose_rule_says_so() {
    for (group, reason) in [(1, StopReason::AlertResolved), (2, StopReason::TimeExceeded)] {
        let mut world = World::quiet(3);
        let events = vec![world.event(group), world.resolved(group)];
        world.turn(events);
        world.drain();
        world.check();
        let capture = world.disk.captures.values().next().unwrap();
        assert_eq!((capture.state, capture.stop_reason), (State::Done, Some(reason)));
        assert_eq!(capture.coalesced, 1);
    }
}

#[test]
fn a_slow_storage_has_two_uploads_at_one_time() {
    let mut world = World::quiet(3);
    for name in ["x", "y", "z"] {
        world.create(name).unwrap();
    }
    let engine = |task: &Task| matches!(task, Task::Engine(_));
    while world.machine.segments_waiting() < 3 {
        let at = world.tasks.iter().position(engine).expect("its file is sealed");
        let last = world.tasks.len() - 1;
        world.tasks.swap(at, last);
        let Some(Task::Engine(mut reports)) = world.tasks.pop() else { continue };
        let Some(report) = reports.pop() else { continue };
        if let hindsight::model::Report::Sealed { capture, file } = &report {
            world.disk.open.remove(&(capture.clone(), 0));
            world.disk.sealed.insert((capture.clone(), 0), file.clone());
        }
        world.tasks.insert(0, Task::Engine(reports));
        world.turn(vec![Input::Engine(report)]);
    }
    let uploads = world.tasks.iter().filter(|task| matches!(task, Task::Upload { .. })).count();
    assert_eq!(uploads, 2);
    let waiting = world.disk.captures.values().flat_map(|capture| &capture.segments);
    assert!(
        waiting.clone().count() == 3 && waiting.clone().all(|s| s.state == SegmentState::Sealed)
    );
    world.drain();
    world.check();
}
