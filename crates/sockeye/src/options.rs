//! The options of a server, with the names and defaults of the official one, and the bounds that it lacks.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub use sockeye_engine::{Limits as EngineLimits, Options as EngineOptions};
use sockeye_protocol::socket::Parser;

use crate::client_files::ClientFiles;

/// Options of a server. [`Server::builder`](crate::Server::builder) has a method for each.
///
/// The names are those of the official server in Rust spelling; so are the defaults, unless a line says otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Those of the connections. What has this, gives them by their names, too: `options.ping_interval`.
    pub engine: EngineOptions,
    /// The official client bundles to serve under the path. Default: none (the official server carries them with it).
    pub serve_client: Option<ClientFiles>,
    /// The encoding of packets. Default: [`Parser::Json`].
    pub parser: Parser,
    /// Keeps sessions for clients that come back soon. Default: off.
    pub connection_state_recovery: Option<ConnectionStateRecovery>,
    /// Whether a namespace made from a pattern goes away with its last socket. Default: false.
    pub cleanup_empty_child_namespaces: bool,
    /// The bounds that keep one client, or many, from using up the machine.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            engine: EngineOptions::default(),
            serve_client: None,
            parser: Parser::Json,
            connection_state_recovery: None,
            cleanup_empty_child_namespaces: false,
            limits: Limits::default(),
        }
    }
}

impl Deref for Options {
    type Target = EngineOptions;

    fn deref(&self) -> &EngineOptions {
        &self.engine
    }
}

impl DerefMut for Options {
    fn deref_mut(&mut self) -> &mut EngineOptions {
        &mut self.engine
    }
}

/// Connection state recovery: a client that comes back soon gets its id, rooms and data, and the events it missed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectionStateRecovery {
    /// For how long after a disconnect a session can be recovered. Default: 2 min.
    pub max_disconnection_duration: Duration,
    /// Whether the connection middlewares are skipped for a recovered session. Default: true.
    pub skip_middlewares: bool,
    /// Bytes of the events that a namespace keeps for replay. When they are more, the oldest go, and a client that would
    /// have needed them is not recovered. Default: 64 MiB.
    pub max_log_bytes: usize,
    /// Sessions of disconnected clients that a namespace keeps. When they are more, the oldest go. Default: 100,000.
    pub max_sessions: usize,
}

impl Default for ConnectionStateRecovery {
    fn default() -> Self {
        Self {
            max_disconnection_duration: Duration::from_secs(120),
            skip_middlewares: true,
            max_log_bytes: 64 << 20,
            max_sessions: 100_000,
        }
    }
}

impl ConnectionStateRecovery {
    /// Recovery of clients that come back within `duration`.
    pub fn within(duration: Duration) -> Self {
        Self { max_disconnection_duration: duration, ..Self::default() }
    }

    /// Runs the connection middlewares for recovered sessions too (an access may have been withdrawn meanwhile).
    pub fn run_middlewares(mut self) -> Self {
        self.skip_middlewares = false;
        self
    }
}

/// Bounds on what clients can make the server hold. The official server has none of them, but for the attachments.
///
/// Reaching one gives the answer that its line names, is counted ([`Metrics::reached`](crate::Metrics::reached)) and logged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Those of the connections. What has this, gives them by their names, too: `limits.max_connections`.
    pub engine: EngineLimits,
    /// Namespaces that one connection may join. More: the connect error `Too many namespaces`. Default: 100.
    pub max_namespaces: usize,
    /// Namespaces that patterns and functions may bring to life. More: the connect error `Invalid namespace`.
    /// Default: 10,000.
    pub max_child_namespaces: usize,
    /// Rooms that one socket may be in. More: `join` gives an error. Default: 10,000.
    pub max_rooms: usize,
    /// Acknowledgements that one socket may owe. More: `emit_with_ack` gives an error. Default: 10,000.
    pub max_pending_acks: usize,
    /// Handlers of one connection that wait at a time. More: its next events wait for their turn, as many again and
    /// [`max_http_buffer_size`](EngineOptions::max_http_buffer_size) bytes at the most, while acknowledgements pass by; then the server reads no more from
    /// it until a handler is done. Default: 1,000.
    pub max_handlers: usize,
    /// Attachments of one packet. More: the connection is closed (`forced close`). Default: 10, as in the official parser.
    pub max_attachments: usize,
    /// Bytes of the attachments of one packet. More: the connection is closed (`forced close`). Default: 10,000,000.
    pub max_attachment_bytes: usize,
    /// How long the attachments of a packet may take. Longer: the connection is closed (`forced close`). Default: 60 s.
    pub attachment_timeout: Duration,
    /// How deep the values of an event may be nested. Deeper: the connection is closed (`forced close`). At most, and by default: 127.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            engine: EngineLimits::default(),
            max_namespaces: 100,
            max_child_namespaces: 10_000,
            max_rooms: 10_000,
            max_pending_acks: 10_000,
            max_handlers: 1_000,
            max_attachments: 10,
            max_attachment_bytes: 10_000_000,
            attachment_timeout: Duration::from_secs(60),
            max_depth: 127,
        }
    }
}

impl Deref for Limits {
    type Target = EngineLimits;

    fn deref(&self) -> &EngineLimits {
        &self.engine
    }
}

impl DerefMut for Limits {
    fn deref_mut(&mut self) -> &mut EngineLimits {
        &mut self.engine
    }
}

impl Limits {
    pub(crate) fn parser(&self) -> sockeye_protocol::socket::Limits {
        sockeye_protocol::socket::Limits {
            max_attachments: self.max_attachments,
            max_attachment_bytes: self.max_attachment_bytes,
            max_depth: self.max_depth,
            ..Default::default()
        }
    }
}
