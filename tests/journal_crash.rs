//! What the journal acknowledged is there after `kill -9`, at whatever instant it comes, on a disk
//! that is full, and after an update from an earlier format.
//!
//! For the kills the parent starts this test binary again as a child that commits and prints each identifier
//! after its commit has returned, kills it in the middle, and reads the journal back.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hindsight::clock;
use hindsight::filter::Filter;
use hindsight::journal::{Error, Journal, Kept};
use hindsight::model::{
    Audit, Begun, Capture, CaptureId, CapturePlan, Change, Decision, EventId, FileForm, Group,
    GroupKey, IncidentId, Limits, Outcome, Policy, Proposal, Quota, Receipt, SealedFile, Segment,
    SegmentState, State, Wait, Waiting,
};
use hindsight::random::{self, Sequence};
use support::disk;

#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;

/// Names the state directory to the child.
const DIRECTORY: &str = "HINDSIGHT_TEST_JOURNAL";

const KILLS: u64 = 20;

/// The kill comes at most this long after the last of them: a few commits, so that it meets every
/// phase of one.
const MOST_LATE_MICROS: u64 = 4_000;

/// The child is killed after at most this many acknowledgements.
const MOST_ACKNOWLEDGED: u64 = 150;

#[test]
fn everything_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let seed = random::seed();
    println!("seed {seed}");
    let mut random = Sequence::new(seed);
    let mut acknowledged = BTreeSet::new();
    for _ in 0..KILLS {
        let lines = usize::try_from(1 + random.next() % MOST_ACKNOWLEDGED).unwrap();
        let late = Duration::from_micros(random.next() % MOST_LATE_MICROS);
        acknowledged.extend(run_and_kill(&state, lines, late));
        assert_nothing_is_lost(&state, &acknowledged);
    }
    println!("{} acknowledged commits, {KILLS} kills, none lost", acknowledged.len());
}

