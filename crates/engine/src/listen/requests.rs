//! A request on a connection of the server's own listener.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt as _, Either};
use hyper::body::Incoming;
use tower_service::Service;

use super::activity::Open;
use super::streams::Pieces;
use crate::request::{RemoteAddr, Secure};

/// Where the requests of a connection come from, and how long it is kept for the next one.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) is_secure: bool,
    pub(crate) keep_alive: Duration,
}

/// Lets `inner` answer a request.
pub(crate) async fn answer<S, R>(
    mut inner: S,
    mut request: Request<Incoming>,
    origin: Origin,
    open: Open,
) -> Result<Response<impl Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static>, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<R>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if let Some(remote) = origin.remote {
        request.extensions_mut().insert(RemoteAddr(remote));
    }
    if origin.is_secure {
        request.extensions_mut().insert(Secure);
    }
    let is_stream = request.version() == Version::HTTP_2;
    let is_kept = request.version() == Version::HTTP_11 && !says_close(request.headers());
    std::future::poll_fn(|context| inner.poll_ready(context)).await?;
    let response = inner.call(request);
    drop(inner);
    let mut response = response.await?;
    let is_upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_kept && !is_upgraded && !says_close(response.headers()) {
        announce(origin.keep_alive, response.headers_mut());
    }
    // The response is there as long as its body is.
    Ok(response.map(|body| {
        if is_stream {
            return Either::Right(Pieces::new(body, open));
        }
        Either::Left(body.map_err(move |error| {
            let _open = &open;
            error
        }))
    }))
}

fn says_close(headers: &http::HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Tells the client for how long it may send another request, as the official server does.
fn announce(time: Duration, headers: &mut http::HeaderMap) {
    let seconds = time.as_secs();
    if seconds > 0
        && let Ok(value) = HeaderValue::try_from(format!("timeout={seconds}"))
    {
        headers.entry(KEEP_ALIVE).or_insert(value);
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
