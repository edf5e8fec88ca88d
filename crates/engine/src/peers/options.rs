//! Options of a node among its peers.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::metrics::PeerMetrics;

/// Options of [`Server::join_peers`](crate::Server::join_peers).
#[derive(Clone)]
#[non_exhaustive]
pub struct PeerOptions {
    /// Where this node listens for the others. It must not be reachable from outside. Default: a free port of `127.0.0.1`, for
    /// nodes on one machine.
    pub listen: SocketAddr,
    /// Host and port by which the others reach this node. Default: the address that it listens on.
    pub advertise: Option<String>,
    /// How long the directory keeps the address of a node that does not renew it; it does so three times as often. Default: 15 s.
    pub time_to_live: Duration,
    /// How long the directory may take, and how long a connection to another node. Default: 2 s.
    pub connect_timeout: Duration,
    /// Requests that are being forwarded at a time: long-polling clients that wait, for the most part. Each takes a connection.
    /// More: HTTP 503. Default: 10,000.
    pub max_requests: usize,
    /// WebSockets at a time whose session is on another node. Each takes a connection. More: HTTP 503. Default: 100,000.
    pub max_websockets: usize,
    /// Connections to one node that are kept open without a request. Default: 64.
    pub max_idle: usize,
    /// Connections of other nodes at a time that have not become a WebSocket. Further ones wait. Default: 20,000.
    pub max_incoming: usize,
    /// Nodes whose address is remembered, and as many that the directory did not know. Default: 1,024.
    pub max_nodes: usize,
    /// The counters; a clone of the options shares them.
    pub metrics: Arc<PeerMetrics>,
    pub(crate) secret: Box<[u8]>,
}

impl PeerOptions {
    /// The defaults, with the secret that all nodes share: at least [`MIN_SECRET`](Self::MIN_SECRET) bytes that nobody can guess.
    /// Who has it can make ids and requests that nodes believe.
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            advertise: None,
            time_to_live: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(2),
            max_requests: 10_000,
            max_websockets: 100_000,
            max_idle: 64,
            max_incoming: 20_000,
            max_nodes: 1_024,
            metrics: Arc::default(),
            secret: secret.as_ref().into(),
        }
    }

    /// The fewest bytes that a secret may have.
    pub const MIN_SECRET: usize = 16;
}

impl fmt::Debug for PeerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerOptions")
            .field("listen", &self.listen)
            .field("advertise", &self.advertise)
            .finish_non_exhaustive()
    }
}
