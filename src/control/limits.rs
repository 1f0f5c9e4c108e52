//! Bounds on requests: how many at once, how long, how large.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::problem::Problem;
use crate::source::format;

/// The most requests that one listener works on at once. With [`MAX_BODY_BYTES`] this bounds the
/// memory that bodies take: 68 MiB.
const MAX_REQUESTS: usize = 64;

/// The most bytes of a body that are read: what a message may have, and a margin, so that one that
/// is a little too large is refused by the format, which says why.
const MAX_BODY_BYTES: usize = format::MAX_BODY_BYTES + 64 * 1024;

/// How long one request may take, reading its body included. Longer than all that
/// a handler waits for, so that a slow loop is reported as such.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// Puts the bounds around a listener's routes.
pub(super) fn bounded(routes: Router) -> Router {
    bounded_by(routes, MAX_REQUESTS, REQUEST_PATIENCE)
}

fn bounded_by(routes: Router, requests: usize, patience: Duration) -> Router {
    let bounds = Bounds { requests: Arc::new(Semaphore::new(requests)), patience };
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(bounds, within_bounds))
}

#[derive(Clone, Debug)]
struct Bounds {
    requests: Arc<Semaphore>,
    patience: Duration,
}

async fn within_bounds(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let Ok(_permit) = bounds.requests.try_acquire() else {
        return Problem::unavailable("too many requests at once; try again").into_response();
    };
    match tokio::time::timeout(bounds.patience, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!(
                "the request took longer than {} s and was given up",
                bounds.patience.as_secs()
            ),
        )
        .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::body::Body;
    use axum::routing::{get, post};
    use bytes::Bytes;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    async fn answer(routes: &Router, method: &str, path: &str, body: Body) -> StatusCode {
        use hyper::service::Service as _;
        let request = Request::builder().method(method).uri(path).body(body).unwrap();
        TowerToHyperService::new(routes.clone()).call(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn one_request_more_than_fits_is_refused_and_told_to_come_again() {
        let routes = Router::new()
            .route("/stuck", get(pending::<&'static str>))
            .route("/quick", get(|| async { "ok" }));
        let routes = bounded_by(routes, 1, Duration::from_secs(30));
        let stuck = answer(&routes, "GET", "/stuck", Body::empty());
        let mut stuck = std::pin::pin!(stuck);
        assert!(futures_util::poll!(stuck.as_mut()).is_pending());
        let refused = answer(&routes, "GET", "/quick", Body::empty()).await;
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_is_given_up() {
        let routes = Router::new().route("/stuck", get(pending::<&'static str>));
        let routes = bounded_by(routes, 1, Duration::from_millis(1));
        let given_up = answer(&routes, "GET", "/stuck", Body::empty()).await;
        assert_eq!(given_up, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_beyond_the_bound_is_not_read() {
        let routes = bounded(Router::new().route("/", post(|_body: Bytes| async { "ok" })));
        let body = |bytes: usize| Body::from(vec![b' '; bytes]);
        let largest = answer(&routes, "POST", "/", body(MAX_BODY_BYTES)).await;
        assert_eq!(largest, StatusCode::OK);
        let larger = answer(&routes, "POST", "/", body(MAX_BODY_BYTES + 1)).await;
        assert_eq!(larger, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
