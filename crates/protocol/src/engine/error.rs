//! Why a request is refused, and what the client is told.

use std::error::Error;
use std::fmt;

use serde::Serialize;

use super::{Revision, TransportKind};

/// Why a request never reached a session. Every variant is the client's fault, or a choice of the server's program;
/// the total mapping to the wire is here: [`code`](Self::code), [`status`](Self::status), [`to_json`](Self::to_json).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// Code 0: no transport is named, or one that is not enabled.
    TransportUnknown {
        /// What the query named.
        transport: Option<String>,
    },
    /// Code 1: there is no such session; it may have ended.
    SessionUnknown,
    /// Code 2: a handshake that is not a GET.
    BadMethod,
    /// Code 3: the request fits neither a handshake nor its session.
    BadRequest(BadRequestContext),
    /// Code 4: the program does not allow the request, with its message; an empty one is replaced by `Forbidden`.
    Forbidden(String),
    /// Code 5: a handshake of revision 3 where it is not allowed.
    UnsupportedVersion,
}

/// What was wrong with a bad request, for the logs; the client is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequestContext {
    /// The `Origin` header has bytes that no header may have.
    InvalidOrigin,
    /// The session is on another transport.
    TransportMismatch {
        /// The transport of the request.
        transport: TransportKind,
        /// The transport of the session.
        previous: TransportKind,
    },
    /// `transport=websocket` without a WebSocket upgrade.
    TransportHandshakeError,
    /// The session speaks another revision.
    ProtocolMismatch {
        /// The revision of the request.
        revision: Revision,
        /// The revision of the session.
        previous: Revision,
    },
    /// No session id could be made.
    IdGenerationError,
    /// A middleware of the program failed.
    MiddlewareFailure,
}

impl HandshakeError {
    /// The number in the JSON body.
    pub const fn code(&self) -> u8 {
        match self {
            Self::TransportUnknown { .. } => 0,
            Self::SessionUnknown => 1,
            Self::BadMethod => 2,
            Self::BadRequest(_) => 3,
            Self::Forbidden(_) => 4,
            Self::UnsupportedVersion => 5,
        }
    }

    /// The message in the JSON body, and the whole body where a WebSocket upgrade is refused.
    pub fn message(&self) -> &str {
        match self {
            Self::TransportUnknown { .. } => "Transport unknown",
            Self::SessionUnknown => "Session ID unknown",
            Self::BadMethod => "Bad handshake method",
            Self::BadRequest(_) => "Bad request",
            Self::Forbidden(message) if message.is_empty() => "Forbidden",
            Self::Forbidden(message) => message,
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    /// The HTTP status of the answer. A refused WebSocket upgrade always gets 400.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Forbidden(_) => 403,
            _ => 400,
        }
    }

    /// The JSON body.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            code: u8,
            message: &'a str,
        }
        // A number and text always serialize.
        serde_json::to_string(&Body { code: self.code(), message: self.message() }).unwrap_or_default()
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl Error for HandshakeError {}

impl BadRequestContext {
    /// The name that the official server gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidOrigin => "INVALID_ORIGIN",
            Self::TransportMismatch { .. } => "TRANSPORT_MISMATCH",
            Self::TransportHandshakeError => "TRANSPORT_HANDSHAKE_ERROR",
            Self::ProtocolMismatch { .. } => "PROTOCOL_MISMATCH",
            Self::IdGenerationError => "ID_GENERATION_ERROR",
            Self::MiddlewareFailure => "MIDDLEWARE_FAILURE",
        }
    }
}
