//! HTTP: the API on a Unix socket, webhooks on TCP, and the API there where callers show tokens.
//!
//! Turns requests into calls of [`Handle`] and webhook receivers, and their answers into JSON; it
//! decides nothing itself. Whoever may open the socket file may control the worker; over TCP, who has a
//! token may do what its scope allows, and a listener without tokens serves webhooks, health and
//! metrics alone. Every connection, request and body is bounded.

mod access;
mod api;
mod hooks;
mod limits;
mod peer;
mod problem;
mod serve;
mod socket;
mod tls;
mod tree;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use futures_util::future::join_all;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::config::Listen;
use crate::source::Receivers;
use crate::spawn;
use crate::worker::Handle;

/// The settings stand in `config`, which this room is built on: the other way would be a cycle.
pub use crate::config::Control as Settings;
use access::{Access, Tokens};
pub use api::{
    AuditRecords, CaptureError, CaptureView, Captures, ErrorCode, Links, Outcomes,
    PacketCaptureStatus, ProvisioningState, Recorders, Rules, StorageView, Storages,
};
pub use problem::Problem;
use serve::{BOUNDS, Encrypted, Local, Plain};
use tls::Tls;

/// Why the worker cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "another worker runs: it answers on {path}; stop it first, or give this one its own \
         control.socket and state"
    )]
    AnotherWorker { path: PathBuf },
    #[error(
        "{path} is in the way of the control socket and is no socket; move it, or set \
         control.socket to another path"
    )]
    NotASocket { path: PathBuf },
    #[error(
        "{path} is too long for a Unix socket; set control.socket to a path of at most {limit} bytes"
    )]
    SocketPath { path: PathBuf, limit: usize },
    #[error("cannot make the control socket {path}; see control.socket")]
    Socket { path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}; see control.listen")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot speak TLS on {address}; see tls in control.listen")]
    Tls { address: SocketAddr, source: tls::Error },
    #[error("the API on {address} has nobody who may use it")]
    Tokens { address: SocketAddr, source: access::Error },
    #[error("two webhook sources answer on {path}; give each its own path")]
    PathTwice { path: String },
    #[error("a webhook source cannot answer on {path}; the worker itself does")]
    PathReserved { path: String },
}

/// The listeners, bound and not yet served.
#[derive(Debug)]
pub struct Server {
    unix: UnixListener,
    socket: socket::Socket,
    api: Router,
    tcp: Vec<Tcp>,
}

/// One TCP address, bound.
#[derive(Debug)]
struct Tcp {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    routes: Router,
}

impl Server {
    /// Binds the Unix socket (mode 0660) and every TCP address. Clients may connect from then on;
    /// they are answered once [`serve`](Self::serve) runs.
    ///
    /// # Errors
    /// Another worker runs, or an address or path cannot be had. Nothing stays bound.
    pub async fn bind(
        settings: &Settings,
        handle: Handle,
        webhooks: Receivers,
    ) -> Result<Self, Error> {
        let hooks = hooks::routes(webhooks)?;
        let api = api::routes(handle.clone(), &Access::Socket).fallback(api::no_such_path);
        let api = limits::bounded(api);
        // First the socket, because a worker that answers there is the better explanation than an
        // address that is in use.
        let (unix, socket) = socket::Socket::bind(&settings.socket)?;
        let mut tcp = Vec::new();
        for listen in &settings.listen {
            match bind_tcp(listen, &handle, &hooks).await {
                Ok(bound) => tcp.push(bound),
                Err(error) => {
                    if let Err(error) = socket.remove() {
                        tracing::warn!(%error, "the control socket file stays behind");
                    }
                    return Err(error);
                }
            }
        }
        Ok(Self { unix, socket, api, tcp })
    }

    /// The TCP addresses that were bound: where a port was 0, the one that the kernel chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|tcp| tcp.listener.local_addr().ok()).collect()
    }

    /// Serves until `stop`; then takes no more connections, lets the requests under way end for a
    /// few seconds, and removes the socket file.
    pub async fn serve(self, stop: CancellationToken) {
        let api = serve::serve(self.unix, Local, self.api, BOUNDS, stop.clone());
        let tcp = self.tcp.into_iter().map(|Tcp { listener, tls, routes }| {
            let stop = stop.clone();
            async move {
                match tls {
                    Some(tls) => serve::serve(listener, Encrypted(tls), routes, BOUNDS, stop).await,
                    None => serve::serve(listener, Plain, routes, BOUNDS, stop).await,
                }
            }
        });
        futures_util::future::join(api, join_all(tcp)).await;
        if let Err(error) = self.socket.remove() {
            tracing::warn!(%error, "the control socket file stays behind");
        }
    }
}

/// An address with what it serves: webhooks, and as much of the API as callers there can be told apart.
async fn bind_tcp(listen: &Listen, handle: &Handle, hooks: &Router) -> Result<Tcp, Error> {
    let Listen { address, tls, tokens_file } = listen.clone();
    let unread =
        |_panicked| Error::Listen { address, source: io::Error::other("reading its files failed") };
    let tls = match tls {
        Some(files) => {
            let tls = spawn::blocking(move || Tls::new(files)).await.map_err(unread)?;
            Some(Arc::new(tls.map_err(|source| Error::Tls { address, source })?))
        }
        None => None,
    };
    let routes = match tokens_file {
        Some(path) => {
            if tls.is_none() && !address.ip().is_loopback() {
                tracing::warn!(%address, "tokens pass here unencrypted; see tls in control.listen");
            }
            let tokens = spawn::blocking(move || Tokens::open(&path)).await.map_err(unread)?;
            let tokens = tokens.map_err(|source| Error::Tokens { address, source })?;
            api::routes(handle.clone(), &Access::Tokens(Arc::new(tokens)))
        }
        None => api::open_routes(handle.clone()),
    };
    let routes = limits::bounded(routes.merge(hooks.clone()));
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Tcp { listener, tls, routes }),
        Err(source) => Err(Error::Listen { address, source }),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_named_and_leaves_no_socket_behind() {
        let directory = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let socket = directory.path().join("control.sock");
        let settings = Settings { socket: socket.clone(), listen: vec![address.into()] };
        let (requests, _nobody) = mpsc::channel(1);
        let bound = Server::bind(&settings, Handle::new(requests), Receivers::default()).await;
        assert!(bound.unwrap_err().to_string().contains(&address.to_string()));
        assert!(!socket.exists());
    }
}
