//! The Socket.IO side of a connection: which namespaces the client is in, and where its packets go.

mod attempts;
mod backlog;
mod incoming;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use serde::Deserialize;
use smallvec::SmallVec;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{self, Data, Revision};
use sockeye_protocol::socket::{Args, Decoder, EventName, Packet, PacketBody, Parser, from_json};
use tokio::time::{Instant, sleep};

use self::attempts::{Attempt, Attempts};
use self::backlog::{Backlog, Deferred, Load};
use crate::ack::Ack;
use crate::adapter::{Attachment, RecoveredSession};
use crate::encode::encode;
use crate::error::ConnectError;
use crate::handler::{EventContext, Kind, run_all, start};
use crate::namespace::{Joining, Namespace};
use crate::server::Conn;
use crate::socket::Socket;
use crate::telemetry::Bound;
use sockeye_engine::Holder;
use sockeye_engine::internal::Charge;
use sockeye_engine::{Encoded, Ending, Id, Readiness, generate};

/// What a connection holds for Socket.IO. It cannot be named outside of this crate.
pub struct Client {
    state: Mutex<State>,
    inbound: Mutex<Decoder>,
    load: Load,
}

#[derive(Default)]
struct State {
    /// Mostly one, so they are searched and not hashed.
    sockets: SmallVec<[Socket; 1]>,
    /// On these the middlewares are still deciding.
    attempts: Attempts,
    closed: bool,
    rare: Option<Box<Rare>>,
}

