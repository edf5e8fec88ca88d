//! One request below the server's path: checks, then long-polling, an upgrade, or an error.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sockeye_protocol::engine::{EngineRequest, HandshakeError, Query, Revision, TransportKind, Verify};

use super::forward::{Relayed, forward};
use super::{client_files, origins, polling, upgrade};
use crate::addresses::{Key, Kind, Opener, Place};
use crate::engine::{Conn, Id, generate};
use crate::peers::{ForwardFailure, Forwarded, Peers};
use crate::request::{RemoteAddr, RequestInfo};
use crate::server::ServerInner;
use crate::telemetry::Bound;

/// A response of ours.
pub(super) type EngineResponse = Response<Full<Bytes>>;

/// Whether a request is the server's.
pub(crate) fn is_ours(server: &ServerInner, path: &str) -> bool {
    path.starts_with(&server.options.mount_path)
}

/// Answers a request of ours.
pub(crate) async fn handle<B>(server: &Arc<ServerInner>, request: Request<B>) -> EngineResponse
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    server.start();
    let (mut parts, body) = request.into_parts();
    if server.peers.get().is_some() {
        Peers::strip(&mut parts.headers);
    }
    server.addresses.resolve(&mut parts);
    if let Some(cors) = server.options.cors.as_ref().filter(|_| parts.method == Method::OPTIONS)
        && let Some(response) = cors.preflight(&parts.headers)
    {
        return response.map(|()| Full::default());
    }
    let mut response = match client_file(server, &parts) {
        Some(response) => response,
        None => route(server, &mut parts, body).await,
    };
    if response.extensions_mut().remove::<Relayed>().is_some() {
        return response;
    }
    // A WebSocket is not subject to CORS: browsers do not look.
    if let Some(cors) = server.options.cors.as_ref().filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) {
        cors.apply(&parts.method, &parts.headers, response.headers_mut());
    }
    let is_first = response.extensions_mut().remove::<First>().is_some();
    server.options.hooks.edit_headers(is_first, response.headers_mut(), &parts);
    response
}

fn client_file(server: &ServerInner, parts: &Parts) -> Option<EngineResponse> {
    let name = parts.uri.path().strip_prefix(&server.options.mount_path)?;
    let response = match &server.options.serve_client {
        Some(files) => files.respond(name, &parts.method, &parts.headers)?,
        None => client_files::missing(name, &parts.method)?,
    };
    Some(response.map(Full::new))
}

/// Marks the response that opens a session.
#[derive(Clone, Copy)]
pub(super) struct First;

async fn route<B>(server: &Arc<ServerInner>, parts: &mut Parts, body: B) -> EngineResponse
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    let upgrade = upgrade::Request::of(parts);
    let query_text = parts.uri.query().unwrap_or_default().to_owned();
    let query = Query::parse(&query_text);
    let origin = parts.headers.get(header::ORIGIN).map(|origin| origin.as_bytes().to_vec());
    let verify = Verify {
        method: if upgrade.is_some() { "GET" } else { parts.method.as_str() },
        query: &query,
        origin: origin.as_deref(),
        upgrade: upgrade.is_some(),
        transports: &server.options.transports,
        allow_eio3: server.options.allow_eio3,
    };
    let mut found = None;
    let checked = verify.check(|sid| {
        let conn = server.registry.find(sid).filter(|conn| conn.is_in_time())?;
        let info = conn.info();
        found = Some(conn);
        Some(info)
    });
    let is_upgrade = upgrade.is_some();
    let refuse = |error: &HandshakeError| {
        server.metrics.request_refused(error.message(), error);
        error_response(error, is_upgrade)
    };
    if let Some(allowed) = &server.options.allowed_origins
        && matches!(checked, Ok(_) | Err(HandshakeError::SessionUnknown))
        && !origins::is_allowed(allowed, &parts.headers, query.j.is_some())
    {
        return refuse(&HandshakeError::Forbidden("Origin not allowed".to_owned()));
    }
    if let (Err(HandshakeError::SessionUnknown), Some(peers)) = (&checked, server.peers.get())
        && parts.extensions.get::<Forwarded>().is_none()
        && let Some(owner) = query.sid.as_deref().and_then(|sid| peers.owner(sid))
    {
        // Boxed, so that the requests that stay here do not pay for it.
        return match Box::pin(forward(server, peers, owner, parts, upgrade, body)).await {
            Ok(response) => {
                peers.metrics().forwarded.increment();
                response
            }
            Err(failure) => {
                peers.metrics().forward_failed(owner, failure);
                match failure {
                    ForwardFailure::Busy | ForwardFailure::Directory => busy(),
                    _ => refuse(&HandshakeError::SessionUnknown),
                }
            }
        };
    }
    match (checked, found, upgrade) {
        (Err(error), _, _) => refuse(&error),
        (Ok(EngineRequest::Handshake { revision: _, transport }), _, upgrade) => {
            let session = match admit(server, parts, &verify).await {
                Ok(session) => session,
                Err(Refusal::Engine(error)) => return refuse(&error),
                Err(Refusal::Busy(bound)) => {
                    server.metrics.bound_reached(bound, "handshake");
                    return busy();
                }
                Err(Refusal::Overload | Refusal::Closing) => return busy(),
            };
            match upgrade {
                Some(upgrade) => upgrade.open(server, parts, session, transport),
                None => polling::open(server, parts, &query, session),
            }
        }
        (Ok(EngineRequest::Existing { transport, .. }), Some(conn), Some(upgrade)) => {
            upgrade.probe(server, parts, conn, transport)
        }
        (Ok(EngineRequest::Existing { .. }), Some(conn), None) => match parts.method {
            Method::GET => polling::poll(server, parts, &query, conn).await,
            Method::POST => polling::post(server, parts, &query, conn, body).await,
            _ => empty(StatusCode::INTERNAL_SERVER_ERROR),
        },
        // Only a session that was found is an existing one.
        (Ok(EngineRequest::Existing { .. }), None, _) => refuse(&HandshakeError::SessionUnknown),
    }
}

