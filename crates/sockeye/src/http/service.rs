//! The server as a tower layer and service, for axum and whatever else speaks tower and hyper.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};
use tower_layer::Layer;
use tower_service::Service;

use super::engine;
use crate::handler::panic_text;
use crate::server::Server;

/// The body of a response: the server's, or that of the service within.
pub type ResponseBody<B> = Either<Full<Bytes>, B>;

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
pub struct SockeyeLayer {
    server: Server,
}

impl Server {
    /// The server as a layer around another service.
    pub fn layer(&self) -> SockeyeLayer {
        SockeyeLayer { server: self.clone() }
    }

    /// The server as a service; other requests go to `inner`.
    pub fn service<S>(&self, inner: S) -> SockeyeService<S> {
        SockeyeService { server: self.clone(), inner }
    }
}

impl<S> Layer<S> for SockeyeLayer {
    type Service = SockeyeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.server.service(inner)
    }
}

/// A service that answers the requests of a [`Server`], and hands the others to the one within.
#[derive(Clone, Debug)]
pub struct SockeyeService<S> {
    server: Server,
    inner: S,
}

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
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.server.inner().clone();
        if engine::is_ours(&server, request.uri().path()) {
            let metrics = server.metrics.clone();
            let mut handled = Box::pin(async move { engine::handle(&server, request).await });
            // The program's hooks run in it. A panic would end the connection, and with it all that others have on it: streams of
            // HTTP/2, requests that a proxy sends.
            return Box::pin(std::future::poll_fn(move |context| {
                let polled = catch_unwind(AssertUnwindSafe(|| handled.as_mut().poll(context)));
                polled.map_or_else(
                    |panic| {
                        metrics.hook_panicked(&panic_text(&*panic));
                        Poll::Ready(Ok(engine::empty(StatusCode::INTERNAL_SERVER_ERROR).map(Either::Left)))
                    },
                    |response| response.map(|response| Ok(response.map(Either::Left))),
                )
            }));
        }
        let response = self.inner.call(request);
        Box::pin(async move { Ok(response.await?.map(Either::Right)) })
    }
}

/// A service that finds nothing: 404 for every request.
#[derive(Clone, Copy, Debug)]
pub struct NotFound;

impl<B> Service<Request<B>> for NotFound {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        std::future::ready(Ok(response))
    }
}
