//! The configuration as it is written: every key, with its documentation and default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sockeye::{AddressRange, ConnectionStateRecovery, Limits, Options, PerMessageDeflate};

use super::section::{choices, section};
use super::setting::Size;
use crate::backend::ClusterSection;
use crate::routes::RouteTable;

section! {
    /// The configuration.
    struct RawConfig {
        /// Where the server listens, and what it serves besides Socket.IO.
        server: ServerSection = ServerSection::default();
        /// The connections: Engine.IO. The names and defaults are those of the official server.
        engine: EngineSection = EngineSection::default();
        /// The clients in their namespaces: Socket.IO.
        socket: SocketSection = SocketSection::default();
        /// Bounds on what clients can make the server hold. Reaching one is counted and logged.
        limits: LimitsSection = LimitsSection::default();
        /// Bounds on what all clients together make the server hold, by what holds it. They are shared fairly: who holds most is
        /// refused or closed first. Each is counted, see "sockeye_budget_held_bytes".
        budgets: BudgetsSection = BudgetsSection::default();
        /// Other nodes that serve the same clients, each with this table. Without it the server is alone.
        cluster: Option<ClusterSection> = None;
        /// A listener for operators: "/healthz", "/readyz" and "/metrics". Without this table there is none.
        admin: Option<AdminSection> = None;
        /// The log, on standard error.
        log: LogSection = LogSection::default();
        /// What clients may do in a namespace. Repeat for more. Without any, clients can connect to "/", and every event of
        /// theirs is refused.
        namespace: Vec<NamespaceSection> = Vec::new();
    }
}

section! {
    /// Where the server listens, and what it serves besides Socket.IO.
    struct ServerSection {
        /// The address or host name to listen on. "127.0.0.1": this machine only; "::": IPv6 and IPv4.
        host: String = "0.0.0.0".to_owned();
        /// The TCP port; 0 takes a free one. The environment variable PORT sets it too.
        port: u16 = 3000;
        /// Whether "/" is the chat page.
        demo: bool = false;
        /// The folder `client-dist` of the npm package `socket.io`, for "/socket.io/socket.io.js" and its variants.
        client_dir: Option<PathBuf> = None, example "\"node_modules/socket.io/client-dist\"";
        /// Threads that serve connections; 0 for as many as the machine has cores.
        workers: usize = 0;
        /// How long a stop may take: clients are told to come back, and get what was sent to them before.
        shutdown_timeout: Duration = Duration::from_secs(10);
        /// Reverse proxies, as addresses or ranges, whose word is taken for the address of the client: "X-Forwarded-For", or else
        /// "Forwarded", is read from the right, past these addresses. Each client then has its own share of [limits]; without
        /// it a proxy is one client with one share.
        trusted_proxies: Vec<AddressRange> = Vec::new(), example "[\"10.0.0.0/8\", \"127.0.0.1\"]";
        /// Encryption. With this table the port speaks https and wss, and HTTP/2 where the client can.
        tls: Option<TlsSection> = None;
    }
}

section! {
    /// Bounds on what all clients together make the server hold, by what holds it.
    struct BudgetsSection {
        /// The memory that the process may use, of which the budgets are parts by default. Unset: the least of what the machine has,
        /// what the control group (the container) allows, and what the process may address.
        memory: Option<Size> = None, example "\"2GiB\"";
        /// The URLs and headers of the requests that opened sessions. At the budget: HTTP 503. Unset: 1/8 of the memory.
        requests: Option<Size> = None, example "\"128MiB\"";
        /// The `auth` that clients gave. At the budget: the connection is closed as "overload". Unset: 1/16 of the memory.
        auth: Option<Size> = None, example "\"64MiB\"";
        /// Messages, attachments and POST bodies that have not come whole. At the budget: the connection is closed as "overload",
        /// the POST is answered 503. Unset: 1/8 of the memory.
        incoming: Option<Size> = None, example "\"256MiB\"";
        /// Events that wait for their handlers. At the budget: as `limits.max_handlers`, then closed as "overload". Unset: 1/16 of
        /// the memory.
        events: Option<Size> = None, example "\"128MiB\"";
        /// Packets that clients do not read. At the budget: closed as "slow consumer". Unset: 1/8 of the memory.
        outboxes: Option<Size> = None, example "\"256MiB\"";
        /// Long-polling responses that clients do not read. At the budget: closed as "slow consumer". Unset: 1/16 of the memory.
        responses: Option<Size> = None, example "\"128MiB\"";
        /// Memberships in rooms, and the names of these. At the budget: the join is refused. Unset: 1/8 of the memory.
        rooms: Option<Size> = None, example "\"64MiB\"";
        /// Events and sessions kept for recovery, unless Redis keeps them. At the budget: the oldest go. Unset: 1/16 of the memory.
        recovery: Option<Size> = None, example "\"128MiB\"";
    }
}

