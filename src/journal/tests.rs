use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::*;
use crate::model::{
    Begun, Decision, Delivery, Hold, LastDecision, Quota, SegmentState, State, Suppression, Wait,
};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    (folder, state)
}

fn no_match(n: u64) -> Change {
    Change::Outcome(samples::outcome(n, None, Decision::NoMatch))
}

fn capture_change(capture: &Capture) -> Change {
    Change::Capture(Box::new(capture.clone()))
}

#[tokio::test]
async fn a_restart_gets_back_what_it_needs_and_nothing_else() {
    let (_folder, state) = folder();
    let (journal, saved) = Journal::open(&state).unwrap();
    assert_eq!(saved, Saved::default());
    let mut capturing = samples::capture(1);
    let mut done = samples::capture(2);
    done.state = State::Done;
    let mut uploading = samples::capture(3);
    uploading.state = State::Failed;
    uploading.segments = vec![samples::segment(&uploading, SegmentState::Sealed)];
    capturing.created_at = clock::wall_time();
    let waiting = samples::notice(1);
    let mut dead = samples::notice(2);
    dead.delivery = Delivery::Dead;
    let group = samples::group(1);
    let closed = samples::group(2);
    let changes = vec![
        capture_change(&capturing),
        capture_change(&done),
        capture_change(&uploading),
        Change::Notice(Box::new(waiting.clone())),
        Change::Notice(Box::new(dead)),
        Change::Group(group.clone()),
        Change::Group(closed.clone()),
    ];
    journal.commit(changes).await.unwrap();
    journal.commit(vec![Change::GroupClosed(closed.key)]).await.unwrap();
    journal.close().await;
    let (journal, saved) = Journal::open(&state).unwrap();
    assert_eq!(saved.began, [capturing.created_at]);
    assert_eq!(saved.captures, [uploading, capturing]);
    assert_eq!(saved.notices, [waiting]);
    assert_eq!(saved.groups, [group]);
    journal.close().await;
}

#[tokio::test]
async fn a_capture_is_found_by_its_id_and_by_its_name() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let (one, mut two) = (samples::capture(1), samples::capture(2));
    journal.commit(vec![capture_change(&one), capture_change(&two)]).await.unwrap();
    two.coalesced = 7;
    journal.commit(vec![capture_change(&two)]).await.unwrap();
    assert_eq!(journal.capture(one.id.as_str()).await.unwrap(), Some(one.clone()));
    assert_eq!(journal.capture("web-2").await.unwrap(), Some(two.clone()));
    assert_eq!(journal.capture("web-3").await.unwrap(), None);
    assert_eq!(journal.captures(9).await.unwrap(), [two.clone(), one]);
    assert_eq!(journal.captures(1).await.unwrap(), [two]);
    journal.close().await;
}

#[tokio::test]
async fn the_log_is_brought_into_the_database_before_a_commit_would_have_to() {
    const PAGE_BYTES: u64 = 4096;
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let size = |name: &str| fs::metadata(state.join(name)).unwrap().len();
    let before = size("journal.db");
    let mut number = 0;
    // Much more than the log holds; each batch has some thirty rows, as in a small storm.
    for _ in 0..800 {
        let batch = (number..number + 30).map(no_match).collect();
        journal.commit(batch).await.unwrap();
        number += 30;
        // Were a commit to do it, the log would have been this long before.
        assert!(size("journal.db-wal") < u64::from(schema::AUTOCHECKPOINT_PAGES) * PAGE_BYTES);
    }
    assert!(size("journal.db") - before > 900 * PAGE_BYTES);
    journal.close().await;
}

