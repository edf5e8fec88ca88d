//! The listener for operators and their programs: whether the server lives, whether it is ready for clients, what it counts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sockeye_redis::RedisAdapter;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;

/// Whether clients should come.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(Arc<State>);

#[derive(Debug)]
struct State {
    phase: watch::Sender<Phase>,
    adapter: Option<RedisAdapter>,
}

/// Where the server is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Serving,
    Stopping,
}

impl Readiness {
    pub(crate) fn new(adapter: Option<RedisAdapter>) -> Self {
        Self(Arc::new(State { phase: watch::Sender::new(Phase::Starting), adapter }))
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.0.phase.send_replace(phase);
    }

    /// Whether the server is ready.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        match *self.0.phase.borrow() {
            Phase::Starting => Err("the server is starting".to_owned()),
            Phase::Stopping => Err("the server is stopping".to_owned()),
            Phase::Serving => Ok(()),
        }?;
        self.0.adapter.as_ref().map_or(Ok(()), |adapter| adapter.check().map_err(|trouble| trouble.to_string()))
    }
}

/// Listens, and serves from now on for as long as the runtime.
///
/// # Errors
///
/// The address cannot be listened on.
pub(crate) async fn start(address: SocketAddr, readiness: Readiness, metrics: Metrics) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, router(readiness, metrics)));
    Ok(address)
}

fn router(readiness: Readiness, metrics: Metrics) -> Router {
    let metrics = Arc::new(metrics);
    let ready = move || {
        std::future::ready(match readiness.check() {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
        })
    };
    let read = move || {
        let (content_type, page) = (HeaderValue::from_static(Metrics::CONTENT_TYPE), metrics.page());
        std::future::ready(([(CONTENT_TYPE, content_type)], text(StatusCode::OK, page)).into_response())
    };
    Router::new()
        .route("/healthz", get(|| std::future::ready(text(StatusCode::OK, "alive\n"))))
        .route("/readyz", get(ready))
        .route("/metrics", get(read))
        .fallback(|| std::future::ready(text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n")))
}

fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.into()).into_response()
}

/// Each connection has one request.
async fn serve(listener: TcpListener, router: Router) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept failed on admin.listen");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(MAX_TIME).keep_alive(false);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // Whoever asked may have gone away.
            let _ended = tokio::time::timeout(MAX_TIME, connection).await;
            drop(permit);
        });
    }
}

/// Connections at a time; further ones wait.
const MAX_CONNECTIONS: usize = 64;

/// How long one may take.
const MAX_TIME: Duration = Duration::from_secs(10);

/// How long to wait after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
