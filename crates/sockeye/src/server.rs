//! The server: what all parts share, and what programs do with it.

mod application;
mod namespaces;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::RwLock;
use regex::Regex;
use sockeye_engine::{Engine, Ledger, Server as EngineServer};

use crate::adapter::{Adapter, AdapterFactory};
use crate::emit::Emit;
use crate::handler::Listeners;
use crate::namespace::{Matcher, Namespace, Parent, ParentNamespace, emit_methods, register_methods};
use crate::options::Options;
use crate::telemetry::Metrics;

use self::namespaces::Namespaces;

/// A connection whose application is Socket.IO.
pub(crate) type Conn = sockeye_engine::Conn<ServerInner>;

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
pub struct Server(EngineServer<ServerInner>);

/// What all parts of a server share. It cannot be named outside of this crate.
pub struct ServerInner {
    engine: Engine<Conn>,
    pub(crate) options: Arc<Options>,
    pub(crate) parser_limits: sockeye_protocol::socket::Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) adapter: AdapterFactory,
    namespaces: RwLock<Namespaces>,
    parents: RwLock<Vec<Arc<Parent>>>,
    new_namespace: RwLock<Vec<NamespaceListener>>,
}

impl fmt::Debug for ServerInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerInner").field("engine", &self.engine).finish_non_exhaustive()
    }
}

type NamespaceListener = Arc<dyn Fn(&Namespace) + Send + Sync>;

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("path", &self.inner().options.path).finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn with_options(options: Options, adapter: AdapterFactory) -> Self {
        let engine = Engine::new(options.engine.clone(), options.limits.engine.clone());
        let inner = ServerInner {
            parser_limits: options.limits.parser(),
            metrics: Arc::new(Metrics::new(engine.metrics().clone())),
            engine,
            options: Arc::new(options),
            adapter,
            namespaces: RwLock::default(),
            parents: RwLock::default(),
            new_namespace: RwLock::default(),
        };
        let server = Self(EngineServer::new(inner));
        let _main = server.of("/");
        server
    }

    pub(crate) fn from_inner(inner: Arc<ServerInner>) -> Self {
        Self(EngineServer::from(inner))
    }

    pub(crate) fn inner(&self) -> &Arc<ServerInner> {
        self.0.app()
    }

    pub(crate) fn engine(&self) -> &EngineServer<ServerInner> {
        &self.0
    }

    register_methods!();
    emit_methods!();

    /// A namespace, made if there is none of this name yet. The name gets a leading slash if it has none.
    pub fn of(&self, name: &str) -> Namespace {
        let name = if name.starts_with('/') { ByteString::from(name) } else { ByteString::from(format!("/{name}")) };
        self.inner().namespace_of_program(&name)
    }

    /// All namespaces whose name the pattern matches. Each comes to life when a client asks for it.
    pub fn of_pattern(&self, pattern: Regex) -> ParentNamespace {
        self.inner().add_parent(Matcher::Pattern(pattern))
    }

    /// All namespaces that the function, called with the name and the client's `auth`, says yes to.
    pub fn of_function<F, Fut>(&self, function: F) -> ParentNamespace
    where
        F: Fn(String, serde_json::Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.inner().add_parent(Matcher::Function(Box::new(move |name, auth| Box::pin(function(name, auth)))))
    }

    /// Calls `listener` with each namespace that comes to life from now on.
    pub fn on_new_namespace(&self, listener: impl Fn(&Namespace) + Send + Sync + 'static) {
        self.inner().new_namespace.write().push(Arc::new(listener));
    }

    /// The main namespace.
    pub fn main_namespace(&self) -> Namespace {
        self.of("/")
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.inner().options
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.inner().metrics
    }

    /// What the server holds for all clients, by what holds it.
    pub fn ledger(&self) -> &Ledger {
        self.inner().engine.ledger()
    }

    /// Stops the server: no new sessions; every client is told, in a way that makes it reconnect; what was sent to them
    /// is still delivered, for as long as [`close_timeout`](crate::EngineLimits::close_timeout) says. A long-polling client has to
    /// come for it: until all have, requests are accepted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the stop back.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Waits until [`close`](Self::close) was called.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn closing(&self) {
        self.0.closing().await;
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
    /// Runs a future of a connection beside everything else. [`Server::close`] waits for it.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.engine.spawn(future);
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        self.engine.ledger()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every connection pays for it. With the two counts of its `Arc` it is 384 bytes: a size that allocators have.
    #[test]
    fn a_connection_stays_small() {
        assert!(size_of::<Conn>() <= 368, "{}", size_of::<Conn>());
    }
}
