//! The conversation from the start to the end: what the engine reports, and what is wished.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::account::{Account, Summary, held, short};
use super::error::Error;
use super::request::{Request, Source};
use super::screen::Screen;
use super::trigger::{Wish, Wishes, can_type};
use crate::capture::{Destination, Engine, Origin};
use crate::clock::{self, Now};
use crate::config::Environment;
use crate::model::{
    CaptureId, CapturePlan, EventId, IncidentId, OnResolved, Placing, Report, StopReason,
};
use crate::random;
use crate::units::Span;

/// How often the refreshed line is written again.
const REFRESH: Duration = Duration::from_secs(1);

/// Where the capture stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Recording in memory, writing nothing.
    Armed,
    Capturing,
    /// Told to end; what came before that is being written.
    Stopping,
}

/// What a wish leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin,
    /// Say how far it is.
    Tell,
    Stop,
    /// Nothing was written and nothing will be.
    Leave,
    /// Do not wait for the end.
    Abandon,
}

const fn step(phase: Phase, wish: Wish) -> Step {
    match (phase, wish) {
        (Phase::Armed, Wish::Now) => Step::Begin,
        (Phase::Armed, Wish::Stop) => Step::Leave,
        (Phase::Capturing | Phase::Stopping, Wish::Now) => Step::Tell,
        (Phase::Capturing, Wish::Stop) => Step::Stop,
        (Phase::Stopping, Wish::Stop) => Step::Abandon,
    }
}

/// One capture and those who have a say in it.
pub(super) struct Follow<'a> {
    request: &'a Request,
    interfaces: Vec<String>,
    engine: Arc<Engine>,
    wishes: Wishes,
    screen: &'a mut Screen<io::Stderr>,
    capture: CaptureId,
    account: Account,
}

impl<'a> Follow<'a> {
    pub(super) fn new(
        request: &'a Request,
        interfaces: Vec<String>,
        engine: Arc<Engine>,
        wishes: Wishes,
        screen: &'a mut Screen<io::Stderr>,
    ) -> Self {
        let now = clock::now();
        let capture = CaptureId::mint(now.wall, [random::seed(), random::seed()]);
        let account = account(request, now);
        Self { request, interfaces, engine, wishes, screen, capture, account }
    }

    /// Goes on to the end.
    ///
    /// # Errors
    /// The capture did not begin, or its end was not waited for.
    pub(super) async fn run(
        mut self,
        mut reports: mpsc::Receiver<Report>,
        origin: Origin,
        destination: Destination,
    ) -> Result<Summary, Error> {
        let mut place = Some((origin, destination));
        let mut phase = Phase::Armed;
        match self.request.look_back {
            None => phase = self.begin(place.take())?,
            Some(look_back) => self.screen.note(&self.armed(look_back)),
        }
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                report = reports.recv() => {
                    if let Some(summary) = self.take(report.ok_or(Error::Silent)?) {
                        return Ok(summary);
                    }
                }
                wish = self.wishes.next() => match step(phase, wish) {
                    Step::Begin => phase = self.begin(place.take())?,
                    Step::Tell => self.screen.note(&self.account.progress(clock::boot_time())),
                    Step::Stop => {
                        self.engine.stop(&self.capture, StopReason::Manual);
                        phase = Phase::Stopping;
                    }
                    Step::Leave => return Ok(self.account.untouched(clock::boot_time())),
                    Step::Abandon => {
                        let target = self.request.target.shown();
                        return Err(Error::Impatient { target });
                    }
                },
                _ = refresh.tick() => self.show(phase),
            }
        }
    }

    fn begin(&mut self, place: Option<(Origin, Destination)>) -> Result<Phase, Error> {
        let (origin, destination) = place.ok_or(Error::Silent)?;
        let now = clock::now();
        self.account = account(self.request, now);
        let plan = plan(self.request, self.interfaces.clone(), now);
        let name = format!("dump-{}", now.wall.compact());
        let ready = self.engine.stand_by(self.capture.clone(), name, plan, origin, destination);
        ready.map_err(Error::Engine)?.begin();
        Ok(Phase::Capturing)
    }

    fn take(&mut self, report: Report) -> Option<Summary> {
        let now = clock::now();
        if let Report::Started { held_from, .. } = &report {
            let from = match &self.request.source {
                Source::File(path) => path.display().to_string(),
                Source::DefaultInterface | Source::Interfaces(_) => self.interfaces.join(", "),
            };
            let to = self.request.target.shown();
            let past = self.request.look_back.map(|look_back| {
                let reach = now.wall.since(*held_from).min(look_back);
                format!(", from {} ago", short(reach))
            });
            self.screen.note(&format!("capturing {from} into {to}{}", past.unwrap_or_default()));
        }
        self.account.take(report, now.boot)
    }

    fn armed(&self, look_back: Duration) -> String {
        let enter = if can_type() { "Enter or " } else { "" };
        format!(
            "armed: {} in memory; {enter}kill -USR1 {} writes the last {} and what follows",
            self.interfaces.join(", "),
            std::process::id(),
            Span(look_back)
        )
    }

    fn show(&mut self, phase: Phase) {
        let now = clock::boot_time();
        let text = match phase {
            Phase::Armed => held(&self.engine.recorders()),
            Phase::Capturing => self.account.progress(now),
            Phase::Stopping => format!("ending: {}", self.account.progress(now)),
        };
        self.screen.progress(&text, now);
    }
}

fn account(request: &Request, now: Now) -> Account {
    let keep = request.limits.segments.and_then(|segments| segments.keep);
    Account::new(now.boot, request.target.shown(), keep)
}

/// A plan that no event and no rule made.
fn plan(request: &Request, interfaces: Vec<String>, now: Now) -> CapturePlan {
    CapturePlan {
        rule: "dump".to_owned(),
        incident: IncidentId::from_text(""),
        event: EventId::from_text(""),
        event_name: String::new(),
        event_json: String::new(),
        host: Environment::read().host.unwrap_or_default().trim().to_owned(),
        interfaces,
        trigger_at: now.wall,
        look_back: request.look_back.unwrap_or_default(),
        filter: request.filter.clone(),
        limits: request.limits,
        file: request.form,
        storage: String::new(),
        notify: Vec::new(),
        placing: Placing::default(),
        on_resolved: OnResolved::default(),
        left_out: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_stop_does_not_wait_for_the_end() {
        assert_eq!(step(Phase::Capturing, Wish::Stop), Step::Stop);
        assert_eq!(step(Phase::Stopping, Wish::Stop), Step::Abandon);
    }

    #[test]
    fn an_armed_capture_begins_once() {
        assert_eq!(step(Phase::Armed, Wish::Now), Step::Begin);
        assert_eq!(step(Phase::Capturing, Wish::Now), Step::Tell);
        assert_eq!(step(Phase::Stopping, Wish::Now), Step::Tell);
    }

    #[test]
    fn without_a_trigger_an_armed_capture_leaves_nothing() {
        assert_eq!(step(Phase::Armed, Wish::Stop), Step::Leave);
    }
}
