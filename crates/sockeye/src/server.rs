//! The server: its namespaces, its sessions, and the tasks that drive them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytestring::ByteString;
use parking_lot::RwLock;
use regex::Regex;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{OpenPacket, SessionConfig, TransportKind};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::adapter::{Adapter, AdapterFactory, MemoryAdapter};
use crate::builder::ServerBuilder;
use crate::emit::Emit;
use crate::engine::{Conn, Ending, Flusher, Poller, Registry, Wheel, shard};
use crate::handler::Listeners;
use crate::namespace::{Joining, Matcher, Namespace, Parent, ParentNamespace, emit_methods, register_methods};
use crate::options::Options;
use crate::peers::Peers;
use crate::request::Interner;
use crate::telemetry::{Bound, Metrics};

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
    pub(crate) registry: Registry<Arc<Conn>>,
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) flusher: Arc<Flusher>,
    pub(crate) poller: Poller,
    pub(crate) interner: Interner,
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
    tasks: AtomicUsize,
    idle: Notify,
    closing: watch::Sender<bool>,
}

/// The namespaces that are alive.
#[derive(Default)]
struct Namespaces {
    by_name: HashMap<ByteString, Namespace>,
    /// How many of them have a parent.
    children: usize,
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
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let inner = Arc::new(ServerInner {
            session: options.session(),
            parser_limits: options.limits.parser(),
            options: Arc::new(options),
            metrics: Arc::default(),
            registry: Registry::new(),
            wheel: Arc::new(Wheel::new()),
            flusher: Arc::new(Flusher::new(workers)),
            poller: Poller::default(),
            interner: Interner::default(),
            adapter,
            peers: OnceLock::new(),
            namespaces: RwLock::default(),
            parents: RwLock::default(),
            new_namespace: RwLock::default(),
            started: AtomicBool::new(false),
            runtime: OnceLock::new(),
            next_shard: AtomicUsize::new(0),
            tasks: AtomicUsize::new(0),
            idle: Notify::new(),
            closing: watch::Sender::new(false),
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

    /// Stops the server: no new connections; every client is told, in a way that makes it reconnect; what was sent to them
    /// is still delivered, for as long as [`Limits::close_timeout`](crate::Limits::close_timeout) says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the stop back.
    pub async fn close(&self) {
        self.0.closing.send_replace(true);
        for conn in self.0.registry.all() {
            conn.close(CloseReason::ServerShuttingDown, Ending::Graceful, "the server stops");
        }
        let limit = self.0.options.limits.close_timeout;
        if tokio::time::timeout(limit, self.0.all_work_done()).await.is_err() {
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
    /// Starts the timers and the shards, once, in the runtime of the caller.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        let _only_here = self.runtime.set(Handle::current());
        let weak = Arc::downgrade(self);
        spawn_driver(weak.clone(), self.wheel.clone().run());
        let writers = self.flusher.writers();
        let turns = self.poller.start(writers.iter().map(|(_, wake)| wake)).unwrap_or_else(|error| {
            tracing::warn!(%error, "each plain socket is read by a task of its own");
            Vec::new()
        });
        let turns = turns.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        for ((writer, wake), turns) in writers.into_iter().zip(turns) {
            spawn_driver(weak.clone(), shard::run(turns, writer, wake));
        }
        let namespaces: Vec<_> = self.namespaces.read().by_name.values().cloned().collect();
        for namespace in namespaces {
            self.init_adapter(&namespace);
        }
    }

    /// Lets the adapter of a namespace begin.
    fn init_adapter(self: &Arc<Self>, namespace: &Namespace) {
        let namespace = namespace.clone();
        // An adapter may try for as long as its broker is not there; the close does not wait for that.
        self.spawn_aside(async move {
            if !namespace.begin() {
                return; // both the start and the making of the namespace may see to it
            }
            if let Err(error) = namespace.adapter().init().await {
                tracing::error!(namespace = namespace.name(), %error, "the adapter did not start");
            }
        });
    }

    /// Runs a future of a connection beside everything else. [`Server::close`] waits for it.
    pub(crate) fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        let running = self.begin_work();
        self.spawn_aside(async move {
            future.await;
            drop(running);
        });
    }

    /// Runs a future that [`Server::close`] does not wait for.
    fn spawn_aside(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        let Some(runtime) = Handle::try_current().ok().or_else(|| self.runtime.get().cloned()) else {
            // Before the start there is no connection that could wait for it.
            return tracing::warn!("outside of a runtime, and before the start, nothing can run");
        };
        let _detached = runtime.spawn(future);
    }

    /// Waits until nothing runs that [`begin_work`](Self::begin_work) has counted.
    async fn all_work_done(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.tasks.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Something has begun that [`Server::close`] waits for, until what is given back is dropped.
    pub(crate) fn begin_work(self: &Arc<Self>) -> Running {
        self.tasks.fetch_add(1, Ordering::AcqRel);
        Running(Arc::downgrade(self))
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until the server closes.
    pub(crate) async fn closed(&self) {
        let mut closing = self.closing_signal();
        // The sender lives in the server, so the wait cannot fail.
        let _closing = closing.wait_for(|closing| *closing).await;
    }

    /// Tells when the server closes, or is gone, without holding it.
    pub(crate) fn closing_signal(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    pub(crate) fn next_shard(&self) -> u16 {
        let next = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.flusher.shards();
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

    /// The namespace that a client asks for, brought to life if a pattern or function says so. It stays for as long as what is
    /// given back lives.
    pub(crate) async fn find_namespace(self: &Arc<Self>, name: &ByteString, auth: Option<&str>) -> Option<Joining> {
        // Counted under the lock under which a namespace without sockets and joins would be let go of.
        if let Some(found) = self.namespaces.read().by_name.get(name) {
            return Some(Joining::new(found));
        }
        let parents = self.parents.read().clone();
        for parent in parents {
            if parent.matches(name, auth).await {
                let found = self.child(name, &parent);
                if found.is_none() {
                    self.metrics.bound_reached(Bound::ChildNamespaces, name);
                }
                return found;
            }
        }
        None
    }

    /// The child of this name, made if there is none and the bound allows it.
    fn child(self: &Arc<Self>, name: &ByteString, parent: &Arc<Parent>) -> Option<Joining> {
        let max = self.options.limits.max_child_namespaces;
        if self.namespaces.read().children >= max {
            self.evict_children();
        }
        let is_there = |namespaces: &Namespaces| namespaces.by_name.get(name).map(Joining::new);
        {
            let namespaces = self.namespaces.read();
            if namespaces.children >= max {
                return is_there(&namespaces);
            }
        }
        // Made without the lock, for the program's own code makes the adapter. If another thread was quicker, its one counts.
        let namespace = Namespace::new(self, name.clone(), Some(parent.clone()), false);
        let joining = Joining::new(&namespace);
        {
            let mut namespaces = self.namespaces.write();
            if let Some(found) = is_there(&namespaces) {
                return Some(found);
            }
            if namespaces.children >= max {
                return None;
            }
            namespaces.insert(&namespace);
        }
        self.announce(&namespace);
        Some(joining)
    }

    /// A namespace that the program names itself. It gets the handlers of a pattern that matches it.
    fn namespace_of_program(self: &Arc<Self>, name: &ByteString) -> Namespace {
        if let Some(found) = self.namespaces.read().by_name.get(name) {
            return found.clone();
        }
        let is_match =
            |parent: &&Arc<Parent>| matches!(&parent.matcher, Matcher::Pattern(pattern) if pattern.is_match(name));
        let parent = self.parents.read().iter().find(is_match).cloned();
        let namespace = Namespace::new(self, name.clone(), parent, true);
        {
            let mut namespaces = self.namespaces.write();
            if let Some(found) = namespaces.by_name.get(name) {
                return found.clone();
            }
            namespaces.insert(&namespace);
        }
        self.announce(&namespace);
        namespace
    }

    /// A namespace has come to life: its adapter begins, and the program hears of it.
    fn announce(self: &Arc<Self>, namespace: &Namespace) {
        if self.started.load(Ordering::Acquire) {
            self.init_adapter(namespace);
        }
        let listeners = self.new_namespace.read().clone();
        for listener in listeners {
            listener(namespace);
        }
    }

    /// Lets go of a child without sockets, unless a client is about to join it.
    pub(crate) fn remove_child(self: &Arc<Self>, child: &Namespace) {
        let is_removed = {
            let mut namespaces = self.namespaces.write();
            let is_it = namespaces.by_name.get(child.name_shared()) == Some(child);
            is_it && child.is_unused() && namespaces.remove(child).is_some()
        };
        if is_removed {
            self.close_adapter(child.clone());
        }
    }

    /// Lets go of all children that clients brought to life and that nobody uses or holds, to make room for others.
    fn evict_children(self: &Arc<Self>) {
        let evicted: Vec<_> = {
            let mut namespaces = self.namespaces.write();
            let idle: Vec<_> = namespaces.by_name.values().filter(|each| each.is_evictable()).cloned().collect();
            idle.iter().filter_map(|each| namespaces.remove(each)).collect()
        };
        for namespace in evicted {
            self.close_adapter(namespace);
        }
    }

    fn close_adapter(self: &Arc<Self>, namespace: Namespace) {
        self.spawn(async move { namespace.adapter().close().await });
    }

    fn add_parent(&self, matcher: Matcher) -> ParentNamespace {
        let parent = Parent::new(matcher);
        self.parents.write().push(parent.clone());
        ParentNamespace(parent)
    }
}

impl Namespaces {
    fn insert(&mut self, namespace: &Namespace) {
        self.by_name.insert(namespace.name_shared().clone(), namespace.clone());
        if let Some(parent) = namespace.parent() {
            self.children += 1;
            parent.adopt(namespace);
        }
    }

    fn remove(&mut self, namespace: &Namespace) -> Option<Namespace> {
        let removed = self.by_name.remove(namespace.name_shared())?;
        if let Some(parent) = removed.parent() {
            self.children -= 1;
            parent.forget(&removed);
        }
        Some(removed)
    }
}

/// Runs a driver until the server is gone: it holds the server's parts, not the server.
fn spawn_driver(server: Weak<ServerInner>, driver: impl Future<Output = ()> + Send + 'static) {
    let _detached = tokio::spawn(async move {
        let gone = async {
            while server.strong_count() > 0 {
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            }
        };
        tokio::select! {
            () = driver => {}
            () = gone => {}
        }
    });
}

/// Counts work for as long as it goes on.
pub(crate) struct Running(Weak<ServerInner>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = self.0.upgrade()
            && server.tasks.fetch_sub(1, Ordering::AcqRel) == 1
        {
            server.idle.notify_waiters();
        }
    }
}
