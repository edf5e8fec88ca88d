//! What comes in: packets of the client, and the pause when too many handlers wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{Data, Outcome, Packet, PacketKind};

use super::state::{Lane, Phase};
use super::{Conn, Ending};
use crate::budget::{Charge, Holder};
use crate::engine::now;
use crate::engine::plain::recv;
use crate::engine::websocket::Ready;

impl Conn {
    /// Wants a turn for what its socket is ready for. False if it waits for one already; that one is for this as well.
    pub(crate) fn want_turn(&self, ready: Ready) -> bool {
        self.queued.fetch_or(ready.bits(), Ordering::AcqRel) & Ready::BITS == 0
    }

    /// Its turn has come, for what is given back. From now on it can want another.
    pub(crate) fn begin_turn(&self) -> Ready {
        Ready::from_bits(self.queued.fetch_and(!Ready::BITS, Ordering::AcqRel))
    }

    /// A packet on the session's transport. False when the session is closed, and the rest of the input is not wanted.
    pub(crate) fn handle_packet(self: &Arc<Self>, packet: Packet<'_>, now: Instant) -> bool {
        let is_heartbeat = matches!(packet.kind, PacketKind::Ping | PacketKind::Pong);
        let outcome = {
            let mut state = self.state.lock();
            if is_heartbeat && state.outbox.has_heartbeat() {
                // It answers what it cannot have read: a client that never reads does not live on heartbeats of its own.
                Outcome::Ignored
            } else {
                state.session.handle_packet(packet, &self.server.session, now)
            }
        };
        if is_heartbeat {
            // The next deadline may be earlier than the one for this answer was.
            self.arm();
        }
        match outcome {
            Outcome::Ignored => {}
            Outcome::Message(data) => self.handle_message(data),
            Outcome::Pong => self.send_heartbeat(PacketKind::Pong),
            Outcome::Closed(reason) => self.session_closed(reason, Ending::Graceful, "by a packet of the client"),
        }
        if self.is_ended() {
            // Perhaps because the outbox is full, and then the close is still to come.
            self.write_outbox();
            return false;
        }
        true
    }

    /// A time before which all was received that was sent before it, if that can be told now.
    pub(crate) fn received_until(&self) -> Option<Instant> {
        // While reading is paused the client's heartbeats are not its own.
        let is_paused = self.paused.load(Ordering::SeqCst);
        (!is_paused).then(|| self.state.lock().session.received_until(&self.server.session)).flatten()
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
        let held = decoder.held();
        drop(decoder);
        if (is_pending || was_pending) && !self.charge_attachments(held) {
            return self.close(CloseReason::Overload, Ending::Gone, "too many bytes of attachments wait for others");
        }
        if was_pending != is_pending {
            let timeout = self.server.options.limits.attachment_timeout;
            let mut state = self.state.lock();
            state.rare().attachment_deadline = is_pending.then(|| now().checked_add(timeout)).flatten();
            let is_unjoined = state.phase == Phase::Unjoined;
            drop(state);
            if is_unjoined {
                // It can belong to no namespace: nothing is held for a client that has not even joined one.
                return self.close(
                    CloseReason::ForcedServerClose,
                    Ending::Graceful,
                    "attachments before a namespace was joined",
                );
            }
            self.arm();
        }
        match decoded {
            Ok(Some(packet)) => self.handle_or_defer(packet),
            Ok(None) => {}
            Err(error) => self.close(CloseReason::ForcedClose, Ending::Graceful, &error.to_string()),
        }
    }

    /// Charges the account with what has come of attachments; false if it may not.
    fn charge_attachments(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        if bytes == 0 {
            if let Some(rare) = &mut state.rare {
                rare.attachments = None;
            }
            return true;
        }
        let charge = state.rare().attachments.get_or_insert_with(|| Charge::new(self.account(), Holder::Incoming));
        charge.resize(bytes)
    }

    /// Charges the account with what its reader holds of messages that have not ended. Closes the connection if it may not.
    pub(crate) fn charge_incoming(self: &Arc<Self>, bytes: usize) {
        let charged = self.incoming.load(Ordering::Relaxed);
        let before = usize::try_from(charged).unwrap_or(0);
        if bytes == before {
            return;
        }
        if self.account().resize(Holder::Incoming, before, bytes) {
            self.incoming.store(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
        } else {
            self.close(CloseReason::Overload, Ending::Gone, "too many bytes of unfinished messages");
        }
    }

    /// Reads what the plain socket has.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Lane::Tcp(stream, _) = &self.state.lock().lane else { return Err(io::ErrorKind::NotConnected.into()) };
        loop {
            match recv(stream, buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// The client joined its first namespace.
    pub(crate) fn joined(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Unjoined {
            state.phase = Phase::Joined;
            let deadline = state.phase_deadline.take();
            drop(state);
            self.server.metrics.unjoined.add(-1);
            self.server.addresses.leave_unjoined(self, deadline);
        }
    }

    /// Ready when the session is closed.
    pub(crate) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.session.is_open() {
            return Poll::Ready(());
        }
        state.rare().closed = Some(context.waker().clone());
        Poll::Pending
    }
}
