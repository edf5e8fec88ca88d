//! The listener for operators and their programs: whether the server lives, whether it is ready for clients, what it counts.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderValue, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::Admin;
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// Listens, and serves from now on for as long as the runtime.
///
/// # Errors
///
/// The address cannot be listened on.
pub(crate) async fn start(admin: &Admin, readiness: Readiness, metrics: Metrics) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(admin.address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, router(readiness, metrics, admin.hosts.clone())));
    Ok(address)
}

fn router(readiness: Readiness, metrics: Metrics, hosts: Vec<String>) -> Router {
    let (metrics, hosts) = (Arc::new(metrics), Arc::new(hosts));
    let ready = move || {
        std::future::ready(match readiness.check() {
            Ok(None) => text(StatusCode::OK, "ready\n"),
            Ok(Some(reason)) => text(StatusCode::OK, format!("ready, but degraded: {reason}\n")),
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
        .layer(from_fn(move |request: Request, next: Next| {
            let hosts = hosts.clone();
            async move {
                match unknown_host(&request, &hosts) {
                    None => next.run(request).await,
                    Some(host) => text(
                        StatusCode::MISDIRECTED_REQUEST,
                        format!("this listener is not known as {host:?}: ask by its IP address, or add the name to hosts in [admin]\n"),
                    ),
                }
            }
        }))
}

/// The host that was asked for, if nobody has allowed it. A page in an operator's browser whose name leads here (DNS rebinding)
/// could read everything otherwise. A request without a host comes from no browser.
fn unknown_host(request: &Request, allowed: &[String]) -> Option<String> {
    let named =
        request.headers().get_all(HOST).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let named = named.chain(request.uri().authority().map(ToString::to_string));
    named.into_iter().find(|host| !is_allowed(host, allowed))
}

fn is_allowed(host: &str, allowed: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&name);
    name == "localhost" || address.parse::<IpAddr>().is_ok() || allowed.contains(&name)
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
    let mut connections: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept failed on admin.listen");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        connections.retain(|connection| !connection.is_finished());
        // A request is answered within milliseconds: the oldest connection is one that says nothing, or reads nothing.
        if connections.len() >= MAX_CONNECTIONS
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        let service = TowerToHyperService::new(router.clone());
        connections.push_back(tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(MAX_HEADER_TIME).keep_alive(false);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // Whoever asked may have gone away.
            let _ended = tokio::time::timeout(MAX_TIME, connection).await;
        }));
    }
}

/// Connections at a time. One more closes the oldest.
const MAX_CONNECTIONS: usize = 64;

/// How long the headers of a request may take.
const MAX_HEADER_TIME: Duration = Duration::from_secs(2);

/// How long a connection may take.
const MAX_TIME: Duration = Duration::from_secs(10);

/// How long to wait after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_somebody_allowed_and_addresses_are_hosts() {
        let allowed = ["sockeye.internal".to_owned()];
        for host in [
            "127.0.0.1:3999",
            "[::1]:3999",
            "10.0.0.7",
            "localhost:1",
            "LocalHost",
            "localhost.",
            "Sockeye.Internal:80",
        ] {
            assert!(is_allowed(host, &allowed), "{host}");
        }
        for host in ["evil.example:3999", "127.0.0.1.nip.io", "internal", "localhost.evil.example", "", "a b", "[::1"] {
            assert!(!is_allowed(host, &allowed), "{host}");
        }
    }
}
