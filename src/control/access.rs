//! Who may do what: the socket's file mode decides on the Unix socket, bearer tokens over TCP.
//!
//! A tokens file has a line for each token, `scope name sha256:<hexadecimal>`, and comments behind `#`.
//! It holds no secret: only the SHA-256 of each token, as `printf %s TOKEN | sha256sum` prints it. It is
//! read again when it changes. **Invariant: while it cannot be read or has a mistake, no token is taken**,
//! because the mistake may be in the line that takes one away.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

use super::peer::Peer;
use super::problem::Problem;
use crate::spawn;

/// The most bytes of a tokens file: some thousand lines.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 1024;

/// The longest name of a token, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What a caller may do; each scope holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// See everything but files of packets and the audit record.
    Read,
    /// Also begin, stop and delete captures, send events, and take files of packets.
    Operate,
    /// Also reload the configuration, write local files, and see the audit record.
    Admin,
}

impl Scope {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Read, Self::Operate, Self::Admin].into_iter().find(|scope| scope.word() == word)
    }
}

/// Who asks, once it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// For the audit record.
    pub(super) who: String,
    pub(super) scope: Scope,
}

/// Why a tokens file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the tokens file {path}; see tokens_file in control.listen")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "the tokens file {path} has more than {MAX_FILE_BYTES} bytes; take out what is not used"
    )]
    TooLarge { path: PathBuf },
    #[error(
        "{path}:{line}: {problem}; write a line as in: operate ci sha256:<what 'printf %s TOKEN | \
         sha256sum' prints>, with read, operate or admin before the name"
    )]
    Line { path: PathBuf, line: usize, problem: &'static str },
}

/// How the callers of one listener are told apart.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// Whoever may open the socket file may do everything.
    Socket,
    /// Each request shows a token.
    Tokens(Arc<Tokens>),
}

impl Access {
    /// Who asks.
    ///
    /// # Errors
    /// 401: no token that we know; 403: the peer is not one that this listener serves.
    pub(super) async fn caller(
        &self,
        peer: Option<&Peer>,
        headers: &HeaderMap,
    ) -> Result<Caller, Problem> {
        match self {
            Self::Socket => {
                let who = match peer {
                    Some(Peer::Local { uid, .. }) => format!("uid {uid}"),
                    Some(Peer::Remote { .. }) | None => "unknown".to_owned(),
                };
                Ok(Caller { who, scope: Scope::Admin })
            }
            Self::Tokens(tokens) => {
                let shown = bearer(headers).ok_or_else(|| {
                    Problem::unauthorized("show a token: Authorization: Bearer TOKEN")
                })?;
                let shown = Hash::of(shown.as_bytes());
                let tokens = Arc::clone(tokens);
                let found = spawn::blocking(move || tokens.find(&shown)).await;
                let (name, scope) = found.ok().flatten().ok_or_else(|| {
                    Problem::unauthorized("this token is not known; see the worker's tokens_file")
                })?;
                Ok(Caller { who: described(&name, peer), scope })
            }
        }
    }
}

fn described(token: &str, peer: Option<&Peer>) -> String {
    match peer {
        Some(Peer::Remote { address, certificate: None }) => {
            format!("token {token} from {}", address.ip())
        }
        Some(Peer::Remote { address, certificate: Some(subject) }) => {
            format!("token {token} from {} ({subject})", address.ip())
        }
        Some(Peer::Local { .. }) | None => format!("token {token}"),
    }
}

/// The token of a request; schemes are in any case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_one =
        scheme.eq_ignore_ascii_case("bearer") && (1..=MAX_TOKEN_BYTES).contains(&token.len());
    is_one.then_some(token)
}

/// The SHA-256 of a token: comparing digests takes the same time whatever is compared.
#[derive(Clone, PartialEq, Eq)]
struct Hash([u8; 32]);

impl Hash {
    fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(hash))
    }

    fn is(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |bits, (a, b)| bits | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

struct Token {
    name: String,
    scope: Scope,
    hash: Hash,
}

/// What tells one state of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            bytes: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What was read, and of which state of the file; no stamp where it could not be looked at.
struct Loaded {
    stamp: Option<Stamp>,
    tokens: Vec<Token>,
}

/// The tokens of one listener.
pub(super) struct Tokens {
    path: PathBuf,
    loaded: Mutex<Loaded>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads the file. Blocking.
    ///
    /// # Errors
    /// It cannot be read, or a line of it is no token.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let loaded = Mutex::new(load(path)?);
        Ok(Self { path: path.to_owned(), loaded })
    }

    /// The name and the scope of a token. Blocking: looks whether the file has changed.
    fn find(&self, shown: &Hash) -> Option<(String, Scope)> {
        let stamp = fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp != loaded.stamp {
            *loaded = load(&self.path).unwrap_or_else(|error| {
                let path = self.path.display();
                tracing::error!(%error, %path, "no token is taken until the tokens file is right");
                Loaded { stamp, tokens: Vec::new() }
            });
        }
        // All of them are compared, so that the time tells nothing of which one it is.
        let found = loaded
            .tokens
            .iter()
            .fold(None, |found, token| if token.hash.is(shown) { Some(token) } else { found });
        found.map(|token| (token.name.clone(), token.scope))
    }
}