section! {
    /// A listener for operators.
    struct AdminSection {
        /// The address and port. It must not be reachable for clients: who reads it is not asked who they are.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 3999));
        /// Names by which it is asked, besides "localhost" and IP addresses: the host in the url, without the port. Requests for
        /// other names are refused with HTTP 421, so that pages in a browser cannot read it by a name of their own.
        hosts: Vec<String> = Vec::new(), example "[\"sockeye.internal\"]";
    }
}

section! {
    /// Encryption.
    struct TlsSection {
        /// The certificate and those that lead to its root, a PEM file. Required.
        cert: Option<PathBuf> = None, example "\"cert.pem\"";
        /// The private key, a PEM file. Required.
        key: Option<PathBuf> = None, example "\"key.pem\"";
        /// How long a client may take for the TLS handshake.
        handshake_timeout: Duration = Duration::from_secs(10);
    }
}

section! {
    /// The connections: Engine.IO.
    struct EngineSection {
        /// The path that is served.
        path: String = Options::default().engine.path;
        /// Whether the path ends in a slash.
        add_trailing_slash: bool = Options::default().add_trailing_slash;
        /// Time from one heartbeat to the next.
        ping_interval: Duration = Options::default().ping_interval;
        /// How long a client may take to answer a heartbeat.
        ping_timeout: Duration = Options::default().ping_timeout;
        /// How long an upgrade from long-polling to WebSocket may take.
        upgrade_timeout: Duration = Options::default().upgrade_timeout;
        /// The most that one message of a client, or the body of one POST request, may have.
        max_http_buffer_size: Size = Size(Options::default().max_http_buffer_size);
        /// What clients may connect with: "polling", "websocket".
        transports: Vec<Transport> = vec![Transport::Polling, Transport::WebSocket];
        /// Whether long-polling clients may upgrade to WebSocket.
        allow_upgrades: bool = Options::default().allow_upgrades;
        /// Whether clients of Socket.IO 2 (Engine.IO 3) are served too.
        allow_eio3: bool = Options::default().allow_eio3;
        /// A text message that every client gets with the handshake.
        initial_packet: Option<String> = None, example "\"hello\"";
        /// Pages of other origins that may read what the server answers. Without this table browsers let them not. They do not
        /// apply these rules to WebSocket, to scripts (JSONP), and to sending a POST: see `allowed_origins`.
        cors: Option<CorsSection> = None;
        /// The origins whose pages may connect, by whichever transport; others are refused. The origin of your own pages must be
        /// among them. Programs that are no browsers name no origin, and are not refused. Empty, without patterns: every
        /// page may connect.
        allowed_origins: Vec<String> = Vec::new(), example "[\"https://app.example.com\"]";
        /// Regular expressions for further such origins. Anchor them with ^ and $.
        allowed_origin_patterns: Vec<String> = Vec::new();
        /// A cookie with the session's id in the answer to the handshake, for load balancers that need one.
        cookie: Option<CookieSection> = None;
        /// Compression of long-polling responses.
        compression: CompressionSection = CompressionSection::default();
        /// Compression of WebSocket messages (RFC 7692).
        per_message_deflate: DeflateSection = DeflateSection::default();
    }
}

choices! {
    /// A transport.
    enum Transport {
        /// HTTP long-polling.
        Polling = "polling",
        /// WebSocket.
        WebSocket = "websocket",
    }
}

section! {
    /// Cross-origin resource sharing.
    struct CorsSection {
        /// The origins that are allowed, letter by letter; ["*"] allows all.
        origins: Vec<String> = Vec::new(), example "[\"https://app.example.com\"]";
        /// Regular expressions; an origin in which one finds a match is allowed. Anchor them with ^ and $.
        origin_patterns: Vec<String> = Vec::new();
        /// Whether browsers may send cookies along.
        credentials: bool = false;
        /// The methods that a preflight allows.
        methods: Vec<String> = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"].map(str::to_owned).into();
        /// The request headers that a preflight allows. Unset: whichever it asks for.
        allowed_headers: Option<Vec<String>> = None, example "[\"authorization\"]";
        /// The response headers that pages may read.
        exposed_headers: Vec<String> = Vec::new();
        /// How long browsers may remember the answer to a preflight, in whole seconds.
        max_age: Option<Duration> = None, example "\"10m\"";
    }
}

section! {
    /// The cookie of the session's id.
    struct CookieSection {
        /// The name.
        name: String = "io".to_owned();
        /// The path of the requests that carry it.
        path: String = "/".to_owned();
        /// The domain whose hosts get it. Unset: this host alone.
        domain: Option<String> = None, example "\"example.com\"";
        /// How long browsers keep it, in whole seconds. Unset: until the browser closes.
        max_age: Option<Duration> = None, example "\"1day\"";
        /// Whether it is out of reach of the page's scripts.
        http_only: bool = true;
        /// Whether it travels over TLS only.
        secure: bool = false;
        /// Whether it is kept apart for each site that embeds this one.
        partitioned: bool = false;
        /// When it travels with requests of other sites: "lax", "strict" or "none".
        same_site: SameSiteChoice = SameSiteChoice::Lax;
    }
}

