//! Talks to the worker: HTTP over its Unix socket, or over TCP with a token.

use std::error::Error as _;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::header::{AUTHORIZATION, IF_RANGE, RANGE};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;

use super::exit::Exit;
use super::output::Format;
use crate::control::Problem;

/// Where the worker listens unless its configuration says otherwise.
pub(super) const DEFAULT_SOCKET: &str = "/run/hindsight/control.sock";

/// How long the worker may say nothing: longer than its own bound on a request, so that its
/// explanation arrives.
const PATIENCE: Duration = Duration::from_secs(35);

/// How long a connection over TCP may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer that is not a file: a thousand captures with many files.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// How to reach the worker, and how to show what it says.
#[derive(Clone, Debug, Args)]
pub(super) struct Reach {
    /// The worker's control socket (`control.socket` in its configuration).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET, conflicts_with = "url")]
    socket: PathBuf,
    /// A worker on another host, as in https://edge-7:9188 (`control.listen` in its configuration).
    #[arg(long, value_name = "URL", requires = "token_file")]
    url: Option<String>,
    /// A file with the token for --url.
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// A file with certificates to trust for --url, instead of the system's.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
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
    #[error("the worker on {place} gave no answer within {} s; see its log", PATIENCE.as_secs())]
    Silent { place: Place },
    #[error("cannot talk to the worker on {place}")]
    Broken { place: Place, source: reqwest::Error },
    #[error("'{url}' is not the address of a worker; write it as in https://edge-7:9188")]
    Address { url: String },
    #[error("cannot read {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("the token in {path} is empty, or is no text of one line; put the token alone there")]
    Token { path: PathBuf },
    #[error("{path} holds no certificates in PEM form")]
    Certificates { path: PathBuf, source: reqwest::Error },
    #[error(
        "what answers on {place} is no worker of this version (HTTP status {status}); compare \
         'hindsight --version' with the worker's"
    )]
    NotUnderstood { place: Place, status: u16 },
    /// The worker understood, and said no.
    #[error("{}", told(.0))]
    Problem(Problem),
}

/// The sentence; then each of several problems as people read them.
fn told(problem: &Problem) -> String {
    let mut lines = vec![problem.detail.clone()];
    lines.extend(problem.errors.iter().map(|error| error.trim_end().to_owned()));
    lines.join("\n")
}

impl Error {
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoSocket { .. }
            | Self::Refused { .. }
            | Self::Denied { .. }
            | Self::Silent { .. }
            | Self::Broken { .. } => Exit::Unreachable,
            Self::Address { .. } => Exit::Usage,
            Self::Problem(Problem { status: 404, .. }) => Exit::NotFound,
            // The configuration could not be loaded.
            Self::Problem(Problem { status: 422, .. }) => Exit::Configuration,
            Self::Problem(Problem { field: Some(_), .. }) => Exit::Usage,
            Self::Problem(_)
            | Self::NotUnderstood { .. }
            | Self::File { .. }
            | Self::Token { .. }
            | Self::Certificates { .. } => Exit::Failed,
        }
    }
}

/// Where a worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Socket(PathBuf),
    Url(Url),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Url(url) => write!(f, "{}", url.as_str().trim_end_matches('/')),
        }
    }
}

/// A way to one worker.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    place: Place,
    token: Option<String>,
}

impl Reach {
    /// Whether it is the worker of this host, by its socket.
    pub(super) const fn is_local(&self) -> bool {
        self.url.is_none()
    }
}

