//! A real mosquitto on a port of its own, and clients of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use hindsight::{clock, spawn};
use tempfile::TempDir;

use super::place::Place;
use super::process::{Process, run};
use super::publisher::{Kept, Publisher, publish_all};

/// Messages a subscriber holds that no test has looked at: more than any test makes notices, few
/// enough that a runaway publisher shows as a stuck test and not as a machine without memory.
const HELD_MESSAGES: usize = 65_536;

/// How long a broker that was told to end may take to save what it has.
const STOP: Duration = Duration::from_secs(30);

/// Who may do what: anybody everything.
const OPEN: &str = "allow_anonymous true\n";

/// Everything is saved as it changes.
const SAVES_CHANGES: &str = "autosave_interval 1\nautosave_on_changes true\n";

/// Everything is saved once it is told to end, and lost when it is killed.
const SAVES_AT_THE_END: &str = "autosave_interval 0\n";

/// A broker with its sessions and messages. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Broker {
    place: Place,
    scheme: &'static str,
    port: u16,
    process: Option<Process>,
    folder: TempDir,
}

impl Broker {
    /// One that keeps sessions and messages over a kill.
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_in(folder(), place, &format!("{OPEN}{SAVES_CHANGES}"))
    }

    /// One that keeps sessions and messages over a stop only: each save is of everything it has,
    /// which a storm makes slow.
    pub(crate) fn start_forgetful(place: &Place) -> Self {
        Self::start_in(folder(), place, &format!("{OPEN}{SAVES_AT_THE_END}"))
    }

    /// One that speaks TLS, with a certificate of the authority in [`tls_file`]`("ca.pem")`.
    pub(crate) fn start_encrypted(place: &Place) -> Self {
        let (certificate, key) = (tls_file("broker.pem"), tls_file("broker.key"));
        let tls = format!("certfile {}\nkeyfile {}\n", certificate.display(), key.display());
        let broker = Self::start_in(folder(), place, &format!("{OPEN}{SAVES_AT_THE_END}{tls}"));
        Self { scheme: "mqtts", ..broker }
    }

    /// One that speaks TLS, and lets in who shows a certificate of [`tls_file`]`("client-ca.pem")`.
    pub(crate) fn start_for_certificates(place: &Place) -> Self {
        let [certificate, key, authority] =
            ["broker.pem", "broker.key", "client-ca.pem"].map(tls_file);
        let tls = format!(
            "certfile {}\nkeyfile {}\ncafile {}\nrequire_certificate true\n",
            certificate.display(),
            key.display(),
            authority.display()
        );
        let broker = Self::start_in(folder(), place, &format!("{OPEN}{SAVES_AT_THE_END}{tls}"));
        Self { scheme: "mqtts", ..broker }
    }

    /// One that lets nobody in but this account.
    pub(crate) fn start_with_account(place: &Place, user: &str, password: &str) -> Self {
        let folder = folder();
        let passwords = folder.path().join("passwords");
        run(Command::new("mosquitto_passwd")
            .args(["-c", "-b"])
            .arg(&passwords)
            .args([user, password]));
        let access = format!("allow_anonymous false\npassword_file {}\n", passwords.display());
        Self::start_in(folder, place, &format!("{access}{SAVES_AT_THE_END}"))
    }

    /// One at which everybody may subscribe and nobody publish.
    pub(crate) fn start_read_only(place: &Place) -> Self {
        let folder = folder();
        let rights = folder.path().join("rights");
        fs::write(&rights, "topic read #\n").expect("the temporary folder can be written");
        let access = format!("{OPEN}acl_file {}\n", rights.display());
        Self::start_in(folder, place, &format!("{access}{SAVES_AT_THE_END}"))
    }

    fn start_in(folder: TempDir, place: &Place, lines: &str) -> Self {
        let port = place.free_port();
        fs::write(folder.path().join("mosquitto.conf"), configuration(port, folder.path(), lines))
            .expect("the temporary folder can be written");
        let mut broker = Self { place: place.clone(), scheme: "mqtt", port, process: None, folder };
        broker.restart();
        broker
    }

    /// `mqtt://127.0.0.1:<port>`, or with `mqtts`, as seen from its place.
    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// SIGTERM: it saves what it has.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().expect("only a broker that runs is stopped");
        assert!(process.terminate(STOP).success(), "{}", process.log());
    }

    /// SIGKILL. What was acknowledged before is on disk, unless it is forgetful: the broker saves each
    /// change after it has answered, in the same turn of its loop, so another exchange makes sure that
    /// the turn is over.
    pub(crate) fn kill(&mut self) {
        self.publish("test/settled", "settled");
        self.process = None;
    }

    /// Starts it (again) on the same port with what it had saved.
    pub(crate) fn restart(&mut self) {
        self.process = None;
        let mut command = self.place.command("mosquitto");
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        let log = self.folder.path().join("mosquitto.log");
        let mut process = Process::start("mosquitto", &mut command, &log);
        self.place.wait_for_port(&mut process, self.port);
        self.process = Some(process);
    }

    /// Publishes with QoS 1; returns once the broker has acknowledged.
    pub(crate) fn publish(&self, topic: &str, payload: impl AsRef<[u8]>) {
        self.publish_many(topic, std::iter::once(payload));
    }

    /// Publishes every payload with QoS 1 over one connection, many under way at once; returns once
    /// the broker has acknowledged all.
    pub(crate) fn publish_many(
        &self,
        topic: &str,
        payloads: impl Iterator<Item = impl AsRef<[u8]>>,
    ) {
        self.publish_as(Kept::No, topic, payloads);
    }

    /// Publishes with QoS 1 a message that the broker keeps for those who subscribe later.
    pub(crate) fn publish_retained(&self, topic: &str, payload: impl AsRef<[u8]>) {
        self.publish_as(Kept::ForLaterSubscribers, topic, std::iter::once(payload));
    }

    /// A connection that stays, for messages one at a time.
    pub(crate) fn publisher(&self) -> Publisher {
        let stream = self.place.connect(self.port).expect("the broker runs");
        Publisher::connect(stream).expect("the broker takes everybody")
    }

    /// The port on the loopback of its place.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    fn publish_as(
        &self,
        kept: Kept,
        topic: &str,
        payloads: impl Iterator<Item = impl AsRef<[u8]>>,
    ) {
        let stream = self.place.connect(self.port).expect("the broker runs");
        publish_all(stream, kept, topic, payloads)
            .unwrap_or_else(|error| panic!("publishing to {topic}: {error}"));
    }

    /// Begins a session; returns once the broker has accepted the subscription.
    pub(crate) fn subscribe(&self, topic: &str) -> Subscriber {
        let session = format!("test-{}-{:x}", std::process::id(), hindsight::random::seed());
        // Line-buffered, so that its word on the subscription does not wait for a message.
        let mut command = self.place.command("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(["-V", "5", "-d", "-c", "-q", "1", "-i", &session, "-t", topic]);
        command.args(["-F", "message %t %C %x"]);
        Subscriber::start(command)
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("the temporary folder can be written")
}

/// One of the certificates: `ca.pem` signed the broker's, `stranger.pem` did not; `client-ca.pem` signed
/// `client.pem` and not `nobody.pem`.
pub(crate) fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

fn configuration(port: u16, folder: &Path, lines: &str) -> String {
    // Started by root it would change to a user who cannot read the test's folder.
    let user = if nix::unistd::geteuid().is_root() { "user root\n" } else { "" };
    format!(
        "listener {port} 127.0.0.1\n{user}persistence true\n\
         persistence_location {}/\n{lines}\
         max_queued_messages 0\nlog_dest stderr\n",
        folder.display()
    )
}

/// One received message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    /// Empty where the publisher did not name one.
    pub(crate) content_type: String,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap_or_else(|error| {
            panic!("no JSON: {error}: {}", String::from_utf8_lossy(&self.payload))
        })
    }
}

