//! The backlog: packets of a client of which too many handlers wait.
//!
//! Events that find the bound on waiting handlers reached are put here, and what comes behind them, so that the order stays.
//! Reading goes on, and acknowledgements and heartbeats pass by: a handler may be waiting for just these. When the backlog is
//! full as well, reading pauses, and the client feels it. Whoever reads for the connection works the backlog off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use sockeye_protocol::CloseReason;
use sockeye_protocol::socket::{Packet, PacketBody};

use super::{Conn, Ending};
use crate::budget::{Charge, Holder};
use crate::engine::pressure;
use crate::telemetry::Bound;

/// Packets in the order in which they came.
#[derive(Default)]
pub(super) struct Backlog {
    packets: VecDeque<(Packet, Charge)>,
    bytes: usize,
    /// Somebody works it off.
    is_busy: bool,
    /// A task of its own waits to work it off.
    has_task: bool,
}

const EMPTY: u8 = 0;
const SOME: u8 = 1;
const FULL: u8 = 2;

impl Conn {
    /// Counts a handler that has begun to wait, and what it holds.
    pub(crate) fn handler_waits(&self, bytes: usize) {
        self.handlers.fetch_add(1, Ordering::SeqCst);
        if bytes > 0 {
            self.waiting_bytes.fetch_add(bytes, Ordering::SeqCst);
            // It holds them whether or not it may: from here on, others wait.
            self.account().add(Holder::Events, bytes);
        }
    }

    /// Counts a handler that waits no longer.
    pub(crate) fn handler_done(&self, bytes: usize) {
        self.handlers.fetch_sub(1, Ordering::SeqCst);
        if bytes > 0 {
            self.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst);
            self.account().give_back(Holder::Events, bytes);
        }
        self.resume();
    }

    /// Whoever reads for this connection goes on, if it was waiting for that.
    pub(super) fn resume(&self) {
        if self.backlog.load(Ordering::SeqCst) != EMPTY {
            let wakers = self.state.lock().rare.as_mut().map(|rare| std::mem::take(&mut rare.resume));
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }

    /// Whether the client's next events must wait: as many handlers wait as may, they hold as much as they may, or the recipients
    /// of what it sends cannot follow.
    fn is_saturated(&self) -> bool {
        let limits = &self.server.options.limits;
        let handlers = usize::try_from(self.handlers.load(Ordering::SeqCst)).unwrap_or(usize::MAX);
        if handlers >= limits.max_handlers.max(1) || self.held_back.load(Ordering::SeqCst) {
            return true;
        }
        let bytes = self.waiting_bytes.load(Ordering::SeqCst);
        let most = self.server.options.max_http_buffer_size.saturating_mul(MESSAGES);
        bytes > 0 && (bytes >= most || !self.account().has_room(Holder::Events, bytes, 0))
    }

    /// Hands a packet on, or puts it into the backlog.
    pub(super) fn handle_or_defer(self: &Arc<Self>, packet: Packet) {
        let passes = matches!(packet.body, PacketBody::Ack(_));
        if passes || (self.backlog.load(Ordering::SeqCst) == EMPTY && !self.is_saturated()) {
            return pressure::watch(self, || crate::client::handle_packet(self, packet));
        }
        let limits = &self.server.options.limits;
        let mut state = self.state.lock();
        if !state.session.is_open() {
            return;
        }
        let backlog = &mut state.rare().backlog;
        let Some(charge) = Charge::take(self.account(), Holder::Events, backlog.bytes, size(&packet)) else {
            drop(state);
            return self.close(CloseReason::Overload, Ending::Gone, "too many bytes of events wait for their handlers");
        };
        backlog.bytes += charge.bytes();
        backlog.packets.push_back((packet, charge));
        let is_full = backlog.packets.len() >= limits.max_handlers.max(1)
            || backlog.bytes >= self.server.options.max_http_buffer_size;
        self.backlog.store(if is_full { FULL } else { SOME }, Ordering::SeqCst);
    }

    /// Whether there is a backlog.
    pub(crate) fn has_backlog(&self) -> bool {
        self.backlog.load(Ordering::SeqCst) != EMPTY
    }

    /// Whether the client must wait: the backlog is full.
    pub(crate) fn is_full(&self) -> bool {
        self.backlog.load(Ordering::SeqCst) == FULL
    }

    /// Hands on what is in the backlog, as far as it may. False if somebody else is at it.
    pub(crate) fn work_off(self: &Arc<Self>) -> bool {
        if !self.has_backlog() {
            return true;
        }
        let mut is_mine = false;
        loop {
            let packet = {
                let mut state = self.state.lock();
                let is_open = state.session.is_open();
                let backlog = &mut state.rare().backlog;
                if backlog.is_busy && !is_mine {
                    return false;
                }
                is_mine = true;
                if !is_open {
                    *backlog = Backlog::default();
                }
                if backlog.packets.is_empty() {
                    backlog.is_busy = false;
                    self.backlog.store(EMPTY, Ordering::SeqCst);
                    return true;
                }
                if self.is_saturated() {
                    backlog.is_busy = false;
                    return true;
                }
                backlog.is_busy = true;
                self.backlog.store(SOME, Ordering::SeqCst);
                let packet = backlog.packets.pop_front();
                if let Some((_, charge)) = &packet {
                    backlog.bytes = backlog.bytes.saturating_sub(charge.bytes());
                }
                packet
            };
            if let Some((packet, _charge)) = packet {
                pressure::watch(self, || crate::client::handle_packet(self, packet));
            }
        }
    }

    /// Ready when the backlog can be worked on.
    pub(crate) fn poll_resumed(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_full() && !self.paused.swap(true, Ordering::SeqCst) && !self.held_back.load(Ordering::SeqCst) {
            self.server.metrics.bound_reached(Bound::Handlers, &self.id);
        }
        let mut state = self.state.lock();
        if !state.session.is_open() {
            return Poll::Ready(());
        }
        let wakers = &mut state.rare().resume;
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        // A handler that ended before the waker was there has not woken anybody.
        if self.is_saturated() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// All that the client has sent is read: heartbeats count again.
    pub(crate) fn read_again(&self) {
        if self.paused.load(Ordering::Relaxed) && !self.is_full() {
            self.paused.store(false, Ordering::SeqCst);
        }
    }

    /// Leaves what a POST has put into the backlog to a task, so that the POST can be answered.
    pub(crate) fn leave_backlog(self: &Arc<Self>) {
        if !self.has_backlog() || std::mem::replace(&mut self.state.lock().rare().backlog.has_task, true) {
            return;
        }
        let conn = self.clone();
        self.server.spawn(async move {
            while conn.has_backlog() {
                std::future::poll_fn(|context| conn.poll_resumed(context)).await;
                conn.work_off();
                conn.read_again();
            }
            if let Some(rare) = &mut conn.state.lock().rare {
                rare.backlog.has_task = false;
            }
        });
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
