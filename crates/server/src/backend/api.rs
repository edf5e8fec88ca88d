//! What the rest of the program knows of a broker.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sockeye::Args;
use sockeye::adapter::Local;
use sockeye::peers::Directory;
use sockeye_cluster::recovery::RecoveryMetrics;
use sockeye_cluster::{ClusterAdapter, ClusterMetrics, NodeId};

#[cfg(any(feature = "redis", feature = "nats"))]
use crate::config::problems::Problems;
use crate::exposition::Page;

/// What joins the server to other nodes.
pub(crate) trait Backend: Send + Sync + fmt::Debug {
    /// The name of this node.
    fn node(&self) -> &NodeId;

    /// The adapter of a namespace.
    fn adapter(&self, local: Arc<Local>) -> ClusterAdapter;

    /// How it is.
    fn health(&self) -> Health;

    /// Where nodes that forward requests to one another find their addresses.
    fn directory(&self) -> Arc<dyn Directory>;

    /// What nodes say to one another, counted.
    fn cluster_metrics(&self) -> &ClusterMetrics;

    /// How long the last probe took to the broker and back.
    fn round_trip(&self) -> Option<Duration> {
        None
    }

    /// What recovery counts, if there is any.
    fn recovery_metrics(&self) -> Option<&RecoveryMetrics> {
        None
    }

    /// Writes what the broker's crate counts.
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result;
}

/// Whether this node hears the others and reaches them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It does.
    Well,
    /// The broker is not reached: as far as this node can tell, no node hears another.
    BrokerAway(String),
    /// The broker is reached, but this node does not hear the others, which may hear one another.
    Deaf(String),
}

/// What to send, and to whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) namespace: String,
    pub(crate) rooms: Vec<String>,
    pub(crate) except: Vec<String>,
    /// Clients that are not ready to take the event do without.
    pub(crate) volatile: bool,
    /// The event goes to the programs of the servers.
    pub(crate) to_servers: bool,
    pub(crate) event: Option<(String, Args)>,
    pub(crate) join: Vec<String>,
    pub(crate) leave: Vec<String>,
    /// Disconnect the clients, and whether to close their connections.
    pub(crate) disconnect: Option<bool>,
}

/// The broker has taken it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// Why nobody got it, where the broker can tell that.
    pub(crate) unheard: Option<String>,
}

/// A future of an [`Emitter`]. The error is what went wrong, and what to do.
pub(crate) type EmitFuture<'a> = Pin<Box<dyn Future<Output = Result<Sent, String>> + 'a>>;

/// Sends to the clients of a cluster.
pub(crate) trait Emitter {
    /// Why it cannot tell whether somebody got what is sent; none if it can.
    fn cannot_tell_recipients(&self) -> Option<&'static str>;

    /// Sends what is ordered.
    fn send<'a>(&'a self, order: &'a Order) -> EmitFuture<'a>;
}

/// Reads a file that a key names.
#[cfg(any(feature = "redis", feature = "nats"))]
pub(super) fn read_file(
    key: &str,
    path: Option<&std::path::PathBuf>,
    problems: &mut Problems,
) -> Option<Option<Vec<u8>>> {
    let Some(path) = path else { return Some(None) };
    let read = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    read.map(Some).map_err(|error| problems.add(key, error)).ok()
}
