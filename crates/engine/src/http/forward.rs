//! Sends a request for another node's session to that node, and brings its answer back.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Buf as _;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;

use super::drain::drain;
use super::relay::relay;
use super::response::{self, EngineResponse, is_too_long};
use super::upgrade::{self, upgraded};
use crate::application::Application;
use crate::engine::Engine;
use crate::metrics::Bound;
use crate::peers::{ForwardBody, ForwardFailure, NodeTag, Peers};
use crate::request::{RemoteAddr, Secure};

/// Marks the answer of another node, which has seen to its headers.
#[derive(Clone, Copy)]
pub(crate) struct Relayed;

/// Headers that are about one connection, and not for the next.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Lets the owner of a session answer.
///
/// Dropping the future drops the request at the owner too, which then knows that the client went away.
pub(crate) async fn forward<A: Application, B>(
    app: &Arc<A>,
    peers: &Arc<Peers>,
    owner: NodeTag,
    parts: &mut Parts,
    upgrade: Option<upgrade::Request>,
    body: B,
) -> Result<EngineResponse, ForwardFailure>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    let place = peers.admit(upgrade.is_some())?;
    let is_post = parts.method == Method::POST;
    if is_post && is_too_long(&body, app.engine().options.max_http_buffer_size) {
        // The owner would say the same.
        drain(app, Box::pin(body));
        app.engine().metrics.bound_reached(Bound::Payload, "of another node");
        return Ok(response::empty(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let answer = async {
        let Some(upgrade) = upgrade else {
            let answer = peers.send(owner, request(parts, if is_post { stream(body) } else { empty() })).await?;
            return collect(answer).await;
        };
        let on_upgrade = match upgrade::take(parts) {
            Ok(on_upgrade) => on_upgrade,
            Err(response) => return Ok(*response),
        };
        let mut answer = peers.send(owner, upgrade_request(parts, &upgrade)).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return collect(answer).await;
        }
        let theirs = hyper::upgrade::on(&mut answer);
        let relaying = app.clone();
        app.engine().spawn(async move {
            let (Some(client), Some(owner)) = (upgraded(on_upgrade).await, upgraded(theirs).await) else { return };
            tokio::select! {
                () = relay(client, owner) => {}
                () = relaying.engine().closed() => {}
            }
            drop(place);
        });
        Ok(upgrade_response(answer, &upgrade))
    };
    let answer = match is_post {
        true => answer.await,
        // If this node closes, the client must find another.
        false => tokio::select! {
            answer = answer => answer,
            () = tokio::time::sleep(patience(app.engine())) => Err(ForwardFailure::Lost),
            () = app.engine().closed() => Err(ForwardFailure::Lost),
        },
    };
    answer.map(|mut response| {
        response.extensions_mut().insert(Relayed);
        response
    })
}

/// How long the answer to a GET may take. The owner has something to say with each heartbeat, or ends the session when the client
/// is silent; this is for an owner that hangs, and must not come first.
fn patience<C>(engine: &Engine<C>) -> Duration {
    let Engine { options, limits, .. } = engine;
    options.ping_interval.saturating_add(options.ping_timeout).saturating_add(limits.close_timeout)
}

/// The client's request, for the next connection.
fn request(parts: &Parts, body: ForwardBody) -> Request<ForwardBody> {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    *request.headers_mut() = parts.headers.clone();
    for name in HOP_BY_HOP {
        request.headers_mut().remove(name);
    }
    if parts.method != Method::POST {
        request.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if let Some(address) = parts.extensions.get::<RemoteAddr>() {
        request.extensions_mut().insert(*address);
    }
    if let Some(secure) = parts.extensions.get::<Secure>() {
        request.extensions_mut().insert(*secure);
    }
    request
}

/// The same of a request for an upgrade: between nodes it is always one of HTTP/1.1.
fn upgrade_request(parts: &Parts, upgrade: &upgrade::Request) -> Request<ForwardBody> {
    let mut request = request(parts, empty());
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let upgrade::Request::Http2 = upgrade {
        // HTTP/2 has none.
        let key = STANDARD.encode(rand::random::<[u8; 16]>());
        headers.extend(HeaderValue::try_from(key).ok().map(|key| (header::SEC_WEBSOCKET_KEY, key)));
    }
    request
}

/// The owner's answer to an upgrade, in the form that the client's HTTP has for it.
fn upgrade_response(answer: Response<Incoming>, upgrade: &upgrade::Request) -> EngineResponse {
    let (mut parts, _) = answer.into_parts();
    parts.extensions.clear();
    if let upgrade::Request::Http2 = upgrade {
        parts.status = StatusCode::OK;
        for name in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT] {
            parts.headers.remove(name);
        }
    }
    Response::from_parts(parts, Full::default())
}

/// An answer with all of its body: the owner has it in memory too, within the bound of an outbox.
async fn collect(answer: Response<Incoming>) -> Result<EngineResponse, ForwardFailure> {
    let (mut parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| ForwardFailure::Lost)?.to_bytes();
    parts.extensions.clear();
    parts.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// A body that is passed on as it comes.
fn stream<B>(body: B) -> ForwardBody
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    body.map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
        .map_err(|error| std::io::Error::other(error.to_string()))
        .boxed_unsync()
}

fn empty() -> ForwardBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
