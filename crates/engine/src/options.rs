//! The options of an engine, with the names and defaults of the official one, and the bounds that it lacks.

use std::future::Future;
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;
use sockeye_protocol::engine::{SessionConfig, TransportKind};

use crate::addresses::AddressRange;
use crate::budget::Budgets;
use crate::http::{Cookie, Cors, HttpCompression, OriginPattern};
use crate::request::{RequestHooks, RequestInfo};

/// Options of an [`Engine`](crate::Engine).
///
/// The names are those of the official server in Rust spelling; so are the defaults, unless a line says otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The path that is served. Default: `/socket.io`.
    pub path: String,
    /// Whether the path ends in a slash. Default: true.
    pub add_trailing_slash: bool,
    /// Time from one heartbeat to the next. Default: 25 s.
    pub ping_interval: Duration,
    /// How long an answer to a heartbeat may take. Default: 20 s.
    pub ping_timeout: Duration,
    /// How long an upgrade may take. Default: 10 s.
    pub upgrade_timeout: Duration,
    /// Bytes of one incoming message, or of one POST body. Default: 1,000,000.
    pub max_http_buffer_size: usize,
    /// The transports that clients may use. Default: long-polling and WebSocket.
    pub transports: Vec<TransportKind>,
    /// Whether a long-polling client may upgrade to WebSocket. Default: true.
    pub allow_upgrades: bool,
    /// permessage-deflate for WebSocket. Default: off.
    pub per_message_deflate: Option<PerMessageDeflate>,
    /// Compression of long-polling responses. Default: from 1,024 bytes on.
    pub http_compression: Option<HttpCompression>,
    /// A cookie with the session id in the handshake's response. Default: none.
    pub cookie: Option<Cookie>,
    /// Cross-origin resource sharing. Default: none, so that browsers on other origins are refused.
    pub cors: Option<Cors>,
    /// The origins whose pages may connect, by whichever transport; requests of others are answered `Forbidden`. A request that
    /// names no origin is no page's of another site, and is not refused; but one for JSONP must come from a page of these.
    /// The origin of the program's own pages must be among them. Default: none, so that every page may connect.
    pub allowed_origins: Option<Vec<OriginPattern>>,
    /// Whether clients of Engine.IO 3 (Socket.IO 2) are served. Default: false.
    pub allow_eio3: bool,
    /// Text of a message that every client gets with the handshake. Default: none.
    pub initial_packet: Option<String>,
    /// How long a session may stay before the application has [taken](crate::Conn::joined) it. Default: 45 s.
    pub connect_timeout: Duration,
    /// Whether plain sockets have threads of their own, as many as the runtime has workers, instead of tasks of the runtime.
    /// Default: false.
    ///
    /// An event costs less CPU time then, as long as its handler does not wait. What waits, or goes to other nodes, passes from
    /// one thread to another and costs more. In a runtime with a single thread it changes nothing.
    pub dedicated_threads: bool,
    /// Reverse proxies whose word is taken for the address of the client: `X-Forwarded-For`, or else `Forwarded`, is read from the
    /// right, past addresses in these ranges. What stands there, where the last of them got the request from, is
    /// [`RequestInfo::address`](crate::RequestInfo::address), and each such address has its own share of the bounds.
    /// Default: none, so that a proxy is one client with one share.
    pub trusted_proxies: Vec<AddressRange>,
    /// The bounds in bytes on what all clients together make the server hold. Default: parts of the memory that is available.
    pub budgets: Budgets,
    pub(crate) hooks: RequestHooks,
    /// The prefix of the request paths that are ours; made from `path` when the server is built.
    pub(crate) mount_path: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            add_trailing_slash: true,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_http_buffer_size: 1_000_000,
            transports: vec![TransportKind::Polling, TransportKind::WebSocket],
            allow_upgrades: true,
            per_message_deflate: None,
            http_compression: Some(HttpCompression::default()),
            cookie: None,
            cors: None,
            allowed_origins: None,
            allow_eio3: false,
            initial_packet: None,
            connect_timeout: Duration::from_secs(45),
            dedicated_threads: false,
            trusted_proxies: Vec::new(),
            budgets: Budgets::default(),
            hooks: RequestHooks::default(),
            mount_path: String::new(),
        }
    }
}

impl Options {
    pub(crate) fn mount(&mut self) {
        self.mount_path = format!("/{}", self.path.trim_matches('/'));
        if self.add_trailing_slash && self.mount_path != "/" {
            self.mount_path.push('/');
        }
    }