/// What few clients have, and only for a while.
#[derive(Default)]
struct Rare {
    /// Packets that wait because too many handlers do.
    backlog: Backlog<Deferred>,
    /// What the account is charged with for attachments that have come.
    attachments: Option<Charge>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl State {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Client {
    pub(crate) fn new(parser: Parser) -> Self {
        Self { state: Mutex::default(), inbound: Mutex::new(Decoder::new(parser)), load: Load::default() }
    }

    fn socket(&self, namespace: &str) -> Option<Socket> {
        // The last: one before it is about to end.
        self.state.lock().sockets.iter().rfind(|socket| socket.namespace().name() == namespace).cloned()
    }

    /// Enters a socket; false if the connection has closed meanwhile, or the client has changed its mind.
    fn enter(&self, socket: &Socket, attempt: u32) -> bool {
        let mut state = self.state.lock();
        let enters = state.attempts.end(attempt) && !state.closed;
        if enters {
            state.sockets.push(socket.clone());
        }
        enters
    }

    /// Ends an attempt to join a namespace whose middlewares are still deciding. False if there is none.
    fn give_up(&self, namespace: &str) -> bool {
        let given_up = self.state.lock().attempts.give_up(namespace);
        given_up.map(attempts::GivenUp::settle).is_some()
    }
}

/// A connection was opened. Clients of Socket.IO 2 are in the main namespace without asking.
pub(crate) fn handle_open(conn: &Arc<Conn>) {
    if conn.revision() == Revision::V3 {
        handle_connect(conn, ByteString::from_static("/"), None);
    }
}

/// A message of the client.
pub(crate) fn handle_message(conn: &Arc<Conn>, message: Data<'_>) {
    conn.session().handle_message(conn, message);
}

/// The time that was set for the connection is over.
pub(crate) fn handle_deadline(conn: &Arc<Conn>) {
    Client::handle_deadline(conn);
}

/// Whether the client takes more messages.
pub(crate) fn readiness(conn: &Conn) -> Readiness {
    conn.session().readiness()
}

/// Handles what waits of the client's messages, as far as it may. Ready when it takes more.
pub(crate) fn poll_ready(conn: &Arc<Conn>, context: &mut Context<'_>) -> Poll<()> {
    conn.session().poll_ready(conn, context)
}

/// Whether a message is, as far as its first characters tell, an acknowledgement: a handler may be waiting for it, so it passes by those
/// that wait for one.
pub(crate) fn passes(packet: &engine::Packet<'_>) -> bool {
    let is_ack = |text: &str| text.starts_with('3') || text.starts_with('6');
    packet.kind == engine::PacketKind::Message && matches!(&packet.data, Data::Text(text) if is_ack(text))
}

/// A packet of the client.
fn handle_packet(conn: &Arc<Conn>, mut packet: Packet) {
    // A client of Socket.IO 2 gives in the query what later ones give as `auth`.
    let query = if conn.revision() == Revision::V3 { packet.take_query() } else { None };
    let socket = conn.session().socket(&packet.namespace);
    match (socket, packet.body) {
        // One whose end is decided does not keep its client from coming back.
        (socket, PacketBody::Connect(auth)) if socket.as_ref().is_none_or(Socket::is_leaving) => {
            handle_connect(conn, packet.namespace, query.as_deref().map(query_to_json).or(auth));
        }
        (Some(socket), PacketBody::Event { name, args }) => socket.handle_event(conn, packet.id, name, args),
        (Some(socket), PacketBody::Ack(args)) => {
            if !packet.id.is_some_and(|id| socket.handle_ack(id, args)) {
                conn.app().metrics.unasked_acks.increment();
            }
        }
        // The official server closes the connection.
        (_, PacketBody::Disconnect) if conn.session().give_up(&packet.namespace) => {}
        (Some(socket), PacketBody::Disconnect) => socket.close(CloseReason::ClientNamespaceDisconnect),
        (None, _) | (Some(_), PacketBody::Connect(_) | PacketBody::ConnectError(_)) => {
            conn.close(CloseReason::ForcedServerClose, Ending::Graceful, "a packet that the state does not allow");
        }
    }
}

/// The connection has closed, and with it all its sockets.
pub(crate) fn handle_close(conn: &Arc<Conn>, reason: CloseReason) {
    let sockets = {
        let mut state = conn.session().state.lock();
        state.closed = true;
        if let Some(rare) = &mut state.rare {
            rare.attachments = None;
            rare.backlog.clear();
        }
        state.sockets.clone()
    };
    for socket in sockets {
        socket.close(reason);
    }
}

/// A socket is gone.
pub(crate) fn forget(conn: &Arc<Conn>, socket: &Socket) {
    let gone = {
        let mut state = conn.session().state.lock();
        let at = state.sockets.iter().position(|each| each == socket);
        at.map(|at| state.sockets.remove(at))
    };
    drop(gone);
}

/// Disconnects the client from all its namespaces, and closes the connection.
pub(crate) fn disconnect(conn: &Arc<Conn>) {
    let sockets = conn.session().state.lock().sockets.clone();
    for socket in sockets {
        socket.disconnect();
    }
    conn.close(CloseReason::ForcedServerClose, Ending::Graceful, "disconnected by the program");
}

fn handle_connect(conn: &Arc<Conn>, namespace: ByteString, auth: Option<ByteString>) {
    let limit = conn.app().options.limits.max_namespaces;
    let bytes = auth.as_ref().map_or(0, |auth| auth.len());
    let (given_up, held, number) = {
        let mut state = conn.session().state.lock();
        let given_up = state.attempts.give_up(&namespace);
        let fits = state.sockets.len() + state.attempts.len() < limit;
        let held = state.sockets.iter().map(Socket::auth_bytes).sum();
        (given_up, held, fits.then(|| state.attempts.begin(namespace.clone())))
    };
    if let Some(given_up) = given_up {
        given_up.settle();
    }
    let Some(number) = number else {
        conn.app().metrics.bound_reached(Bound::Namespaces, conn.id());
        return refuse(conn, namespace, ConnectError::new("Too many namespaces").to_json(false));
    };
    let attempt = Attempt { conn: conn.clone(), number };
    if !conn.account().allows(Holder::Auth, held, bytes) {
        // Not a connect error: from that a client does not come back.
        return conn.close(CloseReason::Overload, Ending::Gone, "too many bytes of `auth`");
    }
    start(&conn.app().clone(), conn, bytes, async move {
        let conn = &attempt.conn;
        let refusal = match find_namespace(conn, &namespace, auth.as_deref()).await {
            Ok(found) => join(&attempt, (*found).clone(), auth.as_deref())
                .await
                .map_err(|error| error.to_json(conn.revision() == Revision::V3)),
            // As the official server: in this case an object for clients of Socket.IO 2, too.
            Err(error) => Err(error.to_json(false)),
        };
        if let Err(payload) = refusal
            && attempt.end()
        {
            refuse(conn, namespace, payload);
        }
    });
}

async fn find_namespace(conn: &Arc<Conn>, name: &ByteString, auth: Option<&str>) -> Result<Joining, ConnectError> {
    conn.app().find_namespace(name, auth, conn.key()).await.ok_or_else(|| ConnectError::new("Invalid namespace"))
}

async fn join(attempt: &Attempt, namespace: Namespace, auth: Option<&str>) -> Result<(), ConnectError> {
    let mut recovered = restore(&namespace, auth).await;
    // Whom nothing can be replayed to after all is told so, as a new client.
    while admit(attempt, &namespace, auth, recovered.take()).await? == Entry::CannotReplay {}
    Ok(())
}

/// What came of the attempt to enter a namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Entered,
    /// The connection has closed meanwhile, or the client has changed its mind.
    Unwanted,
    /// The session was found, but not all that its client missed is still there, or it is too much.
    CannotReplay,
}

/// However an attempt ends, by a panic too, its socket does not stay between the states.
struct Arrival<'a>(&'a Socket);

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.0.settle();
    }
}

