//! Turns an error of `object_store` into ours: short, sorted, and without credentials.

use std::error::Error as StdError;

use object_store::client::HttpError;

use super::Error;

/// The most characters of a server's own words that a message quotes.
const MAX_QUOTED: usize = 300;

/// How `object_store` begins what a server answered.
const ANSWERED: &str = "status code: ";

/// The credentials of one storage, to be taken out of every text.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn keep(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.0.push(secret.to_owned());
        }
    }

    /// One line of at most [`MAX_QUOTED`] characters without any credential.
    pub(super) fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret, "***");
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_QUOTED).collect()
    }
}

/// Sorts an error of the container at the address `place`. Whatever is not known to be for good is worth another attempt.
pub(super) fn sort(
    storage: &str,
    place: &str,
    doing: &'static str,
    error: &object_store::Error,
    secrets: &Secrets,
) -> Error {
    use object_store::Error as Upstream;

    let (storage, reason) = (storage.to_owned(), secrets.scrub(&words(place, error)));
    let denied =
        matches!(error, Upstream::PermissionDenied { .. } | Upstream::Unauthenticated { .. });
    let unsupported = matches!(
        error,
        Upstream::NotSupported { .. }
            | Upstream::NotImplemented { .. }
            | Upstream::InvalidPath { .. }
            | Upstream::UnknownConfigurationKey { .. }
    );
    if denied {
        Error::Denied { storage, doing, reason }
    } else if unsupported {
        Error::Unsupported { storage, doing, reason }
    } else {
        Error::Unavailable { storage, doing, reason }
    }
}

/// The cause in a few words: the address and what the operating system said, or status, code and
/// message of the server.
fn words(place: &str, error: &object_store::Error) -> String {
    if let Some(cause) = transport_cause(error) {
        return format!("{place}: {cause}");
    }
    let text = error.to_string();
    let Some((_, answer)) = text.split_once(ANSWERED) else { return text };
    let status = answer.split(": ").next().unwrap_or(answer).trim();
    match (between(answer, "<Code>", "</Code>"), between(answer, "<Message>", "</Message>")) {
        (Some(code), Some(message)) => {
            format!("{status} ({code}: {})", message.lines().next().unwrap_or_default())
        }
        (Some(code), None) => format!("{status} ({code})"),
        (None, _) => status.to_owned(),
    }
}

/// The innermost cause, where no answer came at all.
fn transport_cause(error: &object_store::Error) -> Option<String> {
    let (mut innermost, mut is_transport) = (error.source()?, false);
    loop {
        is_transport |= innermost.is::<HttpError>();
        match innermost.source() {
            Some(cause) => innermost = cause,
            None => return is_transport.then(|| innermost.to_string()),
        }
    }
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    text.split_once(open)?.1.split_once(close).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(text: &str) -> object_store::Error {
        object_store::Error::PermissionDenied { path: "a".to_owned(), source: text.into() }
    }

    #[test]
    fn a_server_is_quoted_by_status_code_and_first_line() {
        let error = denied(
            "Error performing PUT http://h/a in 1ms - Server returned non-2xx status code: \
             403 Forbidden: <?xml?><Error><Code>AuthenticationFailed</Code><Message>Server failed \
             to authenticate.\nRequestId:1</Message></Error>",
        );
        let error = sort("archive", "http://h", "writing an object", &error, &Secrets::default());
        assert!(error.is_transient());
        let expected = "storage 'archive' refused writing an object: 403 Forbidden \
                        (AuthenticationFailed: Server failed to authenticate.); look at its \
                        credential and its rights";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn no_credential_and_no_line_break_gets_through() {
        let mut secrets = Secrets::default();
        secrets.keep("s3cr3t");
        let error =
            sort("a", "http://h", "writing", &denied("key s3cr3t\nis\u{1b}[31m wrong"), &secrets);
        let texts = [error.to_string(), format!("{error:?}")];
        for text in texts {
            assert!(!text.contains("s3cr3t") && text.contains("***"), "{text}");
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
}
