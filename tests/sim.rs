//! Random and scripted histories of the session machine against a small world, cut by crashes.
//!
//! The world keeps what a disk, a storage and a notifier would keep; a crash loses everything
//! else, and the machine is restored from the changes that were committed. Every assertion is a
//! promise: exactly one outcome for an acknowledged event and rule (P2), nothing that was sealed
//! is lost (P3, P4), every notice comes, after its files (P5).

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "the world below is smaller than its types"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use hindsight::clock::{BootTime, Now, WallTime};
use hindsight::filter::Filter;
use hindsight::model::{
    Capture, CaptureId, CapturePlan, Change, Delivery, Event, EventId, FileForm, Group, GroupKey,
    IncidentId, Limits, Notice, NoticeId, Outcome, Proposal, Receipt, Report, Saved, SealedFile,
    SegmentState, State, Status, StopReason, Totals, Verdict,
};
use hindsight::random::Sequence;
use hindsight::session::{Action, Ceilings, Effects, Failure, FreeDisk, Input, Machine, Settings};

const CEILINGS: Ceilings = Ceilings {
    duration: Duration::from_secs(60),
    bytes: 1 << 30,
    concurrent: 4,
    captures_per_hour: 1000,
    spool_bytes: 1 << 30,
    free_disk: FreeDisk::Percent(5),
};

/// What survives a crash.
#[derive(Default)]
struct Disk {
    captures: BTreeMap<CaptureId, Capture>,
    notices: BTreeMap<NoticeId, Notice>,
    groups: BTreeMap<GroupKey, Group>,
    outcomes: Vec<Outcome>,
    /// Sealed files of the spool, and files that are still being written.
    sealed: BTreeMap<(CaptureId, u32), SealedFile>,
    open: BTreeSet<(CaptureId, u32)>,
}

impl Disk {
    fn commit(&mut self, change: Change) {
        match change {
            Change::Outcome(outcome) => self.outcomes.push(outcome),
            Change::Rejected(_) => {}
            Change::Capture(capture) => drop(self.captures.insert(capture.id.clone(), *capture)),
            Change::Notice(notice) => drop(self.notices.insert(notice.id.clone(), *notice)),
            Change::Group(group) => drop(self.groups.insert(group.key.clone(), group)),
            Change::GroupClosed(key) => drop(self.groups.remove(&key)),
            _ => {}
        }
    }
}

/// Work that the loop started and whose result has not come back; a crash loses it.
enum Task {
    Upload { storage: String, key: (CaptureId, u32), object: String },
    Remove { key: (CaptureId, u32) },
    Send(Box<Notice>),
    Leftovers { capture: CaptureId, recorded: Vec<u32> },
    Engine(Vec<Report>),
}

struct World {
    machine: Machine,
    disk: Disk,
    tasks: Vec<Task>,
    /// Objects by name: the hash, and how often they were written.
    storage: BTreeMap<String, (String, u32)>,
    notified: BTreeMap<NoticeId, u32>,
    acknowledged: BTreeSet<EventId>,
    /// How often somebody was told of a capture's end, or of a notice of it that was given up.
    told: BTreeMap<CaptureId, u32>,
    random: Sequence,
    now: Now,
    /// Effects until the next crash; counts down.
    fuse: Option<u64>,
    effects_done: u64,
    crashes: u32,
    faults: bool,
}

