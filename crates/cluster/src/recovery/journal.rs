//! The events of one namespace on their way into the log and out of it.
//!
//! ```text
//!             the oldest that waits is too old, or finds no room
//!   LOGGED ──────────────────────────────────────────────────────► DIRECT
//!      ▲   an event waits until the log brings it, with its position   │  an event is delivered at once, without a position, and
//!      │                                                               │  goes into the log for the other nodes
//!      └─────────────── available, and a fence has come back ──────────┘
//! ```
//!
//! A fence is an entry that does nothing: it shows that entries come back again. An event that was delivered without a position is
//! not delivered here again when the log brings it. Entries of this node carry numbers, from which it also sees which never arrived.
//!
//! Lock order: the journal's state, then that of the live sessions, then what [`Local::deliver`] takes; no code of the program runs
//! under it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sockeye::adapter::{Attachment, Local, Packet, PacketBody, RecoveredSession, RoomSet, SavedSession};
use sockeye::{Socket, Target};
use tokio::time::Instant;

use super::pending::{Item, Pending};
use super::tail::Tail;
use super::{LowWatermark, Position, Recovery};
use crate::message::Message;

pub(super) struct State {
    /// The number of the entry that is written next.
    next: u64,
    pending: Pending,
    is_direct: bool,
    /// Entries up to this number have been delivered without a position, or never will be.
    direct_until: u64,
    /// A fence that has not come back, and when it was sent.
    fence: Option<(u64, Instant)>,
    watermark: LowWatermark,
    /// When that was written last.
    watermark_written: Instant,
    tail: Tail,
}

impl Default for State {
    fn default() -> Self {
        Self {
            next: 1,
            pending: Pending::default(),
            is_direct: true,
            direct_until: 0,
            fence: None,
            watermark: LowWatermark::At(Position::default()),
            watermark_written: Instant::now(),
            tail: Tail::default(),
        }
    }
}

impl Recovery {
    // ---- out ---------------------------------------------------------------------------------------------------------

    /// Sends an event that is kept.
    pub(crate) fn emit(&self, packet: Packet, target: &Target) {
        let Some(local) = self.local() else { return };
        local.notify_outgoing(&packet, target);
        // Changes of sessions go into the queue before the event, which may be meant for them.
        self.flush_sessions(&local);
        let message = Message::Broadcast { packet: packet.clone(), target: target.clone(), request: None };
        let mut state = self.state.lock();
        let number = state.take_number();
        let is_sent = self.log.append(message, number);
        self.note_published(is_sent);
        if !state.is_direct && (!is_sent || state.pending.bytes() > self.options.max_pending_bytes) {
            self.go_direct(&mut state, &local);
        }
        if state.is_direct {
            state.direct_until = number;
            if state.watermark != LowWatermark::Unknown {
                state.watermark = LowWatermark::Unknown;
                self.write_watermark(&mut state);
            }
            self.options.metrics.unlogged.increment();
            local.deliver(&packet, target);
        } else {
            state.pending.push(Some(number), packet, target.clone());
        }
    }

    /// Delivers to this node's sockets an event that is not kept: behind those that wait.
    pub(crate) fn deliver_unkept(&self, packet: Packet, target: &Target) {
        let Some(local) = self.local() else { return };
        local.notify_outgoing(&packet, target);
        let mut state = self.state.lock();
        if state.pending.is_empty() || state.pending.bytes() > self.options.max_pending_bytes {
            self.deliver_now(&local, packet, target);
        } else {
            state.pending.push(None, packet, target.clone());
        }
    }

