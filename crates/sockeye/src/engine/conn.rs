//! A live connection: one Engine.IO session, its outbox, and the transport that carries it now.
//!
//! ```text
//!   Open ──close()──► Closing ──all written, or the close timeout──► Closed
//!     └──────────the transport is gone──────────────────────────────►┘
//! ```
//! Whoever has something for the client pushes it into the outbox and marks the connection dirty; the flusher, or the
//! connection's own reader at the end of its turn, writes. Lock order: the state is the innermost lock, and no code of the
//! program runs under it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use socket2::SockRef;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{
    Data, Outcome, Packet, PacketKind, PayloadBody, PayloadEncoder, Revision, Session, SessionInfo, Timeout,
    TransportKind,
};
use sockeye_protocol::socket::Decoder;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, oneshot};

use super::encoded::{Encoded, Variant};
use super::id::Id;
use super::now;
use super::outbox::{MAX_SLICES, Outbox};
use crate::client::Client;
use crate::request::RequestInfo;
use crate::server::ServerInner;
use crate::telemetry::Bound;

/// A connection. Shared by its reader, the registry, the flusher and its sockets.
pub(crate) struct Conn {
    id: Id,
    server: Arc<ServerInner>,
    request: RequestInfo,
    shard: u16,
    /// In the flusher's list, or about to be flushed by its own reader.
    dirty: AtomicBool,
    /// Reading is paused because too many handlers wait.
    paused: AtomicBool,
    /// Handlers that wait.
    handlers: AtomicU32,
    state: Mutex<State>,
    inbound: Mutex<Decoder>,
    pub(crate) client: Client,
}

struct State {
    session: Session,
    outbox: Outbox,
    lane: Lane,
    phase: Phase,
    /// permessage-deflate was negotiated: the size from which it is used.
    deflate: Option<u32>,
    /// The client reads no binary (`b64=1`).
    base64: bool,
    /// A POST is being handled.
    posting: bool,
    /// A task waits for the transport to take more.
    draining: bool,
    /// A long-polling client still has to be told of the close.
    owes_close: bool,
    /// The outbox went over its bound.
    overflowed: bool,
    /// The earliest entry in the wheel.
    armed: Option<Instant>,
    /// When the phase has lasted too long: no namespace joined, or not closed.
    phase_deadline: Option<Instant>,
    rare: Option<Box<Rare>>,
}

/// What few connections have, and only for a while.
#[derive(Default)]
struct Rare {
    attachment_deadline: Option<Instant>,
    probe: Option<Arc<Notify>>,
    resume: Option<Waker>,
}

/// What carries the session.
enum Lane {
    /// Long-polling, with the GET that waits for data.
    Polling(Option<PendingPoll>),
    /// A TCP socket that any thread may write to.
    Tcp(OwnedWriteHalf),
    /// A stream that only its own task can write to (TLS, HTTP/2), with that task's waker.
    Stream(Option<Waker>),
    Closed,
}

struct PendingPoll {
    supports_binary: bool,
    reply: oneshot::Sender<PollReply>,
}

/// The body of a long-polling response.
pub(crate) struct PollReply {
    pub(crate) body: PayloadBody,
    pub(crate) compress: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Open, and in no namespace yet.
    Unjoined,
    Joined,
    Closing,
    Closed,
}

/// What becomes of the transport when a session closes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// It takes what is queued, and then a close without a status.
    Graceful,
    /// The same, with a WebSocket close code.
    Code(u16),
    /// It is gone, or not worth waiting for.
    Gone,
}

/// A second GET, or a GET on a session that is not long-polling.
#[derive(Debug)]
pub(crate) struct PollRefused;

