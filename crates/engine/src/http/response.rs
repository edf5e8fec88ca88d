//! Responses of the engine's own.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sockeye_protocol::engine::HandshakeError;

/// A response of ours.
pub(crate) type EngineResponse = Response<Full<Bytes>>;

/// Marks the response that opens a session.
#[derive(Clone, Copy)]
pub(crate) struct First;

/// The answer to a request that is refused.
pub(crate) fn error_response(error: &HandshakeError, is_upgrade: bool) -> EngineResponse {
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

/// Whether a request's body is too long by its own account, so that it need not be read.
pub(crate) fn is_too_long(body: &impl Body, limit: usize) -> bool {
    body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX)
}
