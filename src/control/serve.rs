//! Accepts connections, learns who is at their other end, and serves them, each within bounds of time.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::peer::Peer;
use super::tls::Tls;
use crate::spawn;

/// The bounds of one listener's connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The most connections at one time. The rest wait in the kernel's queue.
    connections: u32,
    /// How long a connection may take to send the head of a request, and be idle between two.
    header_patience: Duration,
    /// How long a connection lives at most. Bounds readers that never take their answer; whoever
    /// has more to say connects again.
    lifetime: Duration,
    /// How long the request under way may go on once the connection has to end.
    grace: Duration,
}

/// The bounds in use. With the size of a head they keep a listener's idle memory below 8 MiB.
pub(super) const BOUNDS: Bounds = Bounds {
    connections: 256,
    header_patience: Duration::from_secs(30),
    lifetime: Duration::from_secs(600),
    grace: Duration::from_secs(5),
};

/// The most bytes of a head; also the size of a connection's read buffer.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Makes an accepted connection one that can be read, and says who is at its other end.
pub(super) trait Welcome<L: Listener>: Clone + Send + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn welcome(
        self,
        io: L::Io,
        address: L::Addr,
    ) -> impl Future<Output = io::Result<(Self::Io, Peer)>> + Send;
}

/// The Unix socket: the kernel says who connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local;

impl Welcome<UnixListener> for Local {
    type Io = UnixStream;

    async fn welcome(
        self,
        io: UnixStream,
        _: tokio::net::unix::SocketAddr,
    ) -> io::Result<(UnixStream, Peer)> {
        let seen = io.peer_cred()?;
        Ok((io, Peer::Local { uid: seen.uid(), gid: seen.gid() }))
    }
}

/// TCP as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain;

impl Welcome<TcpListener> for Plain {
    type Io = TcpStream;

    async fn welcome(self, io: TcpStream, address: SocketAddr) -> io::Result<(TcpStream, Peer)> {
        Ok((io, Peer::Remote { address, certificate: None }))
    }
}

/// TLS on TCP.
#[derive(Clone, Debug)]
pub(super) struct Encrypted(pub(super) Arc<Tls>);

impl Welcome<TcpListener> for Encrypted {
    type Io = TlsStream<TcpStream>;

    async fn welcome(self, io: TcpStream, address: SocketAddr) -> io::Result<(Self::Io, Peer)> {
        let (io, certificate) = self.0.accept(io).await?;
        Ok((io, Peer::Remote { address, certificate }))
    }
}

/// Serves `routes` on `listener` until `stop`, then lets the requests under way end. Every request has
/// its [`Peer`] as an extension.
pub(super) async fn serve<L: Listener, W: Welcome<L>>(
    mut listener: L,
    welcome: W,
    routes: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(usize::try_from(bounds.connections).unwrap_or(usize::MAX)));
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, (io, address)) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        let welcomed = welcome.clone().welcome(io, address);
        spawn::task("control connection", async move {
            // A client that takes its time to begin holds a slot no longer than one that takes its time
            // to ask.
            match tokio::time::timeout(bounds.header_patience, welcomed).await {
                Ok(Ok((io, peer))) => connection(io, peer, routes, bounds, stop).await,
                Ok(Err(error)) => tracing::debug!(%error, "a connection was not begun"),
                Err(_elapsed) => tracing::debug!("a connection was not begun in time"),
            }
            drop(slot);
        });
    }
    drop(listener);
    // All slots are free when all connections have ended; each ends within the grace.
    if slots.acquire_many(bounds.connections).await.is_err() {
        tracing::debug!("the connection slots were closed");
    }
}

async fn connection<Io>(io: Io, peer: Peer, routes: Router, bounds: Bounds, stop: CancellationToken)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        routes.call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.header_patience)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(io), service)
    );
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = until_end(bounds.lifetime, &stop) => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(bounds.grace, connection).await {
                Ok(served) => served,
                Err(_elapsed) => return,
            }
        }
    };
    if let Err(error) = served {
        // What a client does wrong on its own connection is no news to whoever runs the worker.
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn until_end(lifetime: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(lifetime) => {}
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    async fn served(
        routes: Router,
        bounds: Bounds,
        stop: &CancellationToken,
    ) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(listener, Plain, routes, bounds, stop.clone());
        (address, spawn::task("server under test", server))
    }

    /// All that a connection says until it ends.
    async fn rest(mut stream: TcpStream) -> String {
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        said
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_head_is_let_go() {
        let bounds = Bounds { header_patience: Duration::from_millis(20), ..BOUNDS };
        let (address, _server) = served(Router::new(), bounds, &CancellationToken::new()).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(rest(slow).await, "");
    }

    #[tokio::test]
    async fn a_connection_that_is_idle_after_its_answer_ends() {
        let bounds = Bounds { header_patience: Duration::from_millis(20), ..BOUNDS };
        let routes = Router::new().route("/", get(|| async { "ok" }));
        let (address, _server) = served(routes, bounds, &CancellationToken::new()).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(GET).await.unwrap();
        assert!(rest(idle).await.ends_with("ok"));
    }

    #[tokio::test]
    async fn the_request_under_way_is_answered_and_the_server_then_ends() {
        let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (entered, finish) = (Arc::clone(&entered), Arc::clone(&finish));
            move || async move {
                entered.notify_one();
                finish.notified().await;
                "done"
            }
        };
        let stop = CancellationToken::new();
        let (address, server) = served(Router::new().route("/", get(slow)), BOUNDS, &stop).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(GET).await.unwrap();
        entered.notified().await;
        stop.cancel();
        finish.notify_one();
        assert!(rest(client).await.ends_with("done"));
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_does_not_hold_up_the_stop() {
        let bounds = Bounds { grace: Duration::from_millis(20), ..BOUNDS };
        let routes = Router::new().route("/", get(std::future::pending::<&'static str>));
        let stop = CancellationToken::new();
        let (address, server) = served(routes, bounds, &stop).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(GET).await.unwrap();
        stop.cancel();
        server.await.unwrap();
    }
}
