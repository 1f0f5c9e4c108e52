//! A real server that speaks S3 (moto), with one bucket.

use super::object_server::{Dialect, ObjectServer};
use super::place::Place;

/// What a server that checks no signature wants to see all the same: that there is one.
pub(crate) const CREDENTIAL: (&str, &str) = (
    "authorization",
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                          SignedHeaders=host, Signature=00",
);

/// A running S3 server.
#[derive(Debug)]
pub(crate) struct S3 {
    pub(crate) server: ObjectServer,
}

impl S3 {
    pub(crate) const BUCKET: &str = "captures";

    /// One that lets everybody in.
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    /// One that has its bucket, and lets nobody in: it checks signatures, and knows no key.
    pub(crate) fn start_closed(place: &Place) -> Self {
        // The one request that it takes without a look at the signature makes the bucket.
        Self::start_with(place, &[("INITIAL_NO_AUTH_ACTION_COUNT", "1")])
    }

    fn start_with(place: &Place, environment: &[(&str, &str)]) -> Self {
        let dialect = Dialect {
            container: format!("/{}", Self::BUCKET),
            query: String::new(),
            headers: &[CREDENTIAL],
            listing: "list-type=2",
            name_element: "Key",
        };
        let program = "moto/bin/moto_server";
        let server = ObjectServer::start(place, program, dialect, |command, port, _folder| {
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            command.envs(environment.iter().copied());
        });
        let made = server.request("PUT", &format!("/{}", Self::BUCKET), &[CREDENTIAL]);
        assert_eq!(made.status, 200, "making the bucket: {made:?}");
        Self { server }
    }

    /// `http://127.0.0.1:<port>`, as seen from its place.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }
}
