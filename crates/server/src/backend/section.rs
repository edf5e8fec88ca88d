//! The tables of the configuration that are about other nodes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sockeye_cluster::ClusterOptions;

#[cfg(not(feature = "nats"))]
use super::left_out::LeftOut as NatsSection;
#[cfg(not(feature = "redis"))]
use super::left_out::LeftOut as RedisSection;
#[cfg(feature = "nats")]
use super::nats_section::NatsSection;
#[cfg(feature = "redis")]
use super::redis_section::RedisSection;
#[cfg(not(all(feature = "redis", feature = "nats")))]
use crate::config::problems::Problems;
use crate::config::section::{choices, section};
use crate::config::setting::Size;

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
    pub(super) fn report_left_out(self, problems: &mut Problems) {
        let (name, feature) = (self.as_str(), self.feature());
        let text = format!(
            "this program was built without {name:?}: build it with `cargo build --release --features {feature}`, or `--features full`"
        );
        problems.add("cluster.adapter", text);
    }
}

section! {
    /// Other nodes that serve the same clients, each with this table.
    struct ClusterSection {
        /// How the nodes talk to one another. "redis", "redis-sharded" and "redis-streams": as the official adapters of these
        /// names, so that servers with Node.js can be among them. "redis-native", "nats", "nats-jetstream": nodes of Sockeye only,
        /// and cheaper. "redis-streams" and "nats-jetstream" recover sessions. Required.
        adapter: Option<AdapterName> = None, example "\"redis-native\"";
        /// How long other nodes may take to answer.
        request_timeout: Duration = ClusterOptions::default().request_timeout;
        /// How much may wait to be sent to the broker. What finds no room is dropped and counted.
        max_outgoing_bytes: Size = Size(64 << 20);
        /// How much that came from the broker may wait. What finds no room is dropped and counted; streams are read more slowly.
        max_incoming_bytes: Size = Size(64 << 20);
        /// How long to wait at most between tries to connect to the broker. Less finds it sooner when it is back; more spares it.
        reconnect_interval: Duration = Duration::from_millis(500);
        /// Redis, for the adapters whose names begin with "redis".
        redis: Option<RedisSection> = None;
        /// NATS, for the adapters "nats" and "nats-jetstream".
        nats: Option<NatsSection> = None;
        /// Forwarding between the nodes, so that the load balancer may send each request to any of them. Without this table it
        /// must send a long-polling client to the same node again.
        peers: Option<PeersSection> = None;
    }
}

section! {
    /// Forwarding between the nodes.
    struct PeersSection {
        /// The address and port where this node listens for the others. It must not be reachable from outside.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        /// Host and port by which the others reach this node. Unset: the address that it listens on.
        advertise: Option<String> = None, example "\"10.0.0.7:3001\"";
        /// A secret that all nodes share: at least 16 bytes that nobody can guess. Required.
        secret: Option<String> = None, example "\"the output of openssl rand -hex 32\"";
    }
}
