//! Why a session or a socket ended: one value for the program, the logs and the metrics.

use std::fmt;

/// Why a connection, or a socket in one of its namespaces, ended.
///
/// [`as_str`](Self::as_str) is the text that the official server gives its `disconnect` listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The server called `disconnect` on the socket.
    ServerNamespaceDisconnect,
    /// The client called `disconnect` on the socket.
    ClientNamespaceDisconnect,
    /// The server is stopping; clients come back by themselves.
    ServerShuttingDown,
    /// The client did not answer a heartbeat in time.
    PingTimeout,
    /// The client closed the transport, or vanished.
    TransportClose,
    /// The transport failed, or the client broke its rules.
    TransportError,
    /// An Engine.IO packet that could not be read.
    ParseError,
    /// A Socket.IO packet that could not be read, or an invalid one.
    ForcedClose,
    /// A packet that the state does not allow, or no namespace joined within the connect timeout.
    ForcedServerClose,
    /// The client reads too slowly: its outgoing queue reached its bound.
    SlowConsumer,
    /// A handler of this socket panicked.
    HandlerPanic,
    /// The client made the server hold more than its share of a budget, or sent more than its recipients could take.
    Overload,
}

impl CloseReason {
    /// Every reason, for tables of metrics.
    pub const ALL: [Self; 12] = [
        Self::ServerNamespaceDisconnect,
        Self::ClientNamespaceDisconnect,
        Self::ServerShuttingDown,
        Self::PingTimeout,
        Self::TransportClose,
        Self::TransportError,
        Self::ParseError,
        Self::ForcedClose,
        Self::ForcedServerClose,
        Self::SlowConsumer,
        Self::HandlerPanic,
        Self::Overload,
    ];

    /// The text of the official server, as its `disconnect` listeners get it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerShuttingDown => "server shutting down",
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ForcedServerClose => "forced server close",
            Self::SlowConsumer => "slow consumer",
            Self::HandlerPanic => "handler panic",
            Self::Overload => "overload",
        }
    }

    /// Whether the session is kept for connection state recovery (the official server's list, and ours that are alike).
    pub const fn is_recoverable(self) -> bool {
        matches!(
            self,
            Self::ServerShuttingDown
                | Self::PingTimeout
                | Self::TransportClose
                | Self::TransportError
                | Self::ForcedClose
                | Self::ForcedServerClose
                | Self::SlowConsumer
                | Self::Overload
        )
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
