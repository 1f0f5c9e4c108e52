//! The rules, and what they make of an event that is none. Nothing here changes anything.

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::events;
use crate::control::problem::{Problem, shown};
use crate::worker::{ExplainAnswer, ExplainRequest, Handle, NotExplained, RuleView};

/// `GET /v1/rules`: in the order of the rule files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub rules: Vec<RuleView>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    format: Option<String>,
    source: Option<String>,
    rule: Option<String>,
}

pub(super) async fn list(State(handle): State<Handle>) -> Result<Json<Rules>, Problem> {
    Ok(Json(Rules { rules: handle.rules().await? }))
}

pub(super) async fn explain(
    State(handle): State<Handle>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ExplainAnswer>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let request = ExplainRequest {
        source: events::source(query.source)?,
        format: query.format.map(|name| events::format(Some(&name))).transpose()?,
        body: body.into(),
        rule: query.rule,
    };
    handle.explain(request).await?.map(Json).map_err(not_explained)
}

fn not_explained(why: NotExplained) -> Problem {
    let status = match &why {
        NotExplained::Unreadable(_) | NotExplained::TooMany { .. } => StatusCode::BAD_REQUEST,
        NotExplained::NoSuchRule(name) => {
            return Problem::not_found(NotExplained::NoSuchRule(shown(name)).to_string());
        }
        NotExplained::Busy => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, why.to_string())
}