#[tokio::test]
async fn tallies_count_on_when_outcomes_are_removed() {
    let (_folder, state) = folder();
    let kept = Kept { outcomes: 5, rejected: 2, captures: 2, notices: 2, ..Kept::default() };
    let (journal, _) = Journal::open_keeping(&state, kept).unwrap();
    for start in [0, 4, 8] {
        let batch =
            (start..start + 4).flat_map(|n| [no_match(n), Change::Rejected(samples::rejected(n))]);
        journal.commit(batch.collect()).await.unwrap();
    }
    let newest: Vec<_> = journal.outcomes(99).await.unwrap().into_iter().map(|o| o.at).collect();
    assert_eq!(newest, [11, 10, 9, 8, 7].map(samples::at));
    let tally = Tally { rule: String::new(), decision: "no_match".to_owned(), count: 12 };
    assert_eq!(journal.tallies().await.unwrap(), [tally]);
    let count = |from: &rusqlite::Connection| {
        Ok(from.query_row("SELECT count(*) FROM rejected", [], |row| row.get::<_, i64>(0))?)
    };
    assert_eq!(journal.reader.ask(count).await.unwrap(), 2);
    journal.close().await;
}

#[tokio::test]
async fn history_is_bounded_and_work_and_files_in_the_spool_are_not_forgotten() {
    let (_folder, state) = folder();
    let kept = Kept { outcomes: 5, rejected: 2, captures: 2, notices: 2, ..Kept::default() };
    let (journal, _) = Journal::open_keeping(&state, kept).unwrap();
    let mut changes = vec![capture_change(&samples::capture(0))];
    let mut stranded = samples::capture(1);
    stranded.state = State::Failed;
    stranded.segments = vec![samples::segment(&stranded, SegmentState::Stranded)];
    changes.push(capture_change(&stranded));
    changes.push(Change::Notice(Box::new(samples::notice(0))));
    for n in 2..6 {
        let mut done = samples::capture(n);
        done.state = State::Done;
        changes.push(capture_change(&done));
        let mut delivered = samples::notice(n);
        delivered.delivery = Delivery::Delivered;
        changes.push(Change::Notice(Box::new(delivered)));
    }
    journal.commit(changes).await.unwrap();
    let names: Vec<_> = journal.captures(99).await.unwrap().into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["web-5", "web-4", "web-1", "web-0"]);
    let count = |from: &rusqlite::Connection| {
        Ok(from.query_row("SELECT count(*) FROM notices", [], |row| row.get::<_, i64>(0))?)
    };
    assert_eq!(journal.reader.ask(count).await.unwrap(), 3);
    journal.close().await;
}

#[tokio::test]
async fn the_journal_does_not_open_twice() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let error = Journal::open(&state).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Owned { .. }), "{text}");
    let owner = format!("belongs to another worker (process {})", std::process::id());
    assert!(text.contains(&owner), "{text}");
    let clone = journal.clone();
    journal.close().await;
    assert!(matches!(clone.commit(vec![no_match(1)]).await, Err(Error::Stopped)));
    assert!(matches!(clone.tallies().await, Err(Error::Stopped)));
    Journal::open(&state).unwrap().0.close().await;
}

#[tokio::test]
async fn an_error_of_a_commit_is_fatal_and_nothing_of_its_batch_stays() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    journal.commit(vec![no_match(1)]).await.unwrap();
    // Two captures of one name break the rule of the table after the outcome was inserted.
    let (one, mut two) = (samples::capture(1), samples::capture(2));
    two.name.clone_from(&one.name);
    let batch = vec![no_match(2), capture_change(&one), capture_change(&two)];
    let error = journal.commit(batch).await.unwrap_err();
    assert!(matches!(error, Error::Commit { .. }) && error.is_fatal(), "{error:?}");
    assert!(matches!(journal.commit(vec![no_match(3)]).await, Err(Error::Stopped)));
    journal.close().await;
    let (journal, _) = Journal::open(&state).unwrap();
    assert_eq!(journal.outcomes(9).await.unwrap().len(), 1);
    assert_eq!(journal.tallies().await.unwrap()[0].count, 1);
    assert_eq!(journal.captures(9).await.unwrap(), []);
    journal.close().await;
}