/// Collects messages in the background; its session outlives a restart of the broker.
#[derive(Debug)]
pub(crate) struct Subscriber {
    child: Child,
    messages: Receiver<Message>,
}

impl Subscriber {
    fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.expect("mosquitto_sub is installed");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let accepted = lines.by_ref().map_while(Result::ok).any(|line| line.contains("SUBACK"));
        assert!(accepted, "the broker refused the subscription");
        let (sender, messages) = sync_channel(HELD_MESSAGES);
        spawn::thread("test-subscriber", move || {
            lines
                .map_while(Result::ok)
                .filter_map(|line| message(&line))
                .try_for_each(|message| sender.send(message))
        })
        .expect("a test may start a thread");
        Self { child, messages }
    }

    /// The next message for which `wanted` holds; others are passed over.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Message {
        let started = clock::boot_time();
        loop {
            let left = patience.saturating_sub(clock::boot_time().since(started));
            match self.messages.recv_timeout(left) {
                Ok(message) if wanted(&message) => return message,
                Ok(_other) => {}
                Err(RecvTimeoutError::Timeout) => panic!("waited {patience:?} in vain for {what}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the subscriber ended; no {what}"),
            }
        }
    }

    /// What has come and was not taken yet.
    pub(crate) fn received(&self) -> Vec<Message> {
        self.messages.try_iter().collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads `message <topic> <content type> <payload in hexadecimal>`, which keeps every byte of a payload
/// on one line. Other lines are the client's own.
fn message(line: &str) -> Option<Message> {
    let (head, hex) = line.strip_prefix("message ")?.rsplit_once(' ')?;
    let (topic, content_type) = head.rsplit_once(' ')?;
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let payload = (0..hex.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
    Some(Message { topic: topic.to_owned(), content_type: content_type.to_owned(), payload })
}
