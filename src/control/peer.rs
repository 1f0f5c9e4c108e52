//! Who is at the other end of a connection. The listener that accepted it says so, in the extensions
//! of each request.

use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A process of this host, on the Unix socket: whom the kernel saw connect.
    Local { uid: u32, gid: u32 },
    /// Over TCP. The subject is that of a client's certificate that we trust, where it showed one.
    Remote { address: SocketAddr, certificate: Option<String> },
}

impl Peer {
    /// Whether it has shown a client certificate that its listener trusts.
    pub(super) const fn shows_a_certificate(&self) -> bool {
        matches!(self, Self::Remote { certificate: Some(_), .. })
    }
}
