//! Events of a fixture as the file says them, checked.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::model::Status;
use crate::source::format::json::Mapping;
use crate::source::format::{Format, MAX_BODY_BYTES};
use crate::yaml::{File, Placed, Problem};

use super::event::{Draft, Incoming};
use super::raw;

/// The source of an event that names none: that of events sent by hand.
const SOURCE: &str = "control";

/// Checks one event, and reads the file that it names.
pub(super) fn incoming(
    event: &Placed<raw::Event>,
    file: &File,
    problems: &mut Vec<Problem>,
) -> Option<Incoming> {
    let raw = &event.value;
    let source = raw.source.clone().unwrap_or_else(|| SOURCE.to_owned());
    let body = match (&raw.payload, &raw.file) {
        (None, None) => return draft(event, source, file, problems),
        (Some(text), None) => text.value.clone().into_bytes(),
        (None, Some(path)) => match read(file, &path.value) {
            Ok(body) => body,
            Err(why) => {
                problems.push(file.problem(path.place, why));
                return None;
            }
        },
        (Some(_), Some(path)) => {
            let problem = file.problem(path.place, "`file` cannot stand beside `payload`");
            problems.push(problem.with_hint("both are the message as it was sent; take one"));
            return None;
        }
    };
    if raw.has_fields() {
        let message = "a message that was sent stands alone; its fields are in it";
        let problem = file.problem(event.place, message);
        problems.push(problem.with_hint("remove `name`, `labels` and what else is not in it"));
        return None;
    }
    let format = match &raw.format {
        None => Format::Auto,
        Some(name) => match Format::from_name(&name.value, Mapping::default()) {
            Ok(format) => format,
            Err(error) => {
                problems.push(file.problem(name.place, error.to_string()));
                return None;
            }
        },
    };
    Some(Incoming::Message { source, format: Box::new(format), body })
}

fn draft(
    event: &Placed<raw::Event>,
    source: String,
    file: &File,
    problems: &mut Vec<Problem>,
) -> Option<Incoming> {
    let raw = &event.value;
    if let Some(format) = &raw.format {
        let problem = file.problem(format.place, "`format` is that of a `payload` or a `file`");
        problems.push(problem.with_hint("remove it, or give the message as it was sent"));
        return None;
    }
    let labels = raw::pairs(raw.labels.as_ref());
    let Some(name) = raw.name.clone().or_else(|| labels.get("alertname").cloned()) else {
        if event.whole {
            let problem = file.problem(event.place, "the event has no name");
            problems
                .push(problem.with_hint("give it a `name`, a label `alertname`, or a `payload`"));
        }
        return None;
    };
    Some(Incoming::Event(Box::new(Draft {
        source,
        name,
        status: raw.status.unwrap_or(Status::Firing),
        severity: raw.severity.clone().or_else(|| labels.get("severity").cloned()),
        labels,
        annotations: raw::pairs(raw.annotations.as_ref()),
        value: raw.value.map(|number| number.0),
        starts_at: raw.starts_at,
        fingerprint: raw.fingerprint.clone(),
    })))
}

/// Reads a message from a file beside the fixture. One that is too long is refused by its format.
fn read(file: &File, path: &str) -> Result<Vec<u8>, String> {
    let path = beside(file.path(), path);
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut body = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(limit).read_to_end(&mut body))
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(body)
}

/// A path as a file means it: from the folder that the file is in.
pub(super) fn beside(file: &Path, path: &str) -> std::path::PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(path)
}
