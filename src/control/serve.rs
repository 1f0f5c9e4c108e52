//! Accepts connections and serves them, each within bounds of time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

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

/// Serves `routes` on `listener` until `stop`, then lets the requests under way end.
pub(super) async fn serve<L: Listener>(
    mut listener: L,
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
        let (slot, (io, _peer)) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        spawn::task("control connection", async move {
            connection(io, routes, bounds, stop).await;
            drop(slot);
        });
    }
    drop(listener);
    // All slots are free when all connections have ended; each ends within the grace.
    if slots.acquire_many(bounds.connections).await.is_err() {
        tracing::debug!("the connection slots were closed");
    }
}

async fn connection<Io>(io: Io, routes: Router, bounds: Bounds, stop: CancellationToken)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.header_patience)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(io), TowerToHyperService::new(routes))
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
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
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
        let server = serve(listener, routes, bounds, stop.clone());
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
