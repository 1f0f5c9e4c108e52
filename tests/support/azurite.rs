//! A real server that speaks Azure Blob Storage (Azurite), with one container that all may read.

use std::path::Path;

use hindsight::clock;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::http::{Answer, exchange};
use super::place::Place;
use super::process::Process;

/// The version of the service that the requests are written for.
const VERSION: &str = "2021-08-06";

/// A running Azurite. Dropped, it ends, and its blobs with it.
#[derive(Debug)]
pub(crate) struct Azurite {
    place: Place,
    port: u16,
    process: Process,
    _folder: TempDir,
}

impl Azurite {
    pub(crate) const ACCOUNT: &str = "hindsight";
    pub(crate) const CONTAINER: &str = "captures";
    /// Of the account above, which exists nowhere else.
    const KEY: &[u8] = b"a key for an emulator's account only";

    pub(crate) fn start(place: &Place) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("target/tools/azurite/node_modules/.bin/azurite-blob");
        assert!(program.exists(), "no Azurite yet; run: tests/tools azurite");
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let port = place.free_port();
        let mut command = place.command(&program.display().to_string());
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        command.args(["--skipApiVersionCheck", "--disableTelemetry", "--silent", "--location"]);
        command.arg(folder.path().join("blobs"));
        command.env("AZURITE_ACCOUNTS", format!("{}:{}", Self::ACCOUNT, Self::account_key()));
        let log = folder.path().join("azurite.log");
        let mut process = Process::start("azurite", &mut command, &log);
        place.wait_for_port(&mut process, port);
        let server = Self { place: place.clone(), port, process, _folder: folder };
        server.make_container();
        server
    }

    /// The account's address, as seen from its place.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, Self::ACCOUNT)
    }

    /// The account's key, as Azure shows it: base64.
    pub(crate) fn account_key() -> String {
        base64(Self::KEY)
    }

    /// The blob's bytes, where there is one of this name.
    pub(crate) fn blob(&self, name: &str) -> Option<Vec<u8>> {
        let answer = self.request("GET", &format!("{}/{name}", Self::container()), &[]);
        match answer.status {
            200 => Some(answer.body),
            404 => None,
            _ => panic!("reading {name}: {answer:?}"),
        }
    }

    /// Names of all blobs, at most the 5,000 that one listing holds.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let target = format!("{}?restype=container&comp=list", Self::container());
        let answer = self.request("GET", &target, &[]);
        between(&String::from_utf8_lossy(&answer.body), "<Name>", "</Name>")
    }

    fn container() -> String {
        format!("/{}/{}", Self::ACCOUNT, Self::CONTAINER)
    }

    /// Signed with the account's key: learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key.
    fn make_container(&self) {
        let now = chrono::DateTime::from_timestamp_nanos(clock::wall_time().as_nanos());
        let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let headers = [
            ("x-ms-blob-public-access", "container"),
            ("x-ms-date", date.as_str()),
            ("x-ms-version", VERSION),
        ];
        let signed_headers: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        // The eleven empty lines stand for the standard headers, none of which is sent with a value.
        let resource = format!("/{}{}\nrestype:container", Self::ACCOUNT, Self::container());
        let text = format!("PUT\n{}{signed_headers}{resource}", "\n".repeat(11));
        let signature = base64(&hmac_sha256(Self::KEY, text.as_bytes()));
        let authorization = format!("SharedKey {}:{signature}", Self::ACCOUNT);
        let mut headers = headers.to_vec();
        headers.push(("Authorization", &authorization));
        let target = format!("{}?restype=container", Self::container());
        let made = self.request("PUT", &target, &headers);
        assert_eq!(
            made.status,
            201,
            "making the container: {}",
            String::from_utf8_lossy(&made.body)
        );
    }

    /// Holds the server still, until [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.process.pause();
    }

    pub(crate) fn resume(&self) {
        self.process.resume();
    }

    fn request(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let stream = self
            .place
            .connect(self.port)
            .unwrap_or_else(|error| panic!("Azurite {} is gone: {error}", self.process.id()));
        exchange(stream, method, target, headers, b"")
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }
}

/// All texts between an opening and a closing tag.
pub(crate) fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    let parts = text.split(open).skip(1);
    parts.filter_map(|part| part.split_once(close)).map(|(name, _)| name.to_owned()).collect()
}

/// RFC 2104, for keys of at most a block (64 bytes).
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text);
    let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let sign = |place: usize| {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 63).expect("six bits");
            if place > chunk.len() { '=' } else { char::from(ALPHABET[digit]) }
        };
        [sign(0), sign(1), sign(2), sign(3)]
    };
    bytes.chunks(3).flat_map(group).collect()
}
