//! Long-polling: the handshake, GET for what the server has to say, POST for what the client has.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::StatusCode;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt as _;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{Data, PayloadBody, Query, Revision, TransportKind, decode_payload, jsonp};

use super::admit::Admitted;
use super::drain::drain;
use super::response::{EngineResponse, First, X_XSS_PROTECTION, busy, empty, is_too_long, respond};
use crate::application::Application;
use crate::application::Readiness;
use crate::budget::{Account, Charge, Holder};
use crate::conn::{Conn, Ending, PollReply};
use crate::metrics::Bound;
use crate::shard::{Owes, Quantum};
use crate::unread::Response;

/// Opens a session; the response has its open packet.
pub(crate) fn open<A: Application>(
    app: &Arc<A>,
    parts: &Parts,
    query: &Query<'_>,
    session: Admitted<A>,
) -> EngineResponse {
    let conn = session.open(TransportKind::Polling);
    let Ok(mut reply) = conn.poll(supports_binary(query)) else {
        return empty(StatusCode::BAD_REQUEST); // closed in the same moment
    };
    let Ok(reply) = reply.try_recv() else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let mut response = payload_response(app, parts, query, reply);
    if let Some(cookie) = &app.engine().options.cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie.header_value(conn.id()));
    }
    response.extensions_mut().insert(First);
    A::handle_open(&conn);
    response
}

/// A GET: waits until there is something to say.
pub(crate) async fn poll<A: Application>(
    app: &Arc<A>,
    parts: &Parts,
    query: &Query<'_>,
    conn: Arc<Conn<A>>,
) -> EngineResponse {
    let Ok(reply) = conn.poll(supports_binary(query)) else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let mut guard = Abandoned(Some(conn));
    let reply = reply.await;
    guard.0 = None;
    match reply {
        Ok(reply) => payload_response(app, parts, query, reply),
        // The session ended without a word.
        Err(_) => empty(StatusCode::BAD_REQUEST),
    }
}

/// Ends the session when the client goes away while its GET waits: the response future is dropped then.
struct Abandoned<A: Application>(Option<Arc<Conn<A>>>);

impl<A: Application> Drop for Abandoned<A> {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            conn.poll_abandoned();
        }
    }
}

/// A POST: the client's packets.
pub(crate) async fn post<A: Application, B>(
    app: &Arc<A>,
    parts: &Parts,
    query: &Query<'_>,
    conn: Arc<Conn<A>>,
    body: B,
) -> EngineResponse
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    let is_binary = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/octet-stream");
    let revision = conn.revision();
    if is_binary && revision == Revision::V4 {
        conn.transport_ended(CloseReason::TransportError, "invalid content");
        return empty(StatusCode::BAD_REQUEST);
    }
    if !conn.begin_post() {
        return empty(StatusCode::BAD_REQUEST);
    }
    let posting = Posting(conn.clone());
    let (body, _charge) = match while_open(&conn, collect(app, conn.account(), body)).await {
        Ok(body) => body,
        Err(Incomplete::Closed) => return empty(StatusCode::BAD_REQUEST),
        Err(Incomplete::TooLong) => {
            app.engine().metrics.bound_reached(Bound::Payload, conn.id());
            return empty(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Err(Incomplete::OverBudget) => {
            conn.transport_ended(CloseReason::Overload, "too many bytes of unfinished requests");
            return busy();
        }
        Err(Incomplete::Aborted(error)) => {
            conn.transport_ended(CloseReason::TransportError, &format!("data request closed prematurely: {error}"));
            return empty(StatusCode::BAD_REQUEST);
        }
    };
    let body = match query.j {
        None => body,
        Some(_) => match jsonp::unwrap_form(&body) {
            Ok(text) => Bytes::from(text),
            Err(_) => Bytes::new(),
        },
    };
    handle_payload(&conn, &body, is_binary, revision).await;
    drop(posting);
    let mut response = respond(StatusCode::OK, "text/html", "ok");
    decorate(&mut response, parts);
    response
}

/// Hands the packets on in order, waiting where too many handlers wait.
///
/// What they bring about for this client is given to its GET at the end, and not by way of the flusher, whose thread would be woken
/// and would wake this one. So it goes out as one payload, and behind the answer to the POST, as from the official server: the
/// runtime goes on with the GET when this task waits again. (The Python client forgets to say that it leaves if its last POST is
/// not answered yet.)
async fn handle_payload<A: Application>(conn: &Arc<Conn<A>>, body: &[u8], is_binary: bool, revision: Revision) {
    let now = crate::now();
    let mut replies = Replies { conn, owes: Owes::Nothing };
    let mut quantum = Quantum::default();
    for packet in decode_payload(body, is_binary, revision) {
        while A::readiness(conn) == Readiness::Full && !packet.as_ref().is_ok_and(A::passes) {
            replies.write();
            std::future::poll_fn(|context| A::poll_ready(conn, context)).await;
            conn.read_again();
        }
        quantum.spend(packet.as_ref().map_or(0, |packet| size(&packet.data)));
        match packet.map(|packet| replies.note(|| conn.handle_packet(packet, now))) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return conn.close(CloseReason::ParseError, Ending::Graceful, &error.to_string()),
        }
        if quantum.is_spent() {
            replies.write();
            tokio::task::yield_now().await;
            quantum = Quantum::default();
        }
    }
    conn.leave_backlog();
}

