//! What people ask for: a capture by hand checked and made a plan, one deleted, one tried again.
//!
//! What needs libpcap or the journal is asked beside the loop and comes back to it as [`Prepared`].

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use crate::clock::Now;
use crate::config::Config;
use crate::model::{Capture, CapturePlan, EventId, FileFormat, IncidentId, OnResolved, Placing};
use crate::session::{self, Effects, Redriven};
use crate::units::{Bytes, Span};
use crate::{random, rules, spawn};

use super::answer::answered;
use super::request::{CreateRequest, DeleteAnswer, NotCreated, RedriveAnswer};
use super::state::{CreateAsker, Loop, Prepared, Reply};

/// The longest name of a capture, in bytes: it becomes a part of file names.
const MAX_NAME_BYTES: usize = 80;

/// The longest name of an interface, in bytes. Source: IFNAMSIZ in linux/if.h, less the end byte.
const MAX_INTERFACE_BYTES: usize = 15;

/// The longest name of an object that a person gives: room for the number and the ending.
const MAX_OBJECT_BYTES: usize = 900;

/// The longest part of such a name between two slashes.
const MAX_OBJECT_PART_BYTES: usize = 200;

/// The longest path of a local file, in bytes. Source: PATH_MAX in linux/limits.h, with room for the
/// number and the part file.
const MAX_PATH_BYTES: usize = 4_000;

impl Loop {
    /// Checks a capture by hand and has its filter compiled; [`created`](Self::created) follows.
    pub(super) fn create(&self, request: CreateRequest, asker: CreateAsker) {
        let filter = request.filter.clone();
        let (name, plan) = match plan(request, &self.config) {
            Ok(planned) => planned,
            Err(wrong) => return drop(asker.send(Err(wrong))),
        };
        let prepared = self.prepared.clone();
        spawn::task("create", async move {
            let checked = spawn::blocking(move || filter.check().map_err(|e| e.to_string())).await;
            match checked {
                Ok(Ok(())) => {
                    let create = Prepared::Create { name, plan: Box::new(plan), asker };
                    // A loop that is gone answers nobody.
                    drop(prepared.send(create).await);
                }
                Ok(Err(message)) => {
                    let value = plan.filter.expression.clone().unwrap_or_default();
                    drop(asker.send(Err(invalid("filter", value, message))));
                }
                Err(ended) => tracing::error!(%ended, "compiling a filter failed inside"),
            }
        });
    }

    /// Begins a capture that was checked.
    pub(super) fn created(
        &mut self,
        name: String,
        mut plan: CapturePlan,
        asker: CreateAsker,
        now: Now,
        effects: &mut Effects,
    ) -> Reply {
        // The look-back and the duration count from the moment at which it begins.
        plan.trigger_at = now.wall;
        let created = self.machine.create(name, plan, now, effects).map(Box::new);
        let created = created.map_err(|refused| match refused {
            session::NotCreated::NameTaken => NotCreated::NameTaken,
            session::NotCreated::Suppressed(why) => NotCreated::Refused(why.sentence().to_owned()),
        });
        Box::new(move || drop(asker.send(created)))
    }

    /// Deletes a capture that is open, or has the journal asked for one that has ended.
    pub(super) fn delete(
        &mut self,
        key: &str,
        asker: oneshot::Sender<Option<DeleteAnswer>>,
        effects: &mut Effects,
    ) -> Option<Reply> {
        if let Some(capture) = self.find_open(key).cloned() {
            self.machine.delete(&capture.id, effects);
            let answer = deleted(&capture);
            return Some(Box::new(move || drop(asker.send(Some(answer)))));
        }
        let (key, journal, prepared) =
            (key.to_owned(), self.journal.clone(), self.prepared.clone());
        spawn::task("delete", async move {
            match answered(journal.capture(&key).await) {
                Some(Some(capture)) => {
                    let delete = Prepared::Delete { capture: Box::new(capture), asker };
                    drop(prepared.send(delete).await);
                }
                Some(None) => drop(asker.send(None)),
                None => {}
            }
        });
        None
    }

    /// Deletes a capture that the journal gave.
    pub(super) fn delete_ended(
        &mut self,
        capture: Capture,
        asker: oneshot::Sender<Option<DeleteAnswer>>,
        effects: &mut Effects,
    ) -> Reply {
        let answer = deleted(&capture);
        self.machine.delete_ended(capture, effects);
        Box::new(move || drop(asker.send(Some(answer))))
    }

