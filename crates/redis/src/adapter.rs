//! The adapter as a program sees it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sockeye::adapter::Local;
use sockeye_cluster::{ClusterAdapter, ClusterMetrics, NodeId};

use crate::bus::RedisBus;
use crate::connection::servers::Servers;
use crate::directory::RedisDirectory;
use crate::link::{Hub, Link};
use crate::metrics::RedisMetrics;
use crate::options::{RedisOptions, UrlError};
use sockeye_cluster::link::Unhealthy;

/// Joins a server to others over Redis: one for each server. A clone is another handle to the same.
///
/// While Redis is not reached the server's own clients are served as ever, and what is meant for other nodes waits, within
/// [`max_outgoing_bytes`](RedisOptions::max_outgoing_bytes).
#[derive(Clone)]
pub struct RedisAdapter(Arc<Hub>);

impl fmt::Debug for RedisAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAdapter").field("node", self.node()).finish_non_exhaustive()
    }
}

impl RedisAdapter {
    /// Makes one, with a name that no other node has. It connects when the server begins to serve.
    ///
    /// With `rediss://` the cryptography is that of the provider that the program has chosen for rustls, or else of `aws_lc_rs`.
    ///
    /// # Errors
    ///
    /// The url cannot be used, or the certificates of [`tls`](RedisOptions::tls).
    pub fn new(options: RedisOptions) -> Result<Self, UrlError> {
        let servers = Servers::new(&options)?;
        let node = NodeId::from(format!("{:016x}", rand::random::<u64>()));
        Ok(Self(Arc::new(Hub::new(Link::new(options, servers, node)))))
    }

    /// Makes the adapters of a server's namespaces, see [`ServerBuilder::adapter`](sockeye::ServerBuilder::adapter).
    pub fn factory(&self) -> impl Fn(Arc<Local>) -> ClusterAdapter + Send + Sync + 'static {
        let hub = self.0.clone();
        move |local| {
            let bus = RedisBus::new(hub.clone(), &local);
            let recovery = bus.recovery();
            ClusterAdapter::with_recovery(local, bus, hub.link().options.cluster.clone(), recovery)
        }
    }

    /// Where nodes that forward requests to one another find their addresses, see
    /// [`Server::join_peers`](sockeye::Server::join_peers). It works while the server serves.
    pub fn directory(&self) -> RedisDirectory {
        RedisDirectory(self.0.link().clone())
    }

    /// The name of this node.
    pub fn node(&self) -> &NodeId {
        &self.0.link().node
    }

    /// Whether all connections to Redis work.
    pub fn is_connected(&self) -> bool {
        self.0.link().is_connected()
    }

    /// Whether this node hears the others and reaches them, as far as Redis and its own connections go: for the readiness of a
    /// server. A node that has connections but hears nothing finds out within
    /// [`probe_interval`](RedisOptions::probe_interval) and [`timeout`](RedisOptions::timeout), 8 s by default.
    ///
    /// # Errors
    ///
    /// Which connections do not work, and why. Nothing needs to be done: the adapter goes on trying.
    pub fn check(&self) -> Result<(), Unhealthy> {
        self.0.link().check()
    }

    /// How many nodes listened, this one among them, when they were counted last. 0 where that cannot be told, because this user may
    /// not ask.
    pub fn listeners(&self) -> usize {
        self.0.link().listeners.load(Ordering::Relaxed)
    }

    /// How long the last probe took: a message that this node sent to itself.
    pub fn round_trip(&self) -> Option<Duration> {
        self.0.link().health.round_trip()
    }

    /// How many bytes wait to be sent to Redis. At most
    /// [`max_outgoing_bytes`](RedisOptions::max_outgoing_bytes), unless a single message is larger.
    pub fn outgoing_bytes(&self) -> usize {
        self.0.link().outgoing.bytes()
    }

    /// How many bytes came from Redis and wait to be handled. At most
    /// [`max_incoming_bytes`](RedisOptions::max_incoming_bytes), unless a single message is larger.
    pub fn incoming_bytes(&self) -> usize {
        self.0.link().incoming.bytes()
    }

    /// What nodes say to one another, counted.
    pub fn cluster_metrics(&self) -> &ClusterMetrics {
        &self.0.link().options.cluster.metrics
    }

    /// What was counted.
    pub fn metrics(&self) -> &RedisMetrics {
        &self.0.link().metrics
    }
}