impl World {
    fn new(seed: u64, fuse: Option<u64>, faults: bool) -> Self {
        let now = Now {
            boot: BootTime::from_duration(Duration::from_secs(1000)),
            wall: WallTime::from_nanos(1_800_000_000_000_000_000),
        };
        Self {
            machine: Machine::new(Settings::new(CEILINGS), seed),
            disk: Disk::default(),
            tasks: Vec::new(),
            storage: BTreeMap::new(),
            notified: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            told: BTreeMap::new(),
            random: Sequence::new(seed),
            now,
            fuse,
            effects_done: 0,
            crashes: 0,
            faults,
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random.next() % n
    }

    fn wait(&mut self, by: Duration) {
        self.now = Now { boot: self.now.boot + by, wall: self.now.wall + by };
    }

    /// One batch as the run loop does it. Returns false where a crash came first.
    fn turn(&mut self, inputs: Vec<Input>) -> bool {
        let events: Vec<EventId> = inputs
            .iter()
            .filter_map(|input| match input {
                Input::Event { event, .. } => Some(event.id.clone()),
                _ => None,
            })
            .collect();
        let mut effects = Effects::default();
        for input in inputs {
            self.machine.apply(input, self.now, &mut effects);
        }
        self.machine.settle(self.now, &mut effects);
        self.finish(effects, events)
    }

    fn finish(&mut self, effects: Effects, events: Vec<EventId>) -> bool {
        let Effects { changes, actions } = effects;
        // The transaction is one step: a crash comes before it or after it.
        if self.burn() {
            return false;
        }
        for change in changes {
            self.disk.commit(change);
        }
        if self.burn() {
            return false;
        }
        self.acknowledged.extend(events);
        for action in actions {
            self.act(action);
            if self.burn() {
                return false;
            }
        }
        true
    }

    fn burn(&mut self) -> bool {
        self.effects_done += 1;
        let Some(left) = &mut self.fuse else { return false };
        if *left > 0 {
            *left -= 1;
            return false;
        }
        self.fuse = None;
        self.crash();
        true
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.tasks.clear();
        self.machine = Machine::new(Settings::new(CEILINGS), self.random.next());
        let captures =
            self.disk.captures.values().filter(|capture| capture.has_work()).cloned().collect();
        let waiting = |notice: &&Notice| notice.delivery == Delivery::Waiting;
        let notices = self.disk.notices.values().filter(waiting).cloned().collect();
        let groups = self.disk.groups.values().cloned().collect();
        let began = self.disk.captures.values().map(|capture| capture.created_at).collect();
        let saved = Saved { captures, notices, groups, began, ..Saved::default() };
        self.machine.restore(saved, self.now);
        self.turn(Vec::new());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin(capture) => self.engine(*capture),
            Action::Stop { .. } => {}
            Action::SealLeftovers { capture, recorded } => {
                self.tasks.push(Task::Leftovers { capture, recorded });
            }
            Action::Upload { storage, segment, .. } => self.tasks.push(Task::Upload {
                storage,
                key: (segment.capture.clone(), segment.file.index),
                object: segment.object.clone(),
            }),
            Action::Remove { capture, index, .. } => {
                self.tasks.push(Task::Remove { key: (capture, index) });
            }
            Action::Send(notice) => self.tasks.push(Task::Send(notice)),
            Action::Ended(capture) => {
                assert_eq!(self.disk.captures[&capture.id].state, capture.state);
                *self.told.entry(capture.id).or_default() += 1;
            }
            Action::GivenUp(notice) => {
                *self.told.entry(notice.body.capture().unwrap().capture.clone()).or_default() += 1
            }
        }
    }

    fn engine(&mut self, capture: Capture) {
        let id = capture.id;
        let file = SealedFile {
            index: 0,
            path: PathBuf::from(format!("/spool/{id}-0.pcap.zst")),
            size_bytes: 1000,
            sha256: format!("hash of {id}"),
            packets: 10,
            first_packet: Some(self.now.wall),
            last_packet: Some(self.now.wall),
            partial: false,
        };
        let totals = Totals { packets: 10, bytes: 1000, ..Totals::default() };
        self.disk.open.insert((id.clone(), 0));
        let reason = StopReason::TimeExceeded;
        self.tasks.push(Task::Engine(vec![
            Report::Ended { capture: id.clone(), reason, error: None, totals, interfaces: vec![] },
            Report::Sealed { capture: id.clone(), file },
            Report::Progress { capture: id.clone(), totals },
            Report::Started { capture: id, held_from: self.now.wall },
        ]));
    }

