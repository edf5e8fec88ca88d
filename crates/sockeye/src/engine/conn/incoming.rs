//! What comes in: packets of the client, and the pause when too many handlers wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{Data, Outcome, Packet, PacketKind};

use super::state::Phase;
use super::{Conn, Ending};
use crate::engine::encoded::Encoded;
use crate::engine::now;
use crate::telemetry::Bound;

impl Conn {
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

    pub(super) fn handle_message(self: &Arc<Self>, data: Data<'_>) {
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
}
