//! What adapters tell of sockets and sessions, and of what they could not find out.

use sockeye_protocol::socket::Packet;
use thiserror::Error;

use crate::room::Room;

/// Why the other nodes could not be asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// There is no way to the other nodes: the broker is not reached.
    #[error("the cluster is not reached: {0}")]
    Unreachable(String),
    /// As many questions between nodes are open as there may be. Ask again later.
    #[error("the cluster is busy: {0}")]
    Busy(String),
}

/// A socket as other nodes describe it.
#[derive(Clone, Debug)]
pub struct RemoteSocketData {
    /// The id.
    pub id: String,
    /// The rooms.
    pub rooms: Vec<Room>,
    /// The data.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// The handshake, with the fields of the official server.
    pub handshake: serde_json::Value,
}

/// What is kept of a session for a client that comes back.
#[derive(Clone, Debug)]
pub struct SavedSession {
    /// The socket's id.
    pub id: String,
    /// The secret that the client shows.
    pub private_id: String,
    /// The rooms, the socket's own among them.
    pub rooms: Vec<Room>,
    /// The data.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// Where the log stood when the socket connected, in the adapter's own words: for a client that got no event since.
    pub log_start: String,
}

/// A session found again, with what its client missed.
#[derive(Clone, Debug)]
pub struct RecoveredSession {
    /// The socket's id.
    pub id: String,
    /// The secret that the client shows.
    pub private_id: String,
    /// The rooms.
    pub rooms: Vec<Room>,
    /// The data.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// See [`SavedSession::log_start`].
    pub log_start: String,
    /// The events that it missed, in order.
    pub missed: Vec<Packet>,
    /// Where the log stood when this was found out, in the adapter's own words.
    pub log_position: String,
}

impl RecoveredSession {
    pub(crate) fn to_saved(&self) -> SavedSession {
        SavedSession {
            id: self.id.clone(),
            private_id: self.private_id.clone(),
            rooms: self.rooms.clone(),
            data: self.data.clone(),
            log_start: self.log_start.clone(),
        }
    }
}

/// Where a socket enters the stream of events.
#[derive(Clone, Debug, Default)]
pub struct Attachment {
    /// The position in the log of events, in the adapter's own words: the session's [`log_start`](SavedSession::log_start).
    pub log_position: String,
    /// What a recovered client missed since its session was found; none if that cannot be told any more. The client is then
    /// not recovered, and told so.
    pub missed: Option<Vec<Packet>>,
}
