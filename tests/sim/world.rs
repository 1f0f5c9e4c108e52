//! The small world: engine, storage and notifiers as the machine sees them, and the loop that commits
//! and acts for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hindsight::clock::{BootTime, Now, WallTime};
use hindsight::model::{
    CaptureId, Change, Decision, Delivery, EventId, Kind, Notice, NoticeId, Receipt, Report,
    SealedFile, StopReason, Totals, Transfer, Verdict,
};
use hindsight::random::Sequence;
use hindsight::session::{
    Action, Effects, Failure, Input, Machine, NotCreated, Redriven, Settings, Space, usual_kinds,
};

use super::disk::Disk;
use super::nouns::{self, CEILINGS, LIMIT};

/// The parts of every upload.
const PARTS: usize = 2;

/// The session at the broker of the source.
const SESSION: &str = "broker/host";

/// Work that the loop started and whose result has not come back; a crash loses it.
pub(crate) enum Task {
    Upload { key: (CaptureId, u32), object: String, transfer: Option<Transfer> },
    Remove { key: (CaptureId, u32) },
    Send(Box<Notice>),
    Leftovers { capture: CaptureId, recorded: Vec<u32> },
    Engine(Vec<Report>),
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) machine: Machine,
    pub(crate) disk: Disk,
    pub(crate) tasks: Vec<Task>,
    /// Objects by name: the hash, and how often they were written.
    pub(crate) storage: BTreeMap<String, (String, u32)>,
    /// Whether the storage refuses everything for good.
    pub(crate) refuses: bool,
    pub(crate) notified: BTreeMap<NoticeId, u32>,
    pub(crate) acknowledged: BTreeSet<EventId>,
    /// Every capture that was ever recorded, with how often it was tried again after its end.
    pub(crate) ever: BTreeMap<CaptureId, usize>,
    /// What a history has met, by name: a history that meets nothing proves nothing.
    pub(crate) met: BTreeMap<&'static str, u32>,
    /// Those whose deletion somebody was told of.
    deleted: BTreeSet<CaptureId>,
    /// Sessions that were reported as lost.
    losses: usize,
    /// How often somebody was told of a capture's end, or of a notice of it that was given up.
    pub(crate) told: BTreeMap<CaptureId, u32>,
    /// Captures that take packets, and the last sample of the disk that the machine has.
    running: BTreeSet<CaptureId>,
    sampled: Option<Space>,
    pub(crate) random: Sequence,
    pub(crate) now: Now,
    /// Effects until the next crash; counts down.
    pub(crate) fuse: Option<u64>,
    pub(crate) effects_done: u64,
    pub(crate) crashes: u32,
    faults: bool,
}

impl World {
    /// A world in which notifier `b` wants to know of every beginning.
    pub(crate) fn new(seed: u64, fuse: Option<u64>, faults: bool) -> Self {
        let mut all = usual_kinds();
        all.insert(Kind::Started);
        let mut settings = Settings::new(CEILINGS);
        settings.host = "host".to_owned();
        settings.rules = Some((0..nouns::GROUPS).map(|g| (nouns::rule(g).to_owned(), 0)).collect());
        settings.default_notify = vec!["a".to_owned()];
        settings.notifier_kinds = BTreeMap::from([("b".to_owned(), all)]);
        Self::with(settings, seed, fuse, faults)
    }

    /// A world without faults in which nobody wants to know of beginnings.
    pub(crate) fn quiet(seed: u64) -> Self {
        Self::with(Settings::new(CEILINGS), seed, None, false)
    }

    fn with(settings: Settings, seed: u64, fuse: Option<u64>, faults: bool) -> Self {
        let now = Now {
            boot: BootTime::from_duration(Duration::from_secs(1000)),
            wall: WallTime::from_nanos(1_800_000_000_000_000_000),
        };
        Self {
            machine: Machine::new(settings.clone(), seed),
            settings,
            disk: Disk::default(),
            tasks: Vec::new(),
            storage: BTreeMap::new(),
            refuses: false,
            notified: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            ever: BTreeMap::new(),
            met: BTreeMap::new(),
            deleted: BTreeSet::new(),
            losses: 0,
            told: BTreeMap::new(),
            running: BTreeSet::new(),
            sampled: None,
            random: Sequence::new(seed),
            now,
            fuse,
            effects_done: 0,
            crashes: 0,
            faults,
        }
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.random.next() % n
    }

    fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    pub(crate) fn wait(&mut self, by: Duration) {
        self.now = Now { boot: self.now.boot + by, wall: self.now.wall + by };
    }

    /// One batch as the run loop does it. Returns false where a crash came first.
    pub(crate) fn turn(&mut self, inputs: Vec<Input>) -> bool {
        let events: Vec<EventId> = inputs
            .iter()
            .filter_map(|input| match input {
                Input::Event { event, .. } | Input::Expired { event, .. } => Some(event.id.clone()),
                _ => None,
            })
            .collect();
        let mut effects = Effects::default();
        for input in inputs {
            self.machine.apply(input, self.now, &mut effects);
        }
        self.settle(effects, events)
    }

    fn settle(&mut self, mut effects: Effects, events: Vec<EventId>) -> bool {
        self.machine.settle(self.now, &mut effects);
        let Effects { changes, actions } = effects;
        // The transaction is one step: a crash comes before it or after it.
        if self.burn() {
            return false;
        }
        for change in &changes {
            match change {
                Change::Capture(capture) => {
                    self.ever.entry(capture.id.clone()).or_default();
                }
                Change::CaptureGone(_) => *self.met.entry("a row that goes").or_default() += 1,
                Change::Outcome(outcome) => match &outcome.decision {
                    Decision::UpstreamLoss => self.losses += 1,
                    Decision::Suppressed(why) => {
                        *self.met.entry(why.word()).or_default() += 1;
                    }
                    decision => *self.met.entry(decision.word()).or_default() += 1,
                },
                Change::CameDue { decision, .. } => {
                    let what = match decision {
                        Decision::Capture(_) => "a wait that ends in a capture",
                        Decision::Suppressed(_) => "a wait that ends in a refusal",
                        _ => "a wait that ends otherwise",
                    };
                    *self.met.entry(what).or_default() += 1;
                }
                _ => {}
            }
        }
        let freed = self.disk.commit(changes);
        if !freed.is_empty() {
            self.meet("a name that history frees");
        }
        if self.burn() {
            return false;
        }
        self.machine.apply(Input::Freed(freed), self.now, &mut Effects::default());
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

    pub(crate) fn crash(&mut self) {
        self.crashes += 1;
        self.tasks.clear();
        self.running.clear();
        self.sampled = None;
        self.machine = Machine::new(self.settings.clone(), self.random.next());
        self.machine.restore(self.disk.saved(), self.now);
        self.turn(Vec::new());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin(capture) => self.engine(capture.id),
            Action::Stop { capture, reason } => {
                match reason {
                    StopReason::NoSpace => self.meet("a full disk"),
                    StopReason::AlertResolved => self.meet("the end of an alert"),
                    _ => self.meet("a person who stops a capture"),
                }
                self.stop(&capture, reason);
            }
            Action::Extend { capture, duration } => {
                assert!(self.running.contains(&capture), "what has ended is extended");
                assert!(duration <= Duration::from_secs(30), "{duration:?}");
                let kept = &self.disk.captures[&capture].plan.limits;
                assert!(kept.duration >= duration, "a restart would not know of it");
            }
            Action::SealLeftovers { capture, recorded } => {
                self.tasks.push(Task::Leftovers { capture, recorded });
            }
            Action::Upload { storage, segment, transfer, .. } => {
                assert_eq!(storage, "store");
                let key = (segment.capture.clone(), segment.file.index);
                let transfer = transfer.map(|transfer| *transfer);
                if transfer.is_some() {
                    self.meet("an upload that goes on");
                }
                assert_eq!(transfer.as_ref(), self.disk.transfers.get(&key), "how far it came");
                let object = segment.object.clone();
                self.tasks.push(Task::Upload { key, object, transfer });
            }
            Action::Remove { capture, index, .. } => {
                self.tasks.push(Task::Remove { key: (capture, index) });
            }
            Action::Send(notice) => self.tasks.push(Task::Send(notice)),
            Action::Ended(capture) => {
                if let Some(kept) = self.disk.captures.get(&capture.id) {
                    assert_eq!(kept.state, capture.state);
                }
                *self.told.entry(capture.id).or_default() += 1;
            }
            Action::GivenUp(notice) => {
                let about = notice.body.capture().expect("summaries are never given up here");
                *self.told.entry(about.capture.clone()).or_default() += 1;
            }
        }
    }

