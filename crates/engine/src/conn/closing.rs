//! The end of a session: the first reason counts, and what was sent before is still delivered.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::PacketKind;

use super::state::{Lane, Phase};
use super::{Conn, Ending};
use crate::application::Application;

impl<A: Application> Conn<A> {
    /// Closes the session from our side. The first reason counts.
    pub fn close(self: &Arc<Self>, reason: CloseReason, ending: Ending, detail: &str) {
        if self.state.lock().session.close(reason) {
            self.session_closed(reason, ending, detail);
        }
    }

    /// The transport failed, or its other side is gone.
    pub fn transport_ended(self: &Arc<Self>, reason: CloseReason, detail: &str) {
        self.close(reason, Ending::Gone, detail);
        self.finish();
    }

    /// The session has just been closed: ends its sockets, and lets the transport finish.
    pub(crate) fn session_closed(self: &Arc<Self>, reason: CloseReason, ending: Ending, detail: &str) {
        let mut state = self.state.lock();
        let was_unjoined = state.phase == Phase::Unjoined;
        state.phase = Phase::Closing;
        self.ended.store(true, Ordering::Release);
        let now = crate::now();
        let join_deadline = state.phase_deadline;
        state.phase_deadline = now.checked_add(self.engine().limits.close_timeout);
        if let Some(rare) = &mut state.rare {
            rare.deadline = None;
            rare.resume.take().wake();
            rare.closed.take().into_iter().for_each(Waker::wake);
        }
        // Of a close that we decided on, a long-polling client still has to fetch the packet; if it is just changing over to a
        // WebSocket, there. Where the fault is the client's, or the transport's, the session is unknown at once.
        let waits_for_client = matches!(state.lane, Lane::Polling(_))
            && !matches!(ending, Ending::Gone)
            && !matches!(
                reason,
                CloseReason::TransportClose
                    | CloseReason::TransportError
                    | CloseReason::ParseError
                    | CloseReason::PingTimeout
            );
        // One whose GET waits is told right here.
        let is_told = matches!(state.lane, Lane::Polling(Some(_))) && state.outbox.is_empty();
        if !waits_for_client {
            state.session.handle_probe_closed();
            state.notify_probe();
        } else if !is_told {
            state.rare().farewell = Some(self.engine().begin_farewell());
        }
        match (ending, &state.lane) {
            (Ending::Gone, _) => {
                state.outbox.clear();
                state.release_queue(self.account());
            }
            (_, Lane::Polling(_)) if reason == CloseReason::TransportClose => state.answer(PacketKind::Noop),
            (_, Lane::Polling(Some(_))) if state.outbox.is_empty() => state.answer(PacketKind::Close),
            // A response of its own: the official client drops what comes before a close in the same one.
            (_, Lane::Polling(_)) => state.owes_close = true,
            (Ending::Code(code), _) => state.push_websocket_close(Some(code)),
            (Ending::Broken(code), _) => {
                state.push_websocket_close(Some(code));
                state.ends_writing = true;
            }
            (Ending::Graceful, _) => state.push_websocket_close(None),
        }
        drop(state);

        let engine = self.engine();
        engine.metrics.connections.add(-1);
        if was_unjoined {
            engine.metrics.unjoined.add(-1);
            engine.addresses.leave_unjoined(self.key(), self.age(join_deadline));
        }
        engine.addresses.leave_session(self.key());
        engine.metrics.session_closed(&self.id, reason, detail);
        if !waits_for_client {
            engine.registry.remove(&self.id);
        }
        self.mark_dirty();
        self.arm();
        A::handle_close(self, reason);
        if matches!(ending, Ending::Gone) {
            self.finish();
        }
    }

    /// Lets go of the transport.
    pub(crate) fn finish(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.session.is_open() || state.phase == Phase::Closed {
            return;
        }
        state.phase = Phase::Closed;
        self.finished.store(true, Ordering::Release);
        state.phase_deadline = None;
        state.outbox.clear();
        state.release_queue(self.account());
        state.notify_probe();
        match std::mem::replace(&mut state.lane, Lane::Closed) {
            Lane::Tcp(stream, _) => {
                let _gone_already = stream.shutdown(Shutdown::Both);
                // The reader has to go, and a socket that is closed tells the poll nothing.
                self.engine().poller.again(self);
            }
            Lane::Stream(Some(waker)) => waker.wake(),
            Lane::Polling(_) | Lane::Awaited | Lane::Stream(None) | Lane::Closed => {}
        }
        // The runtime does not wake who waits for a socket that goes away.
        if let Some(rare) = state.rare.take() {
            rare.resume.wake();
            rare.closed.into_iter().for_each(Waker::wake);
        }
        drop(state);
        self.engine().registry.remove(&self.id);
    }

    /// Whether the session is open.
    pub fn is_open(&self) -> bool {
        self.state.lock().session.is_open()
    }

    /// Whether the session is closed, or about to be.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether the transport is no longer wanted.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }
}
