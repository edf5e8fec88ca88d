//! The server: what all parts share, and what programs do with it.

mod namespaces;
mod work;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytestring::ByteString;
use parking_lot::RwLock;
use regex::Regex;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{OpenPacket, SessionConfig, TransportKind};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::adapter::{Adapter, AdapterFactory, MemoryAdapter};
use crate::addresses::Addresses;
use crate::budget::{Accounts, Ledger};
use crate::builder::ServerBuilder;
use crate::emit::Emit;
use crate::engine::{Conn, Ending, Flusher, Poller, Registry, Undecoded, Wheel};
use crate::handler::Listeners;
use crate::namespace::{Matcher, Namespace, Parent, ParentNamespace, emit_methods, register_methods};
use crate::options::Options;
use crate::peers::Peers;
use crate::request::Interner;
use crate::telemetry::Metrics;

use self::namespaces::Namespaces;
pub(crate) use self::work::{Running, Work};

/// A Socket.IO server. A clone is another handle to the same.
///
/// Handlers and emits of the server itself are those of its main namespace, `/`.
///
/// # Example
///
/// ```no_run
/// use sockeye::{Data, Server, Socket};
///
/// # async fn run() -> std::io::Result<()> {
/// let io = Server::new();
/// io.on_connection(|socket: Socket| println!("{} is here", socket.id()));
/// io.on("chat message", |socket: Socket, Data(text): Data<String>| socket.server().emit("chat message", text));
/// io.listen("0.0.0.0:3000").await
/// # }
/// ```
#[derive(Clone)]
pub struct Server(Arc<ServerInner>);

pub(crate) struct ServerInner {
    pub(crate) options: Arc<Options>,
    pub(crate) session: SessionConfig,
    pub(crate) parser_limits: sockeye_protocol::socket::Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) accounts: Accounts,
    pub(crate) registry: Registry<Arc<Conn>>,
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) flusher: Arc<Flusher>,
    pub(crate) poller: Poller,
    pub(crate) undecoded: Arc<Undecoded>,
    pub(crate) interner: Interner,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) adapter: AdapterFactory,
    /// The other nodes, once the server has joined them.
    pub(crate) peers: OnceLock<Arc<Peers>>,
    namespaces: RwLock<Namespaces>,
    parents: RwLock<Vec<Arc<Parent>>>,
    new_namespace: RwLock<Vec<NamespaceListener>>,
    started: AtomicBool,
    /// Where the server was started: for what begins on a thread of the program that has no runtime.
    runtime: OnceLock<Handle>,
    next_shard: AtomicUsize,
    /// What a close waits for.
    work: Arc<Work>,
    /// Long-polling clients that still have to be told of the end of their sessions.
    farewells: Arc<Work>,
    /// For each client whose compression context is kept, a clone.
    pub(crate) deflate_contexts: Arc<()>,
    closing: watch::Sender<bool>,
    /// Nobody has to be told of the close any more: no more connections are accepted.
    stopping: watch::Sender<bool>,
    /// The close is over: all is delivered, or had its time.
    ended: watch::Sender<bool>,
}

/// Ends the accepting when it is dropped.
struct Stop(Arc<ServerInner>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stopping.send_replace(true);
    }
}

/// Tells that the close is over when it is dropped.
struct End(Arc<ServerInner>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.ended.send_replace(true);
    }
}

type NamespaceListener = Arc<dyn Fn(&Namespace) + Send + Sync>;

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("path", &self.0.options.path).finish_non_exhaustive()
    }
}