    fn engine(&mut self, id: CaptureId) {
        self.running.insert(id.clone());
        let promised = self.running.len() as u64 * LIMIT;
        assert!(promised <= CEILINGS.spool_bytes, "more begin than fit into the spool");
        if let Some(space) = self.sampled {
            let more = space.free_bytes.saturating_sub(10 * LIMIT);
            assert!(promised <= more + LIMIT / 2, "more begin than the disk has room for");
        }
        let file = nouns::whole_file(&id, self.now);
        let totals = Totals { packets: 10, bytes: 1000, ..Totals::default() };
        self.disk.open.insert((id.clone(), 0));
        let reason = StopReason::TimeExceeded;
        self.tasks.push(Task::Engine(vec![
            Report::Ended { capture: id.clone(), reason, error: None, totals, interfaces: vec![] },
            Report::Sealed { capture: id.clone(), file },
            Report::Progress { capture: id.clone(), totals },
            Report::Started { capture: id, held_from: self.now.wall, interfaces: vec![] },
        ]));
    }

    /// The capture ends for another reason than its limits.
    fn stop(&mut self, id: &CaptureId, why: StopReason) {
        for task in &mut self.tasks {
            let Task::Engine(reports) = task else { continue };
            let Some(Report::Ended { capture, reason, .. }) = reports.first_mut() else { continue };
            if capture == id {
                *reason = why;
            }
        }
    }

    /// Carries one random task on, to its result; false where none is left or a crash came.
    pub(crate) fn step(&mut self) -> bool {
        if self.tasks.is_empty() {
            return false;
        }
        let pick = self.below(self.tasks.len() as u64) as usize;
        let fails = self.faults && self.below(4) == 0;
        match self.tasks.swap_remove(pick) {
            Task::Engine(reports) => self.report(reports),
            Task::Leftovers { capture, recorded } => {
                // A failed attempt may have sealed them: what is found is reported by the next one.
                let mut files = Vec::new();
                if !fails || self.below(2) == 0 {
                    files = self.disk.seal_leftovers(&capture, &recorded, self.now.wall);
                }
                let error = fails.then(|| "away".to_owned());
                let files = if fails { Vec::new() } else { files };
                self.turn(vec![Input::Leftovers { capture, files, error }])
            }
            Task::Upload { key, object, transfer } => self.upload(key, object, transfer, fails),
            Task::Remove { key } => {
                self.disk.sealed.remove(&key);
                let (capture, index) = key;
                self.turn(vec![Input::Removed { capture, index, result: Ok(()) }])
            }
            Task::Send(notice) => self.send(*notice, fails),
        }
    }

    fn report(&mut self, mut reports: Vec<Report>) -> bool {
        let Some(report) = reports.pop() else { return true };
        match &report {
            Report::Sealed { capture, file } => {
                let key = (capture.clone(), file.index);
                self.disk.open.remove(&key);
                self.disk.sealed.insert(key, file.clone());
            }
            Report::Ended { capture, .. } => drop(self.running.remove(capture)),
            Report::Started { .. } | Report::Progress { .. } => {}
        }
        self.tasks.push(Task::Engine(reports));
        self.turn(vec![Input::Engine(report)])
    }

