//! The brokers that join nodes: the one place of the program that names them. Each has a file here, and a feature of the crate.

mod emitter;
#[cfg(not(all(feature = "redis", feature = "nats")))]
mod left_out;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sockeye::adapter::Local;
use sockeye::peers::Directory;
use sockeye_cluster::recovery::RecoveryMetrics;
use sockeye_cluster::{ClusterAdapter, ClusterMetrics, NodeId};

pub(crate) use self::emitter::{Emitter, Order, Sent, emitter};
#[cfg(not(feature = "redis"))]
pub(crate) use self::left_out::LeftOut as RedisSection;
#[cfg(not(feature = "nats"))]
pub(crate) use self::left_out::LeftOut as NatsSection;
#[cfg(feature = "nats")]
pub(crate) use self::nats::NatsSection;
#[cfg(feature = "redis")]
pub(crate) use self::redis::RedisSection;
use crate::config::ClusterSection;
use crate::config::problems::Problems;
use crate::config::section::choices;
use crate::metrics::Page;

choices! {
    /// How nodes talk to one another.
    enum AdapterName {
        /// As the classic adapter of `@socket.io/redis-adapter`.
        RedisClassic = "redis",
        /// As the sharded adapter of `@socket.io/redis-adapter`.
        RedisSharded = "redis-sharded",
        /// As `@socket.io/redis-streams-adapter`.
        RedisStreams = "redis-streams",
        /// Nodes of Sockeye only, over Redis.
        RedisNative = "redis-native",
        /// Nodes of Sockeye only, over NATS.
        Nats = "nats",
        /// The same, with events and sessions in JetStream.
        NatsJetStream = "nats-jetstream",
    }
}

impl AdapterName {
    /// Whether sessions are recovered over it.
    pub(crate) fn recovers(self) -> bool {
        matches!(self, Self::RedisStreams | Self::NatsJetStream)
    }

    /// The feature of the crate that has it.
    #[cfg(not(all(feature = "redis", feature = "nats")))]
    fn feature(self) -> &'static str {
        match self {
            Self::RedisClassic | Self::RedisSharded | Self::RedisStreams | Self::RedisNative => "redis",
            Self::Nats | Self::NatsJetStream => "nats",
        }
    }

    /// Reports that it was left out when the program was built.
    #[cfg(not(all(feature = "redis", feature = "nats")))]
    fn report_left_out(self, problems: &mut Problems) {
        let (name, feature) = (self.as_str(), self.feature());
        let text = format!(
            "this program was built without {name:?}: build it with `cargo build --release --features {feature}`, or `--features full`"
        );
        problems.add("cluster.adapter", text);
    }
}

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

/// What joins the server to other nodes, as the configuration says; none where something is wrong, which is reported.
pub(crate) fn backend(section: &ClusterSection, problems: &mut Problems) -> Option<Arc<dyn Backend>> {
    if section.request_timeout.is_zero() {
        problems.add("cluster.request_timeout", "must be greater than zero");
    }
    if section.reconnect_interval.is_zero() {
        problems.add("cluster.reconnect_interval", "must be greater than zero");
    }
    match name(section, problems)? {
        #[cfg(feature = "redis")]
        name @ (AdapterName::RedisClassic
        | AdapterName::RedisSharded
        | AdapterName::RedisStreams
        | AdapterName::RedisNative) => redis::backend(name, section, problems),
        #[cfg(feature = "nats")]
        name @ (AdapterName::Nats | AdapterName::NatsJetStream) => nats::backend(name, section, problems),
        #[cfg(not(all(feature = "redis", feature = "nats")))]
        left_out => {
            left_out.report_left_out(problems);
            None
        }
    }
}

/// Which adapter the configuration names; none if it names none, which is reported.
fn name(section: &ClusterSection, problems: &mut Problems) -> Option<AdapterName> {
    if section.adapter.is_none() {
        let text = "is missing: \"redis\", \"redis-sharded\", \"redis-streams\", \"redis-native\", \"nats\" or \"nats-jetstream\"; see docs/src/clusters.md";
        problems.add("cluster.adapter", text);
    }
    section.adapter
}

/// Reads a file that a key names.
#[cfg(any(feature = "redis", feature = "nats"))]
fn read_file(key: &str, path: Option<&std::path::PathBuf>, problems: &mut Problems) -> Option<Option<Vec<u8>>> {
    let Some(path) = path else { return Some(None) };
    let read = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    read.map(Some).map_err(|error| problems.add(key, error)).ok()
}
