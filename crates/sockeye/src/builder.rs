//! Sets the options of a server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;
use sockeye_protocol::engine::TransportKind;
use sockeye_protocol::socket::Parser;

use crate::adapter::{Adapter, AdapterFactory, Local, MemoryAdapter};
use crate::client_files::ClientFiles;
use crate::options::{ConnectionStateRecovery, Limits, Options};
use crate::server::Server;
use sockeye_engine::AddressRange;
use sockeye_engine::Budgets;
use sockeye_engine::RequestInfo;
use sockeye_engine::{Cookie, Cors, HttpCompression, OriginPattern, PerMessageDeflate};

/// Builds a [`Server`]. Each method sets the [option](Options) of its name.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use sockeye::{Cors, Server};
///
/// let io = Server::builder()
///     .cors(Cors::origin("http://localhost:3000").credentials(true))
///     .ping_interval(Duration::from_secs(10))
///     .allow_request(|request| async move {
///         request.header("x-token").map(drop).ok_or_else(|| "no token".to_owned())
///     })
///     .build();
/// ```
#[derive(Default)]
#[must_use = "nothing is made until `build`"]
pub struct ServerBuilder {
    options: Options,
    adapter: Option<AdapterFactory>,
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ServerBuilder {
    /// See [`path`](crate::EngineOptions::path).
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.options.path = path.into();
        self
    }

    /// See [`add_trailing_slash`](crate::EngineOptions::add_trailing_slash).
    pub fn add_trailing_slash(mut self, add: bool) -> Self {
        self.options.add_trailing_slash = add;
        self
    }

