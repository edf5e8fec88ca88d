//! One request below the server's path: checks, then long-polling, an upgrade, or an error.

use std::sync::Arc;

use http::header::{self};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sockeye_protocol::engine::{EngineRequest, HandshakeError, Query, Verify};

use super::admit::{Refusal, admit};
use super::forward::{Relayed, forward};
use super::response::{EngineResponse, First, busy, empty, error_response};
use super::{origins, polling, upgrade};
use crate::application::Application;
use crate::conn::Conn;
use crate::engine::Engine;
use crate::peers::{ForwardFailure, Peers};
use crate::request::Forwarded;
use crate::server::start;

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
        let metrics = &app.engine().metrics;
        metrics.request_refused(error.message(), error);
        if matches!(error, HandshakeError::SessionUnknown) {
            metrics.unknown_sessions.increment();
        }
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
