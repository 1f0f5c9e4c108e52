//! A real mail server on a port of its own, which keeps what it gets.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::broker::tls_file;
use super::place::Place;
use super::process::{Process, run};
use super::wait;

/// Debian's, which has Debian's modules.
const PYTHON: &str = "/usr/bin/python3";

/// A mail, as the server got it.
#[derive(Debug)]
pub(crate) struct Mail {
    /// From the SMTP dialogue: `from`, `to` and whether it was encrypted (`tls`).
    pub(crate) envelope: serde_json::Value,
    /// Byte for byte.
    pub(crate) raw: String,
}

/// A running mail server. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct MailServer {
    port: u16,
    folder: TempDir,
    _process: Process,
}

impl MailServer {
    /// `mode`: `plain`, `starttls` or `tls`; see `mail_server.py`.
    pub(crate) fn start(mode: &str) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let place = Place::Host;
        let port = place.free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/mail_server.py");
        let mut command = Command::new(PYTHON);
        command.arg(script).arg(port.to_string()).arg(folder.path()).arg(mode);
        if mode != "plain" {
            command.arg(tls_file("broker.pem")).arg(tls_file("broker.key"));
        }
        let mut process = Process::start("mail server", &mut command, &folder.path().join("log"));
        place.wait_for_port(&mut process, port);
        Self { port, folder, _process: process }
    }

    /// `<scheme>://127.0.0.1:<port>`
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The mail with this number; they count from 1.
    pub(crate) fn mail(&self, number: u32) -> Mail {
        let path = self.folder.path().join(format!("{number}.eml"));
        let raw = wait::until("a mail", Duration::from_secs(30), || fs::read(&path).ok());
        let envelope =
            fs::read(path.with_extension("json")).expect("it is written before the mail");
        Mail {
            envelope: serde_json::from_slice(&envelope).expect("the server writes JSON"),
            raw: String::from_utf8(raw).expect("without SMTPUTF8 a mail is ASCII"),
        }
    }

    /// How many mails it has.
    pub(crate) fn count(&self) -> usize {
        let entries = fs::read_dir(self.folder.path()).expect("the folder is there").flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "eml")).count()
    }
}

impl Mail {
    /// What another program makes of it: the header fields and both bodies.
    pub(crate) fn read(&self) -> serde_json::Value {
        const READER: &str = r"
import email, email.policy, json, sys
mail = email.message_from_string(sys.argv[1], policy=email.policy.default)
print(json.dumps({
    'defects': [str(d) for part in mail.walk() for d in part.defects],
    'headers': [[name, str(value)] for name, value in mail.items()],
    'text': mail.get_body(('plain',)).get_content().replace('\r\n', '\n'),
    'html': mail.get_body(('html',)).get_content().replace('\r\n', '\n'),
}))";
        let told = run(Command::new(PYTHON).args(["-c", READER, &self.raw]));
        serde_json::from_str(&told).expect("the reader prints JSON")
    }
}