fn load(path: &Path) -> Result<Loaded, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    // Looked at before it is read: a change in between is then seen the next time.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge { path: path.to_owned() });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(Loaded { stamp: Some(Stamp::of(&metadata)), tokens: parse(&text, path)? })
}

fn parse(text: &str, path: &Path) -> Result<Vec<Token>, Error> {
    let mut tokens: Vec<Token> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let failed = |problem| Error::Line { path: path.to_owned(), line: number, problem };
        let token = parse_line(line).map_err(failed)?;
        if tokens.iter().any(|earlier| earlier.name == token.name) {
            return Err(failed("this name stands on an earlier line, too"));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

fn parse_line(line: &str) -> Result<Token, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [scope, name, hash] = words[..] else {
        return Err("this line does not have three words");
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
        return Err("the name is not of at most 64 letters, digits, '.', '_' and '-'");
    }
    let scope = Scope::from_word(scope).ok_or("the scope is not read, operate or admin")?;
    let hash = hash.strip_prefix("sha256:").and_then(Hash::from_hex);
    let hash = hash.ok_or("the last word is not sha256: with 64 hexadecimal digits behind it")?;
    Ok(Token { name: name.to_owned(), scope, hash })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn line(scope: &str, name: &str, token: &str) -> String {
        let hash = Sha256::digest(token.as_bytes());
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{scope} {name} sha256:{hex}\n")
    }

    fn asking(authorization: &str) -> HeaderMap {
        let value = HeaderValue::from_str(authorization).unwrap();
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    async fn scope_of(access: &Access, token: &str) -> Result<Scope, u16> {
        let headers = asking(&format!("bearer {token}"));
        let caller = access.caller(None, &headers).await;
        caller.map(|caller| caller.scope).map_err(|problem| problem.status)
    }

    fn access(path: &Path) -> Access {
        Access::Tokens(Arc::new(Tokens::open(path).unwrap()))
    }

    #[tokio::test]
    async fn each_token_has_its_scope_and_nothing_else_has_any() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let text = format!(
            "# for tests\n{}\n{}{}",
            line("read", "grafana", "r-1"),
            line("operate", "ci", "o-1"),
            line("admin", "ops", "a-1")
        );
        fs::write(&path, text).unwrap();
        let access = access(&path);
        assert_eq!(scope_of(&access, "r-1").await, Ok(Scope::Read));
        assert_eq!(scope_of(&access, "o-1").await, Ok(Scope::Operate));
        assert_eq!(scope_of(&access, "a-1").await, Ok(Scope::Admin));
        for wrong in ["", "r-2", "R-1", "r-1 o-1"] {
            assert_eq!(scope_of(&access, wrong).await, Err(401), "{wrong}");
        }
        let basic = access.caller(None, &asking("Basic r-1")).await;
        assert_eq!(basic.unwrap_err().status, 401);
        assert_eq!(access.caller(None, &HeaderMap::new()).await.unwrap_err().status, 401);
    }

    #[tokio::test]
    async fn a_changed_file_counts_at_once_and_a_mistake_in_it_shuts_out_everybody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        fs::write(&path, line("admin", "ops", "old")).unwrap();
        let access = access(&path);
        assert_eq!(scope_of(&access, "old").await, Ok(Scope::Admin));
        fs::write(&path, line("read", "ops", "new")).unwrap();
        assert_eq!(scope_of(&access, "old").await, Err(401));
        assert_eq!(scope_of(&access, "new").await, Ok(Scope::Read));
        fs::write(&path, format!("{}oops\n", line("read", "ops", "new"))).unwrap();
        assert_eq!(scope_of(&access, "new").await, Err(401));
        fs::write(&path, line("read", "ops", "new")).unwrap();
        assert_eq!(scope_of(&access, "new").await, Ok(Scope::Read));
        fs::remove_file(&path).unwrap();
        assert_eq!(scope_of(&access, "new").await, Err(401));
    }

    #[tokio::test]
    async fn the_user_on_the_socket_and_the_place_of_a_token_are_told() {
        let local = Peer::Local { uid: 1000, gid: 1000 };
        let caller = Access::Socket.caller(Some(&local), &HeaderMap::new()).await.unwrap();
        assert_eq!(caller, Caller { who: "uid 1000".to_owned(), scope: Scope::Admin });
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        fs::write(&path, line("read", "ci", "t")).unwrap();
        let address = "192.0.2.7:4242".parse().unwrap();
        let remote = Peer::Remote { address, certificate: Some("CN=ci".to_owned()) };
        let caller = access(&path).caller(Some(&remote), &asking("Bearer t")).await.unwrap();
        assert_eq!(caller.who, "token ci from 192.0.2.7 (CN=ci)");
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_the_right_form() {
        let hash = "0".repeat(64);
        for (text, problem) in [
            (format!("\nroot ops sha256:{hash}"), "tokens:2: the scope"),
            (format!("read a/b sha256:{hash}"), "tokens:1: the name"),
            ("read ops sha256:00".to_owned(), "64 hexadecimal digits"),
            ("read ops".to_owned(), "three words"),
            (format!("read a sha256:{hash}\nread a sha256:{hash}"), "tokens:2: this name stands"),
        ] {
            let Err(error) = parse(&text, Path::new("tokens")) else { panic!("{text} is taken") };
            let error = error.to_string();
            assert!(error.contains(problem) && error.contains("operate ci sha256:"), "{error}");
        }
    }
}
