//! Accepts connections and serves them: for programs that have no HTTP server of their own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tower_service::Service;

use crate::http::NotFound;
use crate::request::{RemoteAddr, Secure};
use crate::server::Server;

/// How long a client may take to send the headers of a request, the first one included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a failure to accept, which is most often that the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most that the headers of a request may take.
const MAX_HEADER_BYTES: usize = 32 * 1024;

impl Server {
    /// Joins the cluster and starts the timers, if that has not been done: before the first client comes. [`listen`](Self::listen)
    /// and [`serve`](Self::serve) do it. Behind a listener of another's a program calls it that tells a load balancer when it is
    /// ready, which an adapter says only once it has started.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(&self) {
        self.inner().start();
    }

    /// Listens on an address and serves until [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are there go on.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        self.serve(listener, NotFound).await;
        Ok(())
    }

    /// Serves what comes in on `listener` until [`close`](Self::close). Requests that are not the server's go to `inner`, an
    /// axum router for example.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are there go on.
    pub async fn serve<S, R>(&self, listener: TcpListener, inner: S)
    where
        S: Service<Request<Incoming>, Response = http::Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.start();
        while let Some((stream, remote)) = self.accept(&listener).await {
            let connection = self.clone().serve_connection(stream, Some(remote), false, inner.clone());
            self.inner().spawn(connection);
        }
    }

    /// The next connection that comes in on `listener`, for [`serve_connection`](Self::serve_connection), or `None` once the
    /// server closes. Small packets are sent at once on it (`TCP_NODELAY`). A failure to accept, such as too many open files,
    /// is logged, and accepting goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    pub async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        let closing = self.closing();
        tokio::pin!(closing);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut closing => return None,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let _kept_as_it_was = stream.set_nodelay(true);
                    return Some((stream, remote));
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection, encrypted or not, until it ends or is upgraded. `is_secure` is what
    /// [`RequestInfo::is_secure`](crate::RequestInfo::is_secure) will say.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection, unless it was upgraded.
    pub async fn serve_connection<I, S, R>(self, stream: I, remote: Option<SocketAddr>, is_secure: bool, inner: S)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Incoming>, Response = http::Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started = Arc::new(AtomicBool::new(false));
        let service = Annotated { service: self.service(inner), remote, is_secure, started: started.clone() };
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .pipeline_flush(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .max_concurrent_streams(256)
            .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        let closing = self.closing();
        // The HTTP library gives no limit to the time in which a client shows what it speaks.
        let silent = async {
            tokio::time::sleep(HEADER_TIMEOUT).await;
            if started.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::pin!(connection, closing, silent);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = &mut closing => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = silent => return tracing::debug!(?remote, "no request came"),
        };
        if let Err(error) = result {
            tracing::debug!(%error, ?remote, "connection ended");
        }
    }
}

/// Tells the service where a request comes from.
#[derive(Clone)]
struct Annotated<S> {
    service: S,
    remote: Option<SocketAddr>,
    is_secure: bool,
    /// Set by the first request.
    started: Arc<AtomicBool>,
}

impl<S, B> Service<Request<B>> for Annotated<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.started.store(true, Ordering::Relaxed);
        if let Some(remote) = self.remote {
            request.extensions_mut().insert(RemoteAddr(remote));
        }
        if self.is_secure {
            request.extensions_mut().insert(Secure);
        }
        self.service.call(request)
    }
}
