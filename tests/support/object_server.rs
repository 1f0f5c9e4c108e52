//! What the storages on the network have in common: a program that keeps objects, and is asked for
//! them with plain HTTP.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::http::{Answer, exchange};
use super::place::Place;
use super::process::Process;

/// How long a server may take to save what it has.
const STOP: Duration = Duration::from_secs(30);

/// How a server is asked for what is in its one container.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// The container's path, from `/` on.
    pub(crate) container: String,
    /// Behind the path of every request, after `?`; may be empty.
    pub(crate) query: String,
    /// With every request.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// What makes a request for the container one for its listing.
    pub(crate) listing: &'static str,
    /// The XML element that holds a name in a listing.
    pub(crate) name_element: &'static str,
}

/// A running server. Dropped, it ends, and its objects with it.
#[derive(Debug)]
pub(crate) struct ObjectServer {
    place: Place,
    pub(crate) port: u16,
    command: Command,
    process: Process,
    dialect: Dialect,
    folder: TempDir,
}

impl ObjectServer {
    /// Starts `program`, a path below `target/tools`, on the loopback of its place, and waits until it
    /// listens. `arguments` are given the command, the port, and a folder for its data.
    pub(crate) fn start(
        place: &Place,
        program: &str,
        dialect: Dialect,
        arguments: impl FnOnce(&mut Command, u16, &Path),
    ) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(program);
        assert!(path.exists(), "no {} yet; run: tests/tools azurite moto", path.display());
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let port = place.free_port();
        let mut command = place.command(&path.display().to_string());
        arguments(&mut command, port, folder.path());
        let mut process = Process::start(program, &mut command, &folder.path().join("log"));
        place.wait_for_port(&mut process, port);
        Self { place: place.clone(), port, command, process, dialect, folder }
    }

    /// SIGTERM: it saves what it has.
    pub(crate) fn stop(&mut self) {
        self.process.terminate(STOP);
    }

    /// Starts it again on the same port, with what it keeps on disk.
    pub(crate) fn restart(&mut self) {
        let log = self.folder.path().join("log");
        self.process = Process::start("object server", &mut self.command, &log);
        self.place.wait_for_port(&mut self.process, self.port);
    }

    /// The object's bytes, where there is one of this name.
    pub(crate) fn object(&self, name: &str) -> Option<Vec<u8>> {
        let Dialect { container, query, headers, .. } = &self.dialect;
        let answer = self.request("GET", &format!("{container}/{name}?{query}"), headers);
        match answer.status {
            200 => Some(answer.body),
            404 => None,
            _ => panic!("reading {name}: {answer:?}"),
        }
    }

    /// Names of all objects, at most the 1,000 (S3) or 5,000 (Azure) that one listing holds.
    pub(crate) fn objects(&self) -> Vec<String> {
        let Dialect { container, query, headers, listing, name_element } = &self.dialect;
        let answer = self.request("GET", &format!("{container}?{listing}&{query}"), headers);
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "listing {container}: {text}");
        let (start, end) = (format!("<{name_element}>"), format!("</{name_element}>"));
        let parts = text.split(&start).skip(1);
        parts.filter_map(|part| part.split_once(&end)).map(|(name, _)| name.to_owned()).collect()
    }

    /// Holds the server still, until [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.process.pause();
    }

    pub(crate) fn resume(&self) {
        self.process.resume();
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(super) fn request(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let stream = self
            .place
            .connect(self.port)
            .unwrap_or_else(|error| panic!("server {} is gone: {error}", self.process.id()));
        exchange(stream, method, target, headers, b"")
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }
}