impl Client {
    pub(super) fn new(reach: &Reach) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_PATIENCE)
            .read_timeout(PATIENCE);
        let (http, place, token) = match &reach.url {
            None => {
                let place = Place::Socket(reach.socket.clone());
                (http.unix_socket(reach.socket.as_path()), place, None)
            }
            Some(url) => {
                let place = Place::Url(address(url)?);
                let token = reach.token_file.as_deref().map(token).transpose()?;
                let certificates = reach.ca_file.as_deref().map(certificates).transpose()?;
                let http = match certificates {
                    Some(certificates) => http.tls_certs_only(certificates),
                    None => http,
                };
                (http, place, token)
            }
        };
        let http = http.build().map_err(|source| Error::Broken { place: place.clone(), source })?;
        Ok(Self { http, place, token })
    }

    /// Asks for what is at `path`; each of its parts is encoded.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        self.send(self.request(Method::GET, path, query)).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<T, Error> {
        self.send(self.request(Method::POST, path, query).body(body)).await
    }

    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: Vec<u8>,
    ) -> Result<T, Error> {
        self.send(self.request(Method::PUT, path, &[]).body(body)).await
    }

    /// Deletes what is at `path`; none where there was nothing.
    pub(super) async fn delete<T: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> Result<Option<T>, Error> {
        let response = self.open(self.request(Method::DELETE, path, &[])).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        self.understood(response).await.map(Some)
    }

    /// Begins to take a file from byte `from` on, if it still is the one with this SHA-256.
    pub(super) async fn file(
        &self,
        path: &[&str],
        from: u64,
        sha256: &str,
    ) -> Result<Response, Error> {
        let mut request = self.request(Method::GET, path, &[]);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
            request = request.header(IF_RANGE, format!("\"{sha256}\""));
        }
        self.open(request).await
    }

    /// What went wrong while an answer came.
    pub(super) fn broken(&self, error: reqwest::Error) -> Error {
        explain(&self.place, error)
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let request = self.http.request(method, url(&self.place, path, query));
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        self.understood(self.open(request).await?).await
    }

    /// An answer that is no refusal.
    async fn open(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response).await?;
        let problem = serde_json::from_slice(&body).map_err(|_no_problem| self.strange(status))?;
        Err(Error::Problem(problem))
    }

    async fn understood<T: DeserializeOwned>(&self, response: Response) -> Result<T, Error> {
        let status = response.status();
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|_other_version| self.strange(status))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(self.strange(status));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn strange(&self, status: StatusCode) -> Error {
        Error::NotUnderstood { place: self.place.clone(), status: status.as_u16() }
    }
}

/// The address of a worker: no path, no query, no account.
fn address(text: &str) -> Result<Url, Error> {
    let refused = || Error::Address { url: text.to_owned() };
    let url = Url::parse(text).map_err(|_unhelpful| refused())?;
    let is_plain = ["http", "https"].contains(&url.scheme())
        && url.host_str().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if is_plain { Ok(url) } else { Err(refused()) }
}

fn token(path: &Path) -> Result<String, Error> {
    let text =
        fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Token { path: path.to_owned() });
    }
    Ok(token.to_owned())
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let pem = fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Certificate::from_pem_bundle(&pem)
        .map_err(|source| Error::Certificates { path: path.to_owned(), source })
}

fn url(place: &Place, path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = match place {
        Place::Socket(_) => Url::parse("http://worker/").expect("a constant that is a URL"),
        Place::Url(url) => url.clone(),
    };
    url.path_segments_mut().expect("http URLs have a path").pop_if_empty().push("v1").extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// Puts the failure to connect into words that say what to do.
fn explain(place: &Place, error: reqwest::Error) -> Error {
    let mut cause = error.source();
    if let Place::Socket(socket) = place {
        let socket = socket.clone();
        while let Some(inner) = cause {
            match inner.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(ErrorKind::NotFound) => return Error::NoSocket { socket },
                Some(ErrorKind::ConnectionRefused) => return Error::Refused { socket },
                Some(ErrorKind::PermissionDenied) => return Error::Denied { socket },
                Some(_) | None => cause = inner.source(),
            }
        }
    }
    let place = place.clone();
    if error.is_timeout() {
        return Error::Silent { place };
    }
    Error::Broken { place, source: error.without_url() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leaves_its_part_of_the_path() {
        let socket = Place::Socket(PathBuf::from("/x"));
        let url = url(&socket, &["captures", "../status?x=1#y/z"], &[("source", "a&b=c")]);
        assert_eq!(url.path(), "/v1/captures/..%2Fstatus%3Fx=1%23y%2Fz");
        assert_eq!(url.query(), Some("source=a%26b%3Dc"));
    }

    #[test]
    fn an_address_is_a_place_and_nothing_more() {
        let place = Place::Url(address("https://edge-7:9188").unwrap());
        assert_eq!(place.to_string(), "https://edge-7:9188");
        let status = url(&place, &["status"], &[]);
        assert_eq!(status.as_str(), "https://edge-7:9188/v1/status");
        for wrong in
            ["edge-7:9188", "mqtt://x", "https://me:secret@x", "https://x/v1", "https://x?a"]
        {
            assert!(matches!(address(wrong), Err(Error::Address { .. })), "{wrong}");
        }
    }
}
