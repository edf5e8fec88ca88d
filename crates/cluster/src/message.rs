//! The messages between the nodes of a cluster.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use sockeye_protocol::socket::{Args, Packet};

use sockeye::Target;
use sockeye::adapter::{RemoteSocketData, Room};

/// The name of a node, of one run of it: a node that starts anew has another. A clone shares it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

/// The name of a question, unique in the cluster for as long as it is open. A clone shares it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Arc<str>);

macro_rules! name {
    ($($type:ident),*) => {$(
        impl Deref for $type {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl From<String> for $type {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}
name!(NodeId, RequestId);

/// Who sent a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A node.
    Node(NodeId),
    /// A program that is no node, such as an emitter; or a node whose answers do not carry its name.
    Unnamed,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// All other nodes; of a message that concerns [one room](Message::room), those that have subscribed to it, where the bus routes
    /// by interest.
    All,
    /// All other nodes, whatever they have subscribed to.
    AllNodes,
    /// One node.
    Node(NodeId),
}

/// One message between the nodes of a namespace.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Message {
    /// A node has come; the others answer with a [`Heartbeat`](Self::Heartbeat).
    InitialHeartbeat,
    /// A node is there.
    Heartbeat,
    /// A packet for the target's clients. With a request, they shall acknowledge it: answered by one
    /// [`ClientCount`](Self::ClientCount), then an [`Acknowledgement`](Self::Acknowledgement) for each client that does.
    Broadcast {
        /// The packet.
        packet: Packet,
        /// Who gets it.
        target: Target,
        /// The question.
        request: Option<RequestId>,
    },
    /// Sockets shall join rooms.
    JoinSockets {
        /// Which sockets.
        target: Target,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Sockets shall leave rooms.
    LeaveSockets {
        /// Which sockets.
        target: Target,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Sockets shall be disconnected.
    DisconnectSockets {
        /// Which sockets.
        target: Target,
        /// Whether their connections close, too.
        close: bool,
    },
    /// Asks for descriptions of sockets.
    FetchSockets {
        /// Which sockets.
        target: Target,
        /// The question.
        request: RequestId,
    },
    /// Answers [`FetchSockets`](Self::FetchSockets).
    FetchSocketsResponse {
        /// The question.
        request: RequestId,
        /// The sockets.
        sockets: Vec<RemoteSocketData>,
    },
    /// An event for the programs. With a request, they shall answer.
    ServerSideEmit {
        /// The event's name.
        event: String,
        /// Its arguments.
        args: Args,
        /// The question.
        request: Option<RequestId>,
    },
    /// Answers [`ServerSideEmit`](Self::ServerSideEmit).
    ServerSideEmitResponse {
        /// The question.
        request: RequestId,
        /// What the program answers.
        args: Args,
    },
    /// How many clients of the node get a broadcast that shall be acknowledged.
    ClientCount {
        /// The question.
        request: RequestId,
        /// How many.
        clients: usize,
    },
    /// A client has acknowledged a broadcast.
    Acknowledgement {
        /// The question.
        request: RequestId,
        /// What the client answers.
        args: Args,
    },
    /// The node goes: it says nothing after this.
    Close,
}

impl Message {
    /// The one room whose members alone it concerns. A bus that routes by interest takes it only to the nodes that have
    /// subscribed to the room; everything else goes to all, for all must answer.
    pub fn room(&self) -> Option<&Room> {
        match self {
            Self::Broadcast { target, request: None, .. } => match &target.rooms[..] {
                [room] => Some(room),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it must stay in order with events that an [`EventLog`](crate::recovery::EventLog) keeps, and not be missed: a bus with
    /// such a log appends it there. Questions, answers and volatile events are of the moment.
    pub fn is_in_order_with_events(&self) -> bool {
        match self {
            Self::Broadcast { target, request: None, .. } => !target.flags.volatile,
            Self::JoinSockets { .. } | Self::LeaveSockets { .. } | Self::DisconnectSockets { .. } => true,
            Self::ServerSideEmit { request: None, .. } => true,
            _ => false,
        }
    }

    /// The question that it asks.
    pub fn request(&self) -> Option<&RequestId> {
        match self {
            Self::Broadcast { request, .. } | Self::ServerSideEmit { request, .. } => request.as_ref(),
            Self::FetchSockets { request, .. } => Some(request),
            _ => None,
        }
    }
}
