//! A real server that speaks Azure Blob Storage (Azurite), with one container that is nobody's but its account's.

use hindsight::clock;
use sha2::{Digest as _, Sha256};

use super::object_server::{Dialect, ObjectServer};
use super::place::Place;

/// The version of the service that the requests are written for.
const VERSION: &str = "2021-08-06";

/// What a shared access signature of the container allows: read, add, create, write, delete, list.
const PERMISSIONS: &str = "racwdl";

const EXPIRY: &str = "2099-01-01T00:00:00Z";

/// A running Azurite.
#[derive(Debug)]
pub(crate) struct Azurite {
    pub(crate) server: ObjectServer,
}

impl Azurite {
    pub(crate) const ACCOUNT: &str = "hindsight";
    pub(crate) const CONTAINER: &str = "captures";
    /// Of the account above, which exists nowhere else.
    const KEY: &[u8] = b"a key for an emulator's account only";

    pub(crate) fn start(place: &Place) -> Self {
        let dialect = Dialect {
            container: Self::container(),
            query: Self::signature(),
            headers: &[],
            listing: "restype=container&comp=list",
            name_element: "Name",
        };
        let program = "azurite/node_modules/.bin/azurite-blob";
        let server = ObjectServer::start(place, program, dialect, |command, port, folder| {
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
            command.args(["--skipApiVersionCheck", "--disableTelemetry", "--silent"]);
            command.arg("--location").arg(folder.join("blobs"));
            let account = format!("{}:{}", Self::ACCOUNT, Self::account_key());
            command.env("AZURITE_ACCOUNTS", account);
        });
        let azurite = Self { server };
        azurite.make_container();
        azurite
    }

    /// The account's address, as seen from its place.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.server.port, Self::ACCOUNT)
    }

    /// The account's key, as Azure shows it: base64.
    pub(crate) fn account_key() -> String {
        base64(Self::KEY)
    }

    /// A shared access signature for everything in the container, as a query:
    /// learn.microsoft.com/rest/api/storageservices/create-service-sas.
    pub(crate) fn signature() -> String {
        let resource = format!("/blob{}", Self::container());
        // Empty lines stand for what it does not restrict: the start, a stored policy, addresses and
        // protocols; at the end a snapshot, an encryption scope and five headers of answers.
        let text =
            format!("{PERMISSIONS}\n\n{EXPIRY}\n{resource}\n\n\n\n{VERSION}\nc{}", "\n".repeat(7));
        let signature = base64(&hmac_sha256(Self::KEY, text.as_bytes()));
        let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let expiry = EXPIRY.replace(':', "%3A");
        format!("sv={VERSION}&se={expiry}&sr=c&sp={PERMISSIONS}&sig={signature}")
    }

    fn container() -> String {
        format!("/{}/{}", Self::ACCOUNT, Self::CONTAINER)
    }

    /// Signed with the account's key: learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key.
    fn make_container(&self) {
        let now = chrono::DateTime::from_timestamp_nanos(clock::wall_time().as_nanos());
        let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let headers = [("x-ms-date", date.as_str()), ("x-ms-version", VERSION)];
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
        let made = self.server.request("PUT", &target, &headers);
        assert_eq!(
            made.status,
            201,
            "making the container: {}",
            String::from_utf8_lossy(&made.body)
        );
    }
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
