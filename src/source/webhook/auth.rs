//! Who may send to a webhook: a token, a name with a password, a signature, a client certificate.
//!
//! Each of them that is set has to hold. Secrets are compared in a time that does not depend on where
//! they differ, and are part of no error and of no Debug output.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::clock::WallTime;

use super::Answer;

/// Where the signature stands unless the configuration says otherwise: Grafana's own default.
pub const SIGNATURE_HEADER: &str = "X-Grafana-Alerting-Signature";

/// Where the time of the signature stands unless the configuration says otherwise.
pub const TIMESTAMP_HEADER: &str = "X-Grafana-Alerting-Timestamp";

/// How far the time of a signature may be from ours unless the configuration says otherwise.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The longest secret, in bytes.
const MAX_SECRET_BYTES: u64 = 4096;

/// What a sender has to show. Nothing: anybody who reaches the address may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// A file with the token of `Authorization: Bearer`.
    pub bearer_file: Option<PathBuf>,
    /// The account of `Authorization: Basic`.
    pub basic: Option<Basic>,
    pub signature: Option<Signature>,
    /// The connection has to come with a client certificate that its listener trusts.
    pub client_certificate: bool,
}

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let certificate = self.client_certificate;
        // Header fields hold credentials.
        f.debug_struct("Shown").field("client_certificate", &certificate).finish_non_exhaustive()
    }
}

/// A name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basic {
    pub username: String,
    pub password_file: PathBuf,
}

/// HMAC-SHA256, in hexadecimal, over the time of the message (seconds since 1970, in decimal digits), a
/// colon, and the body as it is: what Grafana signs where it is given a header for the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub secret_file: PathBuf,
    /// The header with the signature; `sha256=` may stand before it.
    pub header: String,
    pub timestamp_header: String,
    /// How far the time may be from ours, either way. For so long a message that somebody has seen can
    /// be sent again, which the identity of its events makes harmless; so can one that we asked for
    /// again.
    pub tolerance: Duration,
}

/// Why a receiver cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the {what} of the webhook {name} from {}: {source}", path.display())]
    Unreadable { what: &'static str, name: String, path: PathBuf, source: io::Error },
    #[error("the {what} of the webhook {name} in {} is empty; put a secret there", path.display())]
    Empty { what: &'static str, name: String, path: PathBuf },
    #[error("the {what} of the webhook {name} in {} has {size} bytes; at most {MAX_SECRET_BYTES} are taken", path.display())]
    TooLong { what: &'static str, name: String, path: PathBuf, size: u64 },
}

/// What a request shows beside its body.
pub struct Shown<'r> {
    /// The header `Authorization`.
    pub authorization: Option<&'r str>,
    /// The value of a header, by its name in any case.
    pub header: &'r (dyn Fn(&str) -> Option<&'r str> + Sync),
    /// The connection came with a client certificate that its listener trusts.
    pub client_certificate: bool,
}

/// The SHA-256 of a secret: comparing digests takes the same time whatever is compared.
struct Token([u8; 32]);

impl Token {
    fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    fn is(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |bits, (a, b)| bits | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

/// What senders have to show, with the secrets read.
pub(super) struct Guard {
    /// The scheme of `Authorization`, and what stands behind it.
    authorization: Option<(Scheme, Token)>,
    signature: Option<Key>,
    client_certificate: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Basic,
}

struct Key {
    mac: Hmac<Sha256>,
    settings: Signature,
}

/// A signature that is being checked while the body comes.
pub(super) struct Check {
    mac: Hmac<Sha256>,
    shown: Vec<u8>,
}

impl Guard {
    /// Blocking: reads the secrets.
    pub(super) fn new(name: &str, auth: Auth) -> Result<Self, Error> {
        let Auth { bearer_file, basic, signature, client_certificate } = auth;
        let bearer = match bearer_file {
            Some(file) => {
                let token = read_secret("bearer token", name, &file)?;
                Some((Scheme::Bearer, Token::of(token.trim().as_bytes())))
            }
            None => None,
        };
        let basic = match basic {
            Some(Basic { username, password_file }) => {
                let password = read_secret("password", name, &password_file)?;
                let account = base64(format!("{username}:{password}").as_bytes());
                Some((Scheme::Basic, Token::of(account.as_bytes())))
            }
            None => None,
        };
        let signature = match signature {
            Some(settings) => {
                let secret = read_secret("HMAC secret", name, &settings.secret_file)?;
                let mac = Hmac::new_from_slice(secret.as_bytes())
                    .expect("HMAC takes keys of every length (RFC 2104, 2)");
                Some(Key { mac, settings })
            }
            None => None,
        };
        Ok(Self { authorization: bearer.or(basic), signature, client_certificate })
    }

    /// Looks at all that can be judged before the body. What is left to check is given back.
    pub(super) fn admit(&self, shown: &Shown<'_>, now: WallTime) -> Result<Option<Check>, Answer> {
        if self.client_certificate && !shown.client_certificate {
            return Err(Answer::refused(
                403,
                "a client certificate is needed; connect where TLS asks for one",
            ));
        }
        if let Some((scheme, token)) = &self.authorization
            && !scheme.is_shown(token, shown.authorization)
        {
            return Err(Answer::unauthorized(scheme.challenge(), scheme.refusal()));
        }
        match &self.signature {
            Some(key) => key.begin(shown, now).map(Some),
            None => Ok(None),
        }
    }
}

impl Scheme {
    /// Whether the header shows what it has to. The scheme's name is in any case (RFC 9110, 11.1).
    fn is_shown(self, token: &Token, authorization: Option<&str>) -> bool {
        let name = match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
        };
        authorization.and_then(|header| header.split_once(' ')).is_some_and(|(scheme, secret)| {
            scheme.eq_ignore_ascii_case(name) && token.is(&Token::of(secret.trim().as_bytes()))
        })
    }

    const fn challenge(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Basic => "Basic realm=\"hindsight\", charset=\"UTF-8\"",
        }
    }

