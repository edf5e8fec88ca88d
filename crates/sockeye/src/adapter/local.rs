//! The sockets and rooms that a namespace has on this node.
//!
//! Both are held in shards by the hash of their name, so that joins, leaves and broadcasts in different places do not wait for
//! each other. A broadcast takes the members out under the lock of a shard, and delivers without one. A socket's own room, the
//! one named like its id, is not stored: it is found by the id.
//!
//! Lock order: a socket's list of rooms, then a shard.

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use parking_lot::RwLock;
use sockeye_protocol::socket::{Args, Packet, PacketBody};

use super::leaving::{LEFT_AT_ONCE, Leaving};
use super::members::Members;
use super::{AdapterFuture, RemoteSocketData};
use crate::ack::{self, AckListener, Collector, Member, Waiter};
use crate::encode::encode;
use crate::error::{BroadcastAckError, JoinError};
use crate::handler::call_listener;
use crate::namespace::WeakNamespace;
use crate::options::Options;
use crate::room::Room;
use crate::server::Conn;
use crate::socket::{Socket, WeakSocket};
use crate::target::Target;
use crate::telemetry::Bound;
use sockeye_engine::Id;
use sockeye_engine::internal::{AHEAD, Queue, Queued, Registry, pressure};
use sockeye_engine::{Holder, Ledger};

const SHARDS: usize = 16;

/// What happens to rooms on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// A room got its first member.
    Created(Room),
    /// A room lost its last member.
    Deleted(Room),
    /// A socket joined a room: the room, and the socket's id.
    Joined(Room, String),
    /// A socket left a room: the room, and the socket's id.
    Left(Room, String),
}

type RoomListener = Arc<dyn Fn(&RoomEvent) + Send + Sync>;

/// The sockets and rooms of one namespace on this node.
pub struct Local {
    namespace: WeakNamespace,
    options: Arc<Options>,
    ledger: Arc<Ledger>,
    hasher: DefaultHashBuilder,
    sockets: Registry<Socket>,
    rooms: [RwLock<HashMap<Room, Members>>; SHARDS],
    /// The sockets whose sessions can be recovered, by their secret.
    recoverable: RwLock<HashMap<Id, WeakSocket>>,
    listeners: RwLock<Vec<RoomListener>>,
    /// Sockets that are gone and still leave their rooms.
    pub(super) leaving: AtomicUsize,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("sockets", &self.len()).finish_non_exhaustive()
    }
}

impl Local {
    pub(crate) fn new(namespace: WeakNamespace, options: Arc<Options>, ledger: Arc<Ledger>) -> Self {
        Self {
            namespace,
            options,
            ledger,
            hasher: DefaultHashBuilder::default(),
            sockets: Registry::new(),
            rooms: std::array::from_fn(|_| RwLock::default()),
            recoverable: RwLock::default(),
            listeners: RwLock::default(),
            leaving: AtomicUsize::new(0),
        }
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// The name of the namespace.
    pub fn namespace(&self) -> String {
        self.namespace.upgrade().map(|namespace| namespace.name().to_owned()).unwrap_or_default()
    }

    /// How many sockets there are.
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Whether there is no socket.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// A socket by its id.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        self.sockets.find(id)
    }

    /// Calls `listener` on whatever happens to rooms from now on. It must not wait.
    pub fn on_room_event(&self, listener: impl Fn(&RoomEvent) + Send + Sync + 'static) {
        self.listeners.write().push(Arc::new(listener));
    }

    /// The rooms that have members, those of the sockets' own ids left out, and how many members each has.
    pub fn rooms(&self) -> Vec<(Room, usize)> {
        let all = |shard: &RwLock<HashMap<Room, Members>>| -> Vec<_> {
            shard.read().iter().map(|(room, members)| (room.clone(), members.len())).collect()
        };
        self.rooms.iter().flat_map(all).collect()
    }

    /// The socket whose session this is the secret of, if it has not been noticed yet that its client is gone.
    pub(crate) fn find_recoverable(&self, private_id: &str) -> Option<Socket> {
        self.recoverable.read().get(private_id)?.upgrade()
    }

    /// Takes a socket in. What is to be told about it is given back, for when no lock is held.
    pub(crate) fn insert(&self, socket: &Socket) -> Vec<RoomEvent> {
        self.sockets.insert(socket.clone());
        if let Some(private_id) = socket.private_id() {
            self.recoverable.write().insert(private_id, socket.downgrade());
        }
        if !self.has_listeners() {
            return Vec::new();
        }
        let own = Room::from(socket.id());
        vec![RoomEvent::Created(own.clone()), RoomEvent::Joined(own, socket.id().to_owned())]
    }