    /// Sends the next part, or completes the object after the last one.
    fn upload(
        &mut self,
        key: (CaptureId, u32),
        object: String,
        transfer: Option<Transfer>,
        fails: bool,
    ) -> bool {
        let file = self.disk.sealed.get(&key).expect("an upload finds its file").clone();
        let kept = self.disk.transfers.get(&key);
        let part = transfer.as_ref().map_or(0, |transfer| transfer.parts.len());
        assert!(kept.is_none_or(|kept| kept.parts.len() <= part), "a part is sent again");
        if self.refuses || (fails && part < PARTS) {
            let failure = Failure { transient: !self.refuses, message: "away".to_owned() };
            let (capture, index) = key;
            return self.turn(vec![Input::Uploaded { capture, index, result: Err(failure) }]);
        }
        if part < PARTS {
            let mut transfer = transfer.unwrap_or_else(|| Transfer {
                capture: key.0.clone(),
                index: key.1,
                storage: "store".to_owned(),
                object: object.clone(),
                upload: format!("upload {}", self.random.next()),
                part_bytes: file.size_bytes / PARTS as u64,
                parts: Vec::new(),
            });
            transfer.parts.push(format!("{} part {part}", transfer.upload));
            let input = Input::Transfer(transfer.clone());
            self.tasks.push(Task::Upload { key, object, transfer: Some(transfer) });
            return self.turn(vec![input]);
        }
        self.complete(key, object, file, fails)
    }

    fn complete(
        &mut self,
        key: (CaptureId, u32),
        object: String,
        file: SealedFile,
        fails: bool,
    ) -> bool {
        // Also a failed attempt may have written the object: a lost answer.
        if !fails || self.below(2) == 0 {
            let entry = self.storage.entry(object.clone()).or_default();
            assert!(entry.1 == 0 || entry.0 == file.sha256, "another object stands there");
            *entry = (file.sha256.clone(), entry.1 + 1);
        }
        let receipt = Receipt {
            storage: "store".to_owned(),
            object: object.clone(),
            location: object,
            size_bytes: file.size_bytes,
            sha256: file.sha256,
            verified_at: self.now.wall,
        };
        let away = Failure { transient: true, message: "away".to_owned() };
        let result = if fails { Err(away) } else { Ok(receipt) };
        self.turn(vec![Input::Uploaded { capture: key.0, index: key.1, result }])
    }

    fn send(&mut self, notice: Notice, fails: bool) -> bool {
        let is_end = matches!(notice.kind, Kind::Completed | Kind::Partial);
        let about = notice.body.capture().filter(|_| is_end);
        for file in about.map(|about| about.files.as_slice()).unwrap_or_default() {
            assert!(self.storage.contains_key(&file.object), "a notice before its file");
        }
        if !fails {
            *self.notified.entry(notice.id.clone()).or_default() += 1;
        }
        let away = Failure { transient: true, message: "away".to_owned() };
        let result = if fails { Err(away) } else { Ok(()) };
        self.turn(vec![Input::Notified { notice: notice.id, result }])
    }

    pub(crate) fn event(&mut self, group: u64) -> Input {
        let noise = [self.random.next(), self.random.next()];
        let id = EventId::mint(self.now.wall, noise);
        let (event, verdicts) = nouns::event(id, group, self.now.wall);
        Input::Event { event, verdicts }
    }

    /// An event that came too late.
    pub(crate) fn expired(&mut self, group: u64) -> Input {
        match self.event(group) {
            Input::Event { event, verdicts } => {
                Input::Expired { event, verdicts, age: Duration::from_secs(400) }
            }
            other => other,
        }
    }

    /// The end of the alert of a group.
    pub(crate) fn resolved(&mut self, group: u64) -> Input {
        match self.event(group) {
            Input::Event { event, .. } => {
                let rule = nouns::rule(group).to_owned();
                let verdict = Verdict::Resolved { rule, group: nouns::group_key(group) };
                Input::Event { event, verdicts: vec![verdict] }
            }
            other => other,
        }
    }

    /// An event of a group with which the condition of a rule that waits does not hold.
    pub(crate) fn unmet(&mut self, group: u64) -> Input {
        match self.event(group) {
            Input::Event { event, .. } => {
                let rule = nouns::rule(group).to_owned();
                let verdict = Verdict::Unmet { rule, group: nouns::group_key(group) };
                Input::Event { event, verdicts: vec![verdict] }
            }
            other => other,
        }
    }

    /// The source is connected again; a session that we had and that is gone is told of.
    pub(crate) fn connect(&mut self, present: bool) {
        let is_lost = self.disk.sessions.contains(SESSION) && !present;
        let before = self.losses;
        let (source, key) = ("test".to_owned(), SESSION.to_owned());
        if self.turn(vec![Input::Session { source, key, present }]) {
            assert_eq!(self.losses - before, usize::from(is_lost));
            assert!(self.disk.sessions.contains(SESSION));
        }
    }

