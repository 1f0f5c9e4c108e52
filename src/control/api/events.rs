//! Events by hand.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::clock;
use crate::control::problem::Problem;
use crate::model::Outcome;
use crate::source::format::{Format, json};
use crate::source::{Content, Delivery};
use crate::worker::Handle;

/// The name of the source of events that come by hand.
const SOURCE: &str = "control";

/// The longest name of a source, in bytes.
const MAX_SOURCE_BYTES: usize = 64;

/// How long an event by hand waits for its commit: the fsync of a busy disk takes seconds.
const COMMIT_PATIENCE: Duration = Duration::from_secs(15);

/// `GET /v1/outcomes`, newest first, and the answer to `POST /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    pub outcomes: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    format: Option<String>,
    source: Option<String>,
}

pub(super) async fn send(
    State(handle): State<Handle>,
    query: Result<Query<EventQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Outcomes>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let format = format(query.format.as_deref())?;
    let source = source(query.source)?;
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let content = match format.decode(&source, &body, clock::wall_time()) {
        // Whoever sends by hand is told at once; there is nothing to acknowledge and to keep.
        Content::Rejected(rejected) => return Err(Problem::bad_request(rejected.reason)),
        content @ (Content::Events(_) | Content::Session { .. }) => content,
    };
    let (done, recorded) = oneshot::channel();
    handle.deliver(Delivery { content, done }).await?;
    match tokio::time::timeout(COMMIT_PATIENCE, recorded).await {
        Ok(Ok(outcomes)) => Ok(Json(Outcomes { outcomes })),
        Ok(Err(_dropped)) => Err(Problem::unavailable("the event was not recorded; send it again")),
        Err(_elapsed) => Err(Problem::unavailable(format!(
            "the event was handed over, but not recorded within {} s; see 'hindsight status', \
             and send it again if its outcome is missing",
            COMMIT_PATIENCE.as_secs(),
        ))),
    }
}

pub(super) fn format(name: Option<&str>) -> Result<Format, Problem> {
    Format::from_name(name.unwrap_or("auto"), json::Mapping::default())
        .map_err(|unknown| Problem::bad_request(unknown.to_string()))
}

pub(super) fn source(name: Option<String>) -> Result<String, Problem> {
    let name = name.unwrap_or_else(|| SOURCE.to_owned());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > MAX_SOURCE_BYTES || !name.bytes().all(is_plain) {
        return Err(Problem::bad_request(format!(
            "source is not a name of 1 to {MAX_SOURCE_BYTES} letters, digits, '.', '_' and '-'"
        )));
    }
    Ok(name)
}
