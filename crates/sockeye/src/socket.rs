//! A client in a namespace, as the program sees it.

mod emit;
mod handshake;
mod phase;

use std::any::{Any, TypeId};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::TransportKind;
use sockeye_protocol::socket::{FromArgs, IntoArgs, Packet, PacketBody, from_json};

pub use self::emit::SocketEmit;
use self::phase::{CONNECTED, CONNECTING, DISCONNECTED, ENTERING};
use crate::ack::{PendingAcks, Waiter};
use crate::adapter::{RecoveredSession, SavedSession, SessionRecovery};
use crate::emit::Emit;
use crate::encode::encode;
use crate::error::{AckError, EmitError, JoinError};
use crate::handler::{EventContext, Waiting};
use crate::namespace::Namespace;
use crate::room::IntoRooms;
use crate::room::Room;
use crate::room_set::RoomSet;
use crate::server::Conn;
use crate::server::Server;
use crate::target::Flags;
use sockeye_engine::Holder;
use sockeye_engine::RequestInfo;
use sockeye_engine::internal::{Identified, Queue};
use sockeye_engine::{Encoded, Id};

/// A client that is connected to a namespace. A clone is another handle to the same.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

impl Identified for Socket {
    fn id(&self) -> &str {
        Self::id(self)
    }
}

/// A handle that does not keep the socket alive.
#[derive(Clone)]
pub(crate) struct WeakSocket(Weak<Inner>);

struct Inner {
    id: Id,
    namespace: Namespace,
    conn: Arc<Conn>,
    /// JSON text of what the client gave as `auth`.
    auth: Option<Box<str>>,
    /// How many milliseconds after its request the client asked to join.
    joined_after: u32,
    /// Changed under the lock of the state only.
    phase: AtomicU8,
    /// The end is decided: a new socket of this client may take its place. Changed under the lock of the state only.
    is_leaving: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The rooms it is in, without the one that is its own id.
    rooms: RoomSet,
    acks: PendingAcks,
    /// The acknowledgements have been given up: whoever comes later would wait for ever.
    acks_closed: bool,
    /// The rooms have been given up: one that is joined later would never be left.
    rooms_closed: bool,
    /// Why it is to end once its connection handlers have been called.
    leaving: Option<CloseReason>,
    rare: Option<Box<Rare>>,
}

/// What not every socket has.
#[derive(Default)]
struct Rare {
    data: serde_json::Map<String, serde_json::Value>,
    extensions: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    /// The secret by which the client proves that a session is its own.
    private_id: Option<Id>,
    /// Where the log of events stood when it connected.
    log_start: Box<str>,
    recovered: bool,
    left_own_room: bool,
    /// Events that wait for their turn, in a namespace that handles them one at a time; the first is being handled.
    line: Line,
    /// Events that came before the connection handlers have been called.
    early: Line,
}

/// Events in order, each counted against the bound of its connection.
pub(crate) type Line = VecDeque<(EventContext, Waiting)>;

impl Socket {
    pub(crate) fn new(namespace: Namespace, conn: Arc<Conn>, id: Id, auth: Option<&str>) -> Self {
        let auth: Option<Box<str>> = auth.map(Box::from);
        conn.account().add(Holder::Auth, auth.as_ref().map_or(0, |auth| auth.len()));
        let joined_after = handshake::time_since(conn.request());
        let (phase, is_leaving, state) = (AtomicU8::new(CONNECTING), AtomicBool::new(false), Mutex::default());
        Self(Arc::new(Inner { id, namespace, conn, auth, joined_after, phase, is_leaving, state }))
    }

    /// The id: 20 characters, other than that of the connection; the same again if the session is recovered.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// The server.
    pub fn server(&self) -> Server {
        Server::from_inner(self.0.conn.app().clone())
    }