/// Lets the middlewares decide, and the socket enter.
async fn admit(
    attempt: &Attempt,
    namespace: &Namespace,
    auth: Option<&str>,
    recovered: Option<RecoveredSession>,
) -> Result<Entry, ConnectError> {
    let conn = &attempt.conn;
    let id = match (&recovered, conn.revision()) {
        (Some(session), _) => Id::from(&session.id),
        (None, Revision::V4) => generate(),
        (None, Revision::V3) if namespace.name() == "/" => conn.id().clone(),
        (None, Revision::V3) => format!("{}#{}", namespace.name(), conn.id()).into(),
    };
    let socket = Socket::new(namespace.clone(), conn.clone(), id, auth);
    let _arrival = Arrival(&socket);
    if let Some(session) = &recovered {
        socket.restore(session);
    }

    let entry = if attempt.set_socket(&socket) {
        let allowed = ask_middlewares(namespace, &socket, recovered.is_some()).await;
        allowed.map(|()| connect(namespace, &socket, attempt.number, recovered.as_ref()))
    } else {
        Ok(Entry::Unwanted)
    };
    if let (Err(_) | Ok(Entry::Unwanted), Some(session)) = (&entry, &recovered) {
        // It was taken out for nothing; the client may try again.
        if let Some(recovery) = namespace.adapter().recovery() {
            recovery.persist_session(session.to_saved());
        }
    }
    entry
}

/// Lets the middlewares decide, one after the other.
async fn ask_middlewares(namespace: &Namespace, socket: &Socket, is_recovered: bool) -> Result<(), ConnectError> {
    let recovery = socket.conn().app().options.connection_state_recovery;
    if is_recovered && recovery.is_some_and(|options| options.skip_middlewares) {
        return Ok(());
    }
    for middleware in namespace.listeners().middlewares() {
        middleware(socket.clone()).await?;
        if socket.has_ended() {
            break; // the client has changed its mind
        }
    }
    Ok(())
}

/// Finds the session that the client says is its own, if it is all there.
async fn restore(namespace: &Namespace, auth: Option<&str>) -> Option<RecoveredSession> {
    #[derive(Deserialize)]
    struct Claim {
        pid: Option<String>,
        offset: Option<String>,
    }
    let recovery = namespace.adapter().recovery()?;
    let claim: Claim = from_json(auth?).ok()?;
    let private_id = claim.pid?;
    let deadline = Instant::now() + LAST_WORDS;
    while let Some(old) = namespace.sockets().find_recoverable(&private_id) {
        if Instant::now() >= deadline {
            // The client is back before it was noticed that it was gone. Only it knows the secret, so the old connection is dead.
            old.conn().transport_ended(CloseReason::TransportClose, "its client came back on another connection");
            break;
        }
        sleep(LOOK).await;
    }
    recovery.restore_session(&private_id, claim.offset.as_deref()).await
}

/// How long the old connection of a client that is back has to end by itself. The client may have left in order, and is then not
/// recovered: what it said last comes by another way than its new connection, through another thread or node, and may come later.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How often it is looked for that end.
const LOOK: Duration = Duration::from_millis(5);

