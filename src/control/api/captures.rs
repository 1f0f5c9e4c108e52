//! Captures: what is asked of the worker, and how the answers look.

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::create;
use super::query::{MAX_LIMIT, checked_limit};
use super::view::CaptureView;
use crate::control::access::{Caller, Scope};
use crate::control::problem::{Problem, shown};
use crate::model::{Capture, State as CaptureState};
use crate::worker::{Handle, RedriveAnswer, StopAnswer};

/// The states that a list can ask for.
const STATES: [CaptureState; 7] = [
    CaptureState::Pending,
    CaptureState::Capturing,
    CaptureState::Sealed,
    CaptureState::Uploading,
    CaptureState::Done,
    CaptureState::Partial,
    CaptureState::Failed,
];

/// `GET /v1/captures`: newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Captures {
    pub captures: Vec<CaptureView>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filters {
    limit: Option<usize>,
    /// Words of states, with ',' between them.
    state: Option<String>,
    /// Empty stands for captures by hand.
    rule: Option<String>,
}

/// Where a state or a rule is asked for, it is looked for among the newest [`MAX_LIMIT`].
pub(super) async fn list(
    State(handle): State<Handle>,
    query: Result<Query<Filters>, QueryRejection>,
) -> Result<Json<Captures>, Problem> {
    let Query(Filters { limit, state, rule }) =
        query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let limit = checked_limit(limit)?;
    let states = state.as_deref().map(states).transpose()?;
    let is_asked_for = |capture: &Capture| {
        states.as_ref().is_none_or(|states| states.contains(&capture.state))
            && rule.as_ref().is_none_or(|rule| *rule == capture.plan.rule)
    };
    let looked_at = if states.is_some() || rule.is_some() { MAX_LIMIT } else { limit };
    let captures = handle.captures(looked_at).await?;
    let captures = captures.into_iter().filter(is_asked_for).take(limit);
    Ok(Json(Captures { captures: captures.map(CaptureView::from).collect() }))
}

fn states(words: &str) -> Result<Vec<CaptureState>, Problem> {
    let state = |word: &str| {
        STATES.into_iter().find(|state| state.word() == word.trim()).ok_or_else(|| {
            let words = STATES.map(CaptureState::word).join(", ");
            Problem::bad_field("state", word, &format!("write some of {words}"))
        })
    };
    words.split(',').map(state).collect()
}

pub(super) async fn create(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let create::Asked { request, continuous } = create::read(name.clone(), &body)?;
    if request.placing.local_file.is_some() && caller.scope < Scope::Admin {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a token of scope operate may not write files of the worker's host; leave out \
             storageLocation.filePath, or use a token of scope admin",
        ));
    }
    match handle.create(request).await? {
        Ok(capture) => {
            let view = CaptureView::from(*capture);
            let location = HeaderValue::from_str(&view.links.itself).ok();
            let mut response = (StatusCode::CREATED, etag(&view), Json(view)).into_response();
            if let Some(location) = location {
                response.headers_mut().insert(LOCATION, location);
            }
            Ok(response)
        }
        Err(not_created) => Err(create::refused(not_created, &name, continuous)),
    }
}

pub(super) async fn show(
    State(handle): State<Handle>,
    Path(key): Path<String>,
) -> Result<(HeaderMap, Json<CaptureView>), Problem> {
    let capture = handle.capture(key.clone()).await?.ok_or_else(|| no_such_capture(&key))?;
    let view = CaptureView::from(*capture);
    Ok((etag(&view), Json(view)))
}

fn etag(view: &CaptureView) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("\"{}\"", view.etag)).ok();
    value.into_iter().map(|value| (ETAG, value)).collect()
}

pub(super) async fn stop(
    State(handle): State<Handle>,
    Path(key): Path<String>,
) -> Result<Json<StopAnswer>, Problem> {
    let answer = handle.stop(key.clone()).await?.ok_or_else(|| no_such_capture(&key))?;
    Ok(Json(answer))
}

/// 200 with what was deleted; 204 where there is nothing of that name, which is what was wanted.
pub(super) async fn delete(
    State(handle): State<Handle>,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    Ok(match handle.delete(key).await? {
        Some(answer) => Json(answer).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Tries again what was given up of it.
pub(super) async fn upload(
    State(handle): State<Handle>,
    Path(key): Path<String>,
) -> Result<Json<RedriveAnswer>, Problem> {
    let answer = handle.drive_again(key.clone()).await?.ok_or_else(|| no_such_capture(&key))?;
    Ok(Json(answer))
}

pub(super) fn no_such_capture(key: &str) -> Problem {
    let key = shown(key);
    Problem::not_found(format!(
        "there is no capture with the name or id '{key}'; see 'hindsight capture list'"
    ))
}
