//! Errors of the library, by whose fault they are.

use serde::Serialize;
use sockeye_protocol::socket::{Args, ArgsError};
use thiserror::Error;

/// Why an emit did not go out: a mistake of the program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The event's name is one that the protocol keeps for itself. Choose another.
    #[error("\"{0}\" is a reserved event name")]
    ReservedName(String),
    /// The arguments cannot be encoded, a map with keys that are no strings for example.
    #[error("the arguments cannot be encoded: {0}")]
    Arguments(#[from] ArgsError),
}

/// Why an acknowledgement did not come.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AckError {
    /// The client did not answer in time. A late answer is ignored.
    #[error("operation has timed out")]
    Timeout,
    /// The client went away before it answered.
    #[error("socket has been disconnected")]
    Disconnected,
    /// The client owes as many acknowledgements as it may
    /// ([`Limits::max_pending_acks`](crate::Limits::max_pending_acks)); nothing was sent.
    #[error("the client owes too many acknowledgements (limits.max_pending_acks)")]
    TooMany,
    /// The client's answer is not what the program expects.
    #[error("the acknowledgement does not fit: {0}")]
    Mismatch(ArgsError),
    /// Nothing was sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// Not every client acknowledged a broadcast in time.
#[derive(Debug, Error)]
#[error("operation has timed out ({} of {expected} answered{})", responses.len(), and_nodes(missing))]
#[non_exhaustive]
pub struct BroadcastAckError {
    /// What came in time.
    pub responses: Vec<Args>,
    /// How many clients got the event, as far as the nodes have told.
    pub expected: usize,
    /// The nodes that have not told how many of their clients got it, or left before these could answer.
    pub missing: Vec<String>,
}

impl BroadcastAckError {
    /// The error of an adapter that got these responses of so many clients, and nothing from the missing nodes.
    pub fn new(responses: Vec<Args>, expected: usize, missing: Vec<String>) -> Self {
        Self { responses, expected, missing }
    }
}

fn and_nodes(missing: &[String]) -> String {
    if missing.is_empty() { String::new() } else { format!("; nothing from {}", missing.join(", ")) }
}

/// Why a client may not connect to a namespace, as it is told in its `connect_error`.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{message}")]
pub struct ConnectError {
    message: String,
    data: Option<serde_json::Value>,
}

impl ConnectError {
    /// An error with a text that the client sees.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// Details for the client's `error.data`. What cannot be encoded is left out.
    pub fn with_data(mut self, data: impl Serialize) -> Self {
        self.data = serde_json::to_value(data).ok();
        self
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The details.
    pub fn data(&self) -> Option<&serde_json::Value> {
        self.data.as_ref()
    }

    /// The payload of the packet: an object for a current client; for one of Socket.IO 2 the bare details, or the text.
    pub(crate) fn to_json(&self, is_revision3: bool) -> String {
        let message = serde_json::Value::from(self.message.as_str());
        match (&self.data, is_revision3) {
            (None, true) => message.to_string(),
            (Some(data), true) => data.to_string(),
            (None, false) => format!("{{\"message\":{message}}}"),
            (Some(data), false) => format!("{{\"message\":{message},\"data\":{data}}}"),
        }
    }
}

impl From<String> for ConnectError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for ConnectError {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

/// Why a socket joined no room.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The socket is in as many rooms as it may be.
    #[error("the socket is in too many rooms (limits.max_rooms)")]
    TooManyRooms,
    /// All sockets together are in as many rooms as they may be, or this one holds more than its share of that
    /// ([`Holder::Rooms`](crate::Holder::Rooms)). It may pass.
    #[error("too many bytes of rooms are held (budgets.rooms)")]
    OverBudget,
    /// The socket is disconnected.
    #[error("the socket is disconnected")]
    Disconnected,
}