thread_local! {
    /// The connection whose reader runs on this thread: it flushes itself at the end of its turn.
    static READING: Cell<*const Conn> = const { Cell::new(std::ptr::null()) };
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Conn {
    /// Opens a session and enters it into the registry. The open packet is in the outbox.
    pub(crate) fn open(
        server: &Arc<ServerInner>,
        id: Id,
        request: RequestInfo,
        revision: Revision,
        transport: TransportKind,
    ) -> Arc<Self> {
        let now = super::now();
        let options = &server.options;
        let base64 = request.query("b64").is_some_and(|value| !value.is_empty());
        let conn = Arc::new(Self {
            id,
            server: server.clone(),
            request,
            shard: server.next_shard(),
            dirty: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            handlers: AtomicU32::new(0),
            state: Mutex::new(State {
                session: Session::new(revision, transport, &server.session, now),
                outbox: Outbox::default(),
                lane: match transport {
                    TransportKind::Polling => Lane::Polling(None),
                    TransportKind::WebSocket => Lane::Closed,
                },
                phase: Phase::Unjoined,
                deflate: None,
                base64,
                posting: false,
                draining: false,
                owes_close: false,
                overflowed: false,
                armed: None,
                phase_deadline: now.checked_add(options.connect_timeout),
                rare: None,
            }),
            inbound: Mutex::new(Decoder::new(options.parser)),
            client: Client::default(),
        });
        conn.queue(Encoded::control(PacketKind::Open, &server.open_packet(&conn.id, transport)));
        if let Some(text) = &options.initial_packet {
            conn.queue(Encoded::message(text));
        }
        server.metrics.opened.increment();
        server.metrics.connections.add(1);
        server.metrics.unjoined.add(1);
        server.registry.insert(conn.clone());
        conn.arm();
        conn
    }

    pub(crate) fn id(&self) -> &Id {
        &self.id
    }

    pub(crate) fn server(&self) -> &Arc<ServerInner> {
        &self.server
    }

    pub(crate) fn request(&self) -> &RequestInfo {
        &self.request
    }

    pub(crate) fn shard(&self) -> usize {
        usize::from(self.shard)
    }

    pub(crate) fn info(&self) -> SessionInfo {
        let state = self.state.lock();
        SessionInfo { transport: state.session.transport(), revision: state.session.revision() }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.state.lock().session.revision()
    }

    pub(crate) fn transport(&self) -> TransportKind {
        self.state.lock().session.transport()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().session.is_open()
    }

    // ---- out ---------------------------------------------------------------------------------------------------------

    /// Queues a packet. A volatile one is dropped unless the transport could take it now.
    pub(crate) fn send(self: &Arc<Self>, packet: Encoded, volatile: bool) {
        {
            let mut state = self.state.lock();
            if !state.session.is_open() {
                return;
            }
            if volatile && !state.is_writable() {
                self.server.metrics.volatile_dropped.increment();
                return;
            }
            let limit = self.server.options.limits.max_outbox_bytes;
            if !state.outbox.is_empty() && state.outbox.bytes() + packet.len() > limit {
                // The flusher closes the connection: the sender must not run its disconnect handlers.
                state.overflowed = true;
                state.outbox.clear();
            } else if !state.overflowed {
                state.outbox.push(packet);
            }
        }
        self.server.metrics.packets_sent.increment();
        self.mark_dirty();
    }

    /// Queues what belongs to the handshake or the close, whatever the bounds.
    fn queue(self: &Arc<Self>, packet: Encoded) {
        self.state.lock().outbox.push(packet);
        self.mark_dirty();
    }

    fn mark_dirty(self: &Arc<Self>) {
        if !self.dirty.swap(true, Ordering::AcqRel) && READING.get() != Arc::as_ptr(self) {
            self.server.flusher.push(self.clone());
        }
    }

    /// Runs one turn of this connection's reader: what it pushes for itself is flushed at the end, without the flusher.
    pub(crate) fn turn<R>(self: &Arc<Self>, run: impl FnOnce() -> R) -> R {
        /// Puts back what was there, even if the program's code panics.
        struct Before(*const Conn);
        impl Drop for Before {
            fn drop(&mut self) {
                READING.set(self.0);
            }
        }
        let before = Before(READING.replace(Arc::as_ptr(self)));
        let result = run();
        drop(before);
        if self.dirty.load(Ordering::Acquire) {
            self.flush();
        }
        result
    }

    /// Writes as much of the outbox as the transport takes.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.dirty.store(false, Ordering::Release);
        let mut state = self.state.lock();
        if state.overflowed && state.session.is_open() {
            drop(state);
            self.server.metrics.bound_reached(Bound::Outbox, &self.id);
            self.close(CloseReason::SlowConsumer, Ending::Gone, "the client does not read");
            return;
        }
        match state.write() {
            Written::All | Written::Later => {}
            Written::Blocked if state.draining => {}
            Written::Blocked => {
                state.draining = true;
                let conn = self.clone();
                drop(state);
                self.server.spawn(async move { conn.drain().await });
                return;
            }
            Written::Failed(error) => {
                drop(state);
                self.transport_ended(CloseReason::TransportError, &error.to_string());
                return;
            }
        }
        if state.is_finished() {
            drop(state);
            self.finish();
        }
    }

    /// Writes after back-pressure: waits until the socket takes more, until all is written. Only then is there a task for it.
    async fn drain(self: Arc<Self>) {
        loop {
            let ready = std::future::poll_fn(|context| {
                let state = self.state.lock();
                match &state.lane {
                    Lane::Tcp(write) => write.as_ref().poll_write_ready(context),
                    _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                }
            })
            .await;
            let mut state = self.state.lock();
            if ready.is_ok() && matches!(state.write(), Written::Blocked) {
                continue;
            }
            state.draining = false;
            drop(state);
            // Says again what failed, if anything did, and finishes a close that waited for this.
            return self.flush();
        }
    }

    /// For a stream that only its own task can write to: writes with `write`, and leaves the task's waker.
    pub(crate) fn poll_stream_write(
        self: &Arc<Self>,
        waker: &Waker,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        match &mut state.lane {
            Lane::Stream(slot) => {
                if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
                    *slot = Some(waker.clone());
                }
            }
            _ => return Poll::Ready(Ok(())),
        }
        let variant = state.variant();
        while !state.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = state.outbox.slices(variant, &mut slices);
            match write(slices.get(..count).unwrap_or_default()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => state.outbox.advance(variant, written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if state.is_finished() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    // ---- long-polling ------------------------------------------------------------------------------------------------

    /// A GET: its response comes when there is data.
    pub(crate) fn poll(self: &Arc<Self>, supports_binary: bool) -> Result<oneshot::Receiver<PollReply>, PollRefused> {
        let (reply, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        let is_base64 = state.base64;
        let Lane::Polling(pending) = &mut state.lane else { return Err(PollRefused) };
        if pending.is_some() {
            drop(state);
            self.close(CloseReason::TransportError, Ending::Graceful, "overlap from client");
            return Err(PollRefused);
        }
        *pending = Some(PendingPoll { supports_binary: supports_binary && !is_base64, reply });
        drop(state);
        self.turn(|| self.dirty.store(true, Ordering::Release));
        Ok(receiver)
    }

    /// A POST begins; false if one is being handled already, which ends the session.
    pub(crate) fn begin_post(self: &Arc<Self>) -> bool {
        let overlaps = std::mem::replace(&mut self.state.lock().posting, true);
        if overlaps {
            self.close(CloseReason::TransportError, Ending::Graceful, "data request overlap from client");
        }
        !overlaps
    }

    /// The POST is handled.
    pub(crate) fn end_post(&self) {
        self.state.lock().posting = false;
    }

    // ---- WebSocket ---------------------------------------------------------------------------------------------------

    /// The session's own WebSocket is there: what is queued goes out on it.
    pub(crate) fn attach(self: &Arc<Self>, write: Option<OwnedWriteHalf>, deflate: Option<usize>) {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return;
        }
        state.lane = write.map_or(Lane::Stream(None), Lane::Tcp);
        state.deflate = deflate.and_then(|threshold| u32::try_from(threshold).ok());
        drop(state);
        self.dirty.store(true, Ordering::Release);
        self.flush();
    }

    /// A WebSocket wants to take over from long-polling. The [`Notify`] tells it when it must give up.
    pub(crate) fn begin_probe(self: &Arc<Self>) -> Option<Arc<Notify>> {
        let mut state = self.state.lock();
        state.session.handle_probe_start(&self.server.session, now()).ok()?;
        let abort = Arc::new(Notify::new());
        state.rare().probe = Some(abort.clone());
        drop(state);
        self.arm();
        Some(abort)
    }

    /// A packet on the probing WebSocket.
    pub(crate) fn handle_probe_packet(self: &Arc<Self>, packet: Packet<'_>) -> sockeye_protocol::engine::ProbeOutcome {
        let outcome = self.state.lock().session.handle_probe_packet(packet, &self.server.session, now());
        self.arm();
        outcome
    }

    /// The probing WebSocket takes over. A GET that still waits is answered, so that the client can let go of it.
    pub(crate) fn complete_upgrade(self: &Arc<Self>, write: Option<OwnedWriteHalf>, deflate: Option<usize>) {
        {
            let mut state = self.state.lock();
            if let Some(rare) = &mut state.rare {
                rare.probe = None;
            }
            state.answer_noop();
        }
        self.server.metrics.upgrades.increment();
        self.attach(write, deflate);
    }

    /// The probing WebSocket is gone; the session stays on long-polling.
    pub(crate) fn abort_probe(&self) {
        let mut state = self.state.lock();
        state.session.handle_probe_closed();
        if let Some(rare) = &mut state.rare {
            rare.probe = None;
        }
    }

    // ---- in ----------------------------------------------------------------------------------------------------------

    /// A packet on the session's transport. False when the session is closed, and the rest of the input is not wanted.
    pub(crate) fn handle_packet(self: &Arc<Self>, packet: Packet<'_>, now: Instant) -> bool {
        let outcome = self.state.lock().session.handle_packet(packet, &self.server.session, now);
        match outcome {
            Outcome::Ignored => {}
            Outcome::Message(data) => self.handle_message(data),
            Outcome::Pong => self.send(Encoded::control(PacketKind::Pong, ""), false),
            Outcome::Closed(reason) => self.session_closed(reason, Ending::Graceful, "by a packet of the client"),
        }
        let state = self.state.lock();
        if state.overflowed {
            drop(state);
            // Its further events would be answered into nothing.
            self.flush();
            return false;
        }
        state.session.is_open()
    }

    fn handle_message(self: &Arc<Self>, data: Data<'_>) {
        let limits = &self.server.parser_limits;
        let mut decoder = self.inbound.lock();
        let was_pending = decoder.is_pending();
        let decoded = match data {
            Data::Text(text) => decoder.decode_text(&text, limits),
            Data::Binary(data) => decoder.decode_binary(Bytes::from(data.into_owned()), limits),
        };
        let is_pending = decoder.is_pending();
        drop(decoder);
        if was_pending != is_pending {
            let timeout = self.server.options.limits.attachment_timeout;
            self.state.lock().rare().attachment_deadline = is_pending.then(|| now().checked_add(timeout)).flatten();
            self.arm();
        }
        match decoded {
            Ok(Some(packet)) => crate::client::handle_packet(self, packet),
            Ok(None) => {}
            Err(error) => self.close(CloseReason::ForcedClose, Ending::Graceful, &error.to_string()),
        }
    }

    /// The client joined its first namespace.
    pub(crate) fn joined(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Unjoined {
            state.phase = Phase::Joined;
            state.phase_deadline = None;
            drop(state);
            self.server.metrics.unjoined.add(-1);
        }
    }

    // ---- handlers that wait ------------------------------------------------------------------------------------------

    pub(crate) fn handler_waits(&self) {
        self.handlers.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn handler_done(&self) {
        self.handlers.fetch_sub(1, Ordering::AcqRel);
        if self.paused.load(Ordering::Acquire) {
            let waker = self.state.lock().rare.as_mut().and_then(|rare| rare.resume.take());
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Whether the client must wait: as many handlers wait as may.
    pub(crate) fn is_saturated(&self) -> bool {
        usize::try_from(self.handlers.load(Ordering::Acquire)).unwrap_or(usize::MAX)
            >= self.server.options.limits.max_handlers
    }

    /// Ready when fewer handlers wait than may. Heartbeats do not run out meanwhile.
    pub(crate) fn poll_resumed(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.paused.swap(true, Ordering::AcqRel) {
            self.server.metrics.bound_reached(Bound::Handlers, &self.id);
        }
        let mut state = self.state.lock();
        if !state.session.is_open() {
            return Poll::Ready(());
        }
        state.rare().resume = Some(context.waker().clone());
        // A handler that ended before the waker was there has not woken anybody.
        if self.is_saturated() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Ready when the session is closed. For whoever reads for it, as [`poll_resumed`](Self::poll_resumed) is.
    pub(crate) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.session.is_open() {
            return Poll::Ready(());
        }
        state.rare().resume = Some(context.waker().clone());
        Poll::Pending
    }

    /// What was in flight during a pause is read: heartbeats count again.
    pub(crate) fn read_again(&self) {
        if self.paused.load(Ordering::Relaxed) {
            self.paused.store(false, Ordering::Release);
        }
    }

    // ---- time --------------------------------------------------------------------------------------------------------

    /// Enters the earliest deadline into the wheel, unless an entry is there that is as early.
    fn arm(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let Some(next) = state.next_deadline() else { return };
        if state.armed.is_none_or(|armed| next < armed) {
            state.armed = Some(next);
            drop(state);
            self.server.wheel.insert(self, next);
        }
    }

    /// The wheel came to an entry of this connection.
    pub(crate) fn handle_timeout(self: &Arc<Self>, now: Instant) {
        {
            let mut state = self.state.lock();
            if state.armed.is_some_and(|armed| armed > now) {
                return; // an entry that an earlier one replaced
            }
            state.armed = None;
        }
        self.handle_phase_timeout(now);
        if self.paused.load(Ordering::Acquire) && self.is_open() {
            // Heartbeat answers wait unread behind the pause; look again later.
            let later = now + self.server.options.ping_timeout.min(Duration::from_secs(1));
            self.state.lock().armed = Some(later);
            self.server.wheel.insert(self, later);
            return;
        }
        self.handle_session_timeout(now);
        self.arm();
    }

    fn handle_session_timeout(self: &Arc<Self>, now: Instant) {
        loop {
            let timeout = self.state.lock().session.handle_timeout(&self.server.session, now);
            match timeout {
                Timeout::None => return,
                Timeout::Ping => self.send(Encoded::control(PacketKind::Ping, ""), false),
                Timeout::Noop => self.state.lock().answer_noop(),
                Timeout::AbortProbe => self.state.lock().notify_probe(),
                Timeout::Close(reason) => {
                    self.session_closed(reason, Ending::Graceful, "no heartbeat from the client");
                    return;
                }
            }
        }
    }

    fn handle_phase_timeout(self: &Arc<Self>, now: Instant) {
        let state = self.state.lock();
        let phase = state.phase;
        let is_over = state.phase_deadline.is_some_and(|deadline| deadline <= now);
        let is_incomplete =
            state.rare.as_ref().and_then(|rare| rare.attachment_deadline).is_some_and(|deadline| deadline <= now);
        drop(state);
        match phase {
            Phase::Unjoined if is_over => {
                self.server.metrics.bound_reached(Bound::ConnectTime, &self.id);
                self.close(CloseReason::ForcedServerClose, Ending::Graceful, "joined no namespace in time");
            }
            Phase::Closing if is_over => self.finish(),
            Phase::Unjoined | Phase::Joined if is_incomplete => {
                self.server.metrics.bound_reached(Bound::AttachmentTime, &self.id);
                self.close(CloseReason::ForcedClose, Ending::Graceful, "attachments did not arrive in time");
            }
            _ => {}
        }
    }

    // ---- the end -----------------------------------------------------------------------------------------------------

    /// Closes the session from our side. The first reason counts.
    pub(crate) fn close(self: &Arc<Self>, reason: CloseReason, ending: Ending, detail: &str) {
        if self.state.lock().session.close(reason) {
            self.session_closed(reason, ending, detail);
        }
    }

    /// The transport failed, or its other side is gone.
    pub(crate) fn transport_ended(self: &Arc<Self>, reason: CloseReason, detail: &str) {
        self.close(reason, Ending::Gone, detail);
        self.finish();
    }

    /// The session has just been closed: ends its sockets, and lets the transport finish.
    fn session_closed(self: &Arc<Self>, reason: CloseReason, ending: Ending, detail: &str) {
        let mut state = self.state.lock();
        let was_unjoined = state.phase == Phase::Unjoined;
        state.phase = Phase::Closing;
        let now = super::now();
        state.phase_deadline = Some(now + self.server.options.limits.close_timeout);
        state.notify_probe();
        if let Some(rare) = state.rare.take()
            && let Some(waker) = rare.resume
        {
            waker.wake();
        }
        let is_polling = matches!(state.lane, Lane::Polling(_));
        match (ending, &state.lane) {
            (Ending::Gone, _) => state.outbox.clear(),
            (_, Lane::Polling(_)) if reason == CloseReason::TransportClose => state.answer_noop(),
            (_, Lane::Polling(Some(_))) if state.outbox.is_empty() => {
                state.outbox.push(Encoded::control(PacketKind::Close, ""));
            }
            // A response of its own: the official client drops what comes before a close in the same one.
            (_, Lane::Polling(_)) => state.owes_close = true,
            (Ending::Code(code), _) => {
                let mut frame = Vec::new();
                sockeye_websocket::write_close(&mut frame, Some(code), "");
                state.outbox.push(Encoded::frames(frame));
            }
            (Ending::Graceful, _) => {
                let mut frame = Vec::new();
                sockeye_websocket::write_close(&mut frame, None, "");
                state.outbox.push(Encoded::frames(frame));
            }
        }
        drop(state);

        let server = &self.server;
        server.metrics.connections.add(-1);
        if was_unjoined {
            server.metrics.unjoined.add(-1);
        }
        server.metrics.session_closed(&self.id, reason, detail);
        // Of a close that we decided on, a long-polling client still has to fetch the packet. Where the fault is the
        // client's, or the transport's, the session is unknown at once.
        let waits_for_poll = is_polling
            && !matches!(ending, Ending::Gone)
            && !matches!(
                reason,
                CloseReason::TransportClose
                    | CloseReason::TransportError
                    | CloseReason::ParseError
                    | CloseReason::PingTimeout
            );
        if !waits_for_poll {
            server.registry.remove(&self.id);
        }
        self.mark_dirty();
        self.arm();
        crate::client::handle_close(self, reason);
        if matches!(ending, Ending::Gone) {
            self.finish();
        }
    }

    /// Lets go of the transport.
    fn finish(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.session.is_open() || state.phase == Phase::Closed {
            return;
        }
        state.phase = Phase::Closed;
        state.phase_deadline = None;
        state.outbox.clear();
        match std::mem::replace(&mut state.lane, Lane::Closed) {
            Lane::Tcp(write) => {
                // Wakes the reader as well, which may still wait for the peer.
                let _gone_already = SockRef::from(write.as_ref()).shutdown(std::net::Shutdown::Both);
            }
            Lane::Stream(Some(waker)) => waker.wake(),
            Lane::Polling(_) | Lane::Stream(None) | Lane::Closed => {}
        }
        drop(state);
        self.server.registry.remove(&self.id);
    }

    /// Whether the transport is no longer wanted.
    pub(crate) fn is_finished(&self) -> bool {
        self.state.lock().phase == Phase::Closed
    }
}

enum Written {
    All,
    /// Its own task, or the next GET, takes it.
    Later,
    Blocked,
    Failed(io::Error),
}

impl State {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn variant(&self) -> Variant {
        Variant {
            revision: self.session.revision(),
            base64: self.base64,
            deflate: self.deflate.and_then(|threshold| usize::try_from(threshold).ok()),
        }
    }

    /// Whether a packet that is pushed now goes out at once.
    fn is_writable(&self) -> bool {
        match &self.lane {
            Lane::Polling(pending) => pending.is_some() && self.outbox.is_empty(),
            Lane::Tcp(_) => !self.draining,
            // What waits here was not taken by the stream yet; some of it may be of this very turn.
            Lane::Stream(_) => self.outbox.bytes() < 64 * 1024,
            Lane::Closed => false,
        }
    }

    fn write(&mut self) -> Written {
        let variant = self.variant();
        match &mut self.lane {
            Lane::Tcp(write) => {
                while !self.outbox.is_empty() {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let count = self.outbox.slices(variant, &mut slices);
                    match write.try_write_vectored(slices.get(..count).unwrap_or_default()) {
                        Ok(written) => self.outbox.advance(variant, written),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Blocked,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Written::Failed(error),
                    }
                }
                Written::All
            }
            Lane::Stream(waker) => {
                if let Some(waker) = waker.take() {
                    waker.wake();
                }
                Written::Later
            }
            Lane::Polling(pending) => {
                if self.owes_close && pending.is_some() && self.outbox.is_empty() {
                    self.owes_close = false;
                    // As the official server: a close that had to wait for a GET comes behind a noop.
                    self.outbox.push(Encoded::control(PacketKind::Noop, ""));
                    self.outbox.push(Encoded::control(PacketKind::Close, ""));
                }
                if !self.outbox.is_empty()
                    && let Some(poll) = pending.take()
                {
                    let mut payload = PayloadEncoder::new(variant.revision, poll.supports_binary);
                    let compress = self.outbox.drain_into(&mut payload);
                    // A client that went away meanwhile is noticed by the guard of its request.
                    let _gone = poll.reply.send(PollReply { body: payload.finish(), compress });
                }
                Written::Later
            }
            Lane::Closed => Written::Later,
        }
    }

    /// Whether the session is closed and all was written.
    fn is_finished(&self) -> bool {
        match &self.lane {
            // The reader waits for the peer's close frame, until the close timeout.
            Lane::Tcp(_) => false,
            Lane::Polling(_) | Lane::Stream(_) => {
                self.phase == Phase::Closing && self.outbox.is_empty() && !self.owes_close
            }
            Lane::Closed => self.phase == Phase::Closing,
        }
    }

    /// Answers a GET that waits with a packet that says nothing.
    fn answer_noop(&mut self) {
        let revision = self.session.revision();
        if let Lane::Polling(pending) = &mut self.lane
            && let Some(poll) = pending.take()
        {
            let mut payload = PayloadEncoder::new(revision, poll.supports_binary);
            payload.push_text(PacketKind::Noop, "");
            let _gone = poll.reply.send(PollReply { body: payload.finish(), compress: false });
        }
    }

    fn notify_probe(&mut self) {
        if let Some(probe) = self.rare.as_mut().and_then(|rare| rare.probe.take()) {
            probe.notify_one();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let attachments = self.rare.as_ref().and_then(|rare| rare.attachment_deadline);
        [self.session.poll_timeout(), self.phase_deadline, attachments].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every connection pays for these; what few need goes into [`Rare`].
    #[test]
    fn a_connection_stays_small() {
        assert!(size_of::<State>() <= 176, "{}", size_of::<State>());
        assert!(size_of::<Conn>() <= 320, "{}", size_of::<Conn>());
    }
}
