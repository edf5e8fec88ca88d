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
use super::{origins, polling, upgrade};
use crate::addresses::{Key, Kind, Opener, Place};
use crate::application::Application;
use crate::conn::{Conn, Ending};
use crate::engine::Engine;
use crate::id::{Id, generate};
use crate::metrics::Bound;
use crate::peers::{ForwardFailure, Forwarded, Peers};
use crate::request::{RemoteAddr, RequestInfo};
use crate::server::start;

/// A response of ours.
pub(crate) type EngineResponse = Response<Full<Bytes>>;

/// Whether a request is the server's.
pub(crate) fn is_ours<A: Application>(engine: &Engine<Conn<A>>, path: &str) -> bool {
    path.starts_with(&engine.options.mount_path)
}

/// Answers a request of ours.
pub(crate) async fn handle<A: Application, B>(app: &Arc<A>, request: Request<B>) -> EngineResponse
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    start(app);
    let (mut parts, body) = request.into_parts();
    if app.engine().peers.get().is_some() {
        Peers::strip(&mut parts.headers);
    }
    app.engine().addresses.resolve(&mut parts);
    if let Some(cors) = app.engine().options.cors.as_ref().filter(|_| parts.method == Method::OPTIONS)
        && let Some(response) = cors.preflight(&parts.headers)
    {
        return response.map(|()| Full::default());
    }
    let mut response = match app.respond(&parts) {
        Some(response) => response.map(Full::new),
        None => route(app, &mut parts, body).await,
    };
    if response.extensions_mut().remove::<Relayed>().is_some() {
        return response;
    }
    // A WebSocket is not subject to CORS: browsers do not look.
    if let Some(cors) =
        app.engine().options.cors.as_ref().filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS)
    {
        cors.apply(&parts.method, &parts.headers, response.headers_mut());
    }
    let is_first = response.extensions_mut().remove::<First>().is_some();
    app.engine().options.hooks.edit_headers(is_first, response.headers_mut(), &parts);
    response
}

/// Marks the response that opens a session.
#[derive(Clone, Copy)]
pub(crate) struct First;

async fn route<A: Application, B>(app: &Arc<A>, parts: &mut Parts, body: B) -> EngineResponse
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
        transports: &app.engine().options.transports,
        allow_eio3: app.engine().options.allow_eio3,
    };
    let mut found = None;
    let checked = verify.check(|sid| {
        let conn = app.engine().registry.find(sid).filter(|conn| conn.is_in_time())?;
        let info = conn.info();
        found = Some(conn);
        Some(info)
    });
    let is_upgrade = upgrade.is_some();
    let refuse = |error: &HandshakeError| {
        app.engine().metrics.request_refused(error.message(), error);
        error_response(error, is_upgrade)
    };
    if let Some(allowed) = &app.engine().options.allowed_origins
        && matches!(checked, Ok(_) | Err(HandshakeError::SessionUnknown))
        && !origins::is_allowed(allowed, &parts.headers, query.j.is_some())
    {
        return refuse(&HandshakeError::Forbidden("Origin not allowed".to_owned()));
    }
    if let (Err(HandshakeError::SessionUnknown), Some(peers)) = (&checked, app.engine().peers.get())
        && parts.extensions.get::<Forwarded>().is_none()
        && let Some(owner) = query.sid.as_deref().and_then(|sid| peers.owner(sid))
    {
        // Boxed, so that the requests that stay here do not pay for it.
        return match Box::pin(forward(app, peers, owner, parts, upgrade, body)).await {
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
            let session = match admit(app, parts, &verify).await {
                Ok(session) => session,
                Err(Refusal::Engine(error)) => return refuse(&error),
                Err(Refusal::Busy(bound)) => {
                    app.engine().metrics.bound_reached(bound, "handshake");
                    return busy();
                }
                Err(Refusal::Overload | Refusal::Closing) => return busy(),
            };
            match upgrade {
                Some(upgrade) => upgrade.open(app, parts, session, transport),
                None => polling::open(app, parts, &query, session),
            }
        }
        (Ok(EngineRequest::Existing { transport, .. }), Some(conn), Some(upgrade)) => {
            upgrade.probe(app, parts, conn, transport)
        }
        (Ok(EngineRequest::Existing { .. }), Some(conn), None) => match parts.method {
            Method::GET => polling::poll(app, parts, &query, conn).await,
            Method::POST => polling::post(app, parts, &query, conn, body).await,
            _ => empty(StatusCode::INTERNAL_SERVER_ERROR),
        },
        // Only a session that was found is an existing one.
        (Ok(EngineRequest::Existing { .. }), None, _) => refuse(&HandshakeError::SessionUnknown),
    }
}

