//! What adapters that keep sessions elsewhere ask of the local sockets.

use std::time::Instant;

use sockeye_protocol::CloseReason;

use super::{Local, SavedSession};
use crate::options::ConnectionStateRecovery;
use crate::socket::Socket;
use crate::target::Target;

impl Local {
    /// Whether the server recovers sessions, and how.
    pub fn recovery(&self) -> Option<ConnectionStateRecovery> {
        self.options().connection_state_recovery
    }

    /// How many bytes may wait for one client: a longer replay makes no sense.
    pub fn max_outbox_bytes(&self) -> usize {
        self.options().limits.max_outbox_bytes
    }

    /// The session of a socket as it is now; none if it cannot be recovered.
    pub fn session(&self, socket: &Socket) -> Option<SavedSession> {
        socket.saved_session()
    }

    /// The secret of a socket's session; none if it cannot be recovered.
    pub fn private_id(&self, socket: &Socket) -> Option<String> {
        socket.private_id().map(String::from)
    }

    /// Whatever was sent to the socket before this time has arrived: its client has answered a heartbeat since. None if that
    /// cannot be told now.
    pub fn received_until(&self, socket: &Socket) -> Option<Instant> {
        socket.conn().received_until()
    }

    /// Events for the sockets were lost, and cannot be told any more: their connections end, so that their clients come back and
    /// begin anew.
    pub fn end_connections(&self) {
        for socket in self.sockets(&Target::default()) {
            socket.conn().transport_ended(CloseReason::TransportError, "events for it were lost");
        }
    }

    /// The socket's client needs nothing from before this position any more, whatever offset it shows.
    pub fn advance_log_start(&self, socket: &Socket, log_position: &str) {
        socket.set_log_start(log_position);
    }
}
