//! The events of one namespace on their way into the stream and out of it.
//!
//! ```text
//!             the oldest that waits is too old, or finds no room
//!   LOGGED ──────────────────────────────────────────────────────► DIRECT
//!      ▲   an event waits until the stream brings it, with its id      │  an event is delivered at once, without an id, and
//!      │                                                               │  goes into the stream for the other nodes
//!      └─────────────── connected, and a fence has come back ──────────┘
//! ```
//!
//! A fence is an entry that does nothing: it shows that entries come back again. What has been delivered without an id is not
//! delivered here again when the stream brings it. Entries of this node carry numbers, from which it also sees which never arrived.
//!
//! Lock order: the journal, then the roster, then what [`Local::deliver`] takes; no code of the program runs under it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::adapter::{Attachment, Local, Packet, PacketBody, RecoveredSession, RoomSet, SavedSession};
use sockeye::{ConnectionStateRecovery, Socket, Target};
use sockeye_cluster::{Destination, Message};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::floor::Floor;
use super::pending::{Item, Pending};
use super::roster::Roster;
use super::tail::Tail;
use super::{EntryId, record};
use crate::link::Link;
use crate::wire::Wire;

/// What a namespace with recovery has besides its inbox.
pub(crate) struct Journal {
    local: Weak<Local>,
    /// The number of its stream.
    pub(super) stream: usize,
    pub(super) roster: Roster,
    state: Mutex<State>,
    /// Is notified when less waits.
    settled: Notify,
}

struct State {
    /// The number of the entry that is written next.
    next: u64,
    pending: Pending,
    is_direct: bool,
    /// Entries up to this number have been delivered without an id, or never will be.
    direct_until: u64,
    /// A fence that has not come back, and when it was sent.
    fence: Option<(u64, Instant)>,
    floor: Floor,
    /// When that was written last.
    floor_written: Instant,
    tail: Tail,
}

impl Journal {
    pub(crate) fn new(local: &Arc<Local>, options: ConnectionStateRecovery, stream: usize) -> Self {
        let state = State {
            next: 1,
            pending: Pending::default(),
            is_direct: true,
            direct_until: 0,
            fence: None,
            floor: Floor::At(EntryId::default()),
            floor_written: Instant::now(),
            tail: Tail::default(),
        };
        Self {
            local: Arc::downgrade(local),
            stream,
            roster: Roster::new(options.max_disconnection_duration),
            state: Mutex::new(state),
            settled: Notify::new(),
        }
    }

    pub(super) fn local(&self) -> Option<Arc<Local>> {
        self.local.upgrade()
    }

    // ---- out ---------------------------------------------------------------------------------------------------------

    /// Sends an event that is kept.
    pub(crate) fn emit(&self, link: &Link, wire: &Wire, packet: Packet, target: &Target) {
        let Some(local) = self.local() else { return };
        local.notify_outgoing(&packet, target);
        // What a session is now comes before what is sent to it from now on.
        self.flush_sessions(link, wire, &local);
        let message = Message::Broadcast { packet: packet.clone(), target: target.clone(), request: None };
        let written = wire.command(message, &Destination::All).ok().flatten();
        let mut state = self.state.lock();
        let number = state.take_number();
        let is_sent = written.is_some_and(|mut outgoing| {
            wire.number(&mut outgoing, number);
            link.send(outgoing)
        });
        link.note_published(is_sent);
        if !state.is_direct && (!is_sent || state.pending.bytes() > link.options.max_outgoing_bytes) {
            self.go_direct(&mut state, link, wire, &local);
        }
        if state.is_direct {
            state.direct_until = number;
            if state.floor != Floor::Unknown {
                state.floor = Floor::Unknown;
                self.write_floor(&mut state, link, wire);
            }
            link.metrics.unlogged.increment();
            local.deliver(&packet, target);
        } else {
            state.pending.push(Some(number), packet, target.clone());
        }
    }

    /// Delivers to this node's sockets an event that is not kept: behind those that wait.
    pub(crate) fn deliver_unkept(&self, link: &Link, packet: Packet, target: &Target) {
        let Some(local) = self.local() else { return };
        local.notify_outgoing(&packet, target);
        let mut state = self.state.lock();
        if state.pending.is_empty() || state.pending.bytes() > link.options.max_outgoing_bytes {
            self.deliver_now(link, &local, packet, target);
        } else {
            state.pending.push(None, packet, target.clone());
        }
    }

    /// The program is about to disconnect the socket: what waits for it does so no longer.
    pub(crate) fn settle(&self, socket: &Socket) {
        let Some(local) = self.local() else { return };
        let rooms: RoomSet = socket.rooms().iter().collect();
        let state = self.state.lock();
        for Item { packet, target, .. } in state.pending.iter().filter(|item| item.target.includes(&rooms)) {
            let mut only = Target::default();
            only.rooms.push(socket.id().into());
            only.flags = target.flags;
            local.deliver(packet, &only);
        }
    }

