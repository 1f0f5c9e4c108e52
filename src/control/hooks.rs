//! What TCP serves: the paths of the webhook sources, and what the API leaves open to all.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures_util::StreamExt as _;

use super::peer::Peer;
use super::problem::Problem;
use super::{Error, api};
use crate::source::Receivers;
use crate::source::webhook::{Answer, Reception, Shown};

/// # Errors
/// Two sources want one path, or one wants the worker's own.
pub(super) fn routes(webhooks: Receivers) -> Result<Router, Error> {
    let mut taken = BTreeSet::new();
    for path in webhooks.paths() {
        if api::is_reserved(&path) {
            return Err(Error::PathReserved { path });
        }
        if !taken.insert(path.clone()) {
            return Err(Error::PathTwice { path });
        }
    }
    // The paths come from the configuration: looked up as they are, never read as patterns.
    Ok(Router::new().fallback(hook).with_state(webhooks))
}

async fn hook(
    State(receivers): State<Receivers>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    body: Body,
) -> Response {
    let Some(receiver) = receivers.at(uri.path()) else {
        return api::no_such_path(uri).await.into_response();
    };
    if method != Method::POST {
        let mut response = api::no_such_method(method, uri).await.into_response();
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    // A page in a browser on this host may post to loopback; it cannot do so without saying Origin.
    if headers.contains_key(ORIGIN) {
        return Problem::new(StatusCode::FORBIDDEN, "webhooks do not answer to web pages")
            .into_response();
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let shown = Shown {
        authorization: header(AUTHORIZATION.as_str()),
        header: &header,
        client_certificate: peer.is_some_and(|Extension(peer)| peer.shows_a_certificate()),
    };
    match receiver.admit(&shown) {
        Ok(reception) => respond(receive(reception, body).await),
        Err(answer) => respond(answer),
    }
}

/// Reads the body as far as it is wanted; one that breaks off says nothing.
async fn receive(mut reception: Reception<'_>, body: Body) -> Answer {
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else {
            return Answer::broken_off();
        };
        if !reception.push(&piece) {
            break;
        }
    }
    reception.finish().await
}

fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(challenge) = answer.challenge {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use tokio::sync::mpsc;

    use super::*;
    use crate::source::format::Format;
    use crate::source::webhook::{Auth, Receiver, Settings};
    use crate::source::{Content, Delivery};
    use crate::spawn;
    use crate::worker::Handle;

    fn receiver(path: &str, deliveries: &mpsc::Sender<Delivery>) -> Receiver {
        let settings = Settings {
            path: path.to_owned(),
            format: Format::Alertmanager,
            auth: Auth::default(),
            max_event_age: None,
        };
        Receiver::new("hook".to_owned(), settings, deliveries.clone()).unwrap()
    }

    /// The routes of one webhook, and the deliveries that come through it.
    fn one_webhook() -> (Router, mpsc::Receiver<Delivery>) {
        let (deliveries, delivered) = mpsc::channel(1);
        let (requests, _nobody) = mpsc::channel(1);
        let hook = receiver("/hooks/{am}", &deliveries);
        let open = api::open_routes(Handle::new(requests));
        (open.merge(routes(Receivers::new(vec![hook])).unwrap()), delivered)
    }

    async fn ask(routes: &Router, request: Request) -> Response {
        TowerToHyperService::new(routes.clone()).call(request).await.unwrap()
    }

    fn post(path: &str) -> axum::http::request::Builder {
        Request::builder().method("POST").uri(path)
    }

    #[tokio::test]
    async fn a_payload_is_answered_once_the_loop_has_recorded_it() {
        let (routes, mut delivered) = one_webhook();
        let record = spawn::task("record", async move {
            let delivery = delivered.recv().await.unwrap();
            let is_rejected = matches!(delivery.content, Content::Rejected(_));
            delivery.done.send(Vec::new()).unwrap();
            is_rejected
        });
        let request = post("/hooks/%7Bam%7D").body(Body::from("{}")).unwrap();
        assert_eq!(ask(&routes, request).await.status(), StatusCode::NOT_FOUND);
        let request = post("/hooks/{am}").body(Body::from("no event")).unwrap();
        let response = ask(&routes, request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert!(record.await.unwrap(), "what is no event is recorded too");
    }

    #[tokio::test]
    async fn only_post_is_answered_and_no_web_page() {
        let (routes, mut delivered) = one_webhook();
        let request = Request::builder().uri("/hooks/{am}").body(Body::empty()).unwrap();
        let response = ask(&routes, request).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "POST");
        let request = post("/hooks/{am}").header(ORIGIN, "https://page").body(Body::empty());
        assert_eq!(ask(&routes, request.unwrap()).await.status(), StatusCode::FORBIDDEN);
        assert!(delivered.try_recv().is_err(), "neither reached the loop");
    }

    #[tokio::test]
    async fn a_loop_that_is_gone_is_not_healthy() {
        let (routes, _delivered) = one_webhook();
        let request = Request::builder().uri("/healthz").body(Body::empty()).unwrap();
        assert_eq!(ask(&routes, request).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn a_path_has_one_owner() {
        let (deliveries, _delivered) = mpsc::channel(1);
        let mount = |paths: [&str; 2]| {
            let hooks = paths.map(|path| receiver(path, &deliveries)).into();
            routes(Receivers::new(hooks)).map(|_routes| ())
        };
        mount(["/a", "/b"]).unwrap();
        assert!(matches!(mount(["/a", "/a"]), Err(Error::PathTwice { .. })));
        assert!(matches!(mount(["/a", "/healthz"]), Err(Error::PathReserved { .. })));
    }
}