    /// Finds what was given up of a capture; [`driven_again`](Self::driven_again) follows.
    pub(super) fn drive_again(&self, key: String, asker: oneshot::Sender<Option<RedriveAnswer>>) {
        let open = self.find_open(&key).cloned();
        let (journal, prepared) = (self.journal.clone(), self.prepared.clone());
        spawn::task("drive again", async move {
            let found = match open {
                Some(open) => Some(open),
                None => match answered(journal.capture(&key).await) {
                    Some(found) => found,
                    None => return,
                },
            };
            let Some(capture) = found else { return drop(asker.send(None)) };
            if let Some(dead) = answered(journal.dead_notices(&capture.id).await) {
                let capture = Box::new(capture);
                drop(prepared.send(Prepared::DriveAgain { capture, dead, asker }).await);
            }
        });
    }

    pub(super) fn driven_again(
        &mut self,
        capture: Capture,
        dead: Vec<crate::model::Notice>,
        asker: oneshot::Sender<Option<RedriveAnswer>>,
        now: Now,
        effects: &mut Effects,
    ) -> Reply {
        let (id, name) = (capture.id.clone(), capture.name.clone());
        let Redriven { segments, notices } = self.machine.drive_again(capture, dead, now, effects);
        let answer = RedriveAnswer { capture: id, name, segments, notices };
        Box::new(move || drop(asker.send(Some(answer))))
    }
}

fn deleted(capture: &Capture) -> DeleteAnswer {
    DeleteAnswer { capture: capture.id.clone(), name: capture.name.clone(), state: capture.state }
}

fn invalid(field: &str, value: impl ToString, message: impl Into<String>) -> NotCreated {
    let value = value.to_string().chars().take(200).collect();
    NotCreated::Invalid { field: field.to_owned(), value, message: message.into() }
}

/// The name and the plan of a capture by hand, but for the instant at which it begins.
///
/// # Errors
/// [`NotCreated::Invalid`] for the first field that has no meaning.
fn plan(mut request: CreateRequest, config: &Config) -> Result<(String, CapturePlan), NotCreated> {
    check_name(&request.name)?;
    give_way(&mut request, &config.ceilings);
    check_limits(&request, config)?;
    check_placing(&request.placing)?;
    let interfaces = interfaces(&request, config)?;
    let storage = storage(&request, config)?;
    for name in &request.notify {
        if !config.notifiers.contains_key(name) {
            let known = known(config.notifiers.keys());
            return Err(invalid("notify", name, format!("there is no such notifier; {known}")));
        }
    }
    let plan = CapturePlan {
        rule: String::new(),
        incident: IncidentId::from_text(format!("{:016x}", random::seed())),
        event: EventId::mint(crate::clock::wall_time(), [random::seed(), random::seed()]),
        event_name: String::new(),
        event_json: String::new(),
        host: config.host.clone(),
        interfaces,
        trigger_at: crate::clock::wall_time(),
        look_back: request.look_back,
        filter: request.filter,
        limits: request.limits,
        file: request.file,
        storage,
        notify: request.notify,
        placing: request.placing,
        on_resolved: OnResolved::Keep,
        left_out: Vec::new(),
    };
    Ok((request.name, plan))
}

/// Brings the limits that nobody has asked for under the ceilings.
fn give_way(request: &mut CreateRequest, ceilings: &session::Ceilings) {
    let (limits, defaulted) = (&mut request.limits, request.defaulted);
    if defaulted.duration {
        limits.duration = limits.duration.min(ceilings.duration);
    }
    if defaulted.bytes {
        limits.bytes = limits.bytes.min(ceilings.bytes);
    }
}

fn check_name(name: &str) -> Result<(), NotCreated> {
    let has_right_form = name.len() <= MAX_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if has_right_form {
        return Ok(());
    }
    let message = format!(
        "take 1 to {MAX_NAME_BYTES} letters, digits, '.', '_' and '-', the first a letter or a digit"
    );
    Err(invalid("name", name, message))
}