/// Does nothing in an ordinary run of the tests.
#[tokio::test]
async fn child_that_commits_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent speaks to its child")]
    let Some(state) = std::env::var_os(DIRECTORY) else { return };
    let (journal, _saved) = Journal::open(Path::new(&state)).unwrap();
    let mut random = Sequence::new(random::seed());
    loop {
        let (event, changes) = changes(&mut random);
        journal.commit(changes).await.unwrap();
        let mut out = std::io::stdout().lock();
        if writeln!(out, "acknowledged {event}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// One event that began a capture, with 0 to 63 others in the same batch.
fn changes(random: &mut Sequence) -> (EventId, Vec<Change>) {
    let at = clock::wall_time();
    let event = EventId::mint(at, [random.next(), random.next()]);
    let id = CaptureId::mint(at, [random.next(), random.next()]);
    let outcome = |event: EventId, decision| Outcome {
        event,
        at,
        source: "plant".to_owned(),
        name: "Alert".to_owned(),
        fingerprint: "0123456789abcdef".to_owned(),
        rule: Some("web".to_owned()),
        decision,
    };
    let group = Group {
        key: GroupKey::from_text(format!("web|{id}")),
        rule: "web".to_owned(),
        incident: IncidentId::from_text("00112233aabbccdd"),
        capture: Some(id.clone()),
        opened_at: at,
        cooldown_until: at + Duration::from_secs(900),
    };
    let mut changes = vec![
        Change::Capture(Box::new(capture(id.clone(), event.clone()))),
        Change::Group(group),
        Change::Outcome(outcome(event.clone(), Decision::Capture(id.clone()))),
        Change::Seen { group: GroupKey::from_text(format!("web|{id}")), at: vec![at] },
        Change::Waiting(Box::new(waiting(&id, &event))),
        Change::Begun(Begun {
            rule: format!("web|{id}"),
            at,
            quota: Quota { count: 4, per: Duration::from_secs(86_400) },
            dry_run: false,
        }),
    ];
    for _ in 0..random.next() % 64 {
        let event = EventId::mint(at, [random.next(), random.next()]);
        changes.push(Change::Outcome(outcome(event, Decision::Coalesced(id.clone()))));
    }
    (event, changes)
}

/// The group of the capture waits for another one.
fn waiting(id: &CaptureId, event: &EventId) -> Waiting {
    let plan = capture(id.clone(), event.clone()).plan;
    let group = GroupKey::from_text(format!("web|{id}"));
    let policy = Policy::default();
    Waiting {
        wait: Wait::Queue,
        since: plan.trigger_at,
        proposal: Proposal { group, policy, plan },
    }
}

fn capture(id: CaptureId, event: EventId) -> Capture {
    let at = clock::wall_time();
    let plan = CapturePlan {
        rule: "web".to_owned(),
        incident: IncidentId::from_text("00112233aabbccdd"),
        event,
        event_name: "Alert".to_owned(),
        event_json: "{}".to_owned(),
        host: "edge-7".to_owned(),
        interfaces: vec!["eth0".to_owned()],
        trigger_at: at,
        look_back: Duration::from_secs(10),
        filter: Filter::default(),
        limits: Limits {
            duration: Duration::from_secs(60),
            bytes: 1 << 20,
            packets: None,
            bytes_per_packet: 0,
            segments: None,
        },
        file: FileForm::default(),
        storage: "local".to_owned(),
        notify: Vec::new(),
        placing: Default::default(),
        on_resolved: Default::default(),
        left_out: Vec::new(),
    };
    let name = format!("web-{id}");
    Capture::pending(id, name, plan, at)
}

/// Kills the child `late` after `lines` acknowledgements; gives back all that it had printed.
fn run_and_kill(state: &Path, lines: usize, late: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut was_killed = false;
    for line in out.lines() {
        if let Some(id) = line.unwrap().strip_prefix("acknowledged ") {
            seen.push(id.to_owned());
        }
        if !was_killed && seen.len() >= lines {
            // SIGKILL. What it had printed before is still in the pipe and is read to its end.
            std::thread::sleep(late);
            child.kill().unwrap();
            was_killed = true;
        }
    }
    assert!(was_killed, "the child ended by itself after {} commits", seen.len());
    child.wait().unwrap();
    // A line that the kill has cut is no acknowledgement.
    seen.retain(|id| id.len() == 26);
    seen
}

fn assert_nothing_is_lost(state: &Path, acknowledged: &BTreeSet<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let saved = runtime.block_on(async {
        let (journal, saved) = Journal::open(state).unwrap();
        journal.close().await;
        saved
    });
    let captured: BTreeSet<_> =
        saved.captures.iter().map(|capture| capture.plan.event.to_string()).collect();
    assert!(acknowledged.is_subset(&captured), "captures were lost");
    assert_eq!(saved.groups.len(), saved.captures.len(), "half of a batch");
    let waiting: BTreeSet<_> =
        saved.waiting.iter().map(|waiting| waiting.proposal.plan.event.to_string()).collect();
    assert_eq!(waiting, captured, "half of a batch");
    assert_eq!(saved.seen.len(), saved.captures.len(), "half of a batch");
    assert_eq!(saved.begun.len(), saved.captures.len(), "half of a batch");

    let database = rusqlite::Connection::open(state.join("journal.db")).unwrap();
    let text = |sql: &str| database.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    let mut statement =
        database.prepare("SELECT event FROM outcomes WHERE decision = 'capture'").unwrap();
    let recorded: BTreeSet<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(acknowledged.is_subset(&recorded), "outcomes were lost");
    assert_eq!(recorded, captured, "half of a batch");
    let difference = "SELECT CAST((SELECT sum(count) FROM tallies) -
                                  (SELECT count(*) FROM outcomes) AS TEXT)";
    assert_eq!(text(difference), "0", "tallies and outcomes differ");
}

/// The tables as the first format had them.
const FORMAT_1: &str = "
CREATE TABLE captures (
    id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('open', 'stranded', 'closed')),
    created_at INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
CREATE INDEX captures_by_age ON captures (created_at, id);
CREATE INDEX captures_by_stage ON captures (stage, created_at, id);
CREATE TABLE notices (
    id TEXT PRIMARY KEY NOT NULL, capture TEXT NOT NULL, notifier TEXT NOT NULL,
    delivery TEXT NOT NULL CHECK (delivery IN ('waiting', 'delivered', 'dead')),
    created_at INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
CREATE INDEX notices_by_delivery ON notices (delivery, created_at, id);
CREATE TABLE groups (key TEXT PRIMARY KEY NOT NULL, json TEXT NOT NULL) STRICT;
CREATE TABLE outcomes (
    seq INTEGER PRIMARY KEY, event TEXT NOT NULL, rule TEXT, decision TEXT NOT NULL,
    json TEXT NOT NULL) STRICT;
CREATE TABLE rejected (
    seq INTEGER PRIMARY KEY, event TEXT NOT NULL, json TEXT NOT NULL) STRICT;
CREATE TABLE tallies (
    rule TEXT NOT NULL, decision TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (rule, decision)) STRICT, WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('written_by', '0.1.0');
INSERT INTO tallies VALUES ('web', 'coalesced', 41);
INSERT INTO outcomes (event, rule, decision, json) VALUES ('e1', 'web', 'no_match',
    '{\"event\":\"e1\",\"at\":\"2026-11-20T00:00:00.000000000Z\",\"source\":\"plant\",\"name\":\"Alert\",\"fingerprint\":\"0\",\"rule\":\"web\",\"decision\":\"no_match\"}');
PRAGMA application_id = 0x48696e64;
PRAGMA user_version = 1;
";

/// A journal of the first format, with these captures, in a state directory of its own.
fn format_1(captures: &[(&Capture, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    database.execute_batch(FORMAT_1).unwrap();
    for (capture, stage) in captures {
        let mut json = serde_json::to_value(capture).unwrap();
        // Fields that the first format did not have.
        json.as_object_mut().unwrap().remove("deleted");
        let (id, name) = (capture.id.as_str(), &capture.name);
        let (state, created_at) = (capture.state.to_string(), capture.created_at.as_nanos());
        database
            .execute(
                "INSERT INTO captures VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                rusqlite::params![id, name, state, stage, created_at, json.to_string()],
            )
            .unwrap();
    }
    folder
}

/// A capture that has ended, with its first segment in storage `local`.
fn stored(random: &mut Sequence) -> Capture {
    let at = clock::wall_time();
    let id = CaptureId::mint(at, [random.next(), random.next()]);
    let mut capture = capture(id.clone(), EventId::from_text("e1"));
    let file = SealedFile {
        index: 0,
        path: format!("/spool/{id}-0.pcapng").into(),
        size_bytes: 4_321,
        sha256: "ab".repeat(32),
        packets: 3,
        first_packet: None,
        last_packet: None,
        partial: false,
    };
    let receipt = Receipt {
        storage: "local".to_owned(),
        object: format!("2026/{id}-0.pcapng"),
        location: format!("/captures/2026/{id}-0.pcapng"),
        size_bytes: file.size_bytes,
        sha256: file.sha256.clone(),
        verified_at: at,
    };
    let (object, state) = (receipt.object.clone(), SegmentState::Retired);
    capture.segments = vec![Segment { capture: id, file, state, object, receipt: Some(receipt) }];
    capture.state = State::Done;
    capture
}

#[tokio::test]
async fn a_journal_of_the_first_format_is_taken_over_whole() {
    let mut random = Sequence::new(random::seed());
    let at = clock::wall_time();
    let id = CaptureId::mint(at, [random.next(), random.next()]);
    let open = capture(id, EventId::from_text("e2"));
    let done = stored(&mut random);
    let folder = format_1(&[(&open, "open"), (&done, "closed")]);
    let kept = Kept { directories: ["local".to_owned()].into(), ..Kept::default() };
    // Twice: the second start finds the known format.
    for _ in 0..2 {
        let (journal, saved) = Journal::open_keeping(folder.path(), kept.clone()).unwrap();
        assert_eq!(saved.captures, std::slice::from_ref(&open));
        let names = [&open, &done].map(|capture| (capture.name.clone(), capture.id.clone()));
        assert_eq!(saved.names, names.into());
        assert_eq!(journal.capture(&done.name).await.unwrap().as_ref(), Some(&done));
        assert_eq!(journal.outcomes(9).await.unwrap().len(), 1);
        assert_eq!(journal.tallies().await.unwrap()[0].count, 41);
        assert_eq!(journal.last_decisions().await.unwrap(), []);
        // Retention also finds what an earlier version has stored.
        let files = journal.stored_files("local", 9).await.unwrap();
        assert_eq!((files.files, files.bytes), (1, 4_321));
        let (file, receipt) = (&files.oldest[0], done.segments[0].receipt.clone().unwrap());
        assert_eq!((&file.object, &file.sha256), (&receipt.object, &receipt.sha256));
        assert_eq!((&file.capture, file.stored_at), (&done.id, done.created_at));
        journal.close().await;
    }
}

#[test]
fn a_migration_that_fails_leaves_the_earlier_format_as_it_was() {
    let folder = format_1(&[]);
    let path = folder.path().join("journal.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE files (name TEXT)").unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(Error::Open { .. })));
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("PRAGMA user_version"), 1);
    assert_eq!(number("SELECT count(*) FROM sqlite_schema WHERE name = 'audit'"), 0);
    let columns = "SELECT count(*) FROM pragma_table_info('captures') WHERE name = 'deleted'";
    assert_eq!(number(columns), 0);
    database.execute_batch("DROP TABLE files").unwrap();
    drop(database);
    assert!(Journal::open(folder.path()).is_ok());
}

/// Takes all room that is left on the file system of the folder.
fn fill(folder: &Path) {
    let mut file = std::fs::File::create(folder.join("filler")).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        let block = vec![b'x'; size];
        while file.write_all(&block).is_ok() {}
    }
}

