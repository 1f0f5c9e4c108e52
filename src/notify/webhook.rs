//! Notices by HTTP POST. Addresses like chat webhooks are secrets themselves, so no error tells one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Response, Url, redirect};

use crate::clock;
use crate::model::Notice;
use crate::spawn;

use super::plain::plain;
use super::settings::{HeaderText, Hmac, Template as Chosen};
use super::template::{Form, Template};
use super::view::View;
use super::{Error, PATIENCE, WebhookSettings, cloudevent, secret, signature};

/// What receivers know repetitions by, beside the event's own id.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The media type of what templates make.
const JSON: &str = "application/json";

const SLACK: &str = include_str!("templates/slack.json.j2");
const TEAMS: &str = include_str!("templates/teams.json.j2");

/// Header fields that are ours, or HTTP's, to set.
const RESERVED: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most of a refusal's text that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1024;

/// The most of it that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// Parts of an address or token from this length on are taken out of a refusal's text; shorter ones
/// are words like `hooks` that keep no secret.
const MIN_SECRET_BYTES: usize = 8;

/// Why a text cannot name a header field of a notifier, with the remedy.
///
/// # Errors
/// It is no name, or a field that is not for a configuration to set.
pub fn check_header_name(name: &str) -> Result<(), String> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Err(_) => Err("this is no name of a header field; write one as in X-Team".to_owned()),
        Ok(name) if RESERVED.contains(&name.as_str()) => {
            Err(format!("the header field {name} is set by the program; leave it out"))
        }
        Ok(_) => Ok(()),
    }
}

/// Why a text cannot be the value of a header field.
///
/// # Errors
/// It is empty, or has letters that HTTP does not take.
pub fn check_header_value(value: &str) -> Result<(), String> {
    if !value.trim().is_empty() && value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return Ok(());
    }
    Err("a value of a header field is a line of ASCII letters, digits and signs".to_owned())
}

/// Where the address is.
#[derive(Clone)]
enum Place {
    Plain(Url),
    File(PathBuf),
}

/// What is read anew for each request.
#[derive(Clone)]
struct Recipe {
    place: Place,
    bearer_file: Option<PathBuf>,
    headers: Vec<(HeaderName, HeaderText)>,
    hmac: Option<Hmac>,
}

/// What a request says.
enum Says {
    CloudEvent,
    Made(Box<Template>),
}

/// One webhook notifier.
pub(super) struct Sender {
    client: Client,
    recipe: Arc<Recipe>,
    says: Says,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bearer_file = &self.recipe.bearer_file;
        f.debug_struct("Sender").field("bearer_file", bearer_file).finish_non_exhaustive()
    }
}

/// What one request needs; read anew for each, so that a rotated secret is picked up.
struct Target {
    url: Url,
    bearer: Option<String>,
    headers: Vec<(HeaderName, String)>,
    key: Option<String>,
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
        let recipe = Recipe {
            place,
            bearer_file: settings.bearer_file.clone(),
            headers: fields(settings).map_err(setup)?,
            hmac: settings.hmac.clone(),
        };
        // Says at the start what would fail each time.
        recipe.read().map_err(|error| setup(error.to_string()))?;
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(PATIENCE)
            // The environment enters through the configuration only.
            .no_proxy();
        if let Some(path) = &settings.ca_file {
            client = client.tls_certs_only(certificates(path).map_err(|e| setup(e.to_string()))?);
        }
        let client = client
            .build()
            .map_err(|error| setup(format!("cannot set up HTTP: {}", told(error))))?;
        let says = Says::chosen(settings).map_err(setup)?;
        Ok(Self { client, recipe: Arc::new(recipe), says })
    }

    /// Posts a notice; Ok on any 2xx.
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), Error> {
        let recipe = Arc::clone(&self.recipe);
        let target = spawn::blocking(move || recipe.read())
            .await
            .map_err(|_panicked| Error::Interrupted("reading its files failed".to_owned()))??;
        let (content_type, body) = match &self.says {
            Says::CloudEvent => (cloudevent::CONTENT_TYPE, cloudevent::encode(notice)),
            Says::Made(template) => {
                let text = template.render(&View::of(notice)).map_err(Error::Template)?;
                (JSON, text.into_bytes())
            }
        };
        let headers = target.headers(notice, content_type, self.recipe.hmac.as_ref(), &body)?;
        let request = self.client.post(target.url.clone()).headers(headers).body(body);
        let response = request.send().await.map_err(|error| Error::Unreachable(told(error)))?;
        if response.status().is_success() {
            return Ok(());
        }
        let status = response.status().as_u16();
        Err(Error::Status { status, text: target.shown(&beginning(response).await) })
    }
}