    /// Whether the socket is connected: not yet in a connection middleware, no more after the disconnect.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase(), ENTERING | CONNECTED)
    }

    /// Whether it is gone.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.phase() == DISCONNECTED
    }

    /// Whether the connection state was recovered: the client missed nothing, and is in its rooms already.
    pub fn is_recovered(&self) -> bool {
        self.0.state.lock().rare.as_ref().is_some_and(|rare| rare.recovered)
    }

    /// The request that opened the connection.
    pub fn request(&self) -> &RequestInfo {
        self.0.conn.request()
    }

    /// The bytes of what the client gave as `auth`.
    pub(crate) fn auth_bytes(&self) -> usize {
        self.0.auth.as_ref().map_or(0, |auth| auth.len())
    }

    /// What the client gave as `auth`.
    ///
    /// # Errors
    ///
    /// It is not a `T`.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        from_json(self.0.auth.as_deref().unwrap_or("{}"))
    }

    /// The transport that carries the connection now.
    pub fn transport(&self) -> TransportKind {
        self.0.conn.transport()
    }

    /// The id of the Engine.IO session; several sockets of one connection share it.
    pub fn connection_id(&self) -> &str {
        self.0.conn.id()
    }

    // ---- data --------------------------------------------------------------------------------------------------------

    /// A value of the socket's data, which other nodes see too and a recovered session keeps.
    pub fn data<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let value = self.0.state.lock().rare.as_ref()?.data.get(key)?.clone();
        serde_json::from_value(value).ok()
    }

    /// Sets a value of the socket's data. One that cannot be encoded as JSON is not set, and the failure is logged.
    pub fn set_data(&self, key: impl Into<String>, value: impl Serialize) {
        match serde_json::to_value(value) {
            Ok(value) => {
                drop(self.0.state.lock().rare().data.insert(key.into(), value));
                self.note_session();
            }
            Err(error) => self.0.conn.app().metrics.emit_failed("data", &error),
        }
    }

    /// Sets all of the socket's data; what was there is gone.
    pub fn replace_data(&self, data: serde_json::Map<String, serde_json::Value>) {
        self.0.state.lock().rare().data = data;
        self.note_session();
    }

    /// All of the socket's data.
    pub fn all_data(&self) -> serde_json::Map<String, serde_json::Value> {
        self.0.state.lock().rare.as_ref().map(|rare| rare.data.clone()).unwrap_or_default()
    }

    /// Keeps a value of any type with the socket, one of each type: for what only this process needs.
    pub fn set_extension<T: Send + Sync + 'static>(&self, value: T) {
        let replaced = self.0.state.lock().rare().extensions.insert(TypeId::of::<T>(), Arc::new(value));
        // Without the lock: it is the program's, and may use the socket when it is dropped.
        drop(replaced);
    }

    /// The value of this type that is kept with the socket.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let any = self.0.state.lock().rare.as_ref()?.extensions.get(&TypeId::of::<T>())?.clone();
        any.downcast().ok()
    }

    // ---- rooms -------------------------------------------------------------------------------------------------------

    /// Joins a room, or several.
    ///
    /// # Errors
    ///
    /// The socket is in as many rooms as it may be, or is disconnected. None of the rooms was joined then.
    pub fn join(&self, rooms: impl IntoRooms) -> Result<(), JoinError> {
        self.0.namespace.adapter().add(self, &rooms.into_rooms())
    }

    /// Leaves a room, or several.
    pub fn leave(&self, rooms: impl IntoRooms) {
        self.0.namespace.adapter().remove(self, &rooms.into_rooms());
    }

    /// The rooms that the socket is in, its own first.
    pub fn rooms(&self) -> Vec<Room> {
        let state = self.0.state.lock();
        let own = !state.left_own_room() && self.phase() != DISCONNECTED;
        own.then(|| Room::from(self.id())).into_iter().chain(state.rooms.iter().cloned()).collect()
    }

    /// Whether the socket is in a room.
    pub fn is_in(&self, room: &str) -> bool {
        let state = self.0.state.lock();
        if room == self.id() {
            return !state.left_own_room() && self.phase() != DISCONNECTED;
        }
        state.rooms.contains(room)
    }

    // ---- emit --------------------------------------------------------------------------------------------------------

    /// Sends an event to this client. A tuple becomes several arguments, `()` none, anything else one.
    ///
    /// A failure is a mistake of the program; it is logged and counted, see [`try_emit`](Self::try_emit).
    pub fn emit(&self, event: &str, args: impl IntoArgs) {
        self.to_self().emit(event, args);
    }

    /// [`emit`](Self::emit), with its failure.
    ///
    /// # Errors
    ///
    /// The name is reserved, or an argument cannot be encoded. Nothing was sent.
    pub fn try_emit(&self, event: &str, args: impl IntoArgs) -> Result<(), EmitError> {
        self.to_self().try_emit(event, args)
    }

    /// Sends an event and waits for the client's acknowledgement, without a time limit; see [`timeout`](Self::timeout).
    ///
    /// A tuple takes all arguments of the answer, [`Args`](crate::Args) all that there are, anything else the first.
    ///
    /// # Errors
    ///
    /// The client went away, its answer does not fit, or the event could not be sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the acknowledgement; the event may have been sent.
    pub async fn emit_with_ack<T: FromArgs>(&self, event: &str, args: impl IntoArgs) -> Result<T, AckError> {
        self.to_self().emit_with_ack(event, args).await
    }

    /// Sends the event `message`.
    pub fn send(&self, args: impl IntoArgs) {
        self.emit("message", args);
    }

    /// The next emit waits this long for an acknowledgement.
    pub fn timeout(&self, timeout: Duration) -> SocketEmit<'_> {
        self.to_self().timeout(timeout)
    }

    /// The next emit is dropped if the client is not ready to take it.
    pub fn volatile(&self) -> SocketEmit<'_> {
        self.to_self().volatile()
    }

    /// Whether the next emit may be compressed. Default: true.
    pub fn compress(&self, compress: bool) -> SocketEmit<'_> {
        self.to_self().compress(compress)
    }

    fn to_self(&self) -> SocketEmit<'_> {
        SocketEmit { socket: self, flags: Flags::default() }
    }

    /// An emit to everybody in a room, or several, but this client.
    pub fn to(&self, rooms: impl IntoRooms) -> Emit {
        self.broadcast().to(rooms)
    }

    /// The same as [`to`](Self::to).
    pub fn within(&self, rooms: impl IntoRooms) -> Emit {
        self.to(rooms)
    }

    /// An emit to everybody but this client and those in a room, or several.
    pub fn except(&self, rooms: impl IntoRooms) -> Emit {
        self.broadcast().except(rooms)
    }

    /// An emit to everybody in the namespace but this client.
    pub fn broadcast(&self) -> Emit {
        self.0.namespace.emitter().except(self.id())
    }

    /// An emit to the clients of this node but this one.
    pub fn local(&self) -> Emit {
        self.broadcast().local()
    }

    // ---- the end -----------------------------------------------------------------------------------------------------

    /// Disconnects the client from this namespace; it does not come back by itself.
    pub fn disconnect(&self) {
        self.end(CloseReason::ServerNamespaceDisconnect, || {
            if let Some(recovery) = self.recovery() {
                recovery.flush_pending(self);
            }
            self.send_packet(None, PacketBody::Disconnect);
        });
    }

    /// Disconnects the client from all its namespaces, and closes the connection.
    pub fn disconnect_connection(&self) {
        crate::client::disconnect(&self.0.conn);
    }

    // ---- for the rest of the crate -----------------------------------------------------------------------------------

    pub(crate) fn conn(&self) -> &Arc<Conn> {
        &self.0.conn
    }

    pub(crate) fn key(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn downgrade(&self) -> WeakSocket {
        WeakSocket(Arc::downgrade(&self.0))
    }

    pub(crate) fn deliver(&self, packet: Encoded, volatile: bool) {
        self.0.conn.send(packet, volatile);
    }

    /// The same, for a queue of the flusher.
    pub(crate) fn deliver_in(&self, queue: Queue, packet: Encoded, volatile: bool) {
        self.0.conn.send_in(queue, packet, volatile);
    }

    /// Sends a packet of this socket's namespace.
    pub(crate) fn send_packet(&self, id: Option<u64>, body: PacketBody) {
        let packet = Packet { id, ..Packet::new(self.0.namespace.name_shared().clone(), body) };
        self.deliver(encode(&packet, self.0.conn.app().options.parser, true), false);
    }

    /// Enters who waits for the acknowledgement with `id`.
    ///
    /// # Errors
    ///
    /// The client owes `limit` already, or can no longer answer, or not yet.
    pub(crate) fn enter_ack(&self, id: u64, waiter: Waiter, limit: usize) -> Result<(), AckError> {
        let mut state = self.0.state.lock();
        // In a middleware the client does not know yet that it may talk in this namespace.
        if state.acks_closed || self.phase() == CONNECTING {
            return Err(AckError::Disconnected);
        }
        if state.acks.len() >= limit {
            return Err(AckError::TooMany);
        }
        state.acks.insert(id, waiter);
        Ok(())
    }

    fn take_ack(&self, id: u64) -> Option<Waiter> {
        self.0.state.lock().acks.remove(id)
    }

    /// Gives up the acknowledgements. Dropping the waiters tells those that wait.
    fn close_acks(&self) {
        let waiters = {
            let mut state = self.0.state.lock();
            state.acks_closed = true;
            std::mem::take(&mut state.acks)
        };
        drop(waiters);
    }

    pub(crate) fn forget_ack(&self, id: u64) {
        let _settled_already = self.take_ack(id);
    }

    pub(crate) fn with_line<R>(&self, run: impl FnOnce(&mut Line) -> R) -> R {
        run(&mut self.0.state.lock().rare().line)
    }

    /// The rooms, for the registry of rooms to change together with its own tables.
    pub(crate) fn with_rooms<R>(&self, run: impl FnOnce(&mut RoomSet) -> R) -> Option<R> {
        let mut state = self.0.state.lock();
        (!state.rooms_closed && self.phase() != DISCONNECTED).then(|| run(&mut state.rooms))
    }

    /// Takes the rooms out. None can be joined any more.
    pub(crate) fn take_rooms(&self) -> RoomSet {
        let mut state = self.0.state.lock();
        state.rooms_closed = true;
        std::mem::take(&mut state.rooms)
    }

    pub(crate) fn leave_own_room(&self) {
        self.0.state.lock().rare().left_own_room = true;
    }

    pub(crate) fn join_own_room(&self) {
        if let Some(rare) = &mut self.0.state.lock().rare {
            rare.left_own_room = false;
        }
    }

    pub(crate) fn has_left_own_room(&self) -> bool {
        self.0.state.lock().left_own_room()
    }

    /// Makes the session one that can be recovered.
    pub(crate) fn set_recoverable(&self, private_id: Id, log_start: &str) {
        let mut state = self.0.state.lock();
        let rare = state.rare();
        rare.private_id = Some(private_id);
        rare.log_start = log_start.into();
    }

    /// Takes over the data of a recovered session.
    pub(crate) fn restore(&self, session: &RecoveredSession) {
        self.set_recoverable(Id::from(&session.private_id), &session.log_start);
        let mut state = self.0.state.lock();
        let rare = state.rare();
        rare.recovered = true;
        rare.data = session.data.clone();
    }

    /// What is kept of its session has changed.
    pub(crate) fn note_session(&self) {
        if self.is_connected()
            && let Some(recovery) = self.recovery()
        {
            recovery.session_changed(self);
        }
    }

    /// What the adapter does for the session, if it can be recovered.
    fn recovery(&self) -> Option<&dyn SessionRecovery> {
        self.private_id().and_then(|_| self.0.namespace.adapter().recovery())
    }

    pub(crate) fn private_id(&self) -> Option<Id> {
        self.0.state.lock().rare.as_ref()?.private_id.clone()
    }

    pub(crate) fn set_log_start(&self, log_start: &str) {
        if let Some(rare) = &mut self.0.state.lock().rare {
            rare.log_start = log_start.into();
        }
    }

    pub(crate) fn saved_session(&self) -> Option<SavedSession> {
        let rooms = self.rooms();
        let state = self.0.state.lock();
        let rare = state.rare.as_ref()?;
        Some(SavedSession {
            id: self.0.id.to_string(),
            private_id: rare.private_id.as_ref()?.to_string(),
            rooms,
            data: rare.data.clone(),
            log_start: rare.log_start.to_string(),
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.conn.account().give_back(Holder::Auth, self.auth.as_ref().map_or(0, |auth| auth.len()));
    }
}

impl State {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn left_own_room(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.left_own_room)
    }
}

impl WeakSocket {
    pub(crate) fn upgrade(&self) -> Option<Socket> {
        self.0.upgrade().map(Socket)
    }

    /// Whether it is a handle to this socket.
    pub(crate) fn is(&self, socket: &Socket) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&socket.0))
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Socket {}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("id", &self.id()).field("namespace", &self.0.namespace.name()).finish()
    }
}
