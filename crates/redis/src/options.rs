//! Options of the adapter over Redis.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redis::RedisError;
use sockeye_cluster::ClusterOptions;
use sockeye_cluster::link::TlsOptions;
use thiserror::Error;

use crate::connection::topology;

/// How the nodes talk to one another. All nodes of a cluster must use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// As the sharded adapter of `@socket.io/redis-adapter` 8. Needs Redis 7.
    Sharded {
        /// Which channels a node subscribes to.
        subscription: Subscription,
    },
    /// As the classic adapter of `@socket.io/redis-adapter` 7.2 and later, `createAdapter`: every message reaches every node, and those
    /// for one room that has no members here are not read. Needs Redis 6.
    Classic,
    /// As `@socket.io/redis-streams-adapter` 0.3: what nodes tell one another is in a stream, so that a node misses nothing
    /// while its connection is lost. Questions and answers go by pub/sub.
    Streams,
    /// Nodes of Sockeye only, and the cheapest of all: a channel for each room, and arguments that are passed on unparsed. Nodes
    /// know one another by name. Needs Redis 6, in a Redis Cluster 7.
    Native,
}

/// Which channels a node of the sharded mode subscribes to, next to those that all messages can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subscription {
    /// One for each room that has members here. Sockets' own rooms have none: a name of 20 characters is taken for a socket's id.
    #[default]
    Dynamic,
    /// None: every message reaches every node.
    Static,
    /// One for each room that has members here, those of the sockets' ids included.
    DynamicPrivate,
}

/// A word that is the name of no mode, or of no subscription.
#[derive(Clone, Debug, Error)]
#[error("must be one of {0}")]
pub struct NameError(&'static str);

/// The names of the modes: `redis`, `redis-sharded` with the default subscription, `redis-streams`, `redis-native`.
impl FromStr for Mode {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name {
            "redis" => Ok(Self::Classic),
            "redis-sharded" => Ok(Self::Sharded { subscription: Subscription::default() }),
            "redis-streams" => Ok(Self::Streams),
            "redis-native" => Ok(Self::Native),
            _ => Err(NameError("redis, redis-sharded, redis-streams, redis-native")),
        }
    }
}

/// The names that the official adapter has for them: `dynamic`, `static`, `dynamic-private`.
impl FromStr for Subscription {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name {
            "dynamic" => Ok(Self::Dynamic),
            "static" => Ok(Self::Static),
            "dynamic-private" => Ok(Self::DynamicPrivate),
            _ => Err(NameError("dynamic, static, dynamic-private")),
        }
    }
}

/// A url that cannot be used, or certificates that cannot.
#[derive(Clone, Debug, Error)]
#[error("{what} of Redis cannot be used: {why}")]
pub struct UrlError {
    what: &'static str,
    why: String,
}

impl UrlError {
    pub(crate) fn new(what: &'static str, why: &RedisError) -> Self {
        Self { what, why: why.to_string() }
    }
}

