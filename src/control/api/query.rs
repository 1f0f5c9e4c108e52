//! What lists are asked with.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;

use crate::control::problem::Problem;

/// How many rows a list has where the request does not say, and how many it may ask for. A capture
/// is a few KiB of JSON.
const DEFAULT_LIMIT: usize = 50;
pub(super) const MAX_LIMIT: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    limit: Option<usize>,
}

/// # Errors
/// The query is not that of a list.
pub(super) fn limit(query: Result<Query<List>, QueryRejection>) -> Result<usize, Problem> {
    let Query(List { limit }) =
        query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    checked_limit(limit)
}

/// # Errors
/// The limit is 0 or too high.
pub(super) fn checked_limit(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        wrong => Err(Problem::bad_field(
            "limit",
            &wrong.to_string(),
            &format!("write a number from 1 to {MAX_LIMIT}"),
        )),
    }
}