    /// See [`Adapter::add`](super::Adapter::add).
    ///
    /// # Errors
    ///
    /// The socket is in too many rooms, or disconnected; it has joined none.
    pub fn add(&self, socket: &Socket, rooms: &[Room]) -> Result<(), JoinError> {
        self.notify_all(&self.join(socket, rooms)?);
        Ok(())
    }

    /// [`add`](Self::add), giving back what is to be told about it, for when no lock is held.
    pub(crate) fn join(&self, socket: &Socket, rooms: &[Room]) -> Result<Vec<RoomEvent>, JoinError> {
        let mut events = Vec::new();
        let is_told = self.has_listeners();
        let joined = socket.with_rooms(|joined| {
            let is_new = |room: &&Room| !joined.contains(room) && ***room != *socket.id();
            let new: Vec<_> = rooms.iter().filter(is_new).collect();
            if joined.len() + new.len() > self.options.limits.max_rooms {
                return Err(JoinError::TooManyRooms);
            }
            let account = socket.conn().account();
            let bytes = new.iter().map(|room| membership_bytes(room)).sum();
            if !new.is_empty() && !account.allows(Holder::Rooms, joined.len() * MEMBERSHIP, bytes) {
                return Err(JoinError::OverBudget);
            }
            for room in new {
                if joined.contains(room) {
                    continue; // named twice
                }
                let mut shard = self.shard(&self.rooms, room).write();
                let (name, is_new) = match shard.get_key_value(room) {
                    Some((name, _)) => (name.clone(), false),
                    None => (room.clone(), true),
                };
                shard.entry(name.clone()).or_default().insert(socket);
                drop(shard);
                account.add(Holder::Rooms, membership_bytes(&name));
                joined.insert(name.clone());
                if !is_told {
                    continue;
                }
                if is_new {
                    events.push(RoomEvent::Created(name.clone()));
                }
                events.push(RoomEvent::Joined(name, socket.id().to_owned()));
            }
            Ok(())
        });
        match joined {
            None => return Err(JoinError::Disconnected),
            // The budget has counted it.
            Some(Err(JoinError::OverBudget)) => return Err(JoinError::OverBudget),
            Some(Err(error)) => {
                socket.conn().app().metrics.bound_reached(Bound::Rooms, socket.conn().id());
                return Err(error);
            }
            Some(Ok(())) => {}
        }
        if socket.has_left_own_room() && rooms.iter().any(|room| **room == *socket.id()) {
            socket.join_own_room();
            events.push(RoomEvent::Joined(Room::from(socket.id()), socket.id().to_owned()));
        }
        Ok(events)
    }

    /// See [`Adapter::remove`](super::Adapter::remove).
    pub fn remove(&self, socket: &Socket, rooms: &[Room]) {
        let mut events = Vec::new();
        let _gone = socket.with_rooms(|joined| {
            for room in rooms {
                if joined.remove(room) {
                    self.remove_member(socket, room, &mut events);
                }
            }
        });
        if rooms.iter().any(|room| **room == *socket.id()) && !socket.has_left_own_room() {
            socket.leave_own_room();
            events.push(RoomEvent::Left(Room::from(socket.id()), socket.id().to_owned()));
        }
        self.notify_all(&events);
    }

    /// See [`Adapter::remove_all`](super::Adapter::remove_all).
    ///
    /// A socket in very many rooms leaves some at once, and the others in a task that lets other tasks run in between.
    pub fn remove_all(&self, socket: &Socket) {
        let mut events = Vec::new();
        let mut rooms = socket.take_rooms();
        let rest = match tokio::runtime::Handle::try_current() {
            Ok(_) if rooms.len() > LEFT_AT_ONCE => Some(Arc::clone(socket.namespace().sockets())),
            _ => None,
        };
        let at_once = if rest.is_some() { LEFT_AT_ONCE } else { rooms.len() };
        for room in rooms.take_some(at_once) {
            self.remove_member(socket, &room, &mut events);
        }
        if let Some(local) = rest {
            let leaving = Leaving::begin(local, socket.clone());
            socket.conn().app().spawn(leaving.run(rooms));
        }
        // A recovered session has the same id on another connection, and may be there already.
        drop(self.sockets.remove_if(socket.id(), |found| found == socket));
        if let Some(private_id) = socket.private_id() {
            let mut recoverable = self.recoverable.write();
            if recoverable.get(&private_id).is_some_and(|each| each.is(socket)) {
                recoverable.remove(&private_id);
            }
        }
        if self.has_listeners() {
            let own = Room::from(socket.id());
            events.push(RoomEvent::Left(own.clone(), socket.id().to_owned()));
            events.push(RoomEvent::Deleted(own));
        }
        self.notify_all(&events);
    }

