//! What a handler's arguments are taken from.

use sockeye_protocol::CloseReason;
use sockeye_protocol::socket::{Args, EventName};

use crate::ack::Ack;
use crate::socket::Socket;

/// One occurrence on a socket: an event of the client, a connection, a disconnect.
#[derive(Clone, Debug)]
pub struct EventContext {
    pub(crate) socket: Socket,
    pub(crate) event: EventName,
    pub(crate) args: Args,
    pub(crate) ack: Ack,
    pub(crate) reason: Option<CloseReason>,
}

impl EventContext {
    /// What the arguments hold, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.args.bytes()
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The name of the event; `connection` or `disconnect` for these.
    pub fn event(&self) -> &str {
        self.event.as_str()
    }

    /// The arguments.
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// The acknowledgement; sending it does nothing where the client asked for none.
    pub fn ack(&self) -> &Ack {
        &self.ack
    }

    /// Why the socket was disconnected; only there on a disconnect.
    pub fn reason(&self) -> Option<CloseReason> {
        self.reason
    }
}
