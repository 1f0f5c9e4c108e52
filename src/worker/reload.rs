//! Reading the configuration again: all of it acts, or nothing.
//!
//! What is read, compiled and built is so beside the loop, which goes on with the old set meanwhile;
//! then the loop takes the new set over in one piece. What cannot change while the process runs stays
//! as it was and is named. Where anything fails, the old set goes on and the problems are told to
//! whoever asked, to the log, to `status` and to the service manager.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use crate::clock::calendar::{Cron, Zone};
use crate::clock::{self, Now};
use crate::config::Config;
use crate::notify::Notifiers;
use crate::source::schedule::Schedule;
use crate::telemetry::{self, metrics};
use crate::upload::Storages;
use crate::yaml::Problem;
use crate::{notify, service, session, spawn};

use super::request::ReloadAnswer;
use super::settle::GRACE;
use super::sources::Sources;
use super::state::{Fresh, Loop, Prepared, ReloadAsker};

/// What the machine has to know of a configuration.
pub(super) fn settings_of(config: &Config) -> session::Settings {
    let kinds =
        |(name, settings): (&String, &notify::Settings)| (name.clone(), settings.events().clone());
    session::Settings {
        notifier_kinds: config.notifiers.iter().map(kinds).collect(),
        host: config.host.clone(),
        default_notify: config.defaults.notify.clone(),
        rules: Some(config.rules.fingerprints()),
        ..session::Settings::new(config.ceilings)
    }
}

/// What the calendar has to know of a configuration.
pub(super) fn schedules_of(config: &Config) -> Vec<Schedule> {
    let schedule = |(rule, cron, zone): (&str, &Cron, &Zone)| Schedule {
        rule: rule.to_owned(),
        cron: cron.clone(),
        zone: *zone,
    };
    config.rules.schedules().map(schedule).collect()
}

/// Reads the configuration again and builds what it asks for. Blocking; on a thread of the runtime,
/// where notifiers begin to connect.
fn prepare(acting: &Config, sources: &Sources) -> Result<Fresh, Vec<String>> {
    let problems = |found: Vec<Problem>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut config = acting.load_again().map_err(problems)?;
    let storages = Storages::build(&config.storages).map_err(|error| vec![error.to_string()])?;
    let receivers = sources.build(&config.sources).map_err(|error| vec![error.to_string()])?;
    let needs_restart = keep_what_stays(acting, &mut config);
    let changed = changed(acting, &config);
    // Last, because it begins to connect.
    let notifiers = if config.notifiers == acting.notifiers {
        None
    } else {
        Some(Notifiers::build(&config.notifiers).map_err(|error| vec![error.to_string()])?)
    };
    let answer = ReloadAnswer { rules: config.rules.len(), changed, needs_restart };
    Ok(Fresh { config, storages, notifiers, receivers, answer })
}

/// Puts back what only a restart can change; names the keys.
fn keep_what_stays(acting: &Config, config: &mut Config) -> Vec<String> {
    let mut keys = Vec::new();
    let mut note = |key: &str, differs: bool| {
        if differs {
            keys.push(key.to_owned());
        }
    };
    note("state", config.state_directory != acting.state_directory);
    note("log.format", config.log.format != acting.log.format);
    note("recorder", config.capture.recorders != acting.capture.recorders);
    note("recorder.on_demand", config.capture.private != acting.capture.private);
    note("ceilings.memory", config.capture.memory_bytes != acting.capture.memory_bytes);
    note("control.socket", config.control.socket != acting.control.socket);
    note("control.listen", config.control.listen != acting.control.listen);
    config.state_directory.clone_from(&acting.state_directory);
    config.log.format = acting.log.format;
    config.capture = acting.capture.clone();
    config.control = acting.control.clone();
    let recorded = config.capture.recorders.iter().map(|recorder| recorder.interface.clone());
    config.rules.capture_on(recorded.collect());
    keys
}

/// The parts that act otherwise from now on.
fn changed(acting: &Config, config: &Config) -> Vec<String> {
    let mut parts = Vec::new();
    let mut note = |part: &str, differs: bool| {
        if differs {
            parts.push(part.to_owned());
        }
    };
    note("host", config.host != acting.host);
    note("log.level", config.log.level != acting.log.level);
    // A compiled expression has no equality, but its text tells all of it.
    note("rules", format!("{:?}", config.rules) != format!("{:?}", acting.rules));
    note("defaults", config.defaults != acting.defaults);
    note("ceilings", config.ceilings != acting.ceilings);
    note("retention", config.retention != acting.retention);
    parts.extend(differing("sources", &acting.sources, &config.sources));
    parts.extend(differing("storages", &acting.storages, &config.storages));
    parts.extend(differing("notifiers", &acting.notifiers, &config.notifiers));
    parts
}

fn differing<T: PartialEq + Debug>(
    what: &str,
    before: &BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
) -> Vec<String> {
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    let other = now.iter().filter(|(name, part)| before.get(*name) != Some(part)).map(|(n, _)| n);
    gone.chain(other).map(|name| format!("{what}.{name}")).collect()
}