    /// Takes a socket out of a room that was in its set.
    pub(super) fn remove_member(&self, socket: &Socket, room: &Room, events: &mut Vec<RoomEvent>) {
        socket.conn().account().give_back(Holder::Rooms, membership_bytes(room));
        let mut shard = self.shard(&self.rooms, room).write();
        let Some(members) = shard.get_mut(room) else { return };
        members.remove(socket);
        let emptied = members.is_empty().then(|| shard.remove(room));
        drop(shard);
        if self.has_listeners() {
            events.push(RoomEvent::Left(room.clone(), socket.id().to_owned()));
            if emptied.is_some() {
                events.push(RoomEvent::Deleted(room.clone()));
            }
        }
        // Without the lock: the table of a room that was large is, too.
        drop(emptied);
    }

    /// The sockets of the target, each once.
    pub fn sockets(&self, target: &Target) -> Vec<Socket> {
        let mut found = Vec::new();
        if target.rooms.is_empty() {
            found = self.sockets.all();
        } else {
            for room in &target.rooms {
                self.members(room, |socket| found.push(socket.clone()));
            }
            if target.rooms.len() > 1 {
                let mut seen = HashSet::with_capacity(found.len());
                found.retain(|socket| seen.insert(socket.key()));
            }
        }
        if self.leaving.load(Ordering::Acquire) > 0 {
            found.retain(|socket| !socket.is_disconnected());
        }
        let mut excepted = HashSet::new();
        for room in &target.except {
            self.members(room, |socket| excepted.extend([socket.key()]));
        }
        if !excepted.is_empty() {
            found.retain(|socket| !excepted.contains(&socket.key()));
        }
        found
    }

    /// Calls `each` with every member of a room once. It must not take locks.
    fn members(&self, room: &str, mut each: impl FnMut(&Socket)) {
        let own = self.socket(room).filter(|socket| !socket.has_left_own_room());
        if let Some(socket) = &own {
            each(socket);
        }
        if let Some(members) = self.shard(&self.rooms, room).read().get(room) {
            members.for_each(each);
        }
    }

    /// Whether a socket of this node is in the room.
    pub fn has_room(&self, room: &str) -> bool {
        self.shard(&self.rooms, room).read().contains_key(room) || self.socket(room).is_some()
    }

    /// See [`Adapter::broadcast`](super::Adapter::broadcast). The packet is encoded once, whoever gets it.
    pub fn broadcast(&self, packet: &Packet, target: &Target) {
        self.notify_outgoing(packet, target);
        self.deliver(packet, target);
    }

    /// The first half of [`broadcast`](Self::broadcast): the program's listeners for outgoing events.
    pub fn notify_outgoing(&self, packet: &Packet, target: &Target) {
        let Some(namespace) = self.namespace.upgrade().filter(|namespace| namespace.listeners().has_outgoing()) else {
            return;
        };
        if let PacketBody::Event { name, args } = &packet.body {
            for socket in self.sockets(target) {
                namespace.listeners().notify_outgoing(&socket, name.as_str(), args);
            }
        }
    }

    /// The second half of [`broadcast`](Self::broadcast): no code of the program runs in it.
    pub fn deliver(&self, packet: &Packet, target: &Target) {
        let mut sockets = self.sockets(target);
        let queue = Queue::of(sockets.len());
        if queue == Queue::Bulk {
            // In memory, and about in the order in which they came: so lie what the kernel has for them, too.
            sockets.sort_unstable_by_key(Socket::key);
        }
        let Some(first) = sockets.first() else { return };
        let encoded = encode(packet, self.options.parser, target.flags.compress);
        // What recovery has logged must go out.
        let is_kept = self.options.connection_state_recovery.is_some();
        if !is_kept && pressure::refuses(encoded.cost(), sockets.iter().map(Socket::conn)) {
            return;
        }
        let (mut queued, mut behind) = (0, 0);
        for some in sockets.chunks(AHEAD) {
            some.iter().map(Socket::conn).for_each(Conn::prefetch);
            for socket in some {
                match socket.conn().queue_in(queue, encoded.clone(), target.flags.volatile) {
                    Queued::No => {}
                    Queued::Yes => queued += 1,
                    Queued::Behind => {
                        queued += 1;
                        behind += 1;
                    }
                }
            }
        }
        first.conn().app().metrics.packets_sent.add(queued);
        if behind > 0 {
            pressure::note(behind, sockets.iter().map(Socket::conn));
        }
    }

    /// See [`Adapter::broadcast_with_ack`](super::Adapter::broadcast_with_ack).
    ///
    /// # Errors
    ///
    /// Not all of this node's clients answered in time.
    pub async fn broadcast_with_ack(
        &self,
        packet: Packet,
        target: &Target,
        timeout: Duration,
    ) -> Result<Vec<Args>, BroadcastAckError> {
        let collector = Collector::new();
        let listener: Arc<dyn AckListener> = collector.clone();
        let _open = self.start_broadcast_with_ack(packet, target, &listener);
        collector.wait(timeout).await
    }

