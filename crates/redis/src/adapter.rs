//! The adapter as a program sees it.

use std::fmt;
use std::sync::Arc;

use sockeye::adapter::Local;
use sockeye::cluster::NodeId;
use thiserror::Error;

use crate::bus::RedisBus;
use crate::connection;
use crate::directory::RedisDirectory;
use crate::link::Hub;
use crate::metrics::RedisMetrics;
use crate::node::NodeAdapter;
use crate::options::RedisOptions;

/// A url that cannot be used.
#[derive(Clone, Debug, Error)]
#[error("the url of Redis cannot be used: {0}")]
pub struct UrlError(String);

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
    /// With `rediss://` and a program that has not chosen a provider for rustls, it chooses `aws_lc_rs`.
    ///
    /// # Errors
    ///
    /// The url cannot be used.
    pub fn new(options: RedisOptions) -> Result<Self, UrlError> {
        let client = connection::client(&options).map_err(|error| UrlError(error.to_string()))?;
        let node = NodeId::from(format!("{:016x}", rand::random::<u64>()));
        Ok(Self(Arc::new(Hub::new(options, client, node))))
    }

    /// Makes the adapters of a server's namespaces, see [`ServerBuilder::adapter`](sockeye::ServerBuilder::adapter).
    pub fn factory(&self) -> impl Fn(Arc<Local>) -> NodeAdapter + Send + Sync + 'static {
        let hub = self.0.clone();
        move |local| {
            let bus = RedisBus::new(hub.clone(), &local);
            NodeAdapter::new(hub.clone(), local, bus)
        }
    }

    /// Where nodes that forward requests to one another find their addresses, see
    /// [`Server::join_peers`](sockeye::Server::join_peers). It works while the server serves.
    pub fn directory(&self) -> RedisDirectory {
        RedisDirectory(self.0.link.clone())
    }

    /// The name of this node.
    pub fn node(&self) -> &NodeId {
        &self.0.link.node
    }

    /// Whether all connections to Redis work.
    pub fn is_connected(&self) -> bool {
        self.0.link.is_connected()
    }

    /// What was counted.
    pub fn metrics(&self) -> &RedisMetrics {
        &self.0.link.metrics
    }
}