    /// See [`ping_interval`](crate::EngineOptions::ping_interval).
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.options.ping_interval = interval;
        self
    }

    /// See [`ping_timeout`](crate::EngineOptions::ping_timeout).
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.options.ping_timeout = timeout;
        self
    }

    /// See [`upgrade_timeout`](crate::EngineOptions::upgrade_timeout).
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.options.upgrade_timeout = timeout;
        self
    }

    /// See [`max_http_buffer_size`](crate::EngineOptions::max_http_buffer_size).
    pub fn max_http_buffer_size(mut self, bytes: usize) -> Self {
        self.options.max_http_buffer_size = bytes;
        self
    }

    /// See [`transports`](crate::EngineOptions::transports).
    pub fn transports(mut self, transports: impl IntoIterator<Item = TransportKind>) -> Self {
        self.options.transports = transports.into_iter().collect();
        self
    }

    /// See [`allow_upgrades`](crate::EngineOptions::allow_upgrades).
    pub fn allow_upgrades(mut self, allow: bool) -> Self {
        self.options.allow_upgrades = allow;
        self
    }

    /// See [`per_message_deflate`](crate::EngineOptions::per_message_deflate).
    pub fn per_message_deflate(mut self, deflate: PerMessageDeflate) -> Self {
        self.options.per_message_deflate = Some(deflate);
        self
    }

    /// See [`http_compression`](crate::EngineOptions::http_compression).
    pub fn http_compression(mut self, compression: impl Into<Option<HttpCompression>>) -> Self {
        self.options.http_compression = compression.into();
        self
    }

    /// See [`cookie`](crate::EngineOptions::cookie).
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.options.cookie = Some(cookie);
        self
    }

    /// See [`allowed_origins`](crate::EngineOptions::allowed_origins). An entry is an origin, such as `https://app.example.com`, or a
    /// [`Regex`](regex::Regex).
    pub fn allowed_origins(mut self, origins: impl IntoIterator<Item = impl Into<OriginPattern>>) -> Self {
        self.options.allowed_origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// See [`cors`](crate::EngineOptions::cors).
    pub fn cors(mut self, cors: Cors) -> Self {
        self.options.cors = Some(cors);
        self
    }

    /// See [`allow_eio3`](crate::EngineOptions::allow_eio3).
    pub fn allow_eio3(mut self, allow: bool) -> Self {
        self.options.allow_eio3 = allow;
        self
    }

    /// See [`initial_packet`](crate::EngineOptions::initial_packet).
    pub fn initial_packet(mut self, text: impl Into<String>) -> Self {
        self.options.initial_packet = Some(text.into());
        self
    }

    /// See [`Options::serve_client`].
    pub fn serve_client(mut self, files: ClientFiles) -> Self {
        self.options.serve_client = Some(files);
        self
    }

    /// See [`connect_timeout`](crate::EngineOptions::connect_timeout).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// See [`Options::parser`].
    pub fn parser(mut self, parser: Parser) -> Self {
        self.options.parser = parser;
        self
    }

    /// See [`Options::connection_state_recovery`].
    pub fn connection_state_recovery(mut self, recovery: ConnectionStateRecovery) -> Self {
        self.options.connection_state_recovery = Some(recovery);
        self
    }

    /// See [`dedicated_threads`](crate::EngineOptions::dedicated_threads).
    pub fn dedicated_threads(mut self, threads: bool) -> Self {
        self.options.dedicated_threads = threads;
        self
    }

    /// See [`Options::cleanup_empty_child_namespaces`].
    pub fn cleanup_empty_child_namespaces(mut self, cleanup: bool) -> Self {
        self.options.cleanup_empty_child_namespaces = cleanup;
        self
    }

    /// See [`trusted_proxies`](crate::EngineOptions::trusted_proxies).
    pub fn trusted_proxies(mut self, proxies: impl IntoIterator<Item = AddressRange>) -> Self {
        self.options.trusted_proxies = proxies.into_iter().collect();
        self
    }

    /// See [`Options::limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// See [`budgets`](crate::EngineOptions::budgets).
    pub fn budgets(mut self, budgets: Budgets) -> Self {
        self.options.budgets = budgets;
        self
    }

    /// Lets `allow` decide on each handshake. An error is the text of the `Forbidden` answer.
    pub fn allow_request<F, Fut>(mut self, allow: F) -> Self
    where
        F: Fn(RequestInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.options.engine.set_allow_request(allow);
        self
    }

    /// Lets `edit` change the headers of the response that opens a session.
    pub fn initial_headers(mut self, edit: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static) -> Self {
        self.options.engine.set_initial_headers(edit);
        self
    }

    /// Lets `edit` change the headers of every response.
    pub fn headers(mut self, edit: impl Fn(&mut HeaderMap, &Parts) + Send + Sync + 'static) -> Self {
        self.options.engine.set_headers(edit);
        self
    }

    /// Makes the session ids with `generate`. They must be unguessable and unique; 20 characters of `[A-Za-z0-9_-]` fit
    /// every load balancer and cluster. They name no node, so such a server cannot
    /// [join peers](Server::join_peers).
    pub fn generate_id(mut self, generate: impl Fn(&RequestInfo) -> String + Send + Sync + 'static) -> Self {
        self.options.engine.set_generate_id(generate);
        self
    }

    /// Makes the adapter of each namespace with `factory`. Default: [`MemoryAdapter`](crate::adapter::MemoryAdapter).
    pub fn adapter<A: Adapter>(mut self, factory: impl Fn(Arc<Local>) -> A + Send + Sync + 'static) -> Self {
        self.adapter = Some(Arc::new(move |local| Arc::new(factory(local)) as Arc<dyn Adapter>));
        self
    }

    /// The server.
    pub fn build(self) -> Server {
        let recovery = self.options.connection_state_recovery;
        let adapter = self.adapter.unwrap_or_else(|| {
            Arc::new(move |local| Arc::new(MemoryAdapter::new(local, recovery)) as Arc<dyn Adapter>)
        });
        Server::with_options(self.options, adapter)
    }
}

impl From<Options> for ServerBuilder {
    fn from(options: Options) -> Self {
        Self { options, adapter: None }
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
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}