    const fn refusal(self) -> &'static str {
        match self {
            Self::Bearer => "a valid bearer token is needed",
            Self::Basic => "a valid user name and password are needed",
        }
    }
}

impl Key {
    fn begin(&self, shown: &Shown<'_>, now: WallTime) -> Result<Check, Answer> {
        let Signature { header, timestamp_header, tolerance, .. } = &self.settings;
        let refused = |reason: String| Answer::unauthorized("HMAC-SHA256", &reason);
        let value = |name: &str| (shown.header)(name).map(str::trim);
        let signature = value(header)
            .map(|text| text.strip_prefix("sha256=").unwrap_or(text))
            .and_then(hexadecimal)
            .ok_or_else(|| {
                refused(format!("the header {header} needs an HMAC-SHA256 in hexadecimal"))
            })?;
        let timestamp = value(timestamp_header).unwrap_or_default();
        let seconds = timestamp.parse::<u64>().map_err(|_not_a_number| {
            refused(format!("the header {timestamp_header} needs the time in seconds since 1970"))
        })?;
        let ours = i128::from(now.as_nanos() / 1_000_000_000);
        if ours.abs_diff(i128::from(seconds)) > u128::from(tolerance.as_secs()) {
            return Err(refused(format!(
                "the time in {timestamp_header} is more than {} s from this host's; compare the clocks",
                tolerance.as_secs()
            )));
        }
        let mut mac = self.mac.clone();
        mac.update(timestamp.as_bytes());
        mac.update(b":");
        Ok(Check { mac, shown: signature })
    }
}

impl Check {
    /// More of the body.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.mac.update(piece);
    }

    /// The whole body has come.
    pub(super) fn verify(self) -> Result<(), Answer> {
        self.mac.verify_slice(&self.shown).map_err(|_differs| {
            Answer::unauthorized(
                "HMAC-SHA256",
                "the signature is not the one of this time, a colon and this body with our secret",
            )
        })
    }
}

fn read_secret(what: &'static str, name: &str, path: &Path) -> Result<String, Error> {
    let unreadable =
        |source| Error::Unreadable { what, name: name.to_owned(), path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_SECRET_BYTES {
        return Err(Error::TooLong { what, name: name.to_owned(), path: path.to_owned(), size });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.trim().is_empty() {
        return Err(Error::Empty { what, name: name.to_owned(), path: path.to_owned() });
    }
    Ok(secret.to_owned())
}

/// An even number of hexadecimal digits, as an HMAC-SHA256 has them.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let digits: Option<Vec<u8>> = text.as_bytes().iter().map(digit).collect();
    let digits = digits.filter(|digits| digits.len() == 2 * 32)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4_usize {
            let index = bits >> (18 - 6 * at) & 63;
            let letter = LETTERS[usize::try_from(index).unwrap_or(0)];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10; RFC 7617, section 2.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_signature_is_64_hexadecimal_digits_and_nothing_else() {
        let text = "00ff".repeat(16);
        assert_eq!(hexadecimal(&text).unwrap()[..2], [0, 0xff]);
        for wrong in ["", "00", &text[1..], &format!("{text}00"), &text.replace("ff", "fg")] {
            assert_eq!(hexadecimal(wrong), None, "{wrong}");
        }
    }
}