/// What the packets of a POST have brought about for its client. It is written when this is dropped, if not before.
struct Replies<'a, A: Application> {
    conn: &'a Arc<Conn<A>>,
    owes: Owes,
}

impl<A: Application> Replies<'_, A> {
    fn note<R>(&mut self, run: impl FnOnce() -> R) -> R {
        let (result, owes) = self.conn.read_by(run);
        self.owes = self.owes.and(owes);
        result
    }

    fn write(&mut self) {
        if std::mem::replace(&mut self.owes, Owes::Nothing) == Owes::Write {
            self.conn.write_outbox();
        }
    }
}

impl<A: Application> Drop for Replies<'_, A> {
    fn drop(&mut self) {
        self.write();
    }
}

fn size(data: &Data<'_>) -> usize {
    match data {
        Data::Text(text) => text.len(),
        Data::Binary(data) => data.len(),
    }
}

struct Posting<A: Application>(Arc<Conn<A>>);

impl<A: Application> Drop for Posting<A> {
    fn drop(&mut self) {
        self.0.end_post();
    }
}

enum Incomplete {
    TooLong,
    Aborted(String),
    /// The client's address has sent more than its share of what all clients may.
    OverBudget,
    /// The session closed first: a client that sends slowly cannot answer heartbeats.
    Closed,
}

/// The body, unless the session closes before it is there.
async fn while_open<A: Application, T>(
    conn: &Conn<A>,
    body: impl Future<Output = Result<T, Incomplete>>,
) -> Result<T, Incomplete> {
    let mut body = std::pin::pin!(body);
    std::future::poll_fn(|context| match body.as_mut().poll(context) {
        Poll::Pending => conn.poll_closed(context).map(|()| Err(Incomplete::Closed)),
        done => done,
    })
    .await
}

/// Collects a body into one buffer, however small the pieces are that it comes in.
async fn collect<A: Application, B>(
    app: &Arc<A>,
    account: &Arc<Account>,
    body: B,
) -> Result<(Bytes, Charge), Incomplete>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    let limit = app.engine().options.max_http_buffer_size;
    let mut body = Box::pin(body);
    let mut bytes = Vec::new();
    let mut charge = Charge::new(account, Holder::Incoming);
    let mut is_too_long = is_too_long(&body, limit);
    while !is_too_long && let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Incomplete::Aborted(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let needed = bytes.len() + data.remaining();
        is_too_long = needed > limit;
        if is_too_long {
            break;
        }
        if needed > bytes.capacity() {
            bytes.reserve_exact(needed.saturating_mul(2).min(limit) - bytes.len());
            if !charge.resize(bytes.capacity()) {
                return Err(Incomplete::OverBudget);
            }
        }
        bytes.put(data);
    }
    if is_too_long {
        drain(app, body);
        return Err(Incomplete::TooLong);
    }
    Ok((bytes.into(), charge))
}

fn payload_response<A: Application>(
    app: &Arc<A>,
    parts: &Parts,
    query: &Query<'_>,
    reply: PollReply,
) -> EngineResponse {
    let PayloadBody { bytes, binary } = reply.body;
    let (content_type, bytes) = match &query.j {
        Some(index) => {
            let text = String::from_utf8_lossy(&bytes);
            ("text/javascript; charset=UTF-8", jsonp::wrap(index, &text).into_bytes())
        }
        None if binary => ("application/octet-stream", bytes),
        None => ("text/plain; charset=UTF-8", bytes),
    };
    let encoded = app
        .engine()
        .options
        .http_compression
        .as_ref()
        .filter(|_| reply.compress)
        .and_then(|compression| compression.encode(&parts.headers, &bytes));
    let mut response = match encoded {
        Some((encoding, bytes)) => {
            let mut response = respond(StatusCode::OK, content_type, counted(bytes, reply.unread));
            response.headers_mut().insert(header::CONTENT_ENCODING, encoding.header_value());
            response
        }
        None => respond(StatusCode::OK, content_type, counted(bytes.into(), reply.unread)),
    };
    decorate(&mut response, parts);
    response
}

/// A body that counts until it is read, if it is large.
fn counted(bytes: Bytes, unread: Option<Response>) -> Bytes {
    match unread {
        Some(unread) => unread.attach(bytes),
        None => bytes,
    }
}

/// The headers of every response of this transport.
fn decorate(response: &mut EngineResponse, parts: &Parts) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if agent.contains(";MSIE") || agent.contains("Trident/") {
        // Old Internet Explorers take JSON in a page for an attack.
        headers.insert(X_XSS_PROTECTION, HeaderValue::from_static("0"));
    }
}

fn supports_binary(query: &Query<'_>) -> bool {
    query.j.is_none() && !query.b64
}