impl Loop {
    /// Begins a reload, or lets it follow the one that is under way: the files may have changed since
    /// that one read them.
    pub(super) fn reload(&mut self, asker: ReloadAsker) {
        self.reload.waiting.push(asker);
        if self.reload.under_way.is_none() {
            self.begin_reload();
        }
    }

    fn begin_reload(&mut self) {
        self.reload.under_way = Some(std::mem::take(&mut self.reload.waiting));
        service::reloading();
        let (acting, sources) = (self.config.clone(), Arc::clone(&self.sources));
        let prepared = self.prepared.clone();
        spawn::task("reload", async move {
            let built = spawn::blocking(move || prepare(&acting, &sources)).await;
            let result = built.unwrap_or_else(|ended| {
                tracing::error!(%ended, "reading the configuration failed inside");
                Err(vec![
                    "reading the configuration failed inside the worker; its log says where"
                        .to_owned(),
                ])
            });
            // A loop that is gone no longer wants it.
            drop(prepared.send(Prepared::Reloaded(result.map(Box::new))).await);
        });
    }

    /// Takes over what a reload has prepared, or says why not.
    pub(super) fn reloaded(&mut self, result: Result<Box<Fresh>, Vec<String>>, now: Now) {
        let answer = match result {
            Ok(fresh) => Ok(self.take_over(*fresh, now)),
            Err(problems) => {
                metrics::RELOADS.add(&["failed"], 1);
                for problem in &problems {
                    tracing::error!(problem, "the configuration is not changed");
                }
                let first = problems.first().map(String::as_str).unwrap_or_default();
                service::ready(&format!("the configuration is not changed: {first}"));
                self.reload.error = Some(problems.join("\n"));
                Err(problems)
            }
        };
        for asker in self.reload.under_way.take().into_iter().flatten() {
            // Whoever asked may be gone.
            drop(asker.send(answer.clone()));
        }
        if !self.reload.waiting.is_empty() {
            self.begin_reload();
        }
    }

    fn take_over(&mut self, fresh: Fresh, now: Now) -> ReloadAnswer {
        let Fresh { config, storages, notifiers, receivers, answer } = fresh;
        if let Err(error) = telemetry::change_level(&config.log) {
            tracing::error!(%error, "the level of the log stays as it was");
        }
        self.storages = Arc::new(storages);
        if let Some(notifiers) = notifiers {
            let before = std::mem::replace(&mut self.notifiers, Arc::new(notifiers));
            spawn::task("notifiers before", retire(before));
        }
        self.sources.mount(receivers);
        self.sources.set(&config.sources);
        self.sources.schedule(schedules_of(&config));
        self.machine.configure(settings_of(&config));
        self.acting.send_replace((config.watched().clone(), config.stamps().clone()));
        self.config = config;
        self.upkeep.sweep_again(now.boot);
        self.reload.loaded_at = now.wall;
        self.reload.error = None;
        self.reload.needs_restart.clone_from(&answer.needs_restart);
        metrics::RELOADS.add(&["ok"], 1);
        let (changed, restart) = (answer.changed.join(", "), answer.needs_restart.join(", "));
        if restart.is_empty() {
            tracing::info!(rules = answer.rules, changed, "the configuration was read again");
        } else {
            tracing::warn!(
                rules = answer.rules,
                changed,
                "the configuration was read again; needs a restart: {restart}"
            );
        }
        service::ready(&format!("{} rules", answer.rules));
        answer
    }
}

/// Lets go of notifiers once the notices that they are sending have gone out.
async fn retire(mut notifiers: Arc<Notifiers>) {
    let give_up_at = clock::boot_time() + 2 * GRACE;
    loop {
        notifiers = match Arc::try_unwrap(notifiers) {
            Ok(unused) => return unused.shutdown().await,
            Err(_) if clock::boot_time() >= give_up_at => return,
            Err(used) => used,
        };
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let text = format!("version: 1\nstate: /tmp/none\nrules: []\n{text}");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file)).unwrap_or_else(|problems| panic!("{}", problems[0]))
    }

    #[test]
    fn what_needs_a_restart_stays_as_it_was_and_is_named() {
        let acting = config("recorder: { interfaces: [eth0] }\n");
        let mut other = config(
            "recorder: { interfaces: [eth1] }\nlog: { level: debug, format: json }\n\
             ceilings: { memory: 2GiB, concurrent: 3 }\n\
             control: { socket: /tmp/other.sock, listen: [] }\n",
        );
        let keys = keep_what_stays(&acting, &mut other);
        let expected =
            ["log.format", "recorder", "ceilings.memory", "control.socket", "control.listen"];
        assert_eq!(keys, expected);
        assert_eq!(other.capture, acting.capture);
        let parts = changed(&acting, &other);
        assert_eq!(parts, ["log.level", "ceilings", "sources.hook"]);
        assert_eq!(changed(&acting, &acting), Vec::<String>::new());
    }

    #[test]
    fn parts_that_came_went_or_differ_are_named() {
        let before =
            BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2), ("c".to_owned(), 3)]);
        let now = BTreeMap::from([("b".to_owned(), 2), ("c".to_owned(), 4), ("d".to_owned(), 5)]);
        assert_eq!(differing("x", &before, &now), ["x.a", "x.c", "x.d"]);
    }
}
