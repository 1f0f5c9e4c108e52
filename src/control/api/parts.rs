//! How the worker and its parts are doing.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::events::Outcomes;
use super::query::{self, List};
use crate::control::problem::Problem;
use crate::model::{Audit, Health, RecorderStatus};
use crate::worker::{Handle, ReloadAnswer, Status, StorageCheck};

/// How long the run loop may take to answer before it counts as not well.
const HEALTH_PATIENCE: Duration = Duration::from_secs(3);

/// What this API is, for programs.
pub(super) const OPENAPI: &str = include_str!("../openapi.json");

/// The media type of Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /v1/recorders`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorders {
    pub recorders: Vec<RecorderStatus>,
}

/// `GET /v1/storages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storages {
    pub storages: Vec<StorageView>,
}

/// One storage: what the work with it has shown and, where it was asked, how it answers now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageView {
    #[serde(flatten)]
    pub health: Health,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<StorageCheck>,
}

/// `GET /v1/audit`: newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecords {
    pub records: Vec<Audit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StorageQuery {
    check: Option<bool>,
}

pub(super) async fn status(State(handle): State<Handle>) -> Result<Json<Status>, Problem> {
    let status = handle.status().await?;
    Ok(Json(*status))
}

pub(super) async fn recorders(State(handle): State<Handle>) -> Result<Json<Recorders>, Problem> {
    let recorders = handle.recorders().await?;
    Ok(Json(Recorders { recorders }))
}

pub(super) async fn outcomes(
    State(handle): State<Handle>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Json<Outcomes>, Problem> {
    let outcomes = handle.outcomes(query::limit(query)?).await?;
    Ok(Json(Outcomes { outcomes }))
}

pub(super) async fn storages(
    State(handle): State<Handle>,
    query: Result<Query<StorageQuery>, QueryRejection>,
) -> Result<Json<Storages>, Problem> {
    let Query(StorageQuery { check }) =
        query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let mut checks = match check {
        Some(true) => handle.storages_check().await?,
        Some(false) | None => Vec::new(),
    };
    let views = handle.status().await?.storages.into_iter().map(|health| {
        let at = checks.iter().position(|check| check.name == health.name);
        StorageView { check: at.map(|at| checks.swap_remove(at)), health }
    });
    Ok(Json(Storages { storages: views.collect() }))
}

pub(super) async fn reload(State(handle): State<Handle>) -> Result<Json<ReloadAnswer>, Problem> {
    handle.reload().await?.map(Json).map_err(|errors| {
        let count = errors.len();
        let detail = format!(
            "the configuration was not loaded: {}; nothing was changed",
            if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") }
        );
        Problem { errors, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    })
}

pub(super) async fn audit(
    State(handle): State<Handle>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Json<AuditRecords>, Problem> {
    let records = handle.audits(query::limit(query)?).await?;
    Ok(Json(AuditRecords { records }))
}

pub(super) async fn metrics(State(handle): State<Handle>) -> Response {
    ([(CONTENT_TYPE, PROMETHEUS)], handle.metrics()).into_response()
}

pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// 200 while the run loop answers.
pub(super) async fn healthy(State(handle): State<Handle>) -> Result<&'static str, Problem> {
    asked(&handle).await.map(|_status| "ok\n")
}

/// 200 while events are taken.
pub(super) async fn ready(State(handle): State<Handle>) -> Result<&'static str, Problem> {
    match asked(&handle).await?.ready {
        true => Ok("ready\n"),
        false => Err(Problem::unavailable("the worker is starting or stopping")),
    }
}

async fn asked(handle: &Handle) -> Result<Box<Status>, Problem> {
    match tokio::time::timeout(HEALTH_PATIENCE, handle.status()).await {
        Ok(status) => Ok(status?),
        Err(_elapsed) => Err(Problem::unavailable("the run loop does not answer in time")),
    }
}