impl Says {
    fn chosen(settings: &WebhookSettings) -> Result<Self, String> {
        let source = match &settings.template {
            Chosen::CloudEvent => return Ok(Self::CloudEvent),
            Chosen::Slack => SLACK.to_owned(),
            Chosen::Teams => TEAMS.to_owned(),
            Chosen::File(path) => super::template::read(path)?,
        };
        let template = Template::tried(Form::Json, source, &settings.events);
        Ok(Self::Made(Box::new(template.map_err(|mistake| mistake.to_string())?)))
    }
}

/// The header fields of the settings, checked once more: names that differ, and values that are lines.
fn fields(settings: &WebhookSettings) -> Result<Vec<(HeaderName, HeaderText)>, String> {
    let mut fields: Vec<(HeaderName, HeaderText)> = Vec::new();
    let signed = settings.hmac.iter();
    let signed: Vec<&String> = signed
        .flat_map(|hmac| std::iter::once(&hmac.header).chain(&hmac.timestamp_header))
        .collect();
    for name in settings.headers.keys().chain(signed.iter().copied()) {
        check_header_name(name)?;
    }
    for (name, text) in &settings.headers {
        if let HeaderText::Text(text) = text {
            check_header_value(text)?;
        }
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        let is_twice = fields.iter().any(|(other, _)| *other == field)
            || signed.iter().any(|other| field.as_str().eq_ignore_ascii_case(other))
            || (field == AUTHORIZATION && settings.bearer_file.is_some());
        if is_twice {
            return Err(format!("the header field {field} is set twice"));
        }
        fields.push((field, text.clone()));
    }
    Ok(fields)
}

impl Recipe {
    /// Blocking: reads files.
    fn read(&self) -> Result<Target, Error> {
        let url = match &self.place {
            Place::Plain(url) => url.clone(),
            Place::File(path) => {
                let what = "the address";
                let text = secret::word(what, path)?;
                parse(&text).map_err(|reason| {
                    let reason = format!("what stands there {reason}");
                    Error::Secret { what, path: path.clone(), reason }
                })?
            }
        };
        let bearer = self.bearer_file.as_deref();
        let bearer = bearer.map(|path| secret::word("the bearer token", path)).transpose()?;
        let key = self.hmac.as_ref().map(|hmac| secret::line("the key", &hmac.secret_file));
        let headers = self.headers.iter().map(|(name, text)| {
            let value = match text {
                HeaderText::Text(text) => text.clone(),
                HeaderText::File(path) => secret::header_value("a header field", path)?,
            };
            Ok((name.clone(), value))
        });
        let headers = headers.collect::<Result<_, Error>>()?;
        Ok(Target { url, bearer, headers, key: key.transpose()? })
    }
}