#[tokio::test]
async fn only_the_owner_can_look_into_the_directory_and_the_file() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    journal.commit(vec![no_match(1)]).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for file in ["journal.db", "journal.db-wal", "journal.lock"] {
        assert_eq!(mode(&state.join(file)), 0o600, "{file}");
    }
    journal.close().await;
}

#[tokio::test]
async fn batches_of_outcomes_are_fast() {
    const OUTCOMES: u64 = 100_000;
    const BATCH: u64 = 512;
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let mut capture = samples::capture(1);
    let begun = clock::boot_time();
    for start in (0..OUTCOMES).step_by(usize::try_from(BATCH).unwrap()) {
        let mut batch: Vec<_> = (start..(start + BATCH).min(OUTCOMES))
            .map(|n| {
                let decision = Decision::Coalesced(capture.id.clone());
                Change::Outcome(samples::outcome(n, Some("web"), decision))
            })
            .collect();
        capture.coalesced += u64::try_from(batch.len()).unwrap();
        batch.push(capture_change(&capture));
        journal.commit(batch).await.unwrap();
    }
    let took = clock::boot_time().since(begun);
    println!("{OUTCOMES} outcomes in batches of {BATCH}: {} ms", took.as_millis());
    assert_eq!(journal.tallies().await.unwrap()[0].count, OUTCOMES);
    assert!(took.as_secs() < 60, "took {} s", took.as_secs());
    journal.close().await;
}

/// With retention of the files in storage `local`.
fn keeping_files() -> Kept {
    Kept { directories: ["local".to_owned()].into(), ..Kept::default() }
}

#[tokio::test]
async fn what_is_under_way_comes_back_and_what_is_over_does_not() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let (first, mut further) = (samples::transfer(1, 0), samples::transfer(1, 1));
    further.parts.clear();
    let transfers = [samples::transfer(2, 0), first.clone(), further.clone()];
    let mut changes: Vec<_> =
        transfers.into_iter().map(|transfer| Change::Transfer(Box::new(transfer))).collect();
    further.parts.push("part 0".to_owned());
    changes.push(Change::Transfer(Box::new(further.clone())));
    let (unsaid, said) = (samples::unsaid("web"), samples::unsaid("dns"));
    changes.extend([&unsaid, &said].map(|unsaid| Change::Unsaid(Box::new(unsaid.clone()))));
    changes.extend(["a", "b", "a"].map(|key| Change::BrokerSession(key.to_owned())));
    journal.commit(changes).await.unwrap();
    let over = samples::transfer(2, 0);
    let changes = vec![
        Change::TransferGone { capture: over.capture, index: 0 },
        Change::Said { kind: said.kind, subject: said.subject },
        Change::BrokerSession("b".to_owned()),
    ];
    journal.commit(changes).await.unwrap();
    journal.close().await;
    let (journal, saved) = Journal::open(&state).unwrap();
    assert_eq!(saved.transfers, [first, further]);
    assert_eq!(saved.unsaid, [unsaid]);
    assert_eq!(saved.sessions, ["a".to_owned(), "b".to_owned()].into());
    journal.close().await;
}

#[tokio::test]
async fn a_deleted_capture_is_shown_no_more_and_its_name_is_free_in_the_same_batch() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    // The one that takes the name over has the lower identifier, and would be written first.
    let (mut new, mut old) = (samples::capture(1), samples::capture(2));
    let other = samples::capture(3);
    journal.commit(vec![capture_change(&old), capture_change(&other)]).await.unwrap();
    new.name.clone_from(&old.name);
    old.delete();
    let gone = Change::CaptureGone(other.id.clone());
    let mut third = samples::capture(0);
    third.name.clone_from(&other.name);
    let changes = vec![capture_change(&new), capture_change(&third), capture_change(&old), gone];
    journal.commit(changes).await.unwrap();
    assert_eq!(journal.captures(9).await.unwrap(), [new.clone(), third.clone()]);
    assert_eq!(journal.capture("web-2").await.unwrap(), Some(new.clone()));
    assert_eq!(journal.capture(old.id.as_str()).await.unwrap(), None);
    assert_eq!(journal.kept_capture(&old.id).await.unwrap(), Some(old.clone()));
    assert_eq!(journal.kept_capture(&other.id).await.unwrap(), None);
    journal.close().await;
    let (journal, saved) = Journal::open(&state).unwrap();
    assert!(saved.captures.contains(&old), "work on it is left");
    assert_eq!(saved.names, [(new.name, new.id), (third.name, third.id)].into());
    journal.close().await;
}