    /// Carries one random task on, to its result; false where none is left or a crash came.
    fn step(&mut self) -> bool {
        if self.tasks.is_empty() {
            return false;
        }
        let pick = self.below(self.tasks.len() as u64) as usize;
        let fails = self.faults && self.below(4) == 0;
        let failure = || Failure { transient: true, message: "away".to_owned() };
        match self.tasks.swap_remove(pick) {
            Task::Engine(mut reports) => {
                let Some(report) = reports.pop() else { return true };
                if let Report::Sealed { capture, file } = &report {
                    let key = (capture.clone(), file.index);
                    self.disk.open.remove(&key);
                    self.disk.sealed.insert(key, file.clone());
                }
                self.tasks.push(Task::Engine(reports));
                self.turn(vec![Input::Engine(report)])
            }
            Task::Leftovers { capture, recorded } => {
                // A failed attempt may have sealed them: what is found is reported by the next one.
                let is_sealed = !fails || self.below(2) == 0;
                let files =
                    if is_sealed { self.seal_leftovers(&capture, &recorded) } else { Vec::new() };
                let (files, error) =
                    if fails { (Vec::new(), Some("away".to_owned())) } else { (files, None) };
                self.turn(vec![Input::Leftovers { capture, files, error }])
            }
            Task::Upload { storage, key, object } => {
                let file = self.disk.sealed.get(&key).expect("an upload finds its file").clone();
                // Also a failed attempt may have written the object: a lost answer.
                let lost_answer = fails && self.below(2) == 0;
                if !fails || lost_answer {
                    let entry = self.storage.entry(object.clone()).or_default();
                    assert!(entry.1 == 0 || entry.0 == file.sha256, "another object stands there");
                    *entry = (file.sha256.clone(), entry.1 + 1);
                }
                let receipt = Receipt {
                    storage,
                    object: object.clone(),
                    location: object,
                    size_bytes: file.size_bytes,
                    sha256: file.sha256,
                    verified_at: self.now.wall,
                };
                let result = if fails { Err(failure()) } else { Ok(receipt) };
                self.turn(vec![Input::Uploaded { capture: key.0, index: key.1, result }])
            }
            Task::Remove { key } => {
                self.disk.sealed.remove(&key);
                let (capture, index) = key;
                self.turn(vec![Input::Removed { capture, index, result: Ok(()) }])
            }
            Task::Send(notice) => {
                for file in &notice.body.capture().unwrap().files {
                    assert!(self.storage.contains_key(&file.object), "a notice before its file");
                }
                if !fails {
                    *self.notified.entry(notice.id.clone()).or_default() += 1;
                }
                let result = if fails { Err(failure()) } else { Ok(()) };
                self.turn(vec![Input::Notified { notice: notice.id, result }])
            }
        }
    }

    fn seal_leftovers(&mut self, capture: &CaptureId, recorded: &[u32]) -> Vec<SealedFile> {
        let parts: Vec<_> =
            self.disk.open.iter().filter(|key| key.0 == *capture).cloned().collect();
        for key in parts {
            self.disk.open.remove(&key);
            let file = SealedFile {
                index: key.1,
                path: PathBuf::from(format!("/spool/{}-{}.pcap", key.0, key.1)),
                size_bytes: 500,
                sha256: format!("partial hash of {}", key.0),
                packets: 5,
                first_packet: Some(self.now.wall),
                last_packet: Some(self.now.wall),
                partial: true,
            };
            self.disk.sealed.insert(key, file);
        }
        let of_it = |key: &(CaptureId, u32)| key.0 == *capture && !recorded.contains(&key.1);
        self.disk.sealed.iter().filter(|(key, _)| of_it(key)).map(|(_, f)| f.clone()).collect()
    }

