//! Notices by mail: plain text and HTML side by side, one connection for each.
//!
//! A notice always makes the same Message-ID, so that mail programs show repetitions once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::time::timeout;
use tracing::warn;

use crate::model::Notice;
use crate::spawn;

use super::plain::plain;
use super::template::{Form, Template};
use super::view::View;
use super::{EmailSettings, Error, PATIENCE, secret};

const TEXT: &str = include_str!("templates/mail.txt.j2");
const HTML: &str = include_str!("templates/mail.html.j2");

/// How long one answer of the server may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The most of a refusal's text that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// Refusals of the account. It is put right at the server or in the password's file, not in the notice.
/// Source: RFC 4954, section 6.
const OF_THE_ACCOUNT: [u16; 4] = [530, 534, 535, 538];

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    /// Not at all.
    None,
    /// Before anything of the mail is said; without it nothing is said.
    StartTls,
    /// From the first byte.
    Tls,
}

/// Where a mail server is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    /// A name or an address; IPv6 without brackets.
    host: String,
    port: u16,
    encryption: Encryption,
}

/// Why a text is no address of a mail server.
///
/// # Errors
/// The right form.
pub fn check_server(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

/// Why a text is no address of a mailbox.
///
/// # Errors
/// The right form.
pub fn check_mailbox(text: &str) -> Result<(), String> {
    mailbox(text).map(drop)
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let shown = plain(text, 64);
    text.parse().map_err(|_unhelpful: lettre::address::AddressError| {
        format!("`{shown}` is no mail address; write name@host or Name <name@host>")
    })
}

fn parse(url: &str) -> Result<Server, String> {
    let wrong = || {
        "this is no mail server; write smtps://HOST[:465], smtp+starttls://HOST[:587], or \
         smtp://HOST[:25] without encryption"
            .to_owned()
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let (encryption, usual_port) = match scheme {
        "smtps" => (Encryption::Tls, 465),
        "smtp+starttls" => (Encryption::StartTls, 587),
        "smtp" => (Encryption::None, 25),
        _ => return Err(wrong()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // A bracketed IPv6 address holds colons of its own.
    let end_of_host = rest.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match rest[end_of_host..].rfind(':') {
        Some(colon) => {
            let (host, port) = rest.split_at(end_of_host + colon);
            let port = port[1..].parse().ok().filter(|port| *port != 0);
            (host, port.ok_or_else(wrong)?)
        }
        None => (rest, usual_port),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(is_name),
    };
    if !is_host {
        return Err(wrong());
    }
    Ok(Server { host: bare.unwrap_or(host).to_owned(), port, encryption })
}

/// What is read anew for each mail, so that a rotated password is picked up.
struct Account {
    server: Server,
    username: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

/// One mail notifier.
pub(super) struct Mailer {
    account: Arc<Account>,
    from: Mailbox,
    to: Vec<Mailbox>,
    text: Template,
    html: Template,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("server", &self.account.server).finish_non_exhaustive()
    }
}

impl Mailer {
    /// Blocking: reads files.
    pub(super) fn new(name: &str, settings: &EmailSettings) -> Result<Self, Error> {
        let setup = |problem: String| Error::Setup { name: name.to_owned(), problem };
        let server = parse(&settings.url).map_err(setup)?;
        if server.encryption == Encryption::None && settings.password_file.is_some() {
            return Err(setup("a password needs smtps:// or smtp+starttls://".to_owned()));
        }
        if settings.username.is_some() != settings.password_file.is_some() {
            return Err(setup("give it both username and password_file, or neither".to_owned()));
        }
        let to = settings.to.iter().map(|to| mailbox(to)).collect::<Result<Vec<_>, _>>();
        let to = to.map_err(setup)?;
        if to.is_empty() {
            return Err(setup("give it an address in `to`".to_owned()));
        }
        let template = |form, file: Option<&Path>, own: &str| {
            let source = file.map_or_else(|| Ok(own.to_owned()), super::template::read);
            let tried = |source| Template::tried(form, source, &settings.events);
            source.and_then(|source| tried(source).map_err(|mistake| mistake.to_string()))
        };
        let text_file = settings.text_template_file.as_deref();
        let html_file = settings.html_template_file.as_deref();
        let account = Account {
            server,
            username: settings.username.clone(),
            password_file: settings.password_file.clone(),
            ca_file: settings.ca_file.clone(),
        };
        // Says at the start what would fail each time.
        account.transport().map_err(|error| setup(error.to_string()))?;
        Ok(Self {
            account: Arc::new(account),
            from: mailbox(&settings.from).map_err(setup)?,
            to,
            text: template(Form::Text, text_file, TEXT).map_err(setup)?,
            html: template(Form::Html, html_file, HTML).map_err(setup)?,
        })
    }

    /// Hands a notice to the mail server; Ok once it has taken it for at least one of the addresses.
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), Error> {
        let mail = self.mail(notice)?.formatted();
        let account = Arc::clone(&self.account);
        let transport = spawn::blocking(move || account.transport())
            .await
            .map_err(|_panicked| Error::Interrupted("reading its files failed".to_owned()))??;
        let handed = self.hand_over(&transport, notice, &mail);
        timeout(PATIENCE, handed).await.unwrap_or(Err(Error::Unconfirmed))
    }

    /// All addresses together. Where the server refuses that for good, each alone: one address that
    /// is gone does not keep the notice from the others.
    async fn hand_over(
        &self,
        transport: &Transport,
        notice: &Notice,
        mail: &[u8],
    ) -> Result<(), Error> {
        let all: Vec<Address> = self.to.iter().map(|to| to.email.clone()).collect();
        let refused = match self.attempt(transport, all.clone(), mail).await {
            Err(error) if !error.is_transient() && all.len() > 1 => error,
            result => return result,
        };
        let mut taken = 0_usize;
        for to in &all {
            match self.attempt(transport, vec![to.clone()], mail).await {
                Ok(()) => taken += 1,
                Err(error) if error.is_transient() => return Err(error),
                Err(_) => {}
            }
        }
        if taken == 0 {
            return Err(refused);
        }
        let (notifier, notice) = (&notice.notifier, notice.id.as_str());
        let refusals = all.len() - taken;
        warn!(
            notifier,
            notice,
            "mail refused for {refusals} of {} addresses: {refused}",
            all.len()
        );
        Ok(())
    }

    async fn attempt(
        &self,
        transport: &Transport,
        to: Vec<Address>,
        mail: &[u8],
    ) -> Result<(), Error> {
        let envelope = Envelope::new(Some(self.from.email.clone()), to)
            .map_err(|error| Error::MailRefused { reason: error.to_string(), for_good: true })?;
        transport.send_raw(&envelope, mail).await.map(drop).map_err(|error| refusal(&error))
    }

    fn mail(&self, notice: &Notice) -> Result<Message, Error> {
        let view = View::of(notice);
        let text = self.text.render(&view).map_err(Error::Template)?;
        let html = self.html.render(&view).map_err(Error::Template)?;
        let id = identity(notice);
        let since_epoch = u64::try_from(notice.created_at.as_millis()).unwrap_or(0);
        let bodies = MultiPart::alternative().boundary(format!("={id}="));
        let bodies = bodies.singlepart(SinglePart::plain(text)).singlepart(SinglePart::html(html));
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(view.title())
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(since_epoch))
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            // Keeps absence notes from being sent back. Source: RFC 3834, section 5.
            .raw_header(fixed("Auto-Submitted", "auto-generated"));
        for to in &self.to {
            message = message.to(to.clone());
        }
        message.multipart(bodies).map_err(|error| Error::Template(error.to_string()))
    }
}

/// The notice's id as far as it is letters and digits, which all that we mint are.
fn identity(notice: &Notice) -> String {
    notice.id.as_str().chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

fn fixed(name: &'static str, value: &'static str) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str(name);
    HeaderValue::new(name, value.to_owned())
}

impl Account {
    /// What makes one connection. Blocking: reads files.
    fn transport(&self) -> Result<Transport, Error> {
        let Server { host, port, encryption } = &self.server;
        let tls = match encryption {
            Encryption::None => Tls::None,
            Encryption::StartTls => Tls::Required(self.tls()?),
            Encryption::Tls => Tls::Wrapper(self.tls()?),
        };
        let mut builder = Transport::builder_dangerous(host.clone())
            .port(*port)
            .tls(tls)
            .timeout(Some(ANSWER_TIMEOUT));
        if let (Some(username), Some(path)) = (&self.username, &self.password_file) {
            let password = secret::line("the password", path)?;
            builder = builder.credentials(Credentials::new(username.clone(), password));
        }
        Ok(builder.build())
    }

    fn tls(&self) -> Result<TlsParameters, Error> {
        let mut builder = TlsParameters::builder(self.server.host.clone());
        if let Some(path) = &self.ca_file {
            let what = "the certificates";
            let failed = |reason: String| Error::Secret { what, path: path.clone(), reason };
            let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
            let certificate =
                Certificate::from_pem(&pem).map_err(|error| failed(last_cause(&error)))?;
            builder =
                builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
        }
        builder.build_rustls().map_err(|error| Error::Unreachable(last_cause(&error)))
    }
}

fn refusal(error: &lettre::transport::smtp::Error) -> Error {
    let text = plain(&last_cause(error), MAX_SHOWN_CHARS);
    let Some(status) = error.status().map(u16::from) else {
        return if error.is_timeout() {
            Error::Unreachable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))
        } else {
            Error::Unreachable(text)
        };
    };
    let for_good = error.is_permanent() && !OF_THE_ACCOUNT.contains(&status);
    Error::MailRefused { reason: format!("{status} {text}"), for_good }
}