fn check_limits(request: &CreateRequest, config: &Config) -> Result<(), NotCreated> {
    let (limits, ceilings) = (&request.limits, &config.ceilings);
    let duration = Span(limits.duration);
    if limits.duration.is_zero() {
        return Err(invalid("limits.duration", duration, "a capture of no time makes no sense"));
    }
    if limits.duration > ceilings.duration {
        let message = format!("above ceilings.duration {}", Span(ceilings.duration));
        return Err(invalid("limits.duration", duration, message));
    }
    if limits.bytes == 0 {
        return Err(invalid("limits.bytes", 0, "a capture of no bytes makes no sense"));
    }
    if limits.bytes > ceilings.bytes {
        let message = format!("above ceilings.bytes {}", Bytes(ceilings.bytes));
        return Err(invalid("limits.bytes", Bytes(limits.bytes), message));
    }
    if limits.packets == Some(0) {
        return Err(invalid("limits.packets", 0, "a capture of no packets makes no sense"));
    }
    if let Some(segments) = limits.segments {
        let keep = segments.keep.unwrap_or(0);
        rules::segments(limits.bytes, segments.bytes, keep).map_err(|mistake| {
            let message = format!("{}; {}", mistake.message, mistake.hint);
            match mistake.key {
                rules::SegmentsKey::Bytes => {
                    invalid("limits.segments.bytes", Bytes(segments.bytes), message)
                }
                rules::SegmentsKey::Keep => invalid("limits.segments.keep", keep, message),
            }
        })?;
    }
    Ok(())
}

fn check_placing(placing: &Placing) -> Result<(), NotCreated> {
    if let Some(object) = &placing.object {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.len() <= MAX_OBJECT_PART_BYTES
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if object.len() > MAX_OBJECT_BYTES || !object.split('/').all(is_part) {
            let message = "a name of an object has parts of letters, digits, '.', '_' and '-' with \
                           '/' between them, none of which begins with a dot";
            return Err(invalid("placing.object", object, message));
        }
    }
    if let Some(path) = &placing.local_file {
        let shown = path.display();
        let climbs = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
        if !path.is_absolute() || climbs || path.file_name().is_none() {
            let message = "give an absolute path of a file, without '..'";
            return Err(invalid("placing.local_file", shown, message));
        }
        if path.as_os_str().len() > MAX_PATH_BYTES
            || shown.to_string().chars().any(char::is_control)
        {
            let message = format!("a path has at most {MAX_PATH_BYTES} bytes, all printable");
            return Err(invalid("placing.local_file", shown, message));
        }
    }
    Ok(())
}

/// Each once; all that are recorded where the request names none.
fn interfaces(request: &CreateRequest, config: &Config) -> Result<Vec<String>, NotCreated> {
    let recorded = || config.capture.recorders.iter().map(|recorder| recorder.interface.clone());
    let named: BTreeSet<String> = if request.interfaces.is_empty() {
        recorded().collect()
    } else {
        request.interfaces.iter().cloned().collect()
    };
    let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    let is_name = |name: &String| {
        !name.is_empty() && name.len() <= MAX_INTERFACE_BYTES && !name.contains(bad)
    };
    if let Some(wrong) = named.iter().find(|name| !is_name(name)) {
        return Err(invalid("interfaces", wrong, "this is no interface; see 'ip link'"));
    }
    if named.is_empty() {
        return Err(invalid("interfaces", "", "no interface is recorded; name one"));
    }
    if named.len() > 1 && request.file.format == FileFormat::Pcap {
        let message = "the format pcap holds one interface only; name one, or take pcapng";
        return Err(invalid("file.format", "pcap", message));
    }
    Ok(named.into_iter().collect())
}

/// Empty where the local file is all that is asked for.
fn storage(request: &CreateRequest, config: &Config) -> Result<String, NotCreated> {
    match &request.storage {
        Some(name) if config.storages.contains_key(name) => Ok(name.clone()),
        Some(name) => {
            let known = known(config.storages.keys());
            Err(invalid("storage", name, format!("there is no such storage; {known}")))
        }
        None if request.placing.local_file.is_some() => Ok(String::new()),
        None => Ok(config.defaults.storage.clone()),
    }
}