impl Target {
    fn headers(
        &self,
        notice: &Notice,
        content_type: &'static str,
        hmac: Option<&Hmac>,
        body: &[u8],
    ) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let mut put = |name: &str, text: &str, is_secret: bool| {
            let named = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(text);
            let (Ok(name), Ok(mut value)) = (named, value) else {
                return Err(Error::Interrupted(format!("the header field {name} cannot be sent")));
            };
            value.set_sensitive(is_secret);
            headers.insert(name, value);
            Ok(())
        };
        put(IDEMPOTENCY_KEY, notice.id.as_str(), false)?;
        if let Some(bearer) = &self.bearer {
            put(AUTHORIZATION.as_str(), &format!("Bearer {bearer}"), true)?;
        }
        for (name, value) in &self.headers {
            put(name.as_str(), value, true)?;
        }
        if let (Some(hmac), Some(key)) = (hmac, &self.key) {
            let seconds = clock::wall_time().as_millis() / 1000;
            let now = hmac.timestamp_header.as_ref().map(|_| seconds.to_string());
            if let (Some(name), Some(now)) = (&hmac.timestamp_header, &now) {
                put(name, now, false)?;
            }
            put(&hmac.header, &signature::sign(key, now.as_deref(), body), false)?;
        }
        Ok(headers)
    }

    /// A refusal's text for people: one line, bounded, without anything of our address or token that it
    /// echoes.
    fn shown(&self, text: &str) -> String {
        let address = self.url.as_str().split(['/', '?', '&', '=', '#', ':', '@']).skip(1);
        let host = self.url.host_str().unwrap_or_default();
        let secrets = address
            .chain(self.bearer.as_deref())
            .chain(self.key.as_deref())
            .chain(self.headers.iter().map(|(_, value)| value.as_str()))
            .filter(|part| part.len() >= MIN_SECRET_BYTES && *part != host);
        let clean = secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "..."));
        let words: Vec<_> = clean.split(|c: char| c.is_whitespace() || c.is_control()).collect();
        let words = words.into_iter().filter(|word| !word.is_empty());
        plain(&words.collect::<Vec<_>>().join(" "), MAX_SHOWN_CHARS)
    }
}

/// The problem does not repeat the address.
fn parse(text: &str) -> Result<Url, &'static str> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) | Err(_) => Err("is no address; write http://HOST/PATH or https://HOST/PATH"),
    }
}

/// The certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let what = "the certificates";
    let failed = |reason: String| Error::Secret { what, path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(failed("it holds no PEM certificate".to_owned())),
        Err(error) => Err(failed(told(error))),
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
    use std::fs;

    use super::*;

    fn settings(url: Option<&str>, url_file: Option<&Path>) -> WebhookSettings {
        WebhookSettings {
            url: url.map(str::to_owned),
            url_file: url_file.map(Path::to_owned),
            ..WebhookSettings::to("")
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
            headers: vec![(AUTHORIZATION, "GenieKey G0SECRET0".to_owned())],
            key: None,
        };
        let echo =
            "Cannot POST /hooks/T0SECRET0?key=K0SECRET0\r\n\x1b[31m to chat.example as B0SECRET0";
        let shown = target.shown(echo);
        assert_eq!(shown, "Cannot POST /hooks/...?key=... [31m to chat.example as ...");
        assert_eq!(target.shown("no GenieKey G0SECRET0 here"), "no ... here");
        assert_eq!(target.shown(&"x".repeat(5000)).chars().count(), MAX_SHOWN_CHARS);
    }

    #[test]
    fn header_fields_are_checked_and_each_is_set_once() {
        for (name, part) in [
            ("X Team", "no name"),
            ("X-Team\r\nX-Other", "no name"),
            ("", "no name"),
            ("Host", "set by the program"),
            ("idempotency-key", "set by the program"),
        ] {
            let told = check_header_name(name).unwrap_err();
            assert!(told.contains(part), "{name:?}: {told}");
        }
        for value in ["", " ", "a\r\nX-Other: 1", "ä"] {
            assert!(check_header_value(value).is_err(), "{value:?}");
        }
        let field = |name: &str| (name.to_owned(), HeaderText::Text("1".to_owned()));
        let with = |names: [&str; 2]| WebhookSettings {
            headers: names.into_iter().map(field).collect(),
            ..WebhookSettings::to("http://team")
        };
        assert!(problem(&with(["X-A", "x-a"])).contains("x-a is set twice"));
        let signed = WebhookSettings {
            hmac: Some(Hmac {
                secret_file: "/nowhere".into(),
                header: "X-a".into(),
                timestamp_header: None,
            }),
            ..with(["x-A", "X-B"])
        };
        assert!(problem(&signed).contains("x-a is set twice"));
    }
}