    /// The program is about to disconnect the socket: what waits for it does so no longer.
    pub(crate) fn flush_pending_for(&self, socket: &Socket) {
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
    pub(crate) async fn drained(&self) {
        let last = self.state.lock().next;
        let is_drained = || {
            let state = self.state.lock();
            state.pending.first().is_none_or(|item| item.number.is_some_and(|number| number >= last))
        };
        loop {
            let drained = self.drained.notified();
            if is_drained() {
                return;
            }
            drained.await;
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_drained(&self) -> bool {
        self.state.lock().pending.is_empty()
    }

    // ---- in ----------------------------------------------------------------------------------------------------------

    /// An event of another node, or of an emitter, has come. The [cursor](super::Cursor) moves after it, not before.
    pub fn handle_event(&self, position: Position, packet: Packet, target: &Target) {
        let Some(local) = self.local() else { return };
        local.notify_outgoing(&packet, target);
        let mut state = self.state.lock();
        self.begin_tail(&mut state);
        if target.flags.volatile {
            self.deliver_now(&local, packet, target);
        } else {
            let packet = with_offset(packet, position);
            state.tail.push(position, packet.clone(), target.clone());
            local.deliver(&packet, target);
        }
    }

    /// An entry of this node with this number has come. `event` reads it, where it is not known any more.
    pub fn handle_own(&self, position: Position, number: u64, event: impl FnOnce() -> Option<(Packet, Target)>) {
        let Some(local) = self.local() else { return };
        let mut state = self.state.lock();
        self.begin_tail(&mut state);
        // Entries come in the order in which they were sent: those before this one have not arrived.
        let mut has_lost = false;
        while let Some(item) = state.pending.first()
            && item.number.is_none_or(|each| each < number)
            && let Some(item) = state.pending.pop()
        {
            if let Some(lost) = item.number {
                has_lost = true;
                state.direct_until = lost;
                self.options.metrics.unlogged.increment();
                local.deliver(&item.packet, &item.target);
            } else {
                self.deliver_now(&local, item.packet, &item.target);
            }
        }
        let is_fence = state.fence.is_some_and(|(fence, _)| fence == number);
        if state.pending.first().is_some_and(|item| item.number == Some(number))
            && let Some(item) = state.pending.pop()
        {
            let packet = with_offset(item.packet, position);
            state.tail.push(position, packet.clone(), item.target.clone());
            local.deliver(&packet, &item.target);
            while let Some(item) = state.pending.pop_unkept() {
                self.deliver_now(&local, item.packet, &item.target);
            }
        } else if let Some((packet, target)) = event() {
            // It has been delivered already, but not to a client that was elsewhere then.
            state.tail.push(position, with_offset(packet, position), target);
            has_lost = true;
        }
        if is_fence {
            state.fence = None;
            state.is_direct = false;
        }
        // All that was delivered without a position has come by now, or never will.
        let is_whole = !state.is_direct && number > state.direct_until;
        match state.watermark {
            LowWatermark::Unknown if is_whole => self.raise_watermark(&mut state, position),
            LowWatermark::Unknown if is_fence => self.send_fence(&mut state),
            LowWatermark::At(_) if has_lost => self.raise_watermark(&mut state, position),
            _ => {}
        }
        drop(state);
        self.drained.notify_waiters();
    }

    /// The log has lost entries, perhaps such as were not read.
    pub(super) fn handle_gap(&self, first: Position, is_unread: bool) {
        let Some(local) = self.local() else { return };
        let mut state = self.state.lock();
        state.tail.begin(first);
        self.go_direct(&mut state, &local);
        drop(state);
        if is_unread {
            local.end_connections();
        }
    }

    // ---- sockets -----------------------------------------------------------------------------------------------------

    /// A socket has entered whose session can be recovered.
    pub(crate) fn enter(&self, local: &Local, socket: &Socket) {
        self.live.enter(local, socket);
        self.driver.note_changed();
    }

    /// The session of a socket has changed.
    pub(crate) fn note(&self, local: &Local, socket: &Socket) {
        self.live.note(local, socket);
        self.driver.note_changed();
    }

    /// Enters the sessions that have changed into the queue to the store.
    pub(super) fn flush_sessions(&self, local: &Local) {
        self.live.flush(&*self.store, local, self.log.cursor().begun());
    }

    /// A socket is gone, and its client may come back.
    pub(crate) fn persist(&self, session: SavedSession) {
        self.live.persist(&*self.store, session, self.log.cursor().begun());
    }

    /// A socket is gone.
    pub(crate) fn forget(&self, local: &Local, socket: &Socket) {
        self.live.remove(&*self.store, local, socket);
    }

    /// Lets a socket enter, see [`SessionRecovery::attach`](sockeye::adapter::SessionRecovery::attach).
    pub(crate) fn attach(&self, session: Option<&RecoveredSession>, enter: &mut dyn FnMut(Attachment)) {
        let mut state = self.state.lock();
        self.begin_tail(&mut state);
        let missed = session.and_then(|session| {
            let position = session.log_position.parse().ok()?;
            // An event that this node has delivered without a position is not in the tail, or the log brings it later, and it is not
            // delivered again.
            let is_whole = !state.is_direct && state.watermark.allows(position);
            is_whole.then(|| state.tail.since(position, &session.rooms)).flatten()
        });
        let position = self.log.cursor().position();
        enter(Attachment { log_position: position.map(|position| position.to_string()).unwrap_or_default(), missed });
    }

    /// Whether a client may enter that needs all from this position on.
    pub(super) fn is_whole_since(&self, position: Position) -> bool {
        let state = self.state.lock();
        !state.is_direct && state.watermark.allows(position)
    }

    // ---- time --------------------------------------------------------------------------------------------------------

    /// Does what is due.
    pub(super) fn handle_tick(&self) {
        let Some(local) = self.local() else { return };
        let is_available = self.log.is_available();
        let patience = if is_available { self.options.timeout } else { PATIENCE };
        let mut state = self.state.lock();
        if state.pending.first().is_some_and(|item| item.since.elapsed() > patience) {
            self.go_direct(&mut state, &local);
        }
        let is_needed = state.is_direct || state.watermark == LowWatermark::Unknown;
        let is_late = state.fence.is_none_or(|(_, sent)| sent.elapsed() > self.options.timeout);
        if is_needed && is_late && is_available {
            self.send_fence(&mut state);
        }
        if state.watermark_written.elapsed() > self.live.interval() {
            self.write_watermark(&mut state);
        }
    }

    // ---- parts -------------------------------------------------------------------------------------------------------

    /// Delivers at once what waits, and from now on all that is emitted.
    fn go_direct(&self, state: &mut State, local: &Local) {
        if !state.is_direct {
            tracing::warn!(
                namespace = &*self.namespace,
                "the log does not answer: events are delivered to own clients without an offset"
            );
        }
        state.is_direct = true;
        state.fence = None;
        state.watermark = LowWatermark::Unknown;
        // Before the events that are sent from now on.
        self.write_watermark(state);
        while let Some(item) = state.pending.pop() {
            if let Some(number) = item.number {
                state.direct_until = number;
                self.options.metrics.unlogged.increment();
                local.deliver(&item.packet, &item.target);
            } else {
                self.deliver_now(local, item.packet, &item.target);
            }
        }
        self.drained.notify_waiters();
    }

    /// Delivers an event that is not kept. A client takes for an offset whatever string it gets last: where an event ends with one,
    /// the offset that the client has already follows it.
    fn deliver_now(&self, local: &Local, packet: Packet, target: &Target) {
        let is_misleading = matches!(&packet.body, PacketBody::Event { args, .. } if args.ends_with_string());
        match self.log.cursor().position().filter(|_| is_misleading) {
            Some(position) => local.deliver(&with_offset(packet, position), target),
            None => local.deliver(&packet, target),
        }
    }

    fn begin_tail(&self, state: &mut State) {
        if !state.tail.has_begun()
            && let Some(position) = self.log.cursor().begun()
        {
            state.tail.begin(position);
        }
    }

    /// The namespace hears what comes after this: called when its bus is open, before the first message.
    pub fn begin(&self) {
        self.is_open.store(true, Ordering::Release);
        let mut state = self.state.lock();
        if let Some(position) = self.log.cursor().position() {
            state.tail.begin(position);
        }
        self.write_watermark(&mut state);
    }

    fn send_fence(&self, state: &mut State) {
        let number = state.take_number();
        state.fence = self.log.append(self.fence(), number).then(|| (number, Instant::now()));
    }

    /// Nobody is in the room, and nobody leaves any.
    fn fence(&self) -> Message {
        let mut target = Target::default();
        target.rooms.push((&*self.node).into());
        Message::LeaveSockets { target, rooms: Vec::new() }
    }

    fn note_published(&self, is_sent: bool) {
        let metrics = &self.options.cluster_metrics;
        if is_sent { metrics.published.increment() } else { metrics.publish_errors.increment() }
    }

    fn raise_watermark(&self, state: &mut State, position: Position) {
        state.watermark.raise(position);
        self.write_watermark(state);
    }

    /// The store may have lost it.
    pub(super) fn write_watermark_again(&self) {
        self.write_watermark(&mut self.state.lock());
    }

    /// Written anew before it ends: it outlives the sessions that it is for.
    fn write_watermark(&self, state: &mut State) {
        state.watermark_written = Instant::now();
        // If there is no room, it is written at the next tick.
        let _full = self.store.put_watermark(state.watermark, 2 * self.live.keep());
    }
}

impl State {
    fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

pub(super) fn with_offset(mut packet: Packet, position: Position) -> Packet {
    if let PacketBody::Event { args, .. } = &mut packet.body {
        args.push_str(&position.to_string());
    }
    packet
}

/// How long an event waits for the log while that is not available. While it is, the wait is the time that an answer may take.
const PATIENCE: Duration = Duration::from_millis(500);