/// A session that may be opened. It counts as a handshake until it is open.
pub(super) struct Admitted {
    pub(super) id: Id,
    pub(super) request: RequestInfo,
    pub(super) revision: Revision,
    handshake: Handshaking,
    /// For a session, and for one that is in no namespace.
    places: [Place; 2],
    opener: Option<Opener>,
}

struct Handshaking {
    server: Arc<ServerInner>,
    _place: Place,
}

impl Handshaking {
    fn begin(server: &Arc<ServerInner>, key: Key) -> Option<Self> {
        let place = server.addresses.place(key, Kind::Handshakes, server.options.limits.max_handshakes)?;
        server.metrics.handshakes.add(1);
        Some(Self { server: server.clone(), _place: place })
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.server.metrics.handshakes.add(-1);
    }
}

impl Admitted {
    /// Opens the session.
    pub(super) fn open(self, transport: TransportKind) -> Arc<Conn> {
        let server = &self.handshake.server;
        let conn = Conn::open(server, self.id, self.request, self.revision, transport);
        // From now on they are the session's, which gives them back when it closes.
        self.places.into_iter().for_each(Place::keep);
        if let Some(Opener(connection)) = self.opener {
            connection.note_session(&conn);
        }
        if server.is_closing() {
            // It came in while the server told the others to go.
            conn.close(
                sockeye_protocol::CloseReason::ServerShuttingDown,
                crate::engine::Ending::Graceful,
                "the server stops",
            );
        }
        conn
    }
}

enum Refusal {
    Engine(HandshakeError),
    Busy(Bound),
    /// A budget is used up.
    Overload,
    /// The server stops; it only still tells the clients that it has.
    Closing,
}

/// Decides on a handshake: the bounds, the program, the revision.
async fn admit(server: &Arc<ServerInner>, parts: &Parts, verify: &Verify<'_>) -> Result<Admitted, Refusal> {
    let limits = &server.options.limits;
    if server.is_closing() {
        return Err(Refusal::Closing);
    }
    let addresses = &server.addresses;
    let key = Key::of(parts.extensions.get::<RemoteAddr>().map(|remote| remote.0));
    let handshake = Handshaking::begin(server, key).ok_or(Refusal::Busy(Bound::Handshakes))?;
    let session = addresses.place(key, Kind::Sessions, limits.max_connections);
    let session = session.ok_or(Refusal::Busy(Bound::Connections))?;
    let unjoined = addresses.place_unjoined(server, key).ok_or(Refusal::Busy(Bound::Unjoined))?;
    let request = RequestInfo::new(parts, &server.interner, &server.accounts).ok_or(Refusal::Overload)?;
    let hooks = &server.options.hooks;
    hooks.allow(&request).await.map_err(|message| Refusal::Engine(HandshakeError::Forbidden(message)))?;
    let revision = verify.revision().map_err(Refusal::Engine)?;
    let id = match (hooks.generate_id(&request), server.peers.get()) {
        (Some(id), _) => Id::from(id),
        (None, Some(peers)) => peers.session_id(),
        (None, None) => generate(),
    };
    let opener = parts.extensions.get().cloned();
    Ok(Admitted { id, request, revision, handshake, places: [session, unjoined], opener })
}

/// The answer to a request that is refused.
fn error_response(error: &HandshakeError, is_upgrade: bool) -> EngineResponse {
    if is_upgrade {
        // Clients that ask for an upgrade get plain text, and always this status.
        let mut response = respond(StatusCode::BAD_REQUEST, "text/html", error.message().to_owned());
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    respond(status, "application/json", error.to_json())
}

/// The answer where there is no room: clients come back by themselves.
pub(super) fn busy() -> EngineResponse {
    let mut response = respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "too many connections, try again later");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

pub(super) fn empty(status: StatusCode) -> EngineResponse {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> EngineResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) const X_XSS_PROTECTION: HeaderName = HeaderName::from_static("x-xss-protection");