    /// A sample of the disk, which the machine has from now on.
    pub(crate) fn sample(&mut self, space: Space) {
        self.sampled = Some(space);
        if self.turn(vec![Input::Space(space)]) && space.free_bytes < 10 * LIMIT {
            let ended = |task: &Task| match task {
                Task::Engine(reports) => matches!(
                    reports.first(),
                    None | Some(Report::Ended { reason: StopReason::NoSpace, .. })
                ),
                _ => true,
            };
            assert!(self.tasks.iter().all(ended), "one goes on without room");
        }
    }

    /// A person asks for a capture of this name.
    pub(crate) fn create(&mut self, name: &str) -> Result<(), NotCreated> {
        let event = EventId::mint(self.now.wall, [self.random.next(), 0]);
        let mut plan = nouns::plan(self.random.next(), event, "", self.now.wall);
        plan.rule = String::new();
        let is_taken =
            self.disk.captures.values().any(|capture| !capture.deleted && capture.name == name);
        let mut effects = Effects::default();
        let created = self.machine.create(name.to_owned(), plan, self.now, &mut effects);
        let said_taken = matches!(created, Err(NotCreated::NameTaken));
        assert_eq!(said_taken, is_taken, "{name}: {created:?}");
        self.meet(match &created {
            Ok(_) => "a capture by hand",
            Err(NotCreated::NameTaken) => "a name that is taken",
            Err(NotCreated::Suppressed(_)) => "a capture by hand that a ceiling refuses",
        });
        self.settle(effects, Vec::new());
        created.map(drop)
    }

    /// A person deletes a capture, as the run loop does it.
    pub(crate) fn delete(&mut self, id: &CaptureId) {
        let kept = self.disk.captures[id].clone();
        let mut effects = Effects::default();
        if !self.machine.delete(id, &mut effects) {
            self.machine.delete_ended(kept, &mut effects);
        }
        if self.settle(effects, Vec::new()) {
            self.deleted.insert(id.clone());
        }
        let shown = |id| self.disk.captures.get(id).is_some_and(|capture| !capture.deleted);
        assert!(self.deleted.iter().all(|id| !shown(id)), "a deleted capture is shown");
    }

    /// A person wants what was given up of a capture tried again.
    pub(crate) fn drive_again(&mut self, id: &CaptureId) -> Redriven {
        let kept = self.disk.captures[id].clone();
        let was_end = kept.state.is_end() && kept.has_stranded();
        let is_dead = |notice: &&Notice| {
            notice.delivery == Delivery::Dead
                && notice.body.capture().is_some_and(|about| about.capture == *id)
        };
        let dead = self.disk.notices.values().filter(is_dead).cloned().collect();
        let mut effects = Effects::default();
        let redriven = self.machine.drive_again(kept, dead, self.now, &mut effects);
        self.settle(effects, Vec::new());
        let taken_up = self.disk.captures.get(id).is_some_and(|capture| !capture.has_stranded());
        *self.ever.entry(id.clone()).or_default() += usize::from(was_end && taken_up);
        redriven
    }

    /// A capture that is shown, if there is one.
    pub(crate) fn any_capture(&mut self) -> Option<CaptureId> {
        let shown = self.disk.captures.values().filter(|capture| !capture.deleted);
        let shown: Vec<CaptureId> = shown.map(|capture| capture.id.clone()).collect();
        let pick = self.below(shown.len().max(1) as u64) as usize;
        shown.get(pick).cloned()
    }

    /// Lets everything come to rest, without any more faults.
    pub(crate) fn drain(&mut self) {
        self.faults = false;
        self.refuses = false;
        self.fuse = None;
        for _ in 0..20_000 {
            if !self.step() && self.tasks.is_empty() {
                if self.machine.open_captures().count() == 0
                    && self.machine.notices_waiting() == 0
                    && self.machine.groups_waiting() == 0
                    && self.disk.unsaid.is_empty()
                {
                    return;
                }
                self.wait(Duration::from_secs(61));
                self.turn(Vec::new());
            }
        }
        panic!("the world did not come to rest");
    }
}
