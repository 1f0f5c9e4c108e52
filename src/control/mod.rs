//! HTTP: the control API on a Unix socket, webhooks on TCP.
//!
//! Turns requests into calls of [`Handle`] and webhook receivers, and their answers into JSON; it
//! decides nothing itself. The control API is never served on TCP: whoever may open the socket file
//! may control the worker, and nobody else. Every connection, request and body is bounded.

mod access;
mod api;
mod hooks;
mod limits;
mod peer;
mod problem;
mod serve;
mod socket;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::config::Listen;
use crate::source::Receivers;
use crate::spawn;
use crate::worker::Handle;

/// The settings stand in `config`, which this room is built on: the other way would be a cycle.
pub use crate::config::Control as Settings;
pub use api::{Captures, Outcomes, Recorders};
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
    tcp: Vec<(TcpListener, Option<Arc<Tls>>)>,
    api: axum::Router,
    hooks: axum::Router,
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
        let hooks = limits::bounded(hooks::routes(handle.clone(), webhooks)?);
        let api = limits::bounded(api::routes(handle));
        // First the socket, because a worker that answers there is the better explanation than an
        // address that is in use.
        let (unix, socket) = socket::Socket::bind(&settings.socket)?;
        let mut tcp = Vec::new();
        for listen in &settings.listen {
            match bind_tcp(listen).await {
                Ok(bound) => tcp.push(bound),
                Err(error) => {
                    if let Err(error) = socket.remove() {
                        tracing::warn!(%error, "the control socket file stays behind");
                    }
                    return Err(error);
                }
            }
        }
        Ok(Self { unix, socket, tcp, api, hooks })
    }

    /// The TCP addresses that were bound: where a port was 0, the one that the kernel chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|(listener, _)| listener.local_addr().ok()).collect()
    }

    /// Serves until `stop`; then takes no more connections, lets the requests under way end for a
    /// few seconds, and removes the socket file.
    pub async fn serve(self, stop: CancellationToken) {
        let api = serve::serve(self.unix, Local, self.api, BOUNDS, stop.clone());
        let hooks = self.tcp.into_iter().map(|(tcp, tls)| {
            let (routes, stop) = (self.hooks.clone(), stop.clone());
            async move {
                match tls {
                    Some(tls) => serve::serve(tcp, Encrypted(tls), routes, BOUNDS, stop).await,
                    None => serve::serve(tcp, Plain, routes, BOUNDS, stop).await,
                }
            }
        });
        futures_util::future::join(api, join_all(hooks)).await;
        if let Err(error) = self.socket.remove() {
            tracing::warn!(%error, "the control socket file stays behind");
        }
    }
}

/// An address, and its TLS where it has one.
async fn bind_tcp(listen: &Listen) -> Result<(TcpListener, Option<Arc<Tls>>), Error> {
    let address = listen.address;
    let tls = match listen.tls.clone() {
        Some(files) => {
            let tls = spawn::blocking(move || Tls::new(files)).await;
            let tls = tls.map_err(|_panicked| Error::Listen {
                address,
                source: io::Error::other("reading its certificates failed"),
            })?;
            Some(Arc::new(tls.map_err(|source| Error::Tls { address, source })?))
        }
        None => None,
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok((listener, tls)),
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
