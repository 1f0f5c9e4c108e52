//! A real mosquitto on a free loopback port, with a configuration and a folder of its own.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Each look whether the broker answers waits this long; a healthy one answers at the first or second.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct Mosquitto {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Mosquitto {
    /// Starts one. `lines` are added to its configuration.
    pub(crate) fn start(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            free.local_addr().unwrap().port()
        };
        let directory = folder.path().display();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_queued_messages 0\n\
             persistence true\npersistence_location {directory}/\nlog_dest none\n{lines}\n"
        );
        fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        let mut broker = Self { folder, port, process: None };
        broker.resume();
        broker
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// A file in the broker's own folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// From the next start on it lets nobody in but this account.
    pub(crate) fn require_account(&self, user: &str, password: &str) {
        let passwords = self.file("passwords", "");
        let made = Command::new("mosquitto_passwd")
            .arg("-b")
            .arg(&passwords)
            .args([user, password])
            .status()
            .unwrap();
        assert!(made.success());
        let config = self.folder.path().join("mosquitto.conf");
        let lines = fs::read_to_string(&config).unwrap();
        let lines = lines.replace("allow_anonymous true", "allow_anonymous false");
        fs::write(config, format!("{lines}password_file {}\n", passwords.display())).unwrap();
    }

    /// Starts it again on the same port with what it saved.
    pub(crate) fn resume(&mut self) {
        let process = Command::new("mosquitto")
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need mosquitto: apt-get install mosquitto mosquitto-clients");
        self.process = Some(process);
        for _ in 0..1000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return;
            }
            thread::sleep(LOOK);
        }
        panic!("mosquitto does not answer on port {}", self.port);
    }

    /// Ends it so that it saves its sessions.
    pub(crate) fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }

    /// Ends it so that it forgets what it had not saved.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            let id = Pid::from_raw(process.id().try_into().unwrap());
            kill(id, signal).unwrap();
            process.wait().unwrap();
        }
    }

    /// Publishes one message with QoS 1; returns when the broker has acknowledged it.
    pub(crate) fn publish(&self, topic: &str, message: &[u8]) {
        self.publisher(&["-t", topic, "-s"], message);
    }

    /// Publishes each line as a message with QoS 1.
    pub(crate) fn publish_lines(&self, topic: &str, lines: &str) {
        self.publisher(&["-t", topic, "-l"], lines.as_bytes());
    }

    /// Publishes one retained message with QoS 1.
    pub(crate) fn publish_retained(&self, topic: &str, message: &[u8]) {
        self.publisher(&["-t", topic, "-s", "-r"], message);
    }

    fn publisher(&self, arguments: &[&str], input: &[u8]) {
        let mut publisher = Command::new("mosquitto_pub")
            .args(["-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        publisher.stdin.take().unwrap().write_all(input).unwrap();
        assert!(publisher.wait().unwrap().success());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.end(Signal::SIGKILL);
    }
}
