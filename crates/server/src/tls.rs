//! Accepts encrypted connections.

use std::time::Duration;

use axum::Router;
use sockeye::Server;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::config::Tls;

/// Serves what comes in, until the server is closed. The connections are tracked by `tasks`.
pub(crate) async fn serve(server: Server, listener: TcpListener, tls: Tls, inner: Router, tasks: TaskTracker) {
    let acceptor = TlsAcceptor::from(tls.config);
    while let Some((stream, remote)) = server.accept(&listener).await {
        // Of the bound an address has a share only, so that one whose connections are silent takes no place of others.
        let Some(counted) = server.begin_tls_handshake(remote) else {
            server.metrics().tls_refused.increment();
            continue;
        };
        let (server, acceptor, inner) = (server.clone(), acceptor.clone(), inner.clone());
        tasks.spawn(async move {
            let handshake = shake_hands(&server, acceptor.accept(stream), tls.handshake_timeout).await;
            drop(counted);
            match handshake {
                Ok(stream) => server.serve_connection(stream, Some(remote), true, inner).await,
                Err(error) => {
                    server.metrics().tls_refused.increment();
                    tracing::debug!(error, %remote, "TLS handshake failed");
                }
            }
        });
    }
}

async fn shake_hands(
    server: &Server,
    accept: tokio_rustls::Accept<TcpStream>,
    timeout: Duration,
) -> Result<tokio_rustls::server::TlsStream<TcpStream>, String> {
    let done = async { accept.await.map_err(|error| error.to_string()) };
    tokio::select! {
        shaken = tokio::time::timeout(timeout, done) => shaken.unwrap_or_else(|_| Err("it took too long".to_owned())),
        // Until then clients that are there still come for what was sent to them.
        () = server.stopped() => Err("the server stops".to_owned()),
    }
}
