//! What the journal acknowledged is there after `kill -9`, at whatever instant it comes.
//!
//! The parent starts this test binary again as a child that commits and prints each identifier
//! after its commit has returned, kills it in the middle, and reads the journal back.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hindsight::clock;
use hindsight::filter::Filter;
use hindsight::journal::Journal;
use hindsight::model::{
    Capture, CaptureId, CapturePlan, Change, Decision, EventId, FileForm, Group, GroupKey,
    IncidentId, Limits, Outcome,
};
use hindsight::random::{self, Sequence};

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
        capture: id.clone(),
        opened_at: at,
        cooldown_until: at + Duration::from_secs(900),
    };
    let mut changes = vec![
        Change::Capture(Box::new(capture(id.clone(), event.clone()))),
        Change::Group(group),
        Change::Outcome(outcome(event.clone(), Decision::Capture(id.clone()))),
    ];
    for _ in 0..random.next() % 64 {
        let event = EventId::mint(at, [random.next(), random.next()]);
        changes.push(Change::Outcome(outcome(event, Decision::Coalesced(id.clone()))));
    }
    (event, changes)
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
