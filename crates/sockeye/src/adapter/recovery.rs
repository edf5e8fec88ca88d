//! What an adapter does besides where sessions are recovered.

use super::{AdapterFuture, Attachment, RecoveredSession, SavedSession};
use crate::socket::Socket;

/// Connection state recovery, as [`Adapter::recovery`](super::Adapter::recovery) offers it: sessions outlive their connections, and what
/// their clients miss meanwhile is replayed.
pub trait SessionRecovery: Send + Sync {
    /// Takes a socket in. `enter` puts it among the local sockets; nothing that is broadcast may fall between what the
    /// [`Attachment`] tells it and that moment.
    fn attach(&self, session: Option<&RecoveredSession>, enter: &mut dyn FnMut(Attachment));

    /// Keeps a session for a client that may come back.
    fn persist_session(&self, session: SavedSession);

    /// Finds the session again, and what its client missed since it got the event with this offset.
    fn restore_session(&self, private_id: &str, offset: Option<&str>) -> AdapterFuture<'_, Option<RecoveredSession>>;

    /// A socket has entered. If it was recovered itself, it is in its rooms.
    fn session_began(&self, socket: &Socket) {
        let _ = socket;
    }

    /// The data of a socket are others. What changes its rooms is told by [`add`](super::Adapter::add) and
    /// [`remove`](super::Adapter::remove).
    fn session_changed(&self, socket: &Socket) {
        let _ = socket;
    }

    /// The program is about to disconnect the socket. What this node sent to it before must be in its outbox when this returns.
    fn flush_pending(&self, socket: &Socket) {
        let _ = socket;
    }

    /// Waits until what this node sent before is in the outboxes of its sockets; none if it is already.
    fn drained(&self) -> Option<AdapterFuture<'_, ()>> {
        None
    }
}
