//! Accepts connections and serves them: for programs that have no HTTP server of their own.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tower_service::Service;

use self::activity::Activity;
use self::drive::{drive, report};
pub(crate) use self::guarded::Guarded;
pub use self::handshake::TlsHandshake;
use self::requests::{Origin, answer};
use self::streams::Streams;
use self::watch::{Times, Watch};
use crate::addresses::Served;
use crate::application::Application;
use crate::http::NotFound;
use crate::server::Server;

mod activity;
mod drive;
mod framing;
mod guarded;
mod handshake;
mod requests;
mod streams;
mod watch;

/// How long a client may take to send the headers of a request, the first one included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to close a connection that has ended.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between the pings on a connection of HTTP/2, and how long the answer to one may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait after a failure to accept, which is most often that the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long to wait after that if something has been closed to make room.
const GIVE_WAY_PAUSE: Duration = Duration::from_millis(1);
/// The most that the headers of a request may take.
const MAX_HEADER_BYTES: usize = 32 * 1024;

impl<A: Application> Server<A> {
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
        let listener = TcpListener::bind(address).await?;
        self.serve(listener, NotFound).await;
        Ok(())
    }

    /// Serves what comes in on `listener` until [`close`](Self::close) is over. Requests that are not the server's go to `inner`, an
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
            self.app().engine().spawn(connection);
        }
        drop(listener);
        self.app().engine().ended().await;
    }

    /// The next connection that comes in on `listener`, for [`serve_connection`](Self::serve_connection), or `None` once the
    /// server closes and has told its clients. Small packets are sent at once on it (`TCP_NODELAY`). A failure to accept, such as too many open files,
    /// is logged, and accepting goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    pub async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        let stopped = self.app().engine().stopped();
        tokio::pin!(stopped);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stopped => return None,
            };
            match accepted {
                Ok((stream, remote)) => {
                    self.app().engine().metrics.tcp_accepted.increment();
                    let _kept_as_it_was = stream.set_nodelay(true);
                    return Some((stream, remote));
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    let is_full = error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error());
                    // What gives way is closed by its own task.
                    let pause = if is_full && self.free_a_file() { GIVE_WAY_PAUSE } else { ACCEPT_PAUSE };
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Serves one connection, encrypted or not, until it ends or is upgraded. It is closed at once if there are too many, see
    /// [`Limits::max_tcp_connections`](crate::Limits::max_tcp_connections). `is_secure` is what
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
        let engine = self.app().engine();
        let Some(served) = Served::begin(&engine.addresses, &engine.metrics, engine.limits.max_tcp_connections, remote)
        else {
            return;
        };
        let limits = &self.app().engine().limits;
        let times = Times {
            head: HEADER_TIMEOUT,
            write: limits.write_timeout,
            idle: limits.keep_alive_timeout,
            end: END_TIMEOUT,
        };
        let activity = Activity::new();
        let watch = Watch::new(activity.clone(), times);
        let mut builder = Builder::new(Streams {
            activity: activity.clone(),
            metrics: self.app().engine().metrics.clone(),
            write_timeout: limits.write_timeout,
        });
        builder.http1().max_buf_size(MAX_HEADER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .enable_connect_protocol()
            .max_concurrent_streams(256)
            .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
        let stream = TokioIo::new(Guarded::new(stream, activity.clone()));
        let origin = Origin { remote, is_secure, keep_alive: limits.keep_alive_timeout };
        let (service, requests) = (served.watch(self.service(inner)), activity.clone());
        let service = service_fn(move |request| answer(service.clone(), request, origin, requests.begin()));
        // In a box: it is some kilobytes, and would be moved with each future that it is a part of.
        let connection = Box::pin(builder.serve_connection_with_upgrades(stream, service));
        let stopped = self.app().engine().stopped();
        let driven = drive(connection, &activity, watch, stopped, |connection| {
            connection.get_mut().as_mut().graceful_shutdown();
        });
        let ended = tokio::select! {
            ended = driven => ended,
            () = served.evicted() => return tracing::debug!(?remote, "no request came, and its address has too many"),
        };
        activity.is_released.store(true, Ordering::Relaxed);
        report(&self.app().engine().metrics, &ended, &activity, remote);
    }

    /// The process has no more file descriptors: something gives way that does nothing yet, if there is any.
    fn free_a_file(&self) -> bool {
        let engine = self.app().engine();
        engine.addresses.free_a_file(|bound, sid| engine.metrics.bound_reached(bound, sid))
    }
}