fn known<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        "the configuration names none".to_owned()
    } else {
        format!("the configuration has {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::filter::Filter;
    use crate::model::{FileForm, Limits, SegmentLimits};
    use crate::worker::Defaulted;

    fn config() -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let text = "version: 1\nrules: []\nrecorder: { interfaces: [eth0, eth1] }\n\
                    storages: { a: { directory: { path: a } }, b: { directory: { path: b } } }\n\
                    defaults: { storage: b, capture: { limits: { bytes: 5MiB } } }\nceilings: { duration: 1h, bytes: 10MiB }\n";
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file)).unwrap_or_else(|problems| panic!("{}", problems[0]))
    }

    fn request() -> CreateRequest {
        CreateRequest {
            name: "Web-1.a_b".to_owned(),
            interfaces: Vec::new(),
            look_back: Duration::ZERO,
            filter: Filter::default(),
            limits: Limits {
                duration: Duration::from_secs(3600),
                bytes: 10 << 20,
                packets: None,
                bytes_per_packet: 0,
                segments: None,
            },
            defaulted: Defaulted::default(),
            file: FileForm::default(),
            storage: None,
            notify: Vec::new(),
            placing: Placing::default(),
        }
    }

    #[test]
    fn what_is_not_said_is_inherited() {
        let (name, made) = plan(request(), &config()).unwrap();
        assert_eq!(name, "Web-1.a_b");
        assert!(made.is_by_hand());
        assert_eq!(
            (made.interfaces, made.storage),
            (vec!["eth0".into(), "eth1".into()], "b".into())
        );
        assert_eq!(made.incident.as_str().len(), 16);
        let placing = Placing { object: None, local_file: Some("/tmp/x.pcapng".into()) };
        let (_, made) = plan(CreateRequest { placing, ..request() }, &config()).unwrap();
        assert_eq!(made.storage, "", "the local file alone");
    }

    #[test]
    fn limits_that_nobody_asked_for_give_way_to_the_ceilings() {
        let above = |defaulted| {
            let mut request = CreateRequest { defaulted, ..request() };
            request.limits.duration = Duration::from_secs(18_000);
            request.limits.bytes = 1 << 30;
            plan(request, &config()).map(|(_, plan)| (plan.limits.duration, plan.limits.bytes))
        };
        let both = above(Defaulted { duration: true, bytes: true }).unwrap();
        assert_eq!(both, (Duration::from_secs(3600), 10 << 20));
        for (asked, field) in [
            (Defaulted { duration: false, bytes: true }, "limits.duration"),
            (Defaulted { duration: true, bytes: false }, "limits.bytes"),
        ] {
            let refused = above(asked).unwrap_err();
            assert!(
                matches!(&refused, NotCreated::Invalid { field: at, .. } if at == field),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn what_has_no_meaning_is_told_with_its_field_and_its_value() {
        let change = |change: &dyn Fn(&mut CreateRequest)| {
            let mut request = request();
            change(&mut request);
            match plan(request, &config()) {
                Err(NotCreated::Invalid { field, value, .. }) => format!("{field}={value}"),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(change(&|r| r.name = "a~b".into()), "name=a~b");
        assert_eq!(change(&|r| r.name = ".a".into()), "name=.a");
        assert_eq!(change(&|r| r.name = "x".repeat(81)), format!("name={}", "x".repeat(81)));
        assert_eq!(change(&|r| r.interfaces = vec!["a/b".into()]), "interfaces=a/b");
        assert_eq!(change(&|r| r.limits.duration = Duration::ZERO), "limits.duration=0s");
        let long = Duration::from_secs(3601);
        assert_eq!(change(&|r| r.limits.duration = long), "limits.duration=1h1s");
        assert_eq!(change(&|r| r.limits.bytes = 11 << 20), "limits.bytes=11MiB");
        assert_eq!(change(&|r| r.limits.packets = Some(0)), "limits.packets=0");
        let tiny = Some(SegmentLimits { bytes: 1, keep: None });
        assert_eq!(change(&|r| r.limits.segments = tiny), "limits.segments.bytes=1");
        let ring = Some(SegmentLimits { bytes: 6 << 20, keep: Some(2) });
        assert_eq!(change(&|r| r.limits.segments = ring), "limits.segments.keep=2");
        assert_eq!(change(&|r| r.storage = Some("c".into())), "storage=c");
        assert_eq!(change(&|r| r.notify = vec!["n".into()]), "notify=n");
        assert_eq!(change(&|r| r.file.format = FileFormat::Pcap), "file.format=pcap");
        for object in ["", "/a", "a/", "a//b", "../a", "a b", "a/.b"] {
            let placed = format!("placing.object={object}");
            assert_eq!(change(&|r| r.placing.object = Some(object.into())), placed);
        }
        for path in ["a/b", "/a/../b", "/", "/a\nb"] {
            let placed = format!("placing.local_file={path}");
            assert_eq!(change(&|r| r.placing.local_file = Some(path.into())), placed);
        }
    }
}
