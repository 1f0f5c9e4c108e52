//! Real object servers for tests: Azurite (Azure Blob Storage) and moto (S3), each on a free
//! loopback port with a data folder of its own, ended when dropped.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hindsight::clock;

/// The account that Azurite has, and its key, both published.
pub(crate) const AZURITE_ACCOUNT: &str = "devstoreaccount1";
pub(crate) const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// How long a server may take to open its port.
const START: Duration = Duration::from_secs(60);

/// How often the port is tried meanwhile.
const TRY: Duration = Duration::from_millis(50);

/// Makes a container and prints a SAS for it: `node -e` with port, container, account and key.
const MAKE_CONTAINER: &str = r#"
const crypto = require("crypto");
const [port, container, account, key] = process.argv.slice(1);
const version = "2021-08-06", hmac = text =>
    crypto.createHmac("sha256", Buffer.from(key, "base64")).update(text, "utf8").digest("base64");
const date = new Date().toUTCString(), path = `/${account}/${container}`;
const text = "PUT\n\n\n\n\n\n\n\n\n\n\n\n" + `x-ms-date:${date}\nx-ms-version:${version}\n` +
    `/${account}${path}\nrestype:container`;
const expiry = "2099-01-01T00:00:00Z", permissions = "racwdl";
const sas = hmac([permissions, "", expiry, `/blob/${account}/${container}`, "", "", "", version,
    "c", "", "", "", "", "", "", ""].join("\n"));
fetch(`http://127.0.0.1:${port}${path}?restype=container`, { method: "PUT", headers: {
    "x-ms-date": date, "x-ms-version": version, "content-length": "0",
    authorization: `SharedKey ${account}:${hmac(text)}` } }).then(async answer => {
    if (!answer.ok) { console.error(answer.status, await answer.text()); process.exit(1); }
    console.log(new URLSearchParams({ sv: version, se: expiry, sr: "c", sp: permissions,
        sig: sas }).toString());
});
"#;

/// A server process.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _data: tempfile::TempDir,
}

impl Server {
    pub(crate) fn azurite() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(tool("azurite/node_modules/.bin/azurite-blob"));
        command.arg("--location").arg(data.path());
        command.args(["--skipApiVersionCheck", "--disableTelemetry", "--silent", "--blobPort"]);
        Self::start(command, data)
    }

    /// `free_actions`: how many requests are taken without looking at their credential; `None`: all.
    pub(crate) fn moto(free_actions: Option<u32>) -> Self {
        let mut command = Command::new(tool("moto/bin/moto_server"));
        if let Some(count) = free_actions {
            command.env("INITIAL_NO_AUTH_ACTION_COUNT", count.to_string());
        }
        command.arg("-p");
        Self::start(command, tempfile::tempdir().unwrap())
    }

    fn start(mut command: Command, data: tempfile::TempDir) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        command.arg(port.to_string());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { child, port, _data: data };
        let begun = clock::boot_time();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} ended: {ended:?}");
            assert!(clock::boot_time().since(begun) < START, "{command:?} opens no port");
            std::thread::sleep(TRY);
        }
        server
    }

    /// The address of the server's root; Azurite's holds the account.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn azurite_endpoint(&self) -> String {
        format!("{}/{AZURITE_ACCOUNT}", self.address())
    }

    /// Makes a container in Azurite; gives back a SAS that may do everything in it.
    pub(crate) fn make_container(&self, name: &str) -> String {
        let port = self.port.to_string();
        let made = Command::new("node")
            .args(["-e", MAKE_CONTAINER, &port, name, AZURITE_ACCOUNT, AZURITE_KEY])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Kills the server and waits for its end.
    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn tool(path: &str) -> PathBuf {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(path);
    assert!(tool.exists(), "{} is missing: run tests/run, which installs it", tool.display());
    tool
}
