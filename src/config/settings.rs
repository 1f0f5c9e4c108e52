//! What the file says over what the embedded default says, checked and turned into settings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::notes::{Notes, or_default};
use super::parts::Parts;
use super::stamps::Watched;
use super::{
    Config, Control, DEFAULT, DEFAULT_FILE, Listen, Origin, ceilings, host, listen, raw, recorder,
};
use crate::model::{FileForm, SegmentLimits};
use crate::rules::{self, Known, SegmentsKey};
use crate::units::{Bytes, Span};
use crate::yaml::{File, Place, Placed, Problem, did_you_mean};
use crate::{capture, session, telemetry};

/// What the embedded default is called in problems.
const BUILT_IN: &str = "the built-in configuration";

/// The longest path of a Unix socket, in bytes. Source: unix(7), sun_path less its end byte.
const MAX_SOCKET_BYTES: usize = 107;

pub(super) fn load(path: Option<&Path>, environment: &Environment) -> Result<Config, Vec<Problem>> {
    let (notes, default) = embedded()?;
    let Some(path) = path else {
        let given = raw::Config::default();
        return Reader { notes, complete: true, given, default, environment }.read(None);
    };
    let file = File::open(path).map_err(|problem| vec![problem])?;
    let (given, problems) = file.read::<raw::Config>();
    let folder = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let complete = problems.is_empty();
    let Some(given) = given else {
        return Err(problems);
    };
    let mut notes = Notes::new(file, folder);
    notes.add(problems);
    Reader { notes, complete, given, default, environment }.read(Some(path))
}

/// The embedded default in an empty environment, without rules.
pub(super) fn built_in() -> Result<Config, Vec<Problem>> {
    let (notes, default) = embedded()?;
    let given = raw::Config { rules: Some(Vec::new()), ..raw::Config::default() };
    let environment = &Environment::default();
    Reader { notes, complete: true, given, default, environment }.read(None)
}

/// The embedded default, and where problems of it are noted.
fn embedded() -> Result<(Notes, raw::Config), Vec<Problem>> {
    let built_in = File::new(BUILT_IN, DEFAULT);
    match built_in.read::<raw::Config>() {
        (Some(default), problems) if problems.is_empty() => {
            Ok((Notes::new(built_in, PathBuf::from("/")), default))
        }
        (_, problems) => Err(problems),
    }
}

/// Turns a file into settings, noting every mistake.
struct Reader<'a> {
    notes: Notes,
    /// Whether all of the file could be read: otherwise names in it may be missing.
    complete: bool,
    given: raw::Config,
    default: raw::Config,
    environment: &'a Environment,
}

