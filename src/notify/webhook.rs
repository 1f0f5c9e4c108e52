//! Notices by HTTP POST. Addresses like chat webhooks are secrets themselves, so no error tells one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Response, Url, redirect};

use crate::model::Notice;
use crate::spawn;

use super::{Error, PATIENCE, WebhookSettings, cloudevent};

/// What receivers know repetitions by, beside the event's own id.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most of a refusal's text that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1024;

/// The most of it that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// Parts of an address or token from this length on are taken out of a refusal's text; shorter ones
/// are words like `hooks` that keep no secret.
const MIN_SECRET_BYTES: usize = 8;

/// Where the address is.
#[derive(Clone)]
enum Place {
    Plain(Url),
    File(PathBuf),
}

/// One webhook notifier.
pub(super) struct Sender {
    client: Client,
    place: Place,
    bearer_file: Option<PathBuf>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("bearer_file", &self.bearer_file).finish_non_exhaustive()
    }
}

/// What one request needs; read anew for each, so that a rotated secret is picked up.
struct Target {
    url: Url,
    bearer: Option<String>,
}

impl Sender {
    pub(super) fn new(name: &str, settings: &WebhookSettings) -> Result<Self, Error> {
        let setup = |problem: String| Error::Setup { name: name.to_owned(), problem };
        let place = match (&settings.url, &settings.url_file) {
            (Some(url), None) => {
                Place::Plain(parse(url).map_err(|problem| setup(format!("url {problem}")))?)
            }
            (None, Some(path)) => Place::File(path.clone()),
            (Some(_), Some(_)) | (None, None) => {
                return Err(setup("give it either url or url_file".to_owned()));
            }
        };
        // Says at the start what would fail each time.
        read(&place, settings.bearer_file.as_deref()).map_err(|error| setup(error.to_string()))?;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(PATIENCE)
            // The environment enters through the configuration only.
            .no_proxy()
            .build()
            .map_err(|error| setup(format!("cannot set up HTTP: {}", told(error))))?;
        Ok(Self { client, place, bearer_file: settings.bearer_file.clone() })
    }

    /// Posts a notice; Ok on any 2xx.
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), Error> {
        let (place, bearer_file) = (self.place.clone(), self.bearer_file.clone());
        let target = spawn::blocking(move || read(&place, bearer_file.as_deref()))
            .await
            .map_err(|_panicked| Error::Interrupted("reading its files failed".to_owned()))??;
        let mut request = self
            .client
            .post(target.url.clone())
            .header(CONTENT_TYPE, cloudevent::CONTENT_TYPE)
            .header(IDEMPOTENCY_KEY, notice.id.as_str())
            .body(cloudevent::encode(notice));
        if let Some(bearer) = &target.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let response = request.send().await.map_err(|error| Error::Unreachable(told(error)))?;
        if response.status().is_success() {
            return Ok(());
        }
        let status = response.status().as_u16();
        Err(Error::Status { status, text: target.shown(&beginning(response).await) })
    }
}

impl Target {
    /// A refusal's text for people: one line, bounded, without anything of our address or token that it
    /// echoes.
    fn shown(&self, text: &str) -> String {
        let address = self.url.as_str().split(['/', '?', '&', '=', '#', ':', '@']).skip(1);
        let host = self.url.host_str().unwrap_or_default();
        let secrets = address
            .chain(self.bearer.as_deref())
            .filter(|part| part.len() >= MIN_SECRET_BYTES && *part != host);
        let clean = secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "..."));
        let line: Vec<_> = clean.split(|c: char| c.is_whitespace() || c.is_control()).collect();
        let words = line.into_iter().filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ").chars().take(MAX_SHOWN_CHARS).collect()
    }
}

/// The problem does not repeat the address.
fn parse(text: &str) -> Result<Url, &'static str> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) | Err(_) => Err("is no address; write http://HOST/PATH or https://HOST/PATH"),
    }
}

fn read(place: &Place, bearer_file: Option<&Path>) -> Result<Target, Error> {
    let url = match place {
        Place::Plain(url) => url.clone(),
        Place::File(path) => {
            let text = secret("the address", path)?;
            let what = "the address";
            parse(&text).map_err(|reason| {
                let reason = format!("what stands there {reason}");
                Error::Secret { what, path: path.clone(), reason }
            })?
        }
    };
    let bearer = bearer_file.map(|path| secret("the bearer token", path)).transpose()?;
    Ok(Target { url, bearer })
}

/// The one word that a file holds.
fn secret(what: &'static str, path: &Path) -> Result<String, Error> {
    let failed = |reason: String| Error::Secret { what, path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    match text.trim() {
        "" => Err(failed("the file is empty".to_owned())),
        // Anything else could not stand in a header.
        word if word.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(word.to_owned()),
        _ => Err(failed("it has spaces or letters that are not ASCII".to_owned())),
    }
}

/// What went wrong, without the address, with its causes.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    // The last cause says it; those before are the layers that it came through.
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}

async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ANSWER_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            // A text that cannot be read to its end says what it says.
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(MAX_ANSWER_BYTES);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: Option<&str>, url_file: Option<&Path>) -> WebhookSettings {
        WebhookSettings {
            url: url.map(str::to_owned),
            url_file: url_file.map(Path::to_owned),
            bearer_file: None,
        }
    }

    fn problem(settings: &WebhookSettings) -> String {
        Sender::new("team", settings).unwrap_err().to_string()
    }

    #[test]
    fn settings_that_can_never_work_are_refused_without_telling_the_address() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        assert_eq!(problem(&settings(None, None)), "notifier team: give it either url or url_file");
        let wrong = problem(&settings(Some("ftp://chat/T0SECRET0"), None));
        assert!(wrong.starts_with("notifier team: url is no address"), "{wrong}");
        assert!(!wrong.contains("T0SECRET0"), "{wrong}");
        assert!(problem(&settings(None, Some(&file))).contains("No such file"));
        fs::write(&file, "chat/T0SECRET0\n").unwrap();
        let wrong = problem(&settings(None, Some(&file)));
        assert!(wrong.contains("what stands there is no address"), "{wrong}");
        assert!(!wrong.contains("T0SECRET0"), "{wrong}");
    }

    #[test]
    fn a_refusal_is_shown_in_one_short_line_without_our_secrets() {
        let target = Target {
            url: Url::parse("https://chat.example/hooks/T0SECRET0?key=K0SECRET0").unwrap(),
            bearer: Some("B0SECRET0".to_owned()),
        };
        let echo =
            "Cannot POST /hooks/T0SECRET0?key=K0SECRET0\r\n\x1b[31m to chat.example as B0SECRET0";
        let shown = target.shown(echo);
        assert_eq!(shown, "Cannot POST /hooks/...?key=... [31m to chat.example as ...");
        assert_eq!(target.shown(&"x".repeat(5000)).len(), MAX_SHOWN_CHARS);
    }
}
