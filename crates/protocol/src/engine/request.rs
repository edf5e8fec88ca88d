//! What a request asks for: its query, and the checks before it reaches a session.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::{BadRequestContext, HandshakeError, Revision, TransportKind};

/// The parts of a query string that Engine.IO reads, percent-decoded. Of a repeated name the last value counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// `EIO`: the revision of the client.
    pub eio: Option<Cow<'a, str>>,
    /// `transport`: the name of the transport.
    pub transport: Option<Cow<'a, str>>,
    /// `sid`: the session; an empty one counts as none.
    pub sid: Option<Cow<'a, str>>,
    /// `j`: the request is JSONP polling, and the callback to use.
    pub j: Option<Cow<'a, str>>,
    /// `b64`: the client reads no binary, on any transport.
    pub b64: bool,
}

impl<'a> Query<'a> {
    /// Reads what follows the `?` of a request target.
    pub fn parse(query: &'a str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_pairs(query) {
            let value = decode_component(value);
            match &*decode_component(name) {
                "EIO" => parsed.eio = Some(value),
                "transport" => parsed.transport = Some(value),
                "sid" => parsed.sid = Some(value).filter(|sid| !sid.is_empty()),
                "j" => parsed.j = Some(value),
                "b64" => parsed.b64 = !value.is_empty(),
                _ => {}
            }
        }
        parsed
    }

    /// The revision that the client asks for: whatever is not `4` counts as 3.
    pub fn revision(&self) -> Revision {
        if self.eio.as_deref() == Some("4") { Revision::V4 } else { Revision::V3 }
    }
}

/// What the checks need to know of a request.
///
/// [`check`](Self::check) comes first; for a handshake the server then asks its own program, and last
/// [`revision`](Self::revision), in the order of the official server.
#[derive(Clone, Copy, Debug)]
pub struct Verify<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The query.
    pub query: &'a Query<'a>,
    /// The `Origin` header.
    pub origin: Option<&'a [u8]>,
    /// Whether it is a WebSocket upgrade.
    pub upgrade: bool,
    /// The transports that the server enables.
    pub transports: &'a [TransportKind],
    /// Whether handshakes of revision 3 are allowed.
    pub allow_eio3: bool,
}

/// What the checks need to know of an existing session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The transport it is on.
    pub transport: TransportKind,
    /// The revision it speaks.
    pub revision: Revision,
}

/// A request that passed the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineRequest<'a> {
    /// A new session. `Polling` with a WebSocket upgrade is accepted and closed at once, as the official server does.
    Handshake {
        /// The revision asked for, not yet checked to be allowed.
        revision: Revision,
        /// The transport to open on.
        transport: TransportKind,
    },
    /// A request for a session that exists: with a WebSocket upgrade a new transport for it, else a poll or a post.
    /// `Polling` with a WebSocket upgrade is accepted and closed at once.
    Existing {
        /// The session.
        sid: &'a str,
        /// The transport of the request.
        transport: TransportKind,
    },
}

impl<'a> Verify<'a> {
    /// Checks the request, in the order of the official server: transport, origin, session, its transport and
    /// revision; or, without a session, the method and the upgrade. `lookup` finds a session.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(&self, lookup: impl FnOnce(&str) -> Option<SessionInfo>) -> Result<EngineRequest<'a>, HandshakeError> {
        let transport = self.transport()?;
        if self.origin.is_some_and(|origin| !origin.iter().copied().all(is_header_byte)) {
            return Err(HandshakeError::BadRequest(BadRequestContext::InvalidOrigin));
        }
        let revision = self.query.revision();
        if let Some(sid) = self.query.sid.as_deref() {
            let session = lookup(sid).ok_or(HandshakeError::SessionUnknown)?;
            self.check_session(transport, revision, session)?;
            return Ok(EngineRequest::Existing { sid, transport });
        }
        if self.method != "GET" {
            return Err(HandshakeError::BadMethod);
        }
        self.check_upgrade(transport)?;
        Ok(EngineRequest::Handshake { revision, transport })
    }

    /// The revision of a handshake.
    ///
    /// # Errors
    /// [`HandshakeError::UnsupportedVersion`] where it is 3 and the server does not allow that.
    pub fn revision(&self) -> Result<Revision, HandshakeError> {
        match self.query.revision() {
            Revision::V3 if !self.allow_eio3 => Err(HandshakeError::UnsupportedVersion),
            revision => Ok(revision),
        }
    }

    fn transport(&self) -> Result<TransportKind, HandshakeError> {
        let name = self.query.transport.as_deref();
        name.and_then(TransportKind::from_name)
            .filter(|transport| self.transports.contains(transport))
            .ok_or_else(|| HandshakeError::TransportUnknown { transport: name.map(str::to_owned) })
    }

    fn check_session(
        &self,
        transport: TransportKind,
        revision: Revision,
        session: SessionInfo,
    ) -> Result<(), HandshakeError> {
        if !self.upgrade && transport != session.transport {
            let context = BadRequestContext::TransportMismatch { transport, previous: session.transport };
            return Err(HandshakeError::BadRequest(context));
        }
        if revision != session.revision {
            let context = BadRequestContext::ProtocolMismatch { revision, previous: session.revision };
            return Err(HandshakeError::BadRequest(context));
        }
        // The official server leaves such a request without an answer.
        self.check_upgrade(transport)
    }

    fn check_upgrade(&self, transport: TransportKind) -> Result<(), HandshakeError> {
        if transport == TransportKind::WebSocket && !self.upgrade {
            return Err(HandshakeError::BadRequest(BadRequestContext::TransportHandshakeError));
        }
        Ok(())
    }
}

/// The names and values of a form, not yet decoded.
pub(super) fn form_pairs(form: &str) -> impl Iterator<Item = (&str, &str)> {
    form.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Decodes `+` and `%xx`; what is no UTF-8 becomes U+FFFD, what is no escape stays.
pub(super) fn decode_component(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned())
}

/// Whether a header value may have the byte.
const fn is_header_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}