    fn event(&mut self, group: u64) -> Input {
        let noise = [self.random.next(), self.random.next()];
        let id = EventId::mint(self.now.wall, noise);
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
            received_at: self.now.wall,
            fingerprint: format!("{group}"),
            payload: String::new(),
        };
        let plan = CapturePlan {
            rule: "rule".to_owned(),
            incident: IncidentId::from_text(format!("{group:016x}")),
            event: id,
            event_name: event.name.clone(),
            event_json: "{}".to_owned(),
            host: "host".to_owned(),
            interfaces: vec!["eth0".to_owned()],
            trigger_at: self.now.wall,
            look_back: Duration::from_secs(1),
            filter: Filter::default(),
            limits: Limits {
                duration: Duration::from_secs(10),
                bytes: 1 << 20,
                packets: None,
                bytes_per_packet: 0,
                segments: None,
            },
            file: FileForm::default(),
            storage: "store".to_owned(),
            notify: vec!["a".to_owned(), "b".to_owned()],
            placing: Default::default(),
            on_resolved: Default::default(),
        };
        let group = GroupKey::from_text(format!("group {group}"));
        let proposal = Proposal { group, cooldown: Duration::from_secs(30), plan };
        Input::Event { event, verdicts: vec![Verdict::Capture(Box::new(proposal))] }
    }

    /// Lets everything come to rest, without any more faults.
    fn drain(&mut self) {
        self.faults = false;
        self.fuse = None;
        for _ in 0..20_000 {
            if !self.step() && self.tasks.is_empty() {
                if self.machine.open_captures().count() == 0 && self.machine.notices_waiting() == 0
                {
                    return;
                }
                self.wait(Duration::from_secs(61));
                self.turn(Vec::new());
            }
        }
        panic!("the world did not come to rest");
    }

    fn check(&self) {
        for event in &self.acknowledged {
            let outcomes = self.disk.outcomes.iter().filter(|outcome| outcome.event == *event);
            assert_eq!(outcomes.count(), 1, "event {event}");
        }
        assert!(self.disk.sealed.is_empty() && self.disk.open.is_empty(), "a file was left behind");
        for capture in self.disk.captures.values() {
            assert!(capture.state.is_end(), "capture {} is {}", capture.id, capture.state);
            for segment in &capture.segments {
                // What a crash cut short is not packed, and its object says so.
                let ending = if segment.file.partial { "-0.pcap" } else { "-0.pcap.zst" };
                assert!(segment.object.ends_with(ending), "{}", segment.object);
                let (hash, _) = &self.storage[&segment.object];
                assert_eq!(*hash, segment.file.sha256);
                assert_eq!(segment.state, SegmentState::Retired);
            }
            for notifier in &capture.plan.notify {
                let of_it = |notice: &&Notice| {
                    notice.body.capture().unwrap().capture == capture.id
                        && notice.notifier == *notifier
                };
                let notices: Vec<_> = self.disk.notices.values().filter(of_it).collect();
                assert_eq!(notices.len(), 1, "notices of {} to {notifier}", capture.id);
                assert_eq!(notices[0].delivery, Delivery::Delivered);
                assert!(self.notified.contains_key(&notices[0].id));
                assert_eq!(notices[0].body.capture().unwrap().state, capture.state);
            }
        }
        let names: BTreeSet<_> = self.disk.captures.values().map(|capture| &capture.name).collect();
        assert_eq!(names.len(), self.disk.captures.len(), "two captures have one name");
    }
}

/// A history of events in three groups with everything else in between.
fn history(world: &mut World, length: u32) {
    for _ in 0..length {
        match world.below(6) {
            0 => {
                let group = world.below(3);
                let events = vec![world.event(group), world.event(group)];
                world.turn(events);
            }
            1 => {
                world.wait(Duration::from_millis(700));
                world.turn(Vec::new());
            }
            2 => {
                world.wait(Duration::from_secs(20));
                world.turn(Vec::new());
            }
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
    assert!(whole.disk.captures.len() > 3, "the history makes captures");
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
    for seed in 0..300 {
        let mut world = World::new(seed, None, true);
        for _ in 0..6 {
            world.fuse = Some(world.random.next() % 60);
            history(&mut world, 40);
        }
        world.drain();
        world.check();
        assert!(world.crashes > 0, "seed {seed}");
    }
}

#[test]
fn a_storm_in_one_group_makes_one_capture_and_counts_every_event() {
    let mut world = World::new(1, None, false);
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
    let mut world = World::new(3, None, false);
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
    let mut world = World::new(3, None, false);
    let event = world.event(1);
    world.turn(vec![event, Input::Shutdown]);
    while world.step() {}
    assert_eq!(world.machine.segments_waiting(), 1, "it waits for the next start");
    assert_eq!(world.machine.next_deadline(), None, "the loop would spin");
}

#[test]
fn leftovers_that_cannot_be_sealed_end_their_capture_with_the_reason_and_hold_up_nobody() {
    let mut world = World::new(3, None, false);
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
    let mut world = World::new(3, None, false);
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
