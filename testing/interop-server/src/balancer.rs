//! A load balancer that is as bad as can be: it sends no request to the node that has the session.
//!
//! Every session is opened on one node, and every further request goes to one of two others in turn. They must forward it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use sockeye::peers::{MemoryDirectory, PeerError, PeerOptions};
use sockeye::{NotFound, RemoteAddr, Server};
use tokio::net::TcpListener;
use tower_service::Service as _;

/// The nodes.
pub(crate) struct Balancer {
    owner: Server,
    others: [Server; 2],
    next: AtomicUsize,
}

impl Balancer {
    /// Makes the servers peers of one another.
    pub(crate) async fn new(owner: Server, others: [Server; 2]) -> Result<Arc<Self>, PeerError> {
        let directory = MemoryDirectory::default();
        for server in [&owner, &others[0], &others[1]] {
            server.join_peers(PeerOptions::new("only for the suites"), directory.clone()).await?;
        }
        Ok(Arc::new(Self { owner, others, next: AtomicUsize::new(0) }))
    }

    /// Serves until the owner closes.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Some((stream, remote)) = self.owner.accept(&listener).await {
            let balancer = self.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(RemoteAddr(remote));
                balancer.clone().answer(request)
            });
            tokio::spawn(async move {
                let mut builder = Builder::new(TokioExecutor::new());
                builder.http1().timer(TokioTimer::new()).max_buf_size(32 * 1024);
                let _ended = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    }

    /// Ends the others too.
    pub(crate) async fn close(&self) {
        for server in &self.others {
            server.close().await;
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let has_session = request.uri().query().is_some_and(|query| query.contains("sid="));
        let server = match has_session {
            true => &self.others[self.next.fetch_add(1, Ordering::Relaxed) % 2],
            false => &self.owner,
        };
        let response = server.service(NotFound).call(request).await?;
        Ok(response.map(|body| body.into_inner()))
    }
}
