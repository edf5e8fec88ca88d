//! WebSocket upgrades: over HTTP/1.1 (RFC 6455) and as a stream within HTTP/2 (RFC 8441).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use sockeye_protocol::engine::TransportKind;
use sockeye_websocket::{Decoder, Limits, Role, handshake};

use super::admit::Admitted;
use super::response::{EngineResponse, First, respond};
use crate::application::Application;
use crate::conn::Conn;
use crate::deflate::{Agreement, agree};
use crate::metrics::Bound;
use crate::websocket::{Io, refuse, run, run_probe};

/// A request for an upgrade to WebSocket.
pub(crate) enum Request {
    /// HTTP/1.1, with the client's key.
    Http1,
    /// HTTP/2: an extended CONNECT.
    Http2,
}

impl Request {
    /// Whether the request is one.
    pub(crate) fn of(parts: &Parts) -> Option<Self> {
        if parts.method == Method::CONNECT {
            let protocol = parts.extensions.get::<hyper::ext::Protocol>()?;
            return (protocol.as_str() == "websocket").then_some(Self::Http2);
        }
        let is_upgrade = has_token(&parts.headers, &header::CONNECTION, "upgrade")
            && has_token(&parts.headers, &header::UPGRADE, "websocket");
        (is_upgrade && parts.method == Method::GET).then_some(Self::Http1)
    }

    /// Opens a session on a WebSocket.
    pub(crate) fn open<A: Application>(
        self,
        app: &Arc<A>,
        parts: &mut Parts,
        session: Admitted<A>,
        transport: TransportKind,
    ) -> EngineResponse {
        let mut accepted = match self.accept(app, parts) {
            Ok(accepted) => accepted,
            Err(response) => return *response,
        };
        accepted.response.extensions_mut().insert(First);
        let Accepted { response, on_upgrade, decoder, deflate } = accepted;
        app.engine().spawn(async move {
            let Some((io, first)) = upgraded(on_upgrade).await else { return };
            if transport != TransportKind::WebSocket {
                drop(session);
                return refuse(io).await;
            }
            let conn = session.open(TransportKind::WebSocket);
            A::handle_open(&conn);
            run(&conn, io, first, decoder, deflate);
        });
        response
    }

    /// Probes for a session that is on long-polling.
    pub(crate) fn probe<A: Application>(
        self,
        app: &Arc<A>,
        parts: &mut Parts,
        conn: Arc<Conn<A>>,
        transport: TransportKind,
    ) -> EngineResponse {
        let Accepted { response, on_upgrade, decoder, deflate } = match self.accept(app, parts) {
            Ok(accepted) => accepted,
            Err(response) => return *response,
        };
        app.engine().spawn(async move {
            let Some((io, first)) = upgraded(on_upgrade).await else { return };
            if transport == TransportKind::WebSocket {
                run_probe(conn, io, first, decoder, deflate).await;
            } else {
                refuse(io).await;
            }
        });
        response
    }

    fn accept<A: Application>(&self, app: &Arc<A>, parts: &mut Parts) -> Result<Accepted, Box<EngineResponse>> {
        let headers = &parts.headers;
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let mut response = self.refusal("unsupported Sec-WebSocket-Version");
            response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return Err(response);
        }
        let mut response = Response::new(Full::<Bytes>::default());
        if let Self::Http1 = self {
            let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
            let Some(accept) = key.and_then(handshake::accept_key).and_then(|key| HeaderValue::from_str(&key).ok())
            else {
                return Err(self.refusal("invalid Sec-WebSocket-Key"));
            };
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        // As the official server: of the protocols that the client offers, the first.
        match first_protocol(headers) {
            Ok(Some(protocol)) => {
                response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            }
            Ok(None) => {}
            Err(InvalidProtocols) => {
                return Err(self.refusal("Invalid Sec-WebSocket-Protocol header"));
            }
        }

        let limits = Limits { max_message: app.engine().options.max_http_buffer_size, ..Limits::default() };
        let mut decoder = Decoder::new(Role::Server, limits);
        let engine = app.engine();
        let limit = engine.limits.max_deflate_contexts;
        let answer = |offers: String| agree(&engine.deflate_contexts, limit, &offers);
        let agreed = engine.options.per_message_deflate.zip(offers(headers).and_then(answer));
        let deflate = agreed.map(|(options, Agreement { header: value, inflater, at_limit })| {
            if at_limit {
                engine.metrics.bound_reached(Bound::DeflateContexts, "handshake");
            }
            decoder = Decoder::new(Role::Server, limits).with_deflate(inflater);
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, value);
            }
            options.threshold
        });
        let on_upgrade = take(parts)?;
        Ok(Accepted { response, on_upgrade, decoder, deflate })
    }
}

impl Request {
    /// The answer to a handshake that cannot be. The connection is closed behind it, for a client that has tried to upgrade
    /// may go on as if it had.
    fn refusal(&self, text: &'static str) -> Box<EngineResponse> {
        let mut response = respond(StatusCode::BAD_REQUEST, "text/html", text);
        if let Self::Http1 = self {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Box::new(response)
    }
}

struct Accepted {
    response: EngineResponse,
    on_upgrade: OnUpgrade,
    decoder: Decoder,
    deflate: Option<usize>,
}

/// The way to the stream of the request. It can be taken once.
pub(crate) fn take(parts: &mut Parts) -> Result<OnUpgrade, Box<EngineResponse>> {
    parts.extensions.remove::<OnUpgrade>().ok_or_else(|| {
        tracing::error!("the HTTP server does not offer upgrades; serve it `with_upgrades`");
        Box::new(respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "upgrades are not served"))
    })
}

pub(crate) async fn upgraded(on_upgrade: OnUpgrade) -> Option<(Io, Vec<u8>)> {
    match on_upgrade.await {
        Ok(upgraded) => Some(Io::from_upgraded(upgraded)),
        Err(error) => {
            tracing::debug!(%error, "the client went away during the upgrade");
            None
        }
    }
}

fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(token))
}

/// What the client offers as protocols is no list of tokens.
struct InvalidProtocols;

fn first_protocol(headers: &HeaderMap) -> Result<Option<HeaderValue>, InvalidProtocols> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let mut first = None;
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        for name in value.to_str().map_err(|_| InvalidProtocols)?.split(',') {
            let name = name.trim_matches([' ', '\t']);
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(InvalidProtocols);
            }
            if first.is_none() {
                first = HeaderValue::from_str(name).ok();
            }
        }
    }
    Ok(first)
}

/// All offered extensions as one list.
fn offers(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
    let joined = values.collect::<Vec<_>>().join(",");
    (!joined.is_empty()).then_some(joined)
}