/// Options of a [`RedisAdapter`](crate::RedisAdapter).
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// Where Redis is, with TLS if the scheme begins with `rediss`:
    ///
    /// - `redis://user:password@host:port/`: one server;
    /// - `redis+sentinel://user:password@host:port,host:port/service`: the sentinels that know the master of this service. User and
    ///   password are the servers' ones; those of the sentinels are in [`sentinel`](Self::sentinel);
    /// - `redis+cluster://user:password@host:port,host:port`: some servers of a Redis Cluster, which tell of the others.
    ///
    /// What is special in a user or password is percent-encoded.
    pub url: String,
    /// Whom to trust, and who this is, with TLS.
    pub tls: TlsOptions,
    /// How to log in to sentinels.
    pub sentinel: SentinelOptions,
    /// Where servers are reached from here that call themselves otherwise: sentinels and the servers of a Redis Cluster tell addresses
    /// as they know them, behind a NAT or in containers perhaps not those that work. Both are `host:port`. Default: none.
    pub addresses: HashMap<String, String>,
    /// How the nodes talk to one another.
    pub mode: Mode,
    /// What the names of all channels begin with. Default: `socket.io`, and `sockeye` in the native mode.
    pub channel_prefix: String,
    /// The streams of the streams mode.
    pub stream: StreamOptions,
    /// How much may wait to be sent to Redis, in bytes; in a Redis Cluster to each master. What finds no room is dropped. Default:
    /// 64 MiB.
    pub max_outgoing_bytes: usize,
    /// How much that came from Redis may wait to be handled, in bytes. What finds no room is dropped, except in streams, which are
    /// read more slowly then. Default: 64 MiB.
    pub max_incoming_bytes: usize,
    /// How long a connection may take, and an answer of Redis. Default: 5 s.
    pub timeout: Duration,
    /// Time from one probe to the next: a node sends itself a message through Redis, and gives up a connection on which none came
    /// back within [`timeout`](Self::timeout). So both together are the time in which a node that hears nothing finds out.
    /// Default: 3 s.
    pub probe_interval: Duration,
    /// How long to wait before the second try to connect; before each further one twice as long as before. Default: 50 ms.
    pub min_backoff: Duration,
    /// How long to wait at most between tries to connect. Default: 500 ms.
    pub max_backoff: Duration,
    /// How long what waits is held at most when Redis is back, for the other nodes to be back, too: what is published before they
    /// listen reaches nobody. Not in streams, where nothing is missed. Default: 2 s.
    pub max_hold: Duration,
    /// How old a message may be when it is sent: one that waited for longer, because Redis was away, is dropped and counted. Default:
    /// none, any age.
    pub max_message_age: Option<Duration>,
    /// Options of the cluster.
    pub cluster: ClusterOptions,
}

/// How to log in to sentinels. Those without a password need nothing.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct SentinelOptions {
    /// The user; with a password alone it is the default one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// Without the password.
impl fmt::Debug for SentinelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentinelOptions").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The streams of [`Mode::Streams`], with the defaults of the official adapter.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamOptions {
    /// The name; with several streams, each has its number after it. Default: `socket.io`.
    pub name: String,
    /// How many streams the namespaces are spread over. Default: 1.
    pub count: u16,
    /// About how many entries are kept in each. Default: 10,000.
    pub max_len: usize,
    /// How many entries are read at once. Default: 100.
    pub read_count: usize,
    /// Whether what is not kept in a stream goes by sharded channels; as all nodes do it. Default: false.
    pub sharded_pubsub: bool,
    /// What the keys of sessions begin with, for connection state recovery. Default: `sio:session:`.
    pub session_key_prefix: String,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            name: "socket.io".to_owned(),
            count: 1,
            max_len: 10_000,
            read_count: 100,
            sharded_pubsub: false,
            session_key_prefix: "sio:session:".to_owned(),
        }
    }
}

impl RedisOptions {
    /// The defaults, for this server and mode.
    pub fn new(url: impl Into<String>, mode: Mode) -> Self {
        let channel_prefix = if mode == Mode::Native { "sockeye" } else { "socket.io" };
        Self {
            url: url.into(),
            tls: TlsOptions::default(),
            sentinel: SentinelOptions::default(),
            addresses: HashMap::new(),
            mode,
            channel_prefix: channel_prefix.to_owned(),
            stream: StreamOptions::default(),
            max_outgoing_bytes: 64 * 1024 * 1024,
            max_incoming_bytes: 64 * 1024 * 1024,
            timeout: Duration::from_secs(5),
            probe_interval: Duration::from_secs(3),
            min_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            max_hold: Duration::from_secs(2),
            max_message_age: None,
            cluster: ClusterOptions::default(),
        }
    }

    /// Whether channels are sharded: each is then at the owner of its slot only.
    pub(crate) fn is_sharded(&self) -> bool {
        match self.mode {
            Mode::Sharded { .. } => true,
            // In a Redis Cluster other messages go to all its servers.
            Mode::Native => topology::is_cluster(&self.url),
            Mode::Streams => self.stream.sharded_pubsub,
            Mode::Classic => false,
        }
    }
}

/// Without the url, which may have a password.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("mode", &self.mode)
            .field("channel_prefix", &self.channel_prefix)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