    /// Lets `allow` decide on each handshake. An error is the text of the `Forbidden` answer.
    pub fn set_allow_request<F, Fut>(&mut self, allow: F)
    where
        F: Fn(RequestInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.hooks.set_allow_request(allow);
    }

    /// Lets `edit` change the headers of the response that opens a session.
    pub fn set_initial_headers(&mut self, edit: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static) {
        self.hooks.set_initial_headers(edit);
    }

    /// Lets `edit` change the headers of every response.
    pub fn set_headers(&mut self, edit: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static) {
        self.hooks.set_headers(edit);
    }

    /// Makes the session ids with `generate`. They must be unguessable and unique; 20 characters of `[A-Za-z0-9_-]` fit
    /// every load balancer. They name no node, so such a server cannot [join peers](crate::Server::join_peers).
    pub fn set_generate_id(&mut self, generate: impl Fn(&RequestInfo) -> String + Send + Sync + 'static) {
        self.hooks.set_generate_id(generate);
    }

    pub(crate) fn session(&self) -> SessionConfig {
        SessionConfig {
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            upgrade_timeout: self.upgrade_timeout,
        }
    }
}

/// permessage-deflate (RFC 7692). The server keeps no context from one message to the next, so that a message that goes to many is
/// compressed once. Clients may; see [`Limits::max_deflate_contexts`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PerMessageDeflate {
    /// Messages from this size on, in bytes, are compressed. Default: 1,024.
    pub threshold: usize,
}

impl PerMessageDeflate {
    /// Compresses messages of at least `threshold` bytes.
    pub const fn from_bytes(threshold: usize) -> Self {
        Self { threshold }
    }
}

impl Default for PerMessageDeflate {
    fn default() -> Self {
        Self::from_bytes(1024)
    }
}

/// Bounds on what clients can make the server hold. The official server has none of them, but for the attachments.
///
/// Reaching one gives the answer that its line names, is counted ([`Metrics::reached`](crate::Metrics::reached)) and logged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Sessions at a time. More: HTTP 503. Of this bound and the next four, one address gets what is still free at the most: alone
    /// it gets half, and somebody new always something. Default: 1,000,000.
    pub max_connections: usize,
    /// TCP connections of the server's own listener that speak HTTP; those that are WebSockets do not count. More: an address
    /// loses its oldest one on which no request has come, or its new one is closed. Default: 100,000.
    pub max_tcp_connections: usize,
    /// Handshakes that are being answered at a time (a slow [`allow_request`](Options::set_allow_request)).
    /// More: HTTP 503. Default: 10,000.
    pub max_handshakes: usize,
    /// Sessions that have joined no namespace. More: the oldest one of the same address is closed, or HTTP 503 if it has none.
    /// Default: 100,000.
    pub max_unjoined: usize,
    /// Those of them that one TCP connection may open. More: its oldest one is closed. Connections of
    /// [`Options::trusted_proxies`] may open any number. Default: 1,000.
    pub max_unjoined_per_tcp_connection: usize,
    /// Bytes that wait for one client to read them. A message that does not fit closes the connection as `slow consumer`;
    /// a message that finds nothing waiting always fits. Default: 4 MiB.
    pub max_outbox_bytes: usize,
    /// Bytes that wait for a client that does not read, from which on it counts as behind. While a twentieth of the recipients of a
    /// client's events are behind, its next events wait, and then it is read no further. Nobody waits longer than ten seconds for a recipient. Default: 1 MiB.
    pub max_behind_bytes: usize,
    /// Clients whose context of permessage-deflate is kept from one message to the next, about 40 KiB each. More: they are asked to
    /// compress each message on its own. Default: 1,000.
    pub max_deflate_contexts: usize,
    /// How long a closed connection may take to read what was sent before the close. Default: 10 s.
    pub close_timeout: Duration,
    /// How long the server's own listener ([`Server::listen`](crate::Server::listen)) keeps a connection for the next request,
    /// or one of HTTP/2 on which nothing is open. Longer: the connection is closed. Default: 75 s, which is more than the
    /// minute for which load balancers keep theirs.
    pub keep_alive_timeout: Duration,
    /// How long a client of the server's own listener may take to read a part of a response, however small. Longer: the
    /// connection is cut. Default: 30 s.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1_000_000,
            max_tcp_connections: 100_000,
            max_handshakes: 10_000,
            max_unjoined: 100_000,
            max_unjoined_per_tcp_connection: 1_000,
            max_outbox_bytes: 4 << 20,
            max_behind_bytes: 1 << 20,
            max_deflate_contexts: 1_000,
            close_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
        }
    }
}