    /// Sends a packet to the target's sockets. `listener` hears how many they are, and then of each acknowledgement as it comes,
    /// for as long as what is given back lives.
    pub fn start_broadcast_with_ack(
        &self,
        mut packet: Packet,
        target: &Target,
        listener: &Arc<dyn AckListener>,
    ) -> OpenBroadcast {
        let sockets = self.sockets(target);
        listener.handle_count(sockets.len());
        let id = sockets.first().map_or(0, |socket| socket.namespace().next_ack_id());
        packet.id = Some(id);
        let open = OpenBroadcast { id, sockets };
        if open.sockets.is_empty() {
            return open;
        }
        let encoded = encode(&packet, self.options.parser, target.flags.compress);
        let queue = Queue::of(open.sockets.len());
        for socket in &open.sockets {
            if ack::enter(socket, id, Waiter::Many(Member::of(listener))) {
                socket.deliver_in(queue, encoded.clone(), target.flags.volatile);
            }
        }
        open
    }

    /// See [`Adapter::fetch_sockets`](super::Adapter::fetch_sockets).
    pub fn fetch_sockets(&self, target: &Target) -> Vec<RemoteSocketData> {
        self.sockets(target).iter().map(describe).collect()
    }

    /// See [`Adapter::add_sockets`](super::Adapter::add_sockets).
    pub fn add_sockets(&self, target: &Target, rooms: &[Room]) {
        for socket in self.sockets(target) {
            // A socket that is in too many rooms, or gone, is counted and logged where it is found out.
            let _refused = socket.namespace().adapter().add(&socket, rooms);
        }
    }

    /// See [`Adapter::del_sockets`](super::Adapter::del_sockets).
    pub fn del_sockets(&self, target: &Target, rooms: &[Room]) {
        for socket in self.sockets(target) {
            socket.namespace().adapter().remove(&socket, rooms);
        }
    }

    /// See [`Adapter::disconnect_sockets`](super::Adapter::disconnect_sockets).
    pub fn disconnect_sockets(&self, target: &Target, close: bool) {
        for socket in self.sockets(target) {
            if close {
                socket.disconnect_connection();
            } else {
                socket.disconnect();
            }
        }
    }

    /// An event that another node's program sent: the future runs the handlers of
    /// [`on_server_event`](crate::Namespace::on_server_event) and gives what they answer.
    pub fn handle_server_event(&self, event: &str, args: Args) -> AdapterFuture<'static, Option<Args>> {
        match self.namespace.upgrade() {
            Some(namespace) => namespace.handle_server_event(event, args),
            None => Box::pin(std::future::ready(None)),
        }
    }

    fn shard<'a, T>(&self, shards: &'a [T; SHARDS], key: &str) -> &'a T {
        let hash = self.hasher.hash_one(key);
        // The top bits choose the shard; the table within uses the low ones.
        let at = usize::try_from(hash >> 60).unwrap_or(0);
        shards.get(at).unwrap_or(&shards[0])
    }

    /// Whether anybody hears of what happens to rooms.
    pub(crate) fn has_listeners(&self) -> bool {
        !self.listeners.read().is_empty()
    }

    pub(crate) fn notify_all(&self, events: &[RoomEvent]) {
        for event in events {
            self.notify(event);
        }
    }

    fn notify(&self, event: &RoomEvent) {
        let listeners = self.listeners.read().clone();
        let Some(namespace) = self.namespace.upgrade() else { return };
        for listener in listeners {
            // It may be called by the flusher or the timer, which all connections depend on.
            call_listener(&namespace, || listener(event));
        }
    }
}

/// What a socket's membership in a room takes, about.
fn membership_bytes(room: &Room) -> usize {
    room.len() + MEMBERSHIP
}

/// The same without the room's name: an entry each in the socket's set and in the room, and the room itself if it is the only one.
const MEMBERSHIP: usize = 128;

/// A broadcast whose acknowledgements are waited for; one that comes after this is dropped counts no more.
#[must_use = "no acknowledgement counts after this is dropped"]
#[derive(Debug)]
pub struct OpenBroadcast {
    id: u64,
    sockets: Vec<Socket>,
}

impl Drop for OpenBroadcast {
    fn drop(&mut self) {
        for socket in &self.sockets {
            socket.forget_ack(self.id);
        }
    }
}

fn describe(socket: &Socket) -> RemoteSocketData {
    let (id, rooms, data) = (socket.id().to_owned(), socket.rooms(), socket.all_data());
    RemoteSocketData { id, rooms, data, handshake: socket.handshake() }
}