choices! {
    /// When a cookie travels with requests of other sites.
    enum SameSiteChoice {
        /// When the user follows a link.
        Lax = "lax",
        /// Never.
        Strict = "strict",
        /// Always.
        None = "none",
    }
}

section! {
    /// Compression of long-polling responses.
    struct CompressionSection {
        /// Whether they are compressed.
        enabled: bool = true;
        /// The size from which one is compressed.
        threshold: Size = Size(1024);
        /// The effort, from 0 (none) to 9 (smallest, slowest).
        level: u32 = 6;
    }
}

section! {
    /// Compression of WebSocket messages.
    struct DeflateSection {
        /// Whether clients may ask for it.
        enabled: bool = false;
        /// The size from which a message is compressed.
        threshold: Size = Size(PerMessageDeflate::default().threshold);
    }
}

section! {
    /// The clients in their namespaces.
    struct SocketSection {
        /// How long a client may stay without joining a namespace.
        connect_timeout: Duration = Options::default().connect_timeout;
        /// The encoding of packets: "json", or "msgpack" for clients with socket.io-msgpack-parser.
        parser: ParserChoice = ParserChoice::Json;
        /// Whether a namespace made from a pattern goes away with its last client.
        cleanup_empty_child_namespaces: bool = Options::default().cleanup_empty_child_namespaces;
        /// Connection state recovery: a client that comes back soon has its id, rooms and data again, and gets what it missed.
        recovery: RecoverySection = RecoverySection::default();
    }
}

choices! {
    /// The encoding of packets.
    enum ParserChoice {
        /// The default of every client.
        Json = "json",
        /// MessagePack.
        MessagePack = "msgpack",
    }
}

section! {
    /// Connection state recovery.
    struct RecoverySection {
        /// Whether sessions are kept.
        enabled: bool = false;
        /// For how long after a disconnect.
        max_disconnection_duration: Duration = ConnectionStateRecovery::default().max_disconnection_duration;
        /// Whether a recovered client keeps the data of its first connection; if not, its `auth` is looked at again.
        skip_middlewares: bool = ConnectionStateRecovery::default().skip_middlewares;
        /// Events that each namespace keeps for replay. The oldest go; a client that needs one of them is not recovered. In a
        /// cluster they are in the stream, see `cluster.redis.stream_max_len`.
        max_log_bytes: Size = Size(ConnectionStateRecovery::default().max_log_bytes);
        /// Sessions that each namespace keeps. The oldest go.
        max_sessions: usize = ConnectionStateRecovery::default().max_sessions;
    }
}

section! {
    /// Bounds.
    struct LimitsSection {
        /// Sessions at a time. More: HTTP 503.
        max_connections: usize = Limits::default().max_connections;
        /// TCP connections that speak HTTP; WebSockets do not count. More: an address loses its oldest one on which no request
        /// has come, or its new one is closed.
        max_tcp_connections: usize = Limits::default().max_tcp_connections;
        /// Handshakes (of Engine.IO, and of TLS) that are going on at a time. More: HTTP 503; the connection is closed.
        max_handshakes: usize = Limits::default().max_handshakes;
        /// Sessions that have joined no namespace. More: the oldest one of the same address is closed, or HTTP 503.
        max_unjoined: usize = Limits::default().max_unjoined;
        /// Those of them that one TCP connection may open. More: its oldest one is closed. Connections of trusted proxies may open
        /// any number.
        max_unjoined_per_tcp_connection: usize = Limits::default().max_unjoined_per_tcp_connection;
        /// What waits for one client to read it. A message that does not fit closes the connection as "slow consumer".
        max_outbox_bytes: Size = Size(Limits::default().max_outbox_bytes);
        /// A client that does not read is behind once so many bytes wait for it. While a twentieth of the recipients of somebody's
        /// events are, that one is read no further.
        max_behind_bytes: Size = Size(Limits::default().max_behind_bytes);
        /// Namespaces that one connection may join. More: the connect error "Too many namespaces".
        max_namespaces: usize = Limits::default().max_namespaces;
        /// Namespaces that patterns may bring to life. More: the connect error "Invalid namespace".
        max_child_namespaces: usize = Limits::default().max_child_namespaces;
        /// Rooms that one client may be in. More: the join is refused.
        max_rooms: usize = Limits::default().max_rooms;
        /// Acknowledgements that one client may owe.
        max_pending_acks: usize = Limits::default().max_pending_acks;
        /// Handlers of one client that wait at a time. More: its next events wait, as many again; then the server reads no more.
        max_handlers: usize = Limits::default().max_handlers;
        /// Attachments of one packet. More: the connection is closed.
        max_attachments: usize = Limits::default().max_attachments;
        /// The attachments of one packet together. More: the connection is closed.
        max_attachment_bytes: Size = Size(Limits::default().max_attachment_bytes);
        /// How long the attachments of a packet may take. Longer: the connection is closed.
        attachment_timeout: Duration = Limits::default().attachment_timeout;
        /// How deep the values of an event may be nested, 127 at most. Deeper: the connection is closed.
        max_depth: usize = Limits::default().max_depth;
        /// Clients whose context of permessage-deflate is kept from one message to the next, about 40 KiB each. More: they are
        /// asked to compress each message on its own.
        max_deflate_contexts: usize = Limits::default().max_deflate_contexts;
        /// How long a closed connection may take to read what was sent before the close.
        close_timeout: Duration = Limits::default().close_timeout;
        /// How long a connection is kept for its next HTTP request, or one of HTTP/2 on which nothing is open. Longer: it is
        /// closed. It should be more than the time for which a load balancer in front keeps its connections.
        keep_alive_timeout: Duration = Limits::default().keep_alive_timeout;
        /// How long a client may take to read a part of an HTTP response, however small. Longer: the connection is cut.
        write_timeout: Duration = Limits::default().write_timeout;
    }
}

