use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::*;
use crate::model::{Decision, Delivery, SegmentState, State};

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
