//! The backlog: packets of a client of which too many handlers wait.
//!
//! Events that find the bound on waiting handlers reached are put here, and what comes behind them, so that the order stays.
//! Reading goes on, and acknowledgements and heartbeats pass by: a handler may be waiting for just these. When the backlog is
//! full as well, reading pauses, and the client feels it. Whoever reads for the connection works the backlog off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use sockeye_protocol::CloseReason;
use sockeye_protocol::socket::{Packet, PacketBody};

use super::Client;
use crate::server::Conn;
use crate::telemetry::Bound;
use sockeye_engine::{Charge, Holder};
use sockeye_engine::{Ending, Readiness, pressure};

/// Packets in the order in which they came.
#[derive(Default)]
pub(super) struct Backlog {
    packets: VecDeque<(Packet, Charge)>,
    bytes: usize,
    /// Somebody works it off.
    is_busy: bool,
}

/// How much of what a client sent is still at work.
#[derive(Default)]
pub(super) struct Load {
    /// How the backlog stands.
    backlog: AtomicU8,
    /// Handlers that wait.
    handlers: AtomicU32,
    /// The bytes that waiting handlers hold.
    bytes: AtomicUsize,
}

const EMPTY: u8 = 0;
const SOME: u8 = 1;
const FULL: u8 = 2;

impl Client {
    /// Counts a handler that has begun to wait, and what it holds.
    pub(crate) fn handler_waits(&self, conn: &Conn, bytes: usize) {
        self.load.handlers.fetch_add(1, Ordering::SeqCst);
        if bytes > 0 {
            self.load.bytes.fetch_add(bytes, Ordering::SeqCst);
            // It holds them whether or not it may: from here on, others wait.
            conn.account().add(Holder::Events, bytes);
        }
    }

    /// Counts a handler that waits no longer.
    pub(crate) fn handler_done(&self, conn: &Conn, bytes: usize) {
        self.load.handlers.fetch_sub(1, Ordering::SeqCst);
        if bytes > 0 {
            self.load.bytes.fetch_sub(bytes, Ordering::SeqCst);
            conn.account().give_back(Holder::Events, bytes);
        }
        if self.has_backlog() {
            conn.resume();
        }
    }

    /// Whether the client's next events must wait: as many handlers wait as may, they hold as much as they may, or the recipients
    /// of what it sends cannot follow.
    fn is_saturated(&self, conn: &Conn) -> bool {
        let options = &conn.app().options;
        let handlers = usize::try_from(self.load.handlers.load(Ordering::SeqCst)).unwrap_or(usize::MAX);
        if handlers >= options.limits.max_handlers.max(1) || conn.is_held_back() {
            return true;
        }
        let bytes = self.load.bytes.load(Ordering::SeqCst);
        let most = options.max_http_buffer_size.saturating_mul(MESSAGES);
        bytes > 0 && (bytes >= most || !conn.account().has_room(Holder::Events, bytes, 0))
    }

    /// Hands a packet on, or puts it into the backlog.
    pub(super) fn handle_or_defer(&self, conn: &Arc<Conn>, packet: Packet) {
        let passes = matches!(packet.body, PacketBody::Ack(_));
        if passes || (!self.has_backlog() && !self.is_saturated(conn)) {
            return pressure::watch(conn, || super::handle_packet(conn, packet));
        }
        let options = &conn.app().options;
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        let backlog = &mut state.rare().backlog;
        let Some(charge) = Charge::take(conn.account(), Holder::Events, backlog.bytes, size(&packet)) else {
            drop(state);
            return conn.close(CloseReason::Overload, Ending::Gone, "too many bytes of events wait for their handlers");
        };
        backlog.bytes += charge.bytes();
        backlog.packets.push_back((packet, charge));
        let is_full = backlog.packets.len() >= options.limits.max_handlers.max(1)
            || backlog.bytes >= options.max_http_buffer_size;
        self.load.backlog.store(if is_full { FULL } else { SOME }, Ordering::SeqCst);
    }

