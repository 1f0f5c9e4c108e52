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
const ROUTES: [Route; 18] = [
    open("/healthz", || get(parts::healthy)),
    open("/readyz", || get(parts::ready)),
    asks("/metrics", Scope::Read, || get(parts::metrics)),
    asks("/v1/openapi.json", Scope::Read, || get(parts::openapi)),
    asks("/v1/status", Scope::Read, || get(parts::status)),
    asks("/v1/recorders", Scope::Read, || get(parts::recorders)),
    asks("/v1/outcomes", Scope::Read, || get(parts::outcomes)),
    asks("/v1/storages", Scope::Read, || get(parts::storages)),
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
