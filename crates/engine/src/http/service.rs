//! The server as a tower layer and service, for axum and whatever else speaks tower and hyper.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};

use super::{response, route};
use crate::application::Application;
use crate::panic::panic_text;
use crate::server::Server;

/// The body of a response: the server's, or that of the service within.
pub type ResponseBody<B> = Either<Full<Bytes>, B>;

/// Puts a [`Server`] in front of a service: requests below its path are the server's, the others go on.
pub struct Layer<A>(Server<A>);

impl<A> Clone for Layer<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Application> fmt::Debug for Layer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layer").field(&self.0).finish()
    }
}

impl<A: Application> Server<A> {
    /// The server as a layer around another service.
    pub fn layer(&self) -> Layer<A> {
        Layer(self.clone())
    }

    /// The server as a service; other requests go to `inner`.
    pub fn service<S>(&self, inner: S) -> Service<A, S> {
        Service { server: self.clone(), inner }
    }
}

impl<A: Application, S> tower_layer::Layer<S> for Layer<A> {
    type Service = Service<A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.service(inner)
    }
}

/// A service that answers the requests of a [`Server`], and hands the others to the one within.
pub struct Service<A, S> {
    server: Server<A>,
    inner: S,
}

impl<A, S: Clone> Clone for Service<A, S> {
    fn clone(&self) -> Self {
        Self { server: self.server.clone(), inner: self.inner.clone() }
    }
}

impl<A: Application, S: fmt::Debug> fmt::Debug for Service<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("server", &self.server).field("inner", &self.inner).finish()
    }
}

impl<A, S, B, R> tower_service::Service<Request<B>> for Service<A, S>
where
    A: Application,
    S: tower_service::Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: fmt::Display,
    R: Body<Data = Bytes> + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let app = self.server.app().clone();
        if route::is_ours(app.engine(), request.uri().path()) {
            let metrics = app.engine().metrics.clone();
            let mut handled = Box::pin(async move { route::handle(&app, request).await });
            // The program's hooks run in it. A panic would end the connection, and with it all that others have on it: streams of
            // HTTP/2, requests that a proxy sends.
            return Box::pin(std::future::poll_fn(move |context| {
                let polled = catch_unwind(AssertUnwindSafe(|| handled.as_mut().poll(context)));
                polled.map_or_else(
                    |panic| {
                        metrics.hook_panicked(&panic_text(&*panic));
                        Poll::Ready(Ok(response::empty(StatusCode::INTERNAL_SERVER_ERROR).map(Either::Left)))
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

impl<B> tower_service::Service<Request<B>> for NotFound {
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
