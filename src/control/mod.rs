//! HTTP: the control API on a Unix socket, webhooks on TCP.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the worker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The Unix socket of the control API.
    pub socket: PathBuf,
    /// TCP addresses for webhook sources and `/healthz`.
    pub listen: Vec<SocketAddr>,
}