section! {
    /// The log.
    struct LogSection {
        /// What is logged: "error", "warn", "info", "debug" or "trace", or directives such as "info,sockeye=debug". The
        /// environment variable RUST_LOG takes precedence.
        level: String = "info".to_owned();
        /// "text", "json", or "auto": text on a terminal, JSON otherwise.
        format: LogFormat = LogFormat::Auto;
        /// How many lines of the same kind (of one place in the code) are logged in a second; 0 for all. The next line says how
        /// many were suppressed. Lines of "debug" and "trace" are not limited.
        max_repeats: u32 = 5;
        /// How much may wait to be written. While standard error takes nothing, further lines are dropped and counted; the server
        /// does not wait.
        max_queue_bytes: Size = Size(1 << 20);
    }
}

choices! {
    /// How the log is written.
    enum LogFormat {
        /// Text on a terminal, JSON otherwise.
        Auto = "auto",
        /// Lines for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

section! {
    /// What clients may do in a namespace.
    struct NamespaceSection {
        /// The name, which begins with a slash. This or `pattern` is required.
        name: Option<String> = None, example "\"/\"";
        /// A regular expression for names: each namespace in whose name it finds a match comes to life when a client asks for
        /// it. Anchor it with ^ and $.
        pattern: Option<String> = None, example "\"^/game-[0-9]+$\"";
        /// What happens to events that are not listed: "refuse", or "broadcast" to all others in the namespace.
        unknown_events: UnknownEvents = UnknownEvents::Refuse;
        /// Keys of the client's `auth` that become its data, which others see. Their values must be numbers, booleans, or
        /// strings of at most 200 bytes; other values refuse the connection.
        auth_data: Vec<String> = Vec::new(), example "[\"name\"]";
        /// Whether the members of a room are told who comes and goes: `sockeye:joined` and `sockeye:left`, with
        /// `{ room, id, data }`.
        presence: bool = false;
        /// How long the name of a room may be.
        max_room_bytes: Size = Size(100);
        /// An event that clients may send. Repeat for more.
        event: Vec<EventSection> = Vec::new();
    }
}

choices! {
    /// What happens to events that are not listed.
    enum UnknownEvents {
        /// They are refused.
        Refuse = "refuse",
        /// They go to all others in the namespace.
        Broadcast = "broadcast",
    }
}

section! {
    /// An event that clients may send.
    struct EventSection {
        /// The name. Required.
        name: Option<String> = None, example "\"message\"";
        /// How many arguments the event must have. Unset: one with `append_sender`, else any number.
        args: Option<usize> = None, example "1";
        /// The most that its arguments may have, attachments included. Unset: what `engine.max_http_buffer_size` and `limits`
        /// allow.
        max_bytes: Option<Size> = None, example "\"64KiB\"";
        /// Where the event goes. Required: a table with `kind` and the keys of that kind, on one line as in
        /// `route = { kind = "room", room = "{data.room}" }` or on lines of its own as here. If the client asks for an
        /// acknowledgement, it is `{ ok: true }` or `{ ok: false, error }`, where nothing else is said.
        ///
        /// A room is text with places in braces. {data} is the event's first argument and {data.key} a value in it, {args.1}
        /// its second argument, {socket.id} the client's id, {socket.data.key} its data. {{ and }} stand for braces.
        route: Option<RouteTable> = None;
    }
}
