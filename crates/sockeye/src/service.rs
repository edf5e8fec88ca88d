//! How a program serves a [`Server`]: with its own listener, or within the HTTP server that the program has.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use sockeye_engine::peers::{Directory, PeerError, PeerOptions};
use sockeye_engine::{Layer as EngineLayer, ResponseBody, Service as EngineService, TlsHandshake};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tower_layer::Layer;
use tower_service::Service;

use crate::server::{Server, ServerInner};

impl Server {
    /// Joins the cluster and starts the timers, if that has not been done: before the first client comes. [`listen`](Self::listen)
    /// and [`serve`](Self::serve) do it. Behind a listener of another's a program calls it that tells a load balancer when it is
    /// ready, which an adapter says only once it has started.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(&self) {
        self.engine().start();
    }

    /// Listens on an address and serves until [`close`](Self::close) is over: what was sent before it has been delivered then, as far
    /// as there was time, so that the program may end.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are there go on.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        self.engine().listen(address).await
    }

    /// Serves what comes in on `listener` until [`close`](Self::close) is over. Requests that are not the server's go to `inner`, an
    /// axum router for example.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are there go on.
    pub async fn serve<S, R>(&self, listener: TcpListener, inner: S)
    where
        S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.engine().serve(listener, inner).await;
    }

    /// The next connection that comes in on `listener`, for [`serve_connection`](Self::serve_connection), or `None` once the
    /// server closes and has told its clients. Small packets are sent at once on it (`TCP_NODELAY`). A failure to accept, such as too
    /// many open files, is logged, and accepting goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    pub async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        self.engine().accept(listener).await
    }

    /// Serves one connection, encrypted or not, until it ends or is upgraded. It is closed at once if there are too many, see
    /// [`max_tcp_connections`](crate::EngineLimits::max_tcp_connections). `is_secure` is what
    /// [`RequestInfo::is_secure`](crate::RequestInfo::is_secure) will say.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection, unless it was upgraded.
    pub async fn serve_connection<I, S, R>(self, stream: I, remote: Option<SocketAddr>, is_secure: bool, inner: S)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.engine().clone().serve_connection(stream, remote, is_secure, inner).await;
    }

    /// Counts a TLS handshake of a program that accepts encrypted connections itself, against
    /// [`max_handshakes`](crate::EngineLimits::max_handshakes) and the share of the peer's address: a peer that is silent takes
    /// nothing from others. Afterwards the stream goes to [`serve_connection`](Self::serve_connection).
    ///
    /// None: there are too many, which has been counted and logged, and the connection should be closed.
    pub fn begin_tls_handshake(&self, peer: SocketAddr) -> Option<TlsHandshake> {
        self.engine().begin_tls_handshake(peer)
    }

    /// Makes this server one of several nodes that need no sticky sessions: a load balancer may send each request to any of
    /// them. Session ids name, unreadably, the node that has the session; a node that gets a request for another's session
    /// forwards it there. See the [module](crate::peers).
    ///
    /// Call it before clients come: sessions that are there already are not found by other nodes. Path, CORS and limits
    /// should be the same on all nodes. [`close`](Self::close) makes the node leave.
    ///
    /// # Example
    ///
    /// ```
    /// use sockeye::Server;
    /// use sockeye::peers::{MemoryDirectory, PeerOptions};
    ///
    /// # async fn run() -> Result<(), sockeye::peers::PeerError> {
    /// let directory = MemoryDirectory::default();
    /// let secret = "32 random bytes, the same on all nodes";
    /// for _ in 0..3 {
    ///     let node = Server::new();
    ///     node.join_peers(PeerOptions::new(secret), directory.clone()).await?;
    /// }
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The node did not join, and works alone: see [`PeerError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the node has not joined, though it may be in the directory until its time to live is over.
    pub async fn join_peers(&self, options: PeerOptions, directory: impl Directory) -> Result<(), PeerError> {
        self.engine().join_peers(options, directory).await
    }

    /// The server as a layer around another service.
    pub fn layer(&self) -> SockeyeLayer {
        SockeyeLayer(self.engine().layer())
    }

    /// The server as a service; other requests go to `inner`.
    pub fn service<S>(&self, inner: S) -> SockeyeService<S> {
        SockeyeService(self.engine().service(inner))
    }
}

/// Puts a [`Server`] in front of a service: requests below its path are the server's, the others go on.
///
/// # Example
///
/// ```
/// use sockeye::Server;
///
/// let io = Server::new();
/// io.on("ping", |ack: sockeye::Ack| ack.send("pong"));
/// let app: axum::Router = axum::Router::new().route("/", axum::routing::get(|| async { "hello" })).layer(io.layer());
/// ```
#[derive(Clone, Debug)]
pub struct SockeyeLayer(EngineLayer<ServerInner>);

impl<S> Layer<S> for SockeyeLayer {
    type Service = SockeyeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SockeyeService(self.0.layer(inner))
    }
}

/// A service that answers the requests of a [`Server`], and hands the others to the one within.
#[derive(Clone, Debug)]
pub struct SockeyeService<S>(EngineService<ServerInner, S>);

impl<S, B, R> Service<Request<B>> for SockeyeService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
    R: Body<Data = Bytes> + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = <EngineService<ServerInner, S> as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request)
    }
}