#[tokio::test]
async fn a_capture_that_goes_takes_its_transfers_along() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let transfer = samples::transfer(1, 0);
    let capture = samples::capture(1);
    assert_eq!(transfer.capture, capture.id);
    let changes = vec![capture_change(&capture), Change::Transfer(Box::new(transfer))];
    journal.commit(changes).await.unwrap();
    journal.commit(vec![Change::CaptureGone(capture.id)]).await.unwrap();
    journal.close().await;
    let (journal, saved) = Journal::open(&state).unwrap();
    assert_eq!(saved, Saved::default());
    journal.close().await;
}

#[tokio::test]
async fn the_audit_is_read_newest_first_and_bounded() {
    let (_folder, state) = folder();
    let kept = Kept { audit: 2, ..Kept::default() };
    let (journal, _) = Journal::open_keeping(&state, kept).unwrap();
    for n in 0..4 {
        journal.commit(vec![Change::Audit(samples::audit(n))]).await.unwrap();
    }
    let newest = [samples::audit(3), samples::audit(2)];
    assert_eq!(journal.audit(9).await.unwrap(), newest);
    assert_eq!(journal.audit(1).await.unwrap(), newest[..1]);
    journal.close().await;
}

#[tokio::test]
async fn only_the_dead_notices_of_a_capture_are_given_out() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let mut dead = samples::notice(1);
    dead.delivery = Delivery::Dead;
    let mut other = samples::notice(2);
    other.delivery = Delivery::Dead;
    let mut waiting = samples::notice(1);
    waiting.id = samples::notice(3).id;
    let notices = [&dead, &other, &waiting].map(|n| Change::Notice(Box::new(n.clone())));
    journal.commit(notices.into()).await.unwrap();
    let capture = samples::capture(1).id;
    assert_eq!(journal.dead_notices(&capture).await.unwrap(), [dead]);
    journal.close().await;
}

#[tokio::test]
async fn retention_learns_of_verified_files_of_its_storages_also_when_their_capture_is_gone() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open_keeping(&state, keeping_files()).unwrap();
    let mut expected = Vec::new();
    for (n, storage) in [(2, "local"), (1, "local"), (3, "archive")] {
        let mut capture = samples::capture(n);
        let stored = samples::stored(&capture, storage);
        let unverified = samples::segment(&capture, SegmentState::Sealed);
        capture.segments = vec![stored.clone(), unverified];
        journal.commit(vec![capture_change(&capture)]).await.unwrap();
        // Again, as when the removal of the local copy is recorded.
        journal.commit(vec![capture_change(&capture)]).await.unwrap();
        let gone = Change::CaptureGone(capture.id.clone());
        journal.commit(vec![gone]).await.unwrap();
        expected.push(samples::stored_file(&stored));
    }
    let oldest = vec![expected[1].clone(), expected[0].clone()];
    let stored = journal.stored_files("local", 9).await.unwrap();
    assert_eq!(stored, Stored { bytes: 2_000, files: 2, oldest: oldest.clone() });
    assert_eq!(journal.stored_files("local", 1).await.unwrap().oldest, oldest[..1]);
    assert_eq!(journal.stored_files("archive", 9).await.unwrap(), Stored::default());
    let (storage, object) = (oldest[0].storage.clone(), oldest[0].object.clone());
    journal.commit(vec![Change::FileGone { storage, object }]).await.unwrap();
    assert_eq!(journal.stored_files("local", 9).await.unwrap().oldest, oldest[1..]);
    journal.close().await;
}