/// The socket is welcome: it enters the namespace, is told so, and the program hears of it.
fn connect(namespace: &Namespace, socket: &Socket, attempt: u32, recovered: Option<&RecoveredSession>) -> Entry {
    let conn = socket.conn();
    let server = conn.app();
    let recovery = namespace.adapter().recovery();
    let private_id = recovery.map(|_| socket.private_id().unwrap_or_else(generate));
    let encode = |packet: &Packet| encode(packet, server.options.parser, true);
    let mut replay: Vec<_> = recovered.iter().flat_map(|session| session.missed.iter().map(encode)).collect();
    let mut events = Vec::new();
    let mut entry = Entry::CannotReplay;
    // Whoever hears of the rooms may hold the CONNECT, too.
    let hold = namespace.sockets().has_listeners().then(|| conn.hold());
    let mut enter = |attachment: Attachment| {
        if recovered.is_some() {
            let Some(missed) = attachment.missed else { return };
            replay.extend(missed.iter().map(encode));
            // With something for the CONNECT.
            if 512 + replay.iter().map(Encoded::cost).sum::<usize>() > server.options.limits.max_outbox_bytes {
                return; // the client would be closed as a slow consumer, come back, and so on
            }
        }
        if let (Some(private_id), None) = (&private_id, recovered) {
            socket.set_recoverable(private_id.clone(), &attachment.log_position);
        }
        // Its phase first, so that a close of the connection from here on also closes the socket; among the others last, so
        // that nothing overtakes the CONNECT.
        if !socket.set_entering() || !conn.session().enter(socket, attempt) {
            entry = Entry::Unwanted;
            return;
        }
        entry = Entry::Entered;
        server.metrics.sockets.add(1);
        for packet in replay.drain(..) {
            socket.deliver(packet, false);
        }
        socket.send_packet(None, PacketBody::Connect(connect_payload(socket, private_id.as_deref())));
        events = namespace.sockets().insert(socket);
        if let Some(session) = recovered {
            events.extend(namespace.sockets().join(socket, &session.rooms).unwrap_or_default());
        }
    };
    match recovery {
        Some(recovery) => recovery.attach(recovered, &mut enter),
        None => enter(Attachment::default()),
    }
    match entry {
        Entry::Entered => {}
        Entry::Unwanted => {
            socket.abandon();
            tracing::debug!(sid = conn.id().as_str(), "the client was gone before it had joined the namespace");
            return entry;
        }
        Entry::CannotReplay => {
            tracing::debug!(sid = conn.id().as_str(), "what the client missed cannot be replayed; it begins anew");
            return entry;
        }
    }
    if let Some(recovery) = recovery {
        recovery.session_began(socket);
    }
    conn.joined();
    if recovered.is_some() {
        server.metrics.recovered.increment();
    }
    namespace.sockets().notify_all(&events);
    drop(hold);
    let context = EventContext {
        socket: socket.clone(),
        event: EventName::from("connection"),
        args: Args::empty(),
        ack: Ack::default(),
        reason: None,
    };
    run_all(&namespace.listeners().of(Kind::Connection), conn, context);
    socket.handle_entered();
    entry
}

fn connect_payload(socket: &Socket, private_id: Option<&str>) -> Option<ByteString> {
    if socket.conn().revision() == Revision::V3 {
        return None;
    }
    // Both ids are of the program's own making, or of ours; neither needs escapes unless the program chose so.
    let id = serde_json::Value::from(socket.id());
    Some(match private_id {
        Some(private_id) => format!("{{\"sid\":{id},\"pid\":\"{private_id}\"}}").into(),
        None => format!("{{\"sid\":{id}}}").into(),
    })
}

fn refuse(conn: &Arc<Conn>, namespace: ByteString, payload: String) {
    let packet = Packet::new(namespace, PacketBody::ConnectError(payload.into()));
    conn.send(encode(&packet, conn.app().options.parser, true), false);
}

/// What a client of Socket.IO 2 gives as query of a namespace is its `auth`.
fn query_to_json(query: &str) -> ByteString {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let object: serde_json::Map<_, _> =
        pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
    serde_json::Value::Object(object).to_string().into()
}
