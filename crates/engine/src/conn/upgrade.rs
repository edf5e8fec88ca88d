//! The WebSocket: that of a new session, and the one that probes to take over from long-polling.

use std::num::NonZeroU32;
use std::sync::Arc;

use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{Packet, PacketKind, ProbeOutcome};
use tokio::sync::Notify;

use super::state::{Lane, Phase};
use super::{Carrier, Conn, Handover};
use crate::application::Application;
use crate::now;

impl<A: Application> Conn<A> {
    /// A WebSocket carries the session from now on: what is queued goes out on it. False if nobody wants it any more.
    pub(crate) fn attach(self: &Arc<Self>, carrier: Carrier, handover: Handover) -> bool {
        let mut state = self.state.lock();
        if handover.is_upgrade {
            if let Some(rare) = &mut state.rare {
                rare.probe = None;
            }
            // A GET that still waits is answered, so that the client can let go of it.
            state.answer(PacketKind::Noop);
            self.engine().metrics.upgrades.increment();
        }
        if state.phase == Phase::Closed {
            return false;
        }
        let watched = match carrier {
            Carrier::Stream => {
                state.lane = Lane::Stream(None);
                Ok(())
            }
            Carrier::Tcp(mut stream, entry) => {
                let watched = self.engine().poller.watch(self, &mut stream, entry);
                state.lane = Lane::Tcp(stream, entry);
                watched
            }
        };
        if std::mem::take(&mut state.owes_close) {
            state.push_websocket_close(None);
        }
        // An empty message is never compressed: so a threshold of 0 is the same as 1, and `None` needs no memory.
        state.deflate =
            handover.deflate.and_then(|threshold| NonZeroU32::try_from(u32::try_from(threshold.max(1)).ok()?).ok());
        drop(state);
        if let Err(error) = watched {
            self.transport_ended(CloseReason::TransportError, &error.to_string());
            return false;
        }
        self.write_outbox();
        true
    }

    /// A WebSocket wants to take over from long-polling. The [`Notify`] tells it when it must give up.
    pub(crate) fn begin_probe(self: &Arc<Self>) -> Option<Arc<Notify>> {
        let mut state = self.state.lock();
        state.session.handle_probe_start(&self.engine().session, now()).ok()?;
        let abort = Arc::new(Notify::new());
        state.rare().probe = Some(abort.clone());
        drop(state);
        self.arm();
        Some(abort)
    }

    /// A packet on the probing WebSocket.
    pub(crate) fn handle_probe_packet(self: &Arc<Self>, packet: Packet<'_>) -> ProbeOutcome {
        let outcome = self.state.lock().session.handle_probe_packet(packet, &self.engine().session, now());
        self.arm();
        outcome
    }

    /// The probing WebSocket is gone; the session stays on long-polling.
    pub(crate) fn abort_probe(&self) {
        let mut state = self.state.lock();
        state.session.handle_probe_closed();
        if let Some(rare) = &mut state.rare {
            rare.probe = None;
        }
    }
}