#[tokio::test]
async fn history_ends_at_its_age_and_work_does_not() {
    let (_folder, state) = folder();
    let day = std::time::Duration::from_secs(86_400);
    let kept = Kept { age: Some(30 * day), ..keeping_files() };
    let (journal, _) = Journal::open_keeping(&state, kept).unwrap();
    let at = clock::wall_time() - 30 * day;
    let (hour, mut changes) = (std::time::Duration::from_secs(3_600), Vec::new());
    for (n, at) in [(0, at - hour), (1, at + hour)] {
        let mut outcome = samples::outcome(n, None, Decision::NoMatch);
        outcome.at = at;
        let mut rejected = samples::rejected(n);
        rejected.received_at = at;
        let mut audit = samples::audit(n);
        audit.at = at;
        let mut done = samples::capture(n);
        (done.created_at, done.state) = (at, State::Done);
        let mut dead = samples::notice(n);
        (dead.created_at, dead.delivery) = (at, Delivery::Dead);
        changes.extend([Change::Outcome(outcome), Change::Rejected(rejected)]);
        changes.extend([Change::Audit(audit), Change::Notice(Box::new(dead))]);
        changes.push(capture_change(&done));
    }
    let (mut open, mut stranded) = (samples::capture(2), samples::capture(3));
    open.created_at = at - hour;
    (stranded.created_at, stranded.state) = (at - hour, State::Failed);
    stranded.segments = vec![samples::segment(&stranded, SegmentState::Stranded)];
    let mut waiting = samples::notice(4);
    waiting.created_at = at - hour;
    changes.extend([capture_change(&open), capture_change(&stranded)]);
    changes.push(Change::Notice(Box::new(waiting)));
    journal.commit(changes).await.unwrap();
    let committed = journal.expire().await.unwrap();
    assert_eq!(committed, Committed { freed: vec![samples::capture(0).id], disk_full: false });
    assert_eq!(journal.expire().await.unwrap(), Committed::default());
    let names: Vec<_> = journal.captures(9).await.unwrap().into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["web-1", "web-3", "web-2"]);
    assert_eq!(journal.outcomes(9).await.unwrap().len(), 1);
    assert_eq!(journal.audit(9).await.unwrap().len(), 1);
    let count = |table: &'static str| {
        move |from: &rusqlite::Connection| {
            let sql = format!("SELECT count(*) FROM {table}");
            Ok(from.query_row(&sql, [], |row| row.get::<_, i64>(0))?)
        }
    };
    assert_eq!(journal.reader.ask(count("rejected")).await.unwrap(), 1);
    assert_eq!(journal.reader.ask(count("notices")).await.unwrap(), 2);
    journal.close().await;
}

#[tokio::test]
async fn a_commit_says_which_captures_history_has_lost() {
    let (_folder, state) = folder();
    let kept = Kept { captures: 1, ..Kept::default() };
    let (journal, _) = Journal::open_keeping(&state, kept).unwrap();
    let done = |n| {
        let mut done = samples::capture(n);
        done.state = State::Done;
        capture_change(&done)
    };
    assert_eq!(journal.commit(vec![done(1)]).await.unwrap(), Committed::default());
    let freed = journal.commit(vec![done(2), done(3)]).await.unwrap().freed;
    let freed: std::collections::BTreeSet<_> = freed.into_iter().collect();
    assert_eq!(freed, [1, 2].map(|n| samples::capture(n).id).into());
    journal.close().await;
}

