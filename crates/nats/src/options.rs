//! Options of the adapter over NATS.

use std::fmt;
use std::time::Duration;

use sockeye_cluster::ClusterOptions;
use sockeye_cluster::link::TlsOptions;

/// Options of a [`NatsAdapter`](crate::NatsAdapter).
#[derive(Clone)]
#[non_exhaustive]
pub struct NatsOptions {
    /// Where NATS is: `nats://user:password@host:port`, or `tls://` with encryption; several servers of one cluster with commas
    /// between them. A user without a password is a token. The servers tell of one another, so one that is up is enough.
    pub url: String,
    /// How to log in, if not with what is in the url.
    pub login: Login,
    /// Whom to trust, and who this is, with TLS.
    pub tls: TlsOptions,
    /// The first token of all subjects. Clusters that share servers of NATS must have different ones. Default: `sockeye`.
    pub prefix: String,
    /// How much may wait to be sent to NATS, in bytes. What finds no room is dropped. Default: 64 MiB.
    pub max_outgoing_bytes: usize,
    /// How much that came from NATS may wait to be handled, in bytes. What finds no room is dropped. Default: 64 MiB.
    pub max_incoming_bytes: usize,
    /// How long a connection may take, and an answer of NATS. Default: 5 s.
    pub timeout: Duration,
    /// Time from one probe to the next: a node asks the server for a sign of life, behind all that it publishes. A connection is
    /// given up when three were not answered. Default: 3 s.
    pub probe_interval: Duration,
    /// How long to wait before the second try to connect; before each further one twice as long as before. Default: 50 ms.
    pub min_backoff: Duration,
    /// How long to wait at most between tries to connect. Default: 500 ms.
    pub max_backoff: Duration,
    /// Events in a stream of JetStream and sessions in its key-value store: so nodes miss nothing while they have no connection, and
    /// clients are recovered on any node. All nodes of a cluster must have it, or none. Default: none.
    pub jetstream: Option<JetStreamOptions>,
    /// Options of the cluster.
    pub cluster: ClusterOptions,
}

/// What JetStream keeps. The stream and the bucket are called as the prefix is; where they are there already, they stay as they are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JetStreamOptions {
    /// On how many servers. Default: 1; in a cluster of NATS servers take 3.
    pub replicas: usize,
    /// Whether it is kept in memory only. Default: no.
    pub in_memory: bool,
    /// How large the stream of events may become; the oldest make room. Default: 256 MiB.
    pub max_log_bytes: u64,
    /// How large the bucket of sessions may become: then the server refuses more. Default: 256 MiB.
    pub max_session_bytes: u64,
    /// How long both are kept: longer, by a third, than clients may be away. Default: 10 minutes.
    pub max_age: Duration,
}

impl Default for JetStreamOptions {
    fn default() -> Self {
        Self {
            replicas: 1,
            in_memory: false,
            max_log_bytes: 256 * 1024 * 1024,
            max_session_bytes: 256 * 1024 * 1024,
            max_age: Duration::from_secs(600),
        }
    }
}

/// How to log in to NATS.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Login {
    /// With user and password, or the token, of the url; without any if there are none.
    #[default]
    Url,
    /// With the seed of an NKey (`SU…`).
    NKey(String),
    /// With the text of a credentials file: a JWT and the seed that belongs to it.
    Credentials(String),
}

/// Of which kind it is, without the secret.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "Url",
            Self::NKey(_) => "NKey",
            Self::Credentials(_) => "Credentials",
        })
    }
}

/// Without the url, which may have a password.
impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsOptions")
            .field("login", &self.login)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl NatsOptions {
    /// For servers of NATS at this url.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            login: Login::default(),
            tls: TlsOptions::default(),
            prefix: "sockeye".to_owned(),
            max_outgoing_bytes: 64 * 1024 * 1024,
            max_incoming_bytes: 64 * 1024 * 1024,
            timeout: Duration::from_secs(5),
            probe_interval: Duration::from_secs(3),
            min_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            jetstream: None,
            cluster: ClusterOptions::default(),
        }
    }
    /// What must be the same on all nodes of a cluster, by the names that the standalone server has for it.
    pub(crate) fn settings(&self) -> [(&'static str, String); 2] {
        let adapter = if self.jetstream.is_some() { "nats-jetstream" } else { "nats" };
        [("adapter", adapter.to_owned()), ("prefix", self.prefix.clone())]
    }
}

/// The subject where nodes tell one another of their settings, whatever these are. Users of NATS that may not use it are not told.
pub(crate) const ANNOUNCEMENTS: &str = "sockeye-nodes";