/// The last cause says it; those before are the layers that it came through.
fn last_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_named_with_its_encryption() {
        let parsed = |url: &str| parse(url).map(|s| (s.host, s.port, s.encryption)).ok();
        let server = |host: &str, port, encryption| Some((host.to_owned(), port, encryption));
        assert_eq!(parsed("smtps://mail.example"), server("mail.example", 465, Encryption::Tls));
        assert_eq!(parsed("smtp+starttls://m/"), server("m", 587, Encryption::StartTls));
        assert_eq!(parsed("smtp://[::1]:2525"), server("::1", 2525, Encryption::None));
        for wrong in ["mail", "http://m", "smtp://", "smtp://m:0", "smtp://u:p@m", "smtp://m/x"] {
            let told = check_server(wrong).unwrap_err();
            assert!(told.contains("smtps://HOST"), "{wrong}: {told}");
        }
    }

    #[test]
    fn a_mailbox_is_one_address_without_a_line_break() {
        assert!(check_mailbox("net@example.org").is_ok());
        assert!(check_mailbox("Net on call <net@example.org>").is_ok());
        for wrong in ["", "net", "a@b, c@d", "a@b\r\nBcc: c@d"] {
            let told = check_mailbox(wrong).unwrap_err();
            assert!(told.contains("no mail address") && !told.contains('\n'), "{told}");
        }
    }
}