#[tokio::test]
async fn what_waits_and_what_it_has_seen_is_kept_until_it_waits_no_longer() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let (holds, queued) = (samples::waiting(1, Wait::Hold), samples::waiting(2, Wait::Queue));
    let over = samples::waiting(3, Wait::Hold);
    let seen = |n: u64, at: Vec<u64>| Change::Seen {
        group: samples::waiting(n, Wait::Hold).proposal.group,
        at: at.into_iter().map(samples::at).collect(),
    };
    let row = |waiting: &crate::model::Waiting| Change::Waiting(Box::new(waiting.clone()));
    let changes = vec![row(&holds), seen(1, vec![1]), row(&queued), row(&over), seen(3, vec![3])];
    journal.commit(changes).await.unwrap();
    let gone = Change::WaitingGone(over.proposal.group.clone());
    journal.commit(vec![seen(1, vec![1, 2]), gone]).await.unwrap();
    // One that goes and waits again in one batch waits.
    let again = vec![Change::WaitingGone(queued.proposal.group.clone()), row(&queued)];
    journal.commit(again).await.unwrap();
    journal.close().await;
    let (journal, saved) = Journal::open(&state).unwrap();
    let seen = [(holds.proposal.group.clone(), [1, 2].map(samples::at).to_vec())];
    assert_eq!(saved.waiting, [holds, queued]);
    assert_eq!(saved.seen, seen.into());
    journal.close().await;
}

#[tokio::test]
async fn begins_are_kept_without_their_captures_and_no_more_of_them_than_count() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let now = clock::wall_time();
    let old = samples::begun("old", now - Quota::MAX_PER - std::time::Duration::from_secs(1));
    let few = Begun { dry_run: true, ..samples::begun("few", now) };
    let many = (0..1_010).map(|_| Change::Begun(samples::begun("many", now)));
    let changes = [Change::Begun(old), Change::Begun(few.clone())].into_iter().chain(many);
    journal.commit(changes.collect()).await.unwrap();
    journal.expire().await.unwrap();
    let count = |from: &rusqlite::Connection| {
        Ok(from.query_row("SELECT count(*) FROM begun", [], |row| row.get::<_, i64>(0))?)
    };
    assert_eq!(journal.reader.ask(count).await.unwrap(), 1_001);
    journal.close().await;
    let (journal, saved) = Journal::open(&state).unwrap();
    assert_eq!(saved.begun.len(), 1_001);
    assert_eq!(saved.begun[0], few);
    journal.close().await;
}

#[tokio::test]
async fn the_last_decision_of_each_rule_is_told_also_on_what_came_due() {
    let (_folder, state) = folder();
    let (journal, _) = Journal::open(&state).unwrap();
    let outcome = |n, rule, decision| Change::Outcome(samples::outcome(n, Some(rule), decision));
    let held = || Decision::Held(Hold::Seen { seen: 1, of: 2 });
    let decision = Decision::Suppressed(Suppression::MaxCaptures);
    let due = Change::CameDue { rule: "web".to_owned(), at: samples::at(3), decision };
    let changes = vec![outcome(1, "web", held()), outcome(2, "dns", held()), due, no_match(4)];
    journal.commit(changes).await.unwrap();
    journal.commit(vec![outcome(5, "dns", Decision::DryRun)]).await.unwrap();
    let last = |rule: &str, n, decision: &str, reason: &str| LastDecision {
        rule: rule.to_owned(),
        at: samples::at(n),
        decision: decision.to_owned(),
        reason: reason.to_owned(),
    };
    let expected = [
        last("dns", 5, "dry_run", "the rule is only tried out: it would have captured"),
        last("web", 3, "suppressed", Suppression::MaxCaptures.sentence()),
    ];
    assert_eq!(journal.last_decisions().await.unwrap(), expected);
    let tallies = journal.tallies().await.unwrap();
    let suppressed = tallies.iter().find(|tally| tally.decision == "suppressed").unwrap();
    assert_eq!((&*suppressed.rule, suppressed.count), ("web", 1));
    assert_eq!(journal.outcomes(9).await.unwrap().len(), 4, "what came due is no event");
    journal.close().await;
}