impl Server {
    /// A server with the default options.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Sets options, then builds a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    pub(crate) fn with_options(mut options: Options, adapter: Option<AdapterFactory>) -> Self {
        options.mount();
        let recovery = options.connection_state_recovery;
        let adapter = adapter.unwrap_or_else(|| {
            Arc::new(move |local| Arc::new(MemoryAdapter::new(local, recovery)) as Arc<dyn Adapter>)
        });
        let ledger = Arc::new(Ledger::new(&options.budgets));
        let inner = Arc::new(ServerInner {
            session: options.session(),
            parser_limits: options.limits.parser(),
            addresses: Addresses::new(options.trusted_proxies.clone()),
            options: Arc::new(options),
            metrics: Arc::default(),
            accounts: Accounts::new(ledger.clone()),
            ledger,
            registry: Registry::new(),
            wheel: Arc::new(Wheel::new()),
            flusher: Arc::default(),
            poller: Poller::default(),
            undecoded: Arc::default(),
            interner: Interner::default(),
            adapter,
            peers: OnceLock::new(),
            namespaces: RwLock::default(),
            parents: RwLock::default(),
            new_namespace: RwLock::default(),
            started: AtomicBool::new(false),
            runtime: OnceLock::new(),
            next_shard: AtomicUsize::new(0),
            work: Arc::default(),
            farewells: Arc::default(),
            deflate_contexts: Arc::default(),
            closing: watch::Sender::new(false),
            stopping: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        });
        let server = Self(inner);
        let _main = server.of("/");
        server
    }

    pub(crate) fn from_inner(inner: Arc<ServerInner>) -> Self {
        Self(inner)
    }

    pub(crate) fn inner(&self) -> &Arc<ServerInner> {
        &self.0
    }

    register_methods!();
    emit_methods!();

    /// A namespace, made if there is none of this name yet. The name gets a leading slash if it has none.
    pub fn of(&self, name: &str) -> Namespace {
        let name = if name.starts_with('/') { ByteString::from(name) } else { ByteString::from(format!("/{name}")) };
        self.0.namespace_of_program(&name)
    }

    /// All namespaces whose name the pattern matches. Each comes to life when a client asks for it.
    pub fn of_pattern(&self, pattern: Regex) -> ParentNamespace {
        self.0.add_parent(Matcher::Pattern(pattern))
    }

    /// All namespaces that the function, called with the name and the client's `auth`, says yes to.
    pub fn of_function<F, Fut>(&self, function: F) -> ParentNamespace
    where
        F: Fn(String, serde_json::Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.0.add_parent(Matcher::Function(Box::new(move |name, auth| Box::pin(function(name, auth)))))
    }

    /// Calls `listener` with each namespace that comes to life from now on.
    pub fn on_new_namespace(&self, listener: impl Fn(&Namespace) + Send + Sync + 'static) {
        self.0.new_namespace.write().push(Arc::new(listener));
    }

    /// The main namespace.
    pub fn main_namespace(&self) -> Namespace {
        self.of("/")
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What the server holds for all clients, by what holds it.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Stops the server: no new sessions; every client is told, in a way that makes it reconnect; what was sent to them
    /// is still delivered, for as long as [`Limits::close_timeout`](crate::Limits::close_timeout) says. A long-polling client has to
    /// come for it: until all have, requests are accepted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the stop back.
    pub async fn close(&self) {
        self.0.closing.send_replace(true);
        // Also if this future is dropped.
        let _end = End(self.0.clone());
        let stop = Stop(self.0.clone());
        for conn in self.0.registry.all() {
            conn.close(CloseReason::ServerShuttingDown, Ending::Graceful, "the server stops");
        }
        let limit = self.0.options.limits.close_timeout;
        let all_ended = async {
            self.0.farewells.done().await;
            drop(stop);
            self.0.work.done().await;
        };
        if tokio::time::timeout(limit, all_ended).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        // The adapters come last: what disconnect handlers emit still reaches the other nodes.
        let namespaces: Vec<_> = self.0.namespaces.read().by_name.values().cloned().collect();
        let adapters_closed = async {
            for namespace in namespaces {
                namespace.adapter().close().await;
            }
        };
        if tokio::time::timeout(limit, adapters_closed).await.is_err() {
            tracing::warn!("some adapters did not close in time");
        }
    }

    /// Waits until [`close`](Self::close) was called.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn closing(&self) {
        self.0.closed().await;
    }

    /// Waits until the server accepts nothing any more: [`close`](Self::close) was called, and all long-polling clients were told of
    /// it, or had their time. Until then what has begun, a TLS handshake for example, may go on.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn stopped(&self) {
        self.0.stopped().await;
    }

    fn listeners(&self) -> Arc<Listeners> {
        self.main_namespace().listeners().clone()
    }

    fn emitter(&self) -> Emit {
        self.main_namespace().emitter()
    }

    fn adapter(&self) -> Arc<dyn Adapter> {
        self.main_namespace().adapter().clone()
    }
}

impl ServerInner {
    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until the server closes.
    pub(crate) async fn closed(&self) {
        // The sender lives in the server, so the wait cannot fail.
        drop(self.closing.subscribe().wait_for(|closing| *closing).await);
    }

    /// Waits until the server accepts nothing any more: it closes, and all long-polling clients were told, or had their time.
    pub(crate) async fn stopped(&self) {
        drop(self.stopping_signal().wait_for(|stopping| *stopping).await);
    }

    /// Waits until the close is over.
    pub(crate) async fn ended(&self) {
        drop(self.ended.subscribe().wait_for(|ended| *ended).await);
    }

    /// Tells when the server accepts nothing any more, or is gone, without holding it.
    pub(crate) fn stopping_signal(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub(crate) fn next_shard(&self) -> u16 {
        let next = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.flusher.len();
        u16::try_from(next).unwrap_or(0)
    }

    /// The text of the open packet.
    pub(crate) fn open_packet(&self, sid: &str, transport: TransportKind) -> String {
        let options = &self.options;
        let upgrades: Vec<_> = match options.allow_upgrades {
            true => {
                transport.upgrades().iter().copied().filter(|upgrade| options.transports.contains(upgrade)).collect()
            }
            false => Vec::new(),
        };
        OpenPacket {
            sid,
            upgrades: &upgrades,
            ping_interval: options.ping_interval,
            ping_timeout: options.ping_timeout,
            max_payload: options.max_http_buffer_size,
        }
        .to_json()
    }
}
