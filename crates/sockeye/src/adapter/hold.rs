//! A client that is not written to for a moment.

use crate::server::ServerInner;
use crate::socket::Socket;

/// The client of a socket is told nothing while this lives: neither acknowledgements nor events, in any namespace. What is sent to it
/// meanwhile waits in its outbox, in order and within the outbox's bounds. See [`Socket::hold`].
#[must_use = "the client is written to again when this is dropped"]
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "it works by being dropped")] sockeye_engine::Hold<ServerInner>);

impl Socket {
    /// For an adapter that lets a socket join a room before it is sure that the room's events arrive at this node: the client hears of
    /// the join, and of anything else, only when what is given back is dropped. The adapter bounds the time.
    pub fn hold(&self) -> Hold {
        Hold(self.conn().hold())
    }
}