    /// Waits until all that was emitted before is in the outboxes.
    pub(crate) async fn settled(&self) {
        let last = self.state.lock().next;
        let is_settled = || {
            let state = self.state.lock();
            state.pending.first().is_none_or(|item| item.number.is_some_and(|number| number >= last))
        };
        loop {
            let settled = self.settled.notified();
            if is_settled() {
                return;
            }
            settled.await;
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_settled(&self) -> bool {
        self.state.lock().pending.is_empty()
    }

    // ---- in ----------------------------------------------------------------------------------------------------------

    /// An event of another node, or of an emitter, has come.
    pub(super) fn handle_event(&self, link: &Link, id: EntryId, packet: Packet, target: &Target) {
        let Some(local) = self.local() else { return };
        local.notify_outgoing(&packet, target);
        let mut state = self.state.lock();
        self.begin_tail(&mut state, link);
        if target.flags.volatile {
            self.deliver_now(link, &local, packet, target);
        } else {
            let packet = with_offset(packet, id);
            state.tail.push(id, packet.clone(), target.clone());
            local.deliver(&packet, target);
        }
    }

    /// An entry of this node with this number has come. `event` reads it, where it is not known any more.
    pub(super) fn handle_own(
        &self,
        link: &Link,
        wire: &Wire,
        id: EntryId,
        number: u64,
        event: impl FnOnce() -> Option<(Packet, Target)>,
    ) {
        let Some(local) = self.local() else { return };
        let mut state = self.state.lock();
        self.begin_tail(&mut state, link);
        // Entries come in the order in which they were sent: those before this one have not arrived.
        let mut has_lost = false;
        while let Some(item) = state.pending.first()
            && item.number.is_none_or(|each| each < number)
            && let Some(item) = state.pending.pop()
        {
            if let Some(lost) = item.number {
                has_lost = true;
                state.direct_until = lost;
                link.metrics.unlogged.increment();
                local.deliver(&item.packet, &item.target);
            } else {
                self.deliver_now(link, &local, item.packet, &item.target);
            }
        }
        let is_fence = state.fence.is_some_and(|(fence, _)| fence == number);
        if state.pending.first().is_some_and(|item| item.number == Some(number))
            && let Some(item) = state.pending.pop()
        {
            let packet = with_offset(item.packet, id);
            state.tail.push(id, packet.clone(), item.target.clone());
            local.deliver(&packet, &item.target);
            while let Some(item) = state.pending.pop_unkept() {
                self.deliver_now(link, &local, item.packet, &item.target);
            }
        } else if let Some((packet, target)) = event() {
            // It has been delivered already, but not to a client that was elsewhere then.
            state.tail.push(id, with_offset(packet, id), target);
            has_lost = true;
        }
        if is_fence {
            state.fence = None;
            state.is_direct = false;
        }
        // All that was delivered without an id has come by now, or never will.
        let is_whole = !state.is_direct && number > state.direct_until;
        match state.floor {
            Floor::Unknown if is_whole => self.raise_floor(&mut state, link, wire, id),
            Floor::Unknown if is_fence => self.send_fence(&mut state, link, wire),
            Floor::At(_) if has_lost => self.raise_floor(&mut state, link, wire, id),
            _ => {}
        }
        drop(state);
        self.settled.notify_waiters();
    }

    /// The stream has lost entries, perhaps such as were not read.
    pub(super) fn handle_gap(&self, link: &Link, wire: &Wire, first: EntryId, is_unread: bool) {
        let Some(local) = self.local() else { return };
        let mut state = self.state.lock();
        state.tail.begin(first);
        self.go_direct(&mut state, link, wire, &local);
        drop(state);
        if is_unread {
            local.end_connections();
        }
    }

    // ---- sockets -----------------------------------------------------------------------------------------------------

    /// A socket has entered whose session can be recovered.
    pub(crate) fn enter(&self, link: &Link, local: &Local, socket: &Socket) {
        self.roster.enter(local, socket);
        link.recovery.note_changed();
    }

    /// The session of a socket has changed.
    pub(crate) fn note(&self, link: &Link, local: &Local, socket: &Socket) {
        self.roster.note(local, socket);
        link.recovery.note_changed();
    }

    /// Enters the sessions that have changed into the queue to Redis.
    pub(super) fn flush_sessions(&self, link: &Link, wire: &Wire, local: &Local) {
        self.roster.flush(link, wire, local, link.recovery.places.begun(self.stream));
    }

    /// A socket is gone, and its client may come back.
    pub(crate) fn persist(&self, link: &Link, wire: &Wire, session: SavedSession) {
        self.roster.persist(link, wire, session, link.recovery.places.begun(self.stream));
    }

    /// A socket is gone.
    pub(crate) fn forget(&self, link: &Link, local: &Local, socket: &Socket) {
        self.roster.remove(link, local, socket);
    }

    /// Lets a socket enter, see [`Adapter::attach`](sockeye::adapter::Adapter::attach).
    pub(crate) fn attach(&self, link: &Link, session: Option<&RecoveredSession>, enter: &mut dyn FnMut(Attachment)) {
        let mut state = self.state.lock();
        self.begin_tail(&mut state, link);
        let missed = session.and_then(|session| {
            let position = session.log_position.parse().ok()?;
            // What this node has delivered without an id since is not in the tail, or comes later and is not delivered again.
            let is_whole = !state.is_direct && state.floor.allows(position);
            is_whole.then(|| state.tail.since(position, &session.rooms)).flatten()
        });
        let position = link.recovery.places.at(self.stream);
        enter(Attachment { log_position: position.map(|id| id.to_string()).unwrap_or_default(), missed });
    }

    /// Whether a client may enter that needs all from this position on.
    pub(super) fn is_whole_since(&self, position: EntryId) -> bool {
        let state = self.state.lock();
        !state.is_direct && state.floor.allows(position)
    }

    // ---- time --------------------------------------------------------------------------------------------------------

    /// Does what is due.
    pub(super) fn handle_tick(&self, link: &Link, wire: &Wire) {
        let Some(local) = self.local() else { return };
        let is_connected = link.is_connected();
        let patience = if is_connected { link.options.timeout } else { PATIENCE };
        let mut state = self.state.lock();
        if state.pending.first().is_some_and(|item| item.since.elapsed() > patience) {
            self.go_direct(&mut state, link, wire, &local);
        }
        let is_needed = state.is_direct || state.floor == Floor::Unknown;
        let is_late = state.fence.is_none_or(|(_, sent)| sent.elapsed() > link.options.timeout);
        if is_needed && is_late && is_connected {
            self.send_fence(&mut state, link, wire);
        }
        if state.floor_written.elapsed() > self.roster.interval() {
            self.write_floor(&mut state, link, wire);
        }
    }

    // ---- parts -------------------------------------------------------------------------------------------------------

    /// Delivers at once what waits, and from now on all that is emitted.
    fn go_direct(&self, state: &mut State, link: &Link, wire: &Wire, local: &Local) {
        if !state.is_direct {
            tracing::warn!(
                namespace = &**wire.namespace(),
                "Redis does not answer: events are delivered to own clients without an offset"
            );
        }
        state.is_direct = true;
        state.fence = None;
        state.floor = Floor::Unknown;
        // Before the events that are sent from now on.
        self.write_floor(state, link, wire);
        while let Some(item) = state.pending.pop() {
            if let Some(number) = item.number {
                state.direct_until = number;
                link.metrics.unlogged.increment();
                local.deliver(&item.packet, &item.target);
            } else {
                self.deliver_now(link, local, item.packet, &item.target);
            }
        }
        self.settled.notify_waiters();
    }

    /// Delivers an event that is not kept. A client takes for an offset whatever string it gets last: where an event ends with one,
    /// the offset that the client has already follows it.
    fn deliver_now(&self, link: &Link, local: &Local, packet: Packet, target: &Target) {
        let is_misleading = matches!(&packet.body, PacketBody::Event { args, .. } if args.ends_with_string());
        match link.recovery.places.at(self.stream).filter(|_| is_misleading) {
            Some(id) => local.deliver(&with_offset(packet, id), target),
            None => local.deliver(&packet, target),
        }
    }

    fn begin_tail(&self, state: &mut State, link: &Link) {
        if !state.tail.has_begun()
            && let Some(id) = link.recovery.places.begun(self.stream)
        {
            state.tail.begin(id);
        }
    }

    /// The namespace hears what comes after this.
    pub(crate) fn begin(&self, link: &Link, wire: &Wire) {
        let mut state = self.state.lock();
        if let Some(id) = link.recovery.places.at(self.stream) {
            state.tail.begin(id);
        }
        self.write_floor(&mut state, link, wire);
    }

    fn send_fence(&self, state: &mut State, link: &Link, wire: &Wire) {
        let number = state.take_number();
        if let Ok(Some(mut fence)) = wire.command(fence(wire), &Destination::All) {
            wire.number(&mut fence, number);
            state.fence = link.send(fence).then(|| (number, Instant::now()));
        }
    }

    fn raise_floor(&self, state: &mut State, link: &Link, wire: &Wire, id: EntryId) {
        state.floor.raise(id);
        self.write_floor(state, link, wire);
    }

    /// Written anew before it ends: it outlives the sessions that it is for.
    fn write_floor(&self, state: &mut State, link: &Link, wire: &Wire) {
        state.floor_written = Instant::now();
        // What finds no room is written at the next turn.
        let _full = link.send(record::write_floor(link, wire, state.floor, 2 * self.roster.keep()));
    }
}

impl State {
    fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

/// Nobody is in the room, and nobody leaves any.
fn fence(wire: &Wire) -> Message {
    let mut target = Target::default();
    target.rooms.push((&**wire.node()).into());
    Message::LeaveSockets { target, rooms: Vec::new() }
}

pub(super) fn with_offset(mut packet: Packet, id: EntryId) -> Packet {
    if let PacketBody::Event { args, .. } = &mut packet.body {
        args.push_str(&id.to_string());
    }
    packet
}

/// How long an event waits for the stream while a connection to Redis is missing. While all work it is the time that an answer of
/// Redis may take.
const PATIENCE: Duration = Duration::from_millis(500);
