//! Deadlines: heartbeats, upgrades, joining, attachments, closing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{Packet, PacketKind, Revision, Timeout};

use super::state::Phase;
use super::{Conn, Ending};
use crate::application::Application;
use crate::encoded::Encoded;
use crate::metrics::Bound;
use crate::now;

impl<A: Application> Conn<A> {
    /// Enters the earliest deadline into the wheel, unless an entry is there that is as early.
    pub(crate) fn arm(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let Some(next) = state.next_deadline() else { return };
        if state.armed.is_none_or(|armed| next < armed) {
            state.armed = Some(next);
            drop(state);
            self.engine().wheel.insert(self, next);
        }
    }

    /// Sets the time, of which there is one for each connection, after which the application is told of it.
    pub fn set_deadline(self: &Arc<Self>, deadline: Option<Instant>) {
        self.state.lock().rare().deadline = deadline;
        self.arm();
    }

    /// A request came for this session: what is due by now is due before it, even if the wheel comes a little later. False if
    /// that was the end of the session.
    pub(crate) fn is_in_time(self: &Arc<Self>) -> bool {
        let now = now();
        if self.state.lock().next_deadline().is_some_and(|next| next <= now) {
            self.handle_timeout(now);
        }
        !self.is_finished() && (!self.is_ended() || self.engine().registry.find(&self.id).is_some())
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
        if self.paused.load(Ordering::SeqCst) {
            self.excuse(now);
        }
        self.handle_session_timeout(now);
        self.look_at_recipients(now);
        self.arm();
    }

    pub(crate) fn send_heartbeat(self: &Arc<Self>, kind: PacketKind) {
        self.state.lock().outbox.expect_heartbeat();
        self.send(Encoded::control(kind, ""), false);
    }

    /// While reading is paused the client's heartbeats are not seen; that it is late is our doing. It is pinged all the same,
    /// for it waits for that, and a peer that is gone, or reads nothing, is noticed by the writing.
    fn excuse(&self, now: Instant) {
        let config = &self.engine().session;
        let mut state = self.state.lock();
        if state.outbox.has_heartbeat() {
            return;
        }
        if matches!(state.session.clone().handle_timeout(config, now), Timeout::Close(_)) {
            let heartbeat = match state.session.revision() {
                Revision::V3 => PacketKind::Ping,
                Revision::V4 => PacketKind::Pong,
            };
            let _as_if_it_had_come = state.session.handle_packet(Packet::text(heartbeat, ""), config, now);
        }
    }

    pub(crate) fn handle_session_timeout(self: &Arc<Self>, now: Instant) {
        loop {
            let timeout = self.state.lock().session.handle_timeout(&self.engine().session, now);
            match timeout {
                Timeout::None => return,
                Timeout::Ping => self.send_heartbeat(PacketKind::Ping),
                Timeout::Noop => self.state.lock().answer(PacketKind::Noop),
                Timeout::AbortProbe => self.state.lock().notify_probe(),
                Timeout::Close(reason) => {
                    self.session_closed(reason, Ending::Graceful, "no heartbeat from the client");
                    return;
                }
            }
        }
    }

    pub(crate) fn handle_phase_timeout(self: &Arc<Self>, now: Instant) {
        let state = self.state.lock();
        let phase = state.phase;
        let is_over = state.phase_deadline.is_some_and(|deadline| deadline <= now);
        let deadline = state.rare.as_ref().and_then(|rare| rare.deadline);
        drop(state);
        match phase {
            Phase::Unjoined if is_over => {
                self.engine().metrics.bound_reached(Bound::ConnectTime, &self.id);
                self.close(CloseReason::ForcedServerClose, Ending::Graceful, "joined no namespace in time");
            }
            Phase::Closing if is_over => self.finish(),
            Phase::Unjoined | Phase::Joined if deadline.is_some_and(|deadline| deadline <= now) => {
                self.set_deadline(None);
                A::handle_deadline(self);
            }
            _ => {}
        }
    }
}
