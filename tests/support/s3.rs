//! A real server that speaks S3 (moto), with one bucket.

use std::path::Path;

use tempfile::TempDir;

use super::http::{Answer, exchange};
use super::place::Place;
use super::process::Process;

/// It checks no signature, but wants to see that there is one.
const CREDENTIAL: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                          SignedHeaders=host, Signature=00";

/// A running S3 server. Dropped, it ends, and its objects with it.
#[derive(Debug)]
pub(crate) struct S3 {
    place: Place,
    port: u16,
    process: Process,
    _folder: TempDir,
}

impl S3 {
    pub(crate) const BUCKET: &str = "captures";

    pub(crate) fn start(place: &Place) -> Self {
        let program =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/moto/bin/moto_server");
        assert!(program.exists(), "no S3 server yet; run: tests/tools moto");
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let port = place.free_port();
        let mut command = place.command(&program.display().to_string());
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut process = Process::start("moto", &mut command, &folder.path().join("moto.log"));
        place.wait_for_port(&mut process, port);
        let server = Self { place: place.clone(), port, process, _folder: folder };
        let made = server.request("PUT", &format!("/{}", Self::BUCKET));
        assert_eq!(made.status, 200, "making the bucket: {made:?}");
        server
    }

    /// `http://127.0.0.1:<port>`, as seen from its place.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The object's bytes, where there is one of this name.
    pub(crate) fn object(&self, name: &str) -> Option<Vec<u8>> {
        let answer = self.request("GET", &format!("/{}/{name}", Self::BUCKET));
        match answer.status {
            200 => Some(answer.body),
            404 => None,
            _ => panic!("reading {name}: {answer:?}"),
        }
    }

    /// Names of all objects, at most the 1,000 that one listing holds.
    pub(crate) fn objects(&self) -> Vec<String> {
        let answer = self.request("GET", &format!("/{}?list-type=2", Self::BUCKET));
        super::azurite::between(&String::from_utf8_lossy(&answer.body), "<Key>", "</Key>")
    }

    /// Holds the server still, until [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.process.pause();
    }

    pub(crate) fn resume(&self) {
        self.process.resume();
    }

    fn request(&self, method: &str, target: &str) -> Answer {
        let stream = self
            .place
            .connect(self.port)
            .unwrap_or_else(|error| panic!("the S3 server {} is gone: {error}", self.process.id()));
        exchange(stream, method, target, &[("Authorization", CREDENTIAL)], b"")
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }
}
