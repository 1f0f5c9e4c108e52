//! What `object_store` cannot say of a request, said below it, where requests become HTTP.
//!
//! The completion of an upload in parts takes no condition and, for Azure, no metadata; a block of
//! Azure takes no checksum; the headers of an answer do not come up; a file cannot be streamed. An
//! [`Aside`] says and hears these of the one request that it means; all others pass as they are. A
//! request that Azure wants signed with the account's key is signed again.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use object_store::azure::{AzureAuthorizer, AzureCredential};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::{ClientOptions, HeaderMap, HeaderValue};
use tokio::fs::File;

/// The most of an answer to a streamed file that is kept, in bytes: enough for any error message.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

tokio::task_local! {
    static ASIDE: Arc<Aside>;
}

/// What is said and heard of one request besides.
#[derive(Debug)]
pub(super) struct Aside {
    method: &'static str,
    /// What the path of the address ends in.
    object: String,
    headers: Vec<(&'static str, String)>,
    /// Goes out in place of the body.
    file: Option<PathBuf>,
    answer: Mutex<Option<HeaderMap>>,
}

impl Aside {
    /// Of a request with this method for the object.
    pub(super) fn of(method: &'static str, object: &str) -> Self {
        let object = format!("/{object}");
        Self { method, object, headers: Vec::new(), file: None, answer: Mutex::default() }
    }

    /// Says a header of printable ASCII.
    pub(super) fn saying(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Says that nothing may stand under the name.
    pub(super) fn saying_new(self) -> Self {
        self.saying("if-none-match", "*")
    }

    /// Streams this file.
    pub(super) fn with_file(mut self, path: PathBuf) -> Self {
        self.file = Some(path);
        self
    }

    /// Runs what makes the request, in this task.
    pub(super) async fn around<T>(self: &Arc<Self>, request: impl Future<Output = T>) -> T {
        ASIDE.scope(Arc::clone(self), request).await
    }

    /// A header of the last answer.
    pub(super) fn heard(&self, name: &str) -> Option<String> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let value = answer.as_ref()?.get(name)?;
        value.to_str().ok().map(str::to_owned)
    }

    fn means(&self, request: &HttpRequest) -> bool {
        request.method() == self.method && request.uri().path().ends_with(&self.object)
    }
}

/// The account and its key, with which Azure wants requests signed.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) account: String,
    pub(super) credential: Arc<AzureCredential>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Makes the clients of one storage.
#[derive(Clone, Debug, Default)]
pub(super) struct Wire {
    /// Signs what was altered.
    pub(super) key: Option<Key>,
    /// The client to use, which streams files, too.
    pub(super) client: Option<reqwest::Client>,
}

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let below = match &self.client {
            Some(client) => HttpClient::new(client.clone()),
            None => ReqwestConnector::default().connect(options)?,
        };
        Ok(HttpClient::new(Line { wire: self.clone(), below }))
    }
}

#[derive(Debug)]
struct Line {
    wire: Wire,
    below: HttpClient,
}

impl HttpService for Line {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let aside = ASIDE.try_with(Arc::clone).ok().filter(|aside| aside.means(&request));
        async move {
            match aside {
                Some(aside) => self.call_with(&aside, request).await,
                None => self.below.execute(request).await,
            }
        }
        .boxed()
    }
}

impl Line {
    async fn call_with(
        &self,
        aside: &Aside,
        mut request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        for (name, value) in &aside.headers {
            let value = HeaderValue::from_str(value).map_err(failed)?;
            request.headers_mut().insert(*name, value);
        }
        if let (Some(key), false) = (&self.wire.key, aside.headers.is_empty()) {
            request.headers_mut().remove("authorization");
            let authorizer = AzureAuthorizer::new(&key.credential, &key.account);
            authorizer.try_authorize(&mut request).map_err(failed)?;
        }
        let answer = match (&aside.file, &self.wire.client) {
            (Some(path), Some(client)) => stream(client, request, path.clone()).await?,
            (Some(_), None) | (None, _) => self.below.execute(request).await?,
        };
        let headers = Some(answer.headers().clone());
        *aside.answer.lock().unwrap_or_else(PoisonError::into_inner) = headers;
        Ok(answer)
    }
}

/// Sends a file in place of the request's body, never more than a little of it in memory.
async fn stream(
    client: &reqwest::Client,
    request: HttpRequest,
    path: PathBuf,
) -> Result<HttpResponse, HttpError> {
    let file = File::open(path).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    let (head, _placeholder) = request.into_parts();
    let address = head.uri.to_string().parse().map_err(failed)?;
    let mut request = reqwest::Request::new(head.method, address);
    *request.headers_mut() = head.headers;
    request.headers_mut().insert("content-length", HeaderValue::from(length));
    *request.body_mut() = Some(reqwest::Body::from(file));
    let broken = |error: reqwest::Error| failed(error.without_url());
    let mut answer = client.execute(request).await.map_err(broken)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            break;
        }
    }
    let mut response = HttpResponse::new(Bytes::from(body).into());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    Ok(response)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}