impl Reader<'_> {
    fn read(mut self, path: Option<&Path>) -> Result<Config, Vec<Problem>> {
        let host = host::read(&mut self.notes, &self.given.host, self.environment);
        let state_directory = self.state();
        let log = self.log();
        let rings = recorder::read(&mut self.notes, &self.given, &self.default, self.complete);
        let control = self.control();
        let ceilings =
            ceilings::read(&mut self.notes, &self.given.ceilings, &self.default.ceilings);
        let retention = ceilings::retention(&self.given.retention, &self.default.retention);
        let parts = self.parts(&host.name, &state_directory, &control.listen);
        let defaults = self.defaults(&parts, &ceilings);
        let known = Known {
            complete: self.complete,
            sources: parts.sources.keys().cloned().collect(),
            storages: parts.storages.keys().cloned().collect(),
            notifiers: parts.notifiers.keys().cloned().collect(),
            interfaces: rings.recorders.iter().map(|recorder| recorder.interface.clone()).collect(),
            duration: ceilings.duration,
            bytes: ceilings.bytes,
            host: host.clone(),
        };
        // Before they are read: a file that changes meanwhile is seen to have changed.
        let file = path.unwrap_or_else(|| Path::new(DEFAULT_FILE)).to_owned();
        let watched = Watched { file, rule_paths: self.watched_rules() };
        let stamps = watched.stamps();
        let dry_run = self.given.dry_run.or(self.default.dry_run).unwrap_or(false);
        let settings = rules::Settings { paths: self.rule_paths(), defaults, dry_run };
        let rules = match rules::load(&settings, &known) {
            Ok(rules) if !self.notes.has_problems() => rules,
            Ok(_) => return Err(self.notes.into_problems()),
            Err(problems) => {
                self.notes.add(problems);
                return Err(self.notes.into_problems());
            }
        };
        Ok(Config {
            file: path.map(Path::to_owned),
            host: host.name,
            capture: capture::Settings {
                spool: state_directory.join("spool"),
                recorders: rings.recorders,
                private: rings.on_demand,
                memory_bytes: rings.memory_bytes,
            },
            state_directory,
            log,
            sources: parts.sources,
            storages: parts.storages,
            notifiers: parts.notifiers,
            ceilings,
            retention,
            defaults: settings.defaults,
            control,
            rules,
            origin: Origin { asked: None, environment: self.environment.clone(), watched, stamps },
        })
    }

    fn state(&self) -> PathBuf {
        match (&self.given.state, &self.environment.state) {
            (Some(given), _) => self.notes.path(&given.value),
            (None, Some(directory)) => directory.clone(),
            (None, None) => or_default(None, self.default.state.as_ref()).value,
        }
    }

    fn log(&mut self) -> telemetry::Settings {
        let (given, default) = (&self.given.log, &self.default.log);
        let level = or_default(given.level.as_ref(), default.level.as_ref());
        let format = given.format.or(default.format).unwrap_or_default();
        let settings = telemetry::Settings { level: level.value, format };
        self.notes.refuse(level.place, settings.check().map_err(|error| error.to_string()));
        settings
    }

    fn control(&mut self) -> Control {
        let (given, default) = (&self.given.control, &self.default.control);
        let socket = match (&given.socket, &self.environment.runtime) {
            (None, Some(directory)) => directory.join("control.sock"),
            (given, _) => {
                let socket = or_default(given.as_ref(), default.socket.as_ref());
                let path = self.notes.path(&socket.value);
                if path.as_os_str().len() > MAX_SOCKET_BYTES {
                    let message = format!("a socket's path has at most {MAX_SOCKET_BYTES} bytes");
                    self.notes.note(socket.place, message, "take a shorter one");
                }
                path
            }
        };
        let entries = given.listen.as_ref().or(default.listen.as_ref());
        let listen = entries.map(|entries| listen::read(&mut self.notes, entries));
        Control { socket, listen: listen.unwrap_or_default() }
    }

    fn parts(&mut self, host: &str, state: &Path, listen: &[Listen]) -> Parts {
        let listens = !listen.is_empty();
        let takes_certificates = listen
            .iter()
            .any(|listen| listen.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()));
        let notes = &mut self.notes;
        let mut parts = Parts::new(host, listens, takes_certificates);
        match (&self.given.sources, &self.default.sources) {
            (Some(sources), _) => parts.add_sources(notes, sources),
            // The default's sources are webhooks: without an address there are none.
            (None, Some(sources)) if listens => parts.add_sources(notes, sources),
            (None, _) => {}
        }
        match (&self.given.storages, &self.default.storages) {
            (Some(storages), _) => parts.add_storages(notes, storages, None),
            (None, Some(storages)) => parts.add_storages(notes, storages, Some(state)),
            (None, None) => {}
        }
        if let Some(notifiers) = &self.given.notifiers {
            parts.add_notifiers(notes, notifiers);
        }
        parts
    }

    fn defaults(&mut self, parts: &Parts, ceilings: &session::Ceilings) -> rules::Defaults {
        let (given, default) = (self.given.defaults.clone(), &self.default.defaults);
        let (capture, default_capture) = (&given.capture, &default.capture);
        let (limits, default_limits) = (&capture.limits, &default_capture.limits);
        let duration = or_default(limits.duration.as_ref(), default_limits.duration.as_ref());
        let bytes = or_default(limits.bytes.as_ref(), default_limits.bytes.as_ref());
        let on_resolved = given.on_resolved.or(default.on_resolved).unwrap_or_default();
        let while_running = given.while_running.or(default.while_running).unwrap_or_default();
        let on_missing = capture.on_missing.or(default_capture.on_missing).unwrap_or_default();
        let look_back = or_default(capture.look_back.as_ref(), default_capture.look_back.as_ref());
        let max_duration =
            limits.max_duration.clone().or_else(|| default_limits.max_duration.clone());
        let file = FileForm {
            format: capture.format.or(default_capture.format).unwrap_or_default(),
            compression: capture.compression.or(default_capture.compression).unwrap_or_default(),
        };
        let notify = given.notify.or_else(|| default.notify.clone()).unwrap_or_default();
        let storage = self.default_storage(parts);
        self.check_limit(["duration"; 2], duration.place, duration.value, Span(ceilings.duration));
        self.check_limit(["bytes"; 2], bytes.place, bytes.value, Bytes(ceilings.bytes));
        if let Some(most) = &max_duration {
            let names = ["max_duration", "duration"];
            self.check_limit(names, most.place, most.value, Span(ceilings.duration));
            self.check_max_duration(most, duration.value);
        }
        self.check_look_back(&look_back);
        let segments = self.segments(&bytes);
        for name in &notify {
            self.check_reference("notifier", name, &parts.notifiers.keys().cloned().collect());
        }
        rules::Defaults {
            look_back: look_back.value.0,
            duration: duration.value.0,
            bytes: bytes.value.0,
            segments,
            file,
            on_resolved,
            while_running,
            max_duration: max_duration.map(|most| most.value.0),
            on_missing,
            storage,
            notify: notify.into_iter().map(|name| name.value).collect(),
        }
    }

    /// How captures of so many bytes are divided into files.
    fn segments(&mut self, bytes: &Placed<Bytes>) -> Option<SegmentLimits> {
        let given = &self.given.defaults.capture.limits;
        let default = &self.default.defaults.capture.limits;
        let segment = or_default(given.segment_bytes.as_ref(), default.segment_bytes.as_ref());
        let keep = or_default(given.keep_segments.as_ref(), default.keep_segments.as_ref());
        match rules::segments(bytes.value.0, segment.value.0, keep.value) {
            Ok(segments) => segments,
            // A key that could not be read may be the one that is missing.
            Err(_) if !self.complete => None,
            Err(mistake) => {
                let places = match mistake.key {
                    SegmentsKey::Bytes => [segment.place, keep.place, bytes.place],
                    SegmentsKey::Keep => [keep.place, segment.place, bytes.place],
                };
                let place = places.into_iter().find(|place| Notes::is_in_file(*place));
                self.notes.note(place.unwrap_or(bytes.place), mistake.message, mistake.hint);
                None
            }
        }
    }

    /// The storage of rules that name none: as the file says, else the only one, else the
    /// embedded default's.
    fn default_storage(&mut self, parts: &Parts) -> String {
        let given = self.given.defaults.storage.clone();
        let mut names = parts.storages.keys();
        if let (None, Some(only), None) = (&given, names.next(), names.next()) {
            return only.clone();
        }
        let name = or_default(given.as_ref(), self.default.defaults.storage.as_ref());
        self.check_reference("storage", &name, &parts.storages.keys().cloned().collect());
        name.value
    }

    fn check_reference(&mut self, what: &str, name: &Placed<String>, known: &BTreeSet<String>) {
        if self.complete && !known.contains(&name.value) {
            let hint = did_you_mean(&name.value, known.iter().map(String::as_str))
                .unwrap_or_else(|| format!("add it to {what}s, or name none"));
            self.notes.note(name.place, format!("unknown {what} `{}`", name.value), hint);
        }
    }

    fn check_max_duration(&mut self, most: &Placed<Span>, duration: Span) {
        if most.value < duration && !most.value.0.is_zero() {
            let message = format!(
                "defaults.capture.limits.max_duration {} is below defaults.capture.limits.duration \
                 {duration}",
                most.value
            );
            self.notes.note(most.place, message, "raise it, or lower the duration");
        }
    }

    fn check_look_back(&mut self, given: &Placed<Span>) {
        let longest = Span(rules::MAX_LOOK_BACK);
        if given.value > longest {
            let message = format!("`look_back` {} is above {longest}, the longest", given.value);
            self.notes.note(given.place, message, "lower it");
        }
    }

    /// `names` are those of the limit and of its ceiling.
    fn check_limit<T: Ord + Default + Copy + std::fmt::Display>(
        &mut self,
        [name, ceiling_name]: [&str; 2],
        place: Place,
        given: T,
        ceiling: T,
    ) {
        if given == T::default() {
            self.notes.note(place, format!("a capture of {given} makes no sense"), "give more");
        } else if given > ceiling {
            let message = format!(
                "defaults.capture.limits.{name} {given} is above ceilings.{ceiling_name} {ceiling}"
            );
            self.notes.note(place, message, "lower the default, or raise the ceiling");
        }
    }

    /// Where rules are, or may appear.
    fn watched_rules(&self) -> Vec<PathBuf> {
        let paths = self.given.rules.as_ref().or(self.default.rules.as_ref());
        paths.into_iter().flatten().map(|path| self.notes.path(&path.value)).collect()
    }

    /// The rules' files. Those of the embedded default need not exist.
    fn rule_paths(&mut self) -> Vec<PathBuf> {
        let Some(given) = &self.given.rules else {
            let default = self.default.rules.iter().flatten().map(|path| path.value.clone());
            return default.filter(|path| path.exists()).collect();
        };
        let mut paths = Vec::with_capacity(given.len());
        for placed in given {
            let path = self.notes.path(&placed.value);
            if path.exists() {
                paths.push(path);
            } else {
                let message = format!("{} does not exist", path.display());
                self.notes.note(placed.place, message, "create it, or name another one");
            }
        }
        paths
    }
}