/// A session that may be opened. It counts as a handshake until it is open.
pub(crate) struct Admitted<A: Application> {
    pub(crate) id: Id,
    pub(crate) request: RequestInfo,
    pub(crate) revision: Revision,
    handshake: Handshaking<A>,
    /// For a session, and for one that is in no namespace.
    places: [Place; 2],
    opener: Option<Opener>,
}

struct Handshaking<A: Application> {
    app: Arc<A>,
    _place: Place,
}

impl<A: Application> Handshaking<A> {
    fn begin(app: &Arc<A>, key: Key) -> Option<Self> {
        let place = app.engine().addresses.place(key, Kind::Handshakes, app.engine().limits.max_handshakes)?;
        app.engine().metrics.handshakes.add(1);
        Some(Self { app: app.clone(), _place: place })
    }
}

impl<A: Application> Drop for Handshaking<A> {
    fn drop(&mut self) {
        self.app.engine().metrics.handshakes.add(-1);
    }
}

impl<A: Application> Admitted<A> {
    /// Opens the session.
    pub(crate) fn open(self, transport: TransportKind) -> Arc<Conn<A>> {
        let app = &self.handshake.app;
        let conn = Conn::open(app, self.id, self.request, self.revision, transport);
        // From now on they are the session's, which gives them back when it closes.
        self.places.into_iter().for_each(Place::keep);
        if let Some(Opener(connection)) = self.opener {
            connection.note_session(&conn);
        }
        if app.engine().is_closing() {
            // It came in while the server told the others to go.
            conn.close(sockeye_protocol::CloseReason::ServerShuttingDown, Ending::Graceful, "the server stops");
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
async fn admit<A: Application>(app: &Arc<A>, parts: &Parts, verify: &Verify<'_>) -> Result<Admitted<A>, Refusal> {
    let engine = app.engine();
    let limits = &app.engine().limits;
    if app.engine().is_closing() {
        return Err(Refusal::Closing);
    }
    let addresses = &app.engine().addresses;
    let key = Key::of(parts.extensions.get::<RemoteAddr>().map(|remote| remote.0));
    let handshake = Handshaking::begin(app, key).ok_or(Refusal::Busy(Bound::Handshakes))?;
    let session = addresses.place(key, Kind::Sessions, limits.max_connections);
    let session = session.ok_or(Refusal::Busy(Bound::Connections))?;
    let unjoined = addresses.place_unjoined(engine, key).ok_or(Refusal::Busy(Bound::Unjoined))?;
    let request = RequestInfo::new(parts, &app.engine().interner, &app.engine().accounts).ok_or(Refusal::Overload)?;
    let hooks = &app.engine().options.hooks;
    hooks.allow(&request).await.map_err(|message| Refusal::Engine(HandshakeError::Forbidden(message)))?;
    let revision = verify.revision().map_err(Refusal::Engine)?;
    let id = match (hooks.generate_id(&request), app.engine().peers.get()) {
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
pub(crate) fn busy() -> EngineResponse {
    let mut response = respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "too many connections, try again later");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

pub(crate) fn empty(status: StatusCode) -> EngineResponse {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

pub(crate) fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> EngineResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(crate) const X_XSS_PROTECTION: HeaderName = HeaderName::from_static("x-xss-protection");
