//! What a worker that runs says of itself.

use super::{Finding, is_absent, status, told};
use crate::cli::client::{Client, Reach};
use crate::cli::output::second;
use crate::control::Storages;
use crate::model::Health;
use crate::units::Bytes;
use crate::worker::Status;

/// Of the file system, less than so many hundredths free is little.
const LITTLE_PERCENT: u64 = 10;

/// Whether a worker runs, and what it says.
pub(super) async fn ask(reach: &Reach) -> (Finding, Option<Status>) {
    match status(reach).await {
        Ok(status) => {
            let since = second(status.started_at);
            let what = format!("version {} runs on {} since {since}", status.version, status.host);
            let finding = if status.ready {
                Finding::ok("worker", "", what)
            } else {
                Finding::warning("worker", "", format!("{what}, and is not ready"), "see its log")
            };
            (finding, Some(status))
        }
        Err(error) if is_absent(&error) => {
            let fix = "systemctl start hindsight, or hindsight run; the rest was tried without it";
            (Finding::warning("worker", "", "none runs", fix), None)
        }
        Err(error) => {
            (Finding::failed("worker", "", told(&error), "see the log of the worker"), None)
        }
    }
}

pub(super) fn findings(status: &Status) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(error) = &status.configuration.error {
        let what = format!("the last reload failed, and the set before it acts: {error}");
        findings.push(Finding::warning("reload", "", what, "mend it, then 'hindsight reload'"));
    }
    if !status.configuration.needs_restart.is_empty() {
        let keys = status.configuration.needs_restart.join(", ");
        let what = format!("these changes do not act yet: {keys}");
        findings.push(Finding::warning("reload", "", what, "systemctl restart hindsight"));
    }
    findings.extend(recorders(status));
    findings.extend(status.sources.iter().map(|health| party("source", health)));
    findings.extend(status.notifiers.iter().map(|health| party("notifier", health)));
    findings.push(disk(status));
    findings
}

fn recorders(status: &Status) -> Vec<Finding> {
    if status.recorders.is_empty() {
        return vec![nothing_recorded()];
    }
    let recorder = |recorder: &crate::model::RecorderStatus| {
        let name = &recorder.interface;
        if recorder.state != "recording" {
            let fix = "'ip link set DEV up' where the interface is down; recorder.interfaces names \
                       those that are recorded";
            return Finding::failed("interface", name, recorder.state.clone(), fix);
        }
        let held = recorder.window_ms / 1000;
        if recorder.dropped > 0 {
            let what = format!(
                "recording; the kernel dropped {} of {}",
                recorder.dropped, recorder.received
            );
            return Finding::warning("interface", name, what, "give recorder.memory more");
        }
        Finding::ok("interface", name, format!("recording, {held} s held"))
    };
    status.recorders.iter().map(recorder).collect()
}

/// No interface is recorded.
pub(super) fn nothing_recorded() -> Finding {
    let what = "nothing is recorded, so no capture reaches back before its event";
    Finding::warning("interface", "", what, "name interfaces in recorder.interfaces")
}

fn party(check: &'static str, health: &Health) -> Finding {
    let since = second(health.since);
    if health.ok {
        return Finding::ok(
            check,
            &health.name,
            format!("{} ({}) since {since}", health.state, health.kind),
        );
    }
    let error = health.error.as_deref().unwrap_or("no reason was given");
    let what = format!("{} since {since}: {error}", health.state);
    let fix = match health.kind.as_str() {
        "mqtt" => {
            "see that the broker runs, that its address, user and password are right, and that \
                   no firewall stands between"
        }
        _ => "see that its address, credentials and certificates are right",
    };
    Finding::failed(check, &health.name, what, fix)
}

fn disk(status: &Status) -> Finding {
    let spool = &status.spool;
    let free = Bytes(spool.free_bytes).rounded();
    let what = format!("{} in the spool, {free} free", Bytes(spool.bytes).rounded());
    // 0 where it was not measured yet.
    let is_little =
        spool.total_bytes > 0 && spool.free_bytes < spool.total_bytes / 100 * LITTLE_PERCENT;
    if is_little {
        return Finding::warning("disk", "spool", what, "free some, or lower ceilings.spool");
    }
    Finding::ok("disk", "spool", what)
}

/// Each storage, asked now.
pub(super) async fn storages(reach: &Reach) -> Vec<Finding> {
    let asked = async {
        let storages: Storages =
            Client::new(reach)?.get(&["storages"], &[("check", "true")]).await?;
        Ok::<_, crate::cli::client::Error>(storages)
    };
    let answer = match asked.await {
        Ok(answer) => answer,
        Err(error) => {
            return vec![Finding::failed("storage", "", told(&error), "see the log of the worker")];
        }
    };
    let finding = |storage: crate::control::StorageView| {
        let name = &storage.health.name;
        match storage.check {
            Some(check) => match check.error {
                None => Finding::ok(
                    "storage",
                    name,
                    format!("{} answers in {} ms", check.kind, check.millis),
                ),
                Some(error) => unusable(name, &error),
            },
            None => {
                let what = "files wait for it, and the configuration no longer has it";
                Finding::failed("storage", name, what, "put it back into storages, and reload")
            }
        }
    };
    answer.storages.into_iter().map(finding).collect()
}

/// A storage that cannot be used.
pub(super) fn unusable(name: &str, error: &str) -> Finding {
    let fix = "see that its address, bucket or folder, and credentials are right; files wait in the \
               spool meanwhile";
    Finding::failed("storage", name, error, fix)
}
