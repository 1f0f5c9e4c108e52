//! The control API. Answers are the nouns of `model` and `worker` as they are.

use std::time::Duration;

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::problem::Problem;
use crate::clock;
use crate::model::{Capture, Outcome, RecorderStatus};
use crate::source::format::{Format, json};
use crate::source::{Content, Delivery};
use crate::worker::{Handle, Status, StopAnswer};

/// How many rows a list has where the request does not say, and how many it may ask for. A capture
/// is a few KiB of JSON.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 1000;

/// The name of the source of events that come by hand.
const SOURCE: &str = "control";

/// The longest name of a source, in bytes.
const MAX_SOURCE_BYTES: usize = 64;

/// How long an event by hand waits for its commit: the fsync of a busy disk takes seconds.
const COMMIT_PATIENCE: Duration = Duration::from_secs(15);

/// `GET /v1/captures`: newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Captures {
    pub captures: Vec<Capture>,
}

/// `GET /v1/outcomes`, newest first, and the answer to `POST /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    pub outcomes: Vec<Outcome>,
}

/// `GET /v1/recorders`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorders {
    pub recorders: Vec<RecorderStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventQuery {
    format: Option<String>,
    source: Option<String>,
}

pub(super) fn routes(handle: Handle) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/captures", get(captures))
        .route("/v1/captures/{key}", get(capture))
        .route("/v1/captures/{key}/stop", post(stop))
        .route("/v1/recorders", get(recorders))
        .route("/v1/outcomes", get(outcomes))
        .route("/v1/events", post(events))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(handle)
}

async fn status(State(handle): State<Handle>) -> Result<Json<Status>, Problem> {
    let status = handle.status().await?;
    Ok(Json(*status))
}

async fn captures(
    State(handle): State<Handle>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Json<Captures>, Problem> {
    let captures = handle.captures(limit(query)?).await?;
    Ok(Json(Captures { captures }))
}

async fn capture(
    State(handle): State<Handle>,
    Path(key): Path<String>,
) -> Result<Json<Capture>, Problem> {
    let capture = handle.capture(key.clone()).await?.ok_or_else(|| no_such_capture(&key))?;
    Ok(Json(*capture))
}

async fn stop(
    State(handle): State<Handle>,
    Path(key): Path<String>,
) -> Result<Json<StopAnswer>, Problem> {
    let answer = handle.stop(key.clone()).await?.ok_or_else(|| no_such_capture(&key))?;
    Ok(Json(answer))
}

async fn recorders(State(handle): State<Handle>) -> Result<Json<Recorders>, Problem> {
    let recorders = handle.recorders().await?;
    Ok(Json(Recorders { recorders }))
}

async fn outcomes(
    State(handle): State<Handle>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Json<Outcomes>, Problem> {
    let outcomes = handle.outcomes(limit(query)?).await?;
    Ok(Json(Outcomes { outcomes }))
}

async fn events(
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

fn limit(query: Result<Query<List>, QueryRejection>) -> Result<usize, Problem> {
    let Query(List { limit }) =
        query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        wrong => Err(Problem::bad_request(format!("limit={wrong} is not in 1 to {MAX_LIMIT}"))),
    }
}

fn format(name: Option<&str>) -> Result<Format, Problem> {
    Format::from_name(name.unwrap_or("auto"), json::Mapping::default())
        .map_err(|unknown| Problem::bad_request(unknown.to_string()))
}

fn source(name: Option<String>) -> Result<String, Problem> {
    let name = name.unwrap_or_else(|| SOURCE.to_owned());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > MAX_SOURCE_BYTES || !name.bytes().all(is_plain) {
        return Err(Problem::bad_request(format!(
            "source is not a name of 1 to {MAX_SOURCE_BYTES} letters, digits, '.', '_' and '-'"
        )));
    }
    Ok(name)
}

fn no_such_capture(key: &str) -> Problem {
    let key: String = key.chars().take(100).collect();
    Problem::not_found(format!(
        "there is no capture with the name or id '{key}'; see 'hindsight capture list'"
    ))
}

pub(super) async fn no_such_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    Problem::not_found(format!("there is nothing at {path}"))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not answer to {method}"))
}
