//! Talks to the worker: HTTP over its Unix socket.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::exit::Exit;
use super::output::Format;
use crate::control::Problem;

/// Where the worker listens unless its configuration says otherwise.
pub(super) const DEFAULT_SOCKET: &str = "/run/hindsight/control.sock";

/// How long an answer may take: longer than the worker's own bound on a request, so that its
/// explanation arrives.
const PATIENCE: Duration = Duration::from_secs(35);

/// How to reach the worker, and how to show what it says.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// The worker's control socket (`control.socket` in its configuration).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// The form of the answer.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    pub(super) output: Format,
}

/// Why there is no answer, or none that helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no worker listens on {socket}: there is no such socket; start it with 'hindsight run' or \
         'systemctl start hindsight', or name its socket with --socket"
    )]
    NoSocket { socket: PathBuf },
    #[error(
        "no worker listens on {socket}: the one that made the socket is gone; start it again with \
         'hindsight run' or 'systemctl start hindsight'"
    )]
    Refused { socket: PathBuf },
    #[error(
        "you may not use {socket}: it is for root and the worker's group; use sudo, or join the \
         group ('sudo usermod -aG hindsight $USER', then log in again)"
    )]
    Denied { socket: PathBuf },
    #[error("the worker on {socket} gave no answer within {} s; see its log", PATIENCE.as_secs())]
    Silent { socket: PathBuf },
    #[error("cannot talk to the worker on {socket}")]
    Broken { socket: PathBuf, source: reqwest::Error },
    #[error(
        "what answers on {socket} is no worker of this version (HTTP status {status}); compare \
         'hindsight --version' with the worker's"
    )]
    NotUnderstood { socket: PathBuf, status: u16 },
    /// The worker understood, and said no.
    #[error("{}", .0.detail)]
    Problem(Problem),
}

impl Error {
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoSocket { .. }
            | Self::Refused { .. }
            | Self::Denied { .. }
            | Self::Silent { .. }
            | Self::Broken { .. } => Exit::Unreachable,
            Self::NotUnderstood { .. } => Exit::Failed,
            Self::Problem(Problem { status: 404, .. }) => Exit::NotFound,
            Self::Problem(_) => Exit::Failed,
        }
    }
}

/// A way to one worker.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

impl Client {
    pub(super) fn new(reach: &Reach) -> Result<Self, Error> {
        let socket = reach.socket.clone();
        let http = reqwest::Client::builder()
            .unix_socket(socket.as_path())
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(|source| Error::Broken { socket: socket.clone(), source })?;
        Ok(Self { http, socket })
    }

    /// Asks for what is at `path`; each of its parts is encoded.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        self.send(Method::GET, path, query, Vec::new()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<T, Error> {
        self.send(Method::POST, path, query, body).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<T, Error> {
        let failed = |source| explain(&self.socket, source);
        let request = self.http.request(method, url(path, query)).body(body);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let answer = response.bytes().await.map_err(failed)?;
        let not_understood =
            || Error::NotUnderstood { socket: self.socket.clone(), status: status.as_u16() };
        if status == StatusCode::OK {
            serde_json::from_slice(&answer).map_err(|_other_version| not_understood())
        } else {
            let problem = serde_json::from_slice(&answer);
            Err(problem.map_or_else(|_no_problem| not_understood(), Error::Problem))
        }
    }
}

fn url(path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = Url::parse("http://worker/v1").expect("a constant that is a URL");
    url.path_segments_mut().expect("http URLs have a path").extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// Puts the failure to connect into words that say what to do.
fn explain(socket: &Path, error: reqwest::Error) -> Error {
    let socket = socket.to_owned();
    let mut cause = error.source();
    while let Some(inner) = cause {
        match inner.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(ErrorKind::NotFound) => return Error::NoSocket { socket },
            Some(ErrorKind::ConnectionRefused) => return Error::Refused { socket },
            Some(ErrorKind::PermissionDenied) => return Error::Denied { socket },
            Some(_) | None => cause = inner.source(),
        }
    }
    if error.is_timeout() {
        return Error::Silent { socket };
    }
    Error::Broken { socket, source: error.without_url() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leaves_its_part_of_the_path() {
        let url = url(&["captures", "../status?x=1#y/z"], &[("source", "a&b=c")]);
        assert_eq!(url.path(), "/v1/captures/..%2Fstatus%3Fx=1%23y%2Fz");
        assert_eq!(url.query(), Some("source=a%26b%3Dc"));
    }
}
