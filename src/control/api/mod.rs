//! The API: every route with who may use it, and what is kept of its use.
//!
//! Answers are the nouns of `model` and `worker`, as they are or with what follows from them. The
//! routes stand in one table, [`ROUTES`]; `openapi.json` says the same for programs, and a test holds
//! one against the other. **Invariant: a call that changes something is in the audit record, and in
//! the log, before it is answered.**

mod captures;
mod create;
mod events;
mod file;
mod parts;
mod query;
mod rules;
mod view;

use axum::extract::{RawPathParams, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{RequestExt as _, Router};

pub use captures::Captures;
pub use events::Outcomes;
pub use parts::{AuditRecords, Recorders, StorageView, Storages};
pub use rules::Rules;
pub use view::{
    CaptureError, CaptureView, ErrorCode, Links, PacketCaptureStatus, ProvisioningState,
};

use super::access::{Access, Caller, Scope};
use super::peer::Peer;
use super::problem::{Problem, shown};
use crate::clock;
use crate::model::Audit;
use crate::worker::Handle;

/// One thing that can be asked.
#[derive(Clone, Copy, Debug)]
struct Route {
    path: &'static str,
    /// What a caller needs; nothing where anybody who reaches the listener may ask.
    scope: Option<Scope>,
    /// What the audit record calls it, where it changes something.
    action: Option<&'static str>,
    method: fn() -> MethodRouter<Handle>,
}

const fn open(path: &'static str, method: fn() -> MethodRouter<Handle>) -> Route {
    Route { path, scope: None, action: None, method }
}

const fn asks(path: &'static str, scope: Scope, method: fn() -> MethodRouter<Handle>) -> Route {
    Route { path, scope: Some(scope), action: None, method }
}

const fn acts(
    path: &'static str,
    scope: Scope,
    action: &'static str,
    method: fn() -> MethodRouter<Handle>,
) -> Route {
    Route { path, scope: Some(scope), action: Some(action), method }
}

/// What a listener without tokens answers, besides webhooks.
const OPEN: [Route; 3] = [
    open("/healthz", || get(parts::healthy)),
    open("/readyz", || get(parts::ready)),
    open("/metrics", || get(parts::metrics)),
];

/// Everything.
const ROUTES: [Route; 20] = [
    open("/healthz", || get(parts::healthy)),
    open("/readyz", || get(parts::ready)),
    asks("/metrics", Scope::Read, || get(parts::metrics)),
    asks("/v1/openapi.json", Scope::Read, || get(parts::openapi)),
    asks("/v1/status", Scope::Read, || get(parts::status)),
    asks("/v1/recorders", Scope::Read, || get(parts::recorders)),
    asks("/v1/outcomes", Scope::Read, || get(parts::outcomes)),
    asks("/v1/storages", Scope::Read, || get(parts::storages)),
    asks("/v1/rules", Scope::Read, || get(rules::list)),
    asks("/v1/rules/explain", Scope::Read, || post(rules::explain)),
    asks("/v1/audit", Scope::Admin, || get(parts::audit)),
    acts("/v1/reload", Scope::Admin, "reload", || post(parts::reload)),
    acts("/v1/events", Scope::Operate, "event.send", || post(events::send)),
    asks("/v1/captures", Scope::Read, || get(captures::list)),
    asks("/v1/captures/{name}", Scope::Read, || get(captures::show)),
    acts("/v1/captures/{name}", Scope::Operate, "capture.create", || put(captures::create)),
    acts("/v1/captures/{name}", Scope::Operate, "capture.delete", || delete(captures::delete)),
    acts("/v1/captures/{name}/stop", Scope::Operate, "capture.stop", || post(captures::stop)),
    acts("/v1/captures/{name}/upload", Scope::Operate, "capture.upload", || post(captures::upload)),
    asks("/v1/captures/{name}/files/{index}", Scope::Operate, || get(file::get)),
];

/// Everything, for those whom `access` lets.
pub(super) fn routes(handle: Handle, access: &Access) -> Router {
    let routes = ROUTES.iter().fold(Router::new(), |router, route| {
        let guard = Guard { handle: handle.clone(), access: access.clone(), route: *route };
        let method = (route.method)().route_layer(from_fn_with_state(guard, guarded));
        router.route(route.path, method)
    });
    routes.method_not_allowed_fallback(no_such_method).with_state(handle)
}

/// What anybody may ask who reaches the listener.
pub(super) fn open_routes(handle: Handle) -> Router {
    let add = |router: Router<Handle>, route: &Route| router.route(route.path, (route.method)());
    let routes = OPEN.iter().fold(Router::new(), add);
    routes.method_not_allowed_fallback(no_such_method).with_state(handle)
}

/// Whether a path is one of ours, so that no webhook can have it.
pub(super) fn is_reserved(path: &str) -> bool {
    OPEN.iter().any(|route| route.path == path) || path == "/v1" || path.starts_with("/v1/")
}

#[derive(Clone, Debug)]
struct Guard {
    handle: Handle,
    access: Access,
    route: Route,
}

/// Lets through who may, and records what changed something or was to.
async fn guarded(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let Some(scope) = guard.route.scope else {
        return next.run(request).await;
    };
    let peer = request.extensions().get::<Peer>();
    let caller = match guard.access.caller(peer, request.headers()).await {
        Ok(caller) => caller,
        // Not recorded: whoever knows no token could fill the journal.
        Err(problem) => return problem.into_response(),
    };
    let subject = subject(&mut request).await;
    let who = caller.who.clone();
    let response = if caller.scope >= scope {
        request.extensions_mut().insert(caller);
        next.run(request).await
    } else {
        beyond(&caller, scope).into_response()
    };
    if let Some(action) = guard.route.action {
        record(&guard.handle, who, action, subject, result(&response)).await;
    }
    response
}

fn beyond(caller: &Caller, needed: Scope) -> Problem {
    let (has, needs) = (caller.scope.word(), needed.word());
    let detail = format!("this needs a token of scope {needs}; this one has the scope {has}");
    Problem::new(StatusCode::FORBIDDEN, detail)
}

/// What a call is about: the parts of the path that vary.
async fn subject(request: &mut Request) -> String {
    let parts = request.extract_parts::<RawPathParams>().await;
    let parts: Vec<String> = parts
        .iter()
        .flat_map(|parameters| parameters.iter().map(|(_name, value)| shown(value)))
        .collect();
    parts.join("/")
}

/// `ok`, or why not.
fn result(response: &Response) -> String {
    match response.extensions().get::<Problem>() {
        Some(problem) => format!("{}: {}", problem.status, problem.detail),
        None => "ok".to_owned(),
    }
}

async fn record(handle: &Handle, who: String, action: &str, subject: String, result: String) {
    tracing::info!(%who, action, subject = %shown(&subject), result = %shown(&result), "audit");
    let audit = Audit { at: clock::wall_time(), who, action: action.to_owned(), subject, result };
    if let Err(error) = handle.audit(audit).await {
        tracing::warn!(%error, "the audit record of the line before stands in this log only");
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", shown(uri.path())))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not answer to {method}", shown(uri.path()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::header::AUTHORIZATION;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;
    use sha2::{Digest as _, Sha256};
    use tempfile::TempDir;
    use tokio::sync::mpsc;

    use super::*;
    use crate::control::access::Tokens;
    use crate::spawn;
    use crate::worker;

    const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];
    const SCOPES: [&str; 3] = ["read", "operate", "admin"];

    fn document() -> Value {
        serde_json::from_str(parts::OPENAPI).unwrap()
    }

    /// Routes for three tokens, each called as its scope, in front of a loop that is gone.
    fn with_tokens(handle: Handle) -> (Router, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let hex = |token: &str| -> String {
            Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let lines = SCOPES.map(|scope| format!("{scope} {scope} sha256:{}\n", hex(scope)));
        fs::write(&path, lines.concat()).unwrap();
        let access = Access::Tokens(Arc::new(Tokens::open(&path).unwrap()));
        (routes(handle, &access).fallback(no_such_path), folder)
    }

    fn gone() -> Handle {
        Handle::new(mpsc::channel(1).0)
    }

    async fn ask(routes: &Router, method: &str, path: &str, token: &str) -> Response {
        let request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        let request = request.body(Body::empty()).unwrap();
        TowerToHyperService::new(routes.clone()).call(request).await.unwrap()
    }

    #[tokio::test]
    async fn the_document_and_the_routes_say_the_same() {
        let document = document();
        let described: BTreeSet<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let served: BTreeSet<&str> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(described, served);
        let (routes, _folder) = with_tokens(gone());
        for path in served {
            let real = path.replace("{name}", "c1").replace("{index}", "0");
            for method in METHODS {
                let answer = ask(&routes, method, &real, "admin").await.status();
                let is_described = document["paths"][path].get(method).is_some();
                let is_served = answer != StatusCode::METHOD_NOT_ALLOWED;
                assert_eq!(is_described, is_served, "{method} {path}: {answer}");
            }
        }
    }

    #[tokio::test]
    async fn each_operation_needs_the_scope_that_the_document_names() {
        let document = document();
        let (routes, _folder) = with_tokens(gone());
        for route in ROUTES {
            let real = route.path.replace("{name}", "c1").replace("{index}", "0");
            for method in METHODS {
                let Some(operation) = document["paths"][route.path].get(method) else { continue };
                let needed = operation["x-scope"].as_str();
                let needed =
                    needed.map(|scope| SCOPES.iter().position(|one| *one == scope).unwrap());
                for (has, token) in SCOPES.into_iter().enumerate() {
                    let status = ask(&routes, method, &real, token).await.status();
                    let is_enough = needed.is_none_or(|needed| has >= needed);
                    let is_let = status != StatusCode::FORBIDDEN;
                    assert_eq!(is_let, is_enough, "{token}: {method} {real}: {status}");
                }
                let stranger = ask(&routes, method, &real, "stranger").await.status();
                let is_refused = stranger == StatusCode::UNAUTHORIZED;
                assert_eq!(is_refused, needed.is_some(), "{method} {real}: {stranger}");
            }
        }
    }

    #[tokio::test]
    async fn what_changes_something_is_recorded_with_who_asked_and_what_became_of_it() {
        let (requests, mut inbox) = mpsc::channel(8);
        let (routes, _folder) = with_tokens(Handle::new(requests));
        let records = spawn::task("loop under test", async move {
            let mut records = Vec::new();
            while let Some(request) = inbox.recv().await {
                if let worker::Request::Audit { audit, reply } = request {
                    records.push(audit);
                    reply.send(()).unwrap();
                } else if let worker::Request::Stop { reply, .. } = request {
                    reply.send(None).unwrap();
                } else if let worker::Request::Captures { reply, .. } = request {
                    reply.send(Vec::new()).unwrap();
                } else {
                    panic!("{request:?}");
                }
            }
            records
        });
        for (method, path, token) in [
            ("post", "/v1/captures/c1/stop", "operate"),
            ("post", "/v1/captures/c%0a2/stop", "read"),
            ("post", "/v1/captures/c3/stop", "stranger"),
            ("get", "/v1/captures", "read"),
        ] {
            ask(&routes, method, path, token).await;
        }
        drop(routes);
        let records = records.await.unwrap();
        let seen: Vec<_> = records
            .iter()
            .map(|one| {
                (one.who.as_str(), one.action.as_str(), one.subject.as_str(), &one.result[..4])
            })
            .collect();
        let expected = [
            ("token operate", "capture.stop", "c1", "404:"),
            ("token read", "capture.stop", "c\u{fffd}2", "403:"),
        ];
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_listener_without_tokens_leaves_the_api_out() {
        let routes = open_routes(gone()).fallback(no_such_path);
        for (path, expected) in
            [("/healthz", 503), ("/readyz", 503), ("/metrics", 200), ("/v1/status", 404)]
        {
            assert_eq!(ask(&routes, "get", path, "admin").await.status(), expected, "{path}");
            assert!(is_reserved(path), "{path}");
        }
        assert!(!is_reserved("/hooks/v1"));
    }
}
