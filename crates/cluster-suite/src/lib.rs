//! The tests that every [`Bus`](sockeye_cluster::Bus) must pass, as a library.
//!
//! Implement [`Cluster`] for your bus, and name it in [`cluster_suite!`] in a file below `tests/`: that makes one test of each case.
//! Each case makes a cluster of its own, so they can run at once.
//!
//! # Example
//!
//! The bus in memory, `tests/suite.rs`:
//!
//! ```
//! use sockeye::Server;
//! use sockeye_cluster::{ClusterAdapter, ClusterOptions, MemoryHub};
//! use sockeye_cluster_suite::{Cluster, Node};
//!
//! struct InMemory(MemoryHub);
//!
//! impl Cluster for InMemory {
//!     async fn start() -> Self {
//!         Self(MemoryHub::default())
//!     }
//!
//!     async fn join(&self, options: ClusterOptions) -> Node {
//!         let (hub, name) = (self.0.clone(), format!("node-{}", rand::random::<u32>()));
//!         let (node, metrics) = (name.clone(), options.metrics.clone());
//!         let server = Server::builder()
//!             .adapter(move |local| {
//!                 let bus = hub.bus(&node, &local.namespace());
//!                 ClusterAdapter::new(local, bus, options.clone())
//!             })
//!             .build();
//!         Node { server, name, metrics }
//!     }
//! }
//!
//! sockeye_cluster_suite::cluster_suite!(InMemory, without {
//!     cut: "this example cannot cut a node off",
//!     garbage: "this example sends no garbage",
//!     delivered: "this example counts nothing",
//! });
//! # fn main() {}
//! ```

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic fails a test")]

#[doc(hidden)]
pub mod cases;
mod client;
mod fleet;
mod macros;
mod port;
mod support;
mod visitor;

use std::future::Future;
use std::sync::Arc;

pub use fleet::Fleet;
pub use port::free_port;
use sockeye::{ConnectionStateRecovery, Server};
use sockeye_cluster::{ClusterMetrics, ClusterOptions};
pub use support::{Got, WebSocket};

/// A server that has joined a cluster.
#[derive(Clone, Debug)]
pub struct Node {
    /// The server.
    pub server: Server,
    /// The name that the others call it by.
    pub name: String,
    /// The counters of the [`ClusterOptions`] that it joined with.
    pub metrics: Arc<ClusterMetrics>,
}

/// A cluster that servers can join, over a broker.
///
/// Some cases do harm, or look at what a node got. The methods that they call are optional: a cluster that lacks one names it after
/// `without` in [`cluster_suite!`], with the reason, and these cases are reported as ignored. Without that they fail.
pub trait Cluster: Send + Sync + Sized + 'static {
    /// A cluster without nodes, which shares nothing with any other.
    fn start() -> impl Future<Output = Self> + Send;

    /// Makes a server that joins when it is started.
    fn join(&self, options: ClusterOptions) -> impl Future<Output = Node> + Send;

    /// `names`: whether nodes are known by their names, from heartbeats. If not, the bus [counts](sockeye_cluster::Bus::counts_nodes)
    /// them only.
    fn names_nodes(&self) -> bool {
        true
    }

    /// `cut`: from now on nothing comes from this node, nor reaches it. It is told nothing of that.
    fn cut(&self, node: &str) {
        unable("cut", node)
    }

    /// `cut`: takes a [`cut`](Self::cut) back.
    fn heal(&self, node: &str) {
        unable("cut", node)
    }

    /// `garbage`: every node gets something, in the main namespace, that is not a message.
    fn send_garbage(&self) {
        unable("garbage", "every node")
    }

    /// `delivered`: how many messages a node got so far. Only for a bus that
    /// [routes by interest](sockeye_cluster::Bus::routes_by_interest).
    fn delivered(&self, node: &str) -> u64 {
        unable("delivered", node)
    }
}

/// A cluster that keeps events and sessions, so that clients are recovered on any node. [`recovery_suite!`] makes its tests.
pub trait Recovering: Cluster {
    /// Makes a server that joins when it is started, and recovers clients of all nodes.
    fn join_recovering(
        &self,
        options: ClusterOptions,
        recovery: ConnectionStateRecovery,
    ) -> impl Future<Output = Node> + Send;

    /// `trim`: the events that were kept so far in the main namespace are gone, perhaps but the last one.
    fn trim(&self) {
        unable("trim", "the log")
    }

    /// `refuse`: nothing is kept any more and no session is found, or it is again.
    fn refuse_to_keep(&self, is_refused: bool) {
        let _ = is_refused;
        unable("refuse", "the log and the session store")
    }
}

fn unable(ability: &str, node: &str) -> ! {
    panic!("this cluster has no `{ability}` for {node}: implement it, or say `without {{ {ability}: \"why\" }}`")
}