    fn has_backlog(&self) -> bool {
        self.load.backlog.load(Ordering::SeqCst) != EMPTY
    }

    fn is_full(&self) -> bool {
        self.load.backlog.load(Ordering::SeqCst) == FULL
    }

    pub(super) fn readiness(&self) -> Readiness {
        match self.load.backlog.load(Ordering::SeqCst) {
            EMPTY => Readiness::Ready,
            FULL => Readiness::Full,
            _ => Readiness::Behind,
        }
    }

    /// Works off the backlog as far as it may. Ready when it is not full, and reading may go on.
    pub(super) fn poll_ready(&self, conn: &Arc<Conn>, context: &mut Context<'_>) -> Poll<()> {
        while self.has_backlog() {
            let is_ours = self.work_off(conn);
            if !is_ours && self.is_full() {
                // Another reader of the session is at it, a POST from before the upgrade; soon it is done.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Pending: whoever reads on is woken by the next handler that ends, too.
            match (self.poll_resumed(conn, context), is_ours) {
                (Poll::Ready(()), true) => {}
                (Poll::Ready(()), false) => {
                    // The other one may be done with it, and wakes nobody then.
                    context.waker().wake_by_ref();
                    break;
                }
                (Poll::Pending, _) if self.is_full() => return Poll::Pending,
                (Poll::Pending, _) => break,
            }
        }
        Poll::Ready(())
    }

    /// Hands on what is in the backlog, as far as it may. False if somebody else is at it.
    fn work_off(&self, conn: &Arc<Conn>) -> bool {
        let before = self.readiness();
        let is_mine = self.hand_on(conn);
        // Another reader may wait because it was full, or for it to be empty. The handlers that end now see less of it, and wake nobody.
        if is_mine && self.readiness() != before {
            conn.resume();
        }
        is_mine
    }

    fn hand_on(&self, conn: &Arc<Conn>) -> bool {
        let mut is_mine = false;
        loop {
            let packet = {
                let mut state = self.state.lock();
                let is_closed = !conn.is_open();
                let backlog = &mut state.rare().backlog;
                if backlog.is_busy && !is_mine {
                    return false;
                }
                is_mine = true;
                if is_closed {
                    *backlog = Backlog::default();
                }
                if backlog.packets.is_empty() {
                    backlog.is_busy = false;
                    self.load.backlog.store(EMPTY, Ordering::SeqCst);
                    return true;
                }
                if self.is_saturated(conn) {
                    backlog.is_busy = false;
                    return true;
                }
                backlog.is_busy = true;
                self.load.backlog.store(SOME, Ordering::SeqCst);
                let packet = backlog.packets.pop_front();
                if let Some((_, charge)) = &packet {
                    backlog.bytes = backlog.bytes.saturating_sub(charge.bytes());
                }
                packet
            };
            if let Some((packet, _charge)) = packet {
                pressure::watch(conn, || super::handle_packet(conn, packet));
            }
        }
    }

    /// Ready when the backlog can be worked on.
    fn poll_resumed(&self, conn: &Conn, context: &mut Context<'_>) -> Poll<()> {
        if self.is_full() && conn.pause() && !conn.is_held_back() {
            conn.app().metrics.bound_reached(Bound::Handlers, conn.id());
        }
        if !conn.wake_on_resume(context.waker()) {
            return Poll::Ready(()); // the session is closed
        }
        // A handler that ended before the waker was there has not woken anybody.
        if self.is_saturated(conn) { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Backlog {
    /// Lets go of the packets of a session that is closed.
    pub(super) fn clear(&mut self) {
        self.packets = VecDeque::new();
        self.bytes = 0;
    }
}

/// How many of the largest messages the waiting handlers of a client may hold.
const MESSAGES: usize = 4;

fn size(packet: &Packet) -> usize {
    let auth = match &packet.body {
        PacketBody::Connect(Some(auth)) => auth.len(),
        _ => 0,
    };
    packet.args().map_or(auth, |args| args.bytes()) + size_of::<(Packet, Charge)>()
}
