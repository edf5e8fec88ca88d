//! The adapter as a program sees it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sockeye::adapter::Local;
use sockeye_cluster::link::Unhealthy;
use sockeye_cluster::recovery::RecoveryMetrics;
use sockeye_cluster::{ClusterAdapter, ClusterMetrics, NodeId};

use crate::bus::NatsBus;
use crate::directory::NatsDirectory;
use crate::link::{Hub, Link};
use crate::metrics::NatsMetrics;
use crate::options::NatsOptions;
use crate::server::{OptionsError, Server};

/// Joins a server to others over NATS: one for each server. A clone is another handle to the same.
///
/// While NATS is not reached the server's own clients are served as ever, and what is meant for other nodes waits, within
/// [`max_outgoing_bytes`](NatsOptions::max_outgoing_bytes).
#[derive(Clone)]
pub struct NatsAdapter(Arc<Hub>);

impl fmt::Debug for NatsAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsAdapter").field("node", self.node()).finish_non_exhaustive()
    }
}

impl NatsAdapter {
    /// Makes one, with a name that no other node has. It connects when the server begins to serve.
    ///
    /// # Errors
    ///
    /// The url cannot be used, or the prefix, the credentials or the certificates.
    pub fn new(options: NatsOptions) -> Result<Self, OptionsError> {
        let server = Server::new(&options)?;
        let node = NodeId::from(format!("{:016x}", rand::random::<u64>()));
        Ok(Self(Arc::new(Hub::new(Link::new(options, server, node)))))
    }

    /// Makes the adapters of a server's namespaces, see [`ServerBuilder::adapter`](sockeye::ServerBuilder::adapter).
    pub fn factory(&self) -> impl Fn(Arc<Local>) -> ClusterAdapter + Send + Sync + 'static {
        let hub = self.0.clone();
        move |local| {
            let bus = NatsBus::new(hub.clone(), &local);
            let recovery = bus.recovery();
            ClusterAdapter::with_recovery(local, bus, hub.link().options.cluster.clone(), recovery)
        }
    }

    /// Where nodes that forward requests to one another find their addresses, see
    /// [`Server::join_peers`](sockeye::Server::join_peers). It works while the server serves.
    pub fn directory(&self) -> NatsDirectory {
        NatsDirectory(self.0.clone())
    }

    /// The name of this node.
    pub fn node(&self) -> &NodeId {
        &self.0.link().node
    }

    /// Whether the connection to NATS works.
    pub fn is_connected(&self) -> bool {
        self.check().is_ok()
    }

    /// Whether this node hears the others and reaches them, as far as NATS and its own connection go: for the readiness of a server.
    ///
    /// # Errors
    ///
    /// Why not. Nothing needs to be done: the adapter goes on trying.
    pub fn check(&self) -> Result<(), Unhealthy> {
        self.0.link().check()
    }

    /// How long the last probe took to the server and back.
    pub fn round_trip(&self) -> Option<Duration> {
        self.0.link().health.round_trip()
    }

    /// How many bytes wait to be sent to NATS. At most
    /// [`max_outgoing_bytes`](NatsOptions::max_outgoing_bytes), unless a single message is larger.
    pub fn outgoing_bytes(&self) -> usize {
        self.0.link().outgoing.bytes()
    }

    /// How many bytes came from NATS and wait to be handled. At most
    /// [`max_incoming_bytes`](NatsOptions::max_incoming_bytes), unless a single message is larger.
    pub fn incoming_bytes(&self) -> usize {
        self.0.link().incoming.bytes()
    }

    /// What nodes say to one another, counted.
    pub fn cluster_metrics(&self) -> &ClusterMetrics {
        &self.0.link().options.cluster.metrics
    }

    /// What recovery has counted, with JetStream.
    pub fn recovery_metrics(&self) -> &RecoveryMetrics {
        &self.0.link().jetstream.metrics
    }

    /// What was counted.
    pub fn metrics(&self) -> &NatsMetrics {
        &self.0.link().metrics
    }
}