/// Some hundred bytes.
fn record(n: u64) -> Change {
    Change::Audit(Audit {
        at: clock::wall_time(),
        who: "uid 0".to_owned(),
        action: "reload".to_owned(),
        subject: format!("{n}"),
        result: "r".repeat(500),
    })
}

#[test]
fn on_a_full_disk_the_last_batches_are_durable_and_the_worker_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    disk::mount_small(folder.path(), "8m");
    last_words(folder.path());
    // A file system that frees room only with the next commit of its own journal.
    let folder = tempfile::tempdir().unwrap();
    if let Some(_ext4) = disk::Hanging::mount(folder.path()) {
        last_words(folder.path());
    }
}

fn last_words(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let state = folder.join("state");
        let (journal, _) = Journal::open(&state).unwrap();
        assert_eq!(std::fs::metadata(state.join("reserve")).unwrap().len(), 1 << 20);
        assert!(!journal.commit(vec![record(0)]).await.unwrap().disk_full);
        fill(folder);
        let mut recorded = 1;
        // The last page may have room for a few more.
        let is_full = loop {
            let committed = journal.commit(vec![record(recorded)]).await.unwrap();
            recorded += 1;
            assert!(recorded < 100, "the disk is full");
            if committed.disk_full {
                break true;
            }
        };
        assert!(is_full && !state.join("reserve").exists());
        // What the worker has to say before it ends.
        for _ in 0..20 {
            assert!(!journal.commit(vec![record(recorded)]).await.unwrap().disk_full);
            recorded += 1;
        }
        fill(folder);
        let error = loop {
            match journal.commit(vec![record(recorded)]).await {
                Ok(_) => recorded += 1,
                Err(error) => break error,
            }
            assert!(recorded < 1_000, "nothing is held back any more");
        };
        assert!(matches!(error, Error::Full) && error.is_fatal(), "{error:?}");
        assert!(error.to_string().contains("make room on the file system"), "{error}");
        journal.close().await;
        std::fs::remove_file(folder.join("filler")).unwrap();
        let (journal, _) = Journal::open(&state).unwrap();
        let subjects = journal.audit(10_000).await.unwrap().into_iter().map(|audit| audit.subject);
        let expected: Vec<_> = (0..recorded).rev().map(|n| n.to_string()).collect();
        assert_eq!(subjects.collect::<Vec<_>>(), expected);
        assert!(state.join("reserve").exists(), "there is room again");
        journal.close().await;
    });
}

#[test]
fn a_disk_without_room_for_a_reserve_starts_all_the_same_and_says_when_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    disk::mount_small(folder.path(), "700k");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (journal, _) = Journal::open(folder.path()).unwrap();
        assert!(!folder.path().join("reserve").exists());
        assert!(!folder.path().join("reserve.part").exists(), "it takes no room for nothing");
        journal.commit(vec![record(0)]).await.unwrap();
        fill(folder.path());
        let mut recorded = 1;
        let error = loop {
            match journal.commit(vec![record(recorded)]).await {
                Ok(_) => recorded += 1,
                Err(error) => break error,
            }
            assert!(recorded < 1_000, "the disk is full");
        };
        assert!(matches!(error, Error::Full), "{error:?}");
        journal.close().await;
    });
}
