//! Emits to many: who gets an event, and how.

use std::fmt;
use std::time::Duration;

use sockeye_protocol::socket::{EventName, FromArgs, IntoArgs, Packet, PacketBody};

use crate::adapter::{AdapterError, Answers, RemoteSocketData};
use crate::error::{BroadcastAckError, EmitError};
use crate::namespace::Namespace;
use crate::reserved::check_event;
use crate::room::IntoRooms;
use crate::room::Room;
use crate::target::Target;

/// An emit in the making: say who gets it, then [`emit`](Self::emit). Each step gives a new one; it can be kept and used again.
#[derive(Clone)]
#[must_use = "nothing is sent until `emit`"]
pub struct Emit {
    namespace: Namespace,
    target: Target,
}

impl fmt::Debug for Emit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emit").field("namespace", &self.namespace.name()).field("target", &self.target).finish()
    }
}

impl Emit {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self { namespace, target: Target::default() }
    }

    /// To the clients in a room, or in several. Who is in more than one of them gets the event once.
    pub fn to(mut self, rooms: impl IntoRooms) -> Self {
        self.target.rooms.extend(rooms.into_rooms());
        self
    }

    /// The same as [`to`](Self::to).
    pub fn within(self, rooms: impl IntoRooms) -> Self {
        self.to(rooms)
    }

    /// But not to the clients in this room, or in one of several.
    pub fn except(mut self, rooms: impl IntoRooms) -> Self {
        self.target.except.extend(rooms.into_rooms());
        self
    }

    /// Clients that are not ready to take it do without.
    pub fn volatile(mut self) -> Self {
        self.target.flags.volatile = true;
        self
    }

    /// Whether it may be compressed. Default: true.
    pub fn compress(mut self, compress: bool) -> Self {
        self.target.flags.compress = compress;
        self
    }

    /// Only to the clients of this node.
    pub fn local(mut self) -> Self {
        self.target.flags.local = true;
        self
    }

    /// How long the clients may take to acknowledge. Default: 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.target.flags.timeout = Some(timeout);
        self
    }

    /// Sends an event. A tuple becomes several arguments, `()` none, anything else one.
    ///
    /// A failure is a mistake of the program; it is logged and counted, see [`try_emit`](Self::try_emit).
    pub fn emit(&self, event: &str, args: impl IntoArgs) {
        if let Err(error) = self.try_emit(event, args) {
            self.namespace.metrics().emit_failed(event, &error);
        }
    }

    /// [`emit`](Self::emit), with its failure.
    ///
    /// # Errors
    ///
    /// The name is reserved, or an argument cannot be encoded. Nothing was sent.
    pub fn try_emit(&self, event: &str, args: impl IntoArgs) -> Result<(), EmitError> {
        let packet = event_packet(&self.namespace, event, args)?;
        self.namespace.broadcast(packet, &self.target);
        Ok(())
    }

    /// Sends an event and collects the acknowledgements of all who get it, each as a `T`: of anything but a tuple or
    /// [`Args`](crate::Args), its first argument.
    ///
    /// # Errors
    ///
    /// Not all answered in time (who did is in the error), or the event could not be sent. An answer that is not a `T` counts
    /// as none.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the acknowledgements; the event was sent.
    pub async fn emit_with_ack<T: FromArgs>(&self, event: &str, args: impl IntoArgs) -> Result<Vec<T>, BroadcastError> {
        let packet = event_packet(&self.namespace, event, args).map_err(BroadcastError::Emit)?;
        let timeout = self.target.flags.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let responses = self
            .namespace
            .adapter()
            .broadcast_with_ack(packet, self.target.clone(), timeout)
            .await
            .map_err(BroadcastError::Incomplete)?;
        let expected = responses.len();
        let fitting: Vec<T> = responses.iter().filter_map(|args| T::from_args(args.clone()).ok()).collect();
        if fitting.len() < expected {
            return Err(BroadcastError::Incomplete(BroadcastAckError::new(responses, expected, Vec::new())));
        }
        Ok(fitting)
    }

    /// Sends the event `message`.
    pub fn send(&self, args: impl IntoArgs) {
        self.emit("message", args);
    }

    /// The sockets of the target, on all nodes that answer in time.
    ///
    /// # Errors
    ///
    /// The other nodes cannot be reached.
    pub async fn fetch_sockets(&self) -> Result<Answers<RemoteSocket>, AdapterError> {
        let found = self.namespace.adapter().fetch_sockets(self.target.clone()).await?;
        Ok(found.map(|data| RemoteSocket { data, namespace: self.namespace.clone() }))
    }

    /// Makes the sockets of the target join a room, or several.
    pub fn sockets_join(&self, rooms: impl IntoRooms) {
        self.namespace.adapter().add_sockets(&self.target, &rooms.into_rooms());
    }

    /// Makes the sockets of the target leave a room, or several.
    pub fn sockets_leave(&self, rooms: impl IntoRooms) {
        self.namespace.adapter().del_sockets(&self.target, &rooms.into_rooms());
    }

    /// Disconnects the sockets of the target: from this namespace, or closing their connections.
    pub fn disconnect_sockets(&self, close: bool) {
        self.namespace.adapter().disconnect_sockets(&self.target, close);
    }
}

/// How long acknowledgements of a broadcast are waited for when the program does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a broadcast was not acknowledged by all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// Nothing was sent.
    #[error(transparent)]
    Emit(EmitError),
    /// Not all answered.
    #[error(transparent)]
    Incomplete(BroadcastAckError),
}

/// Why the other nodes' programs could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerSideError {
    /// Nothing was sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The other nodes cannot be reached.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
}

/// A socket of this node or of another, as [`fetch_sockets`](Emit::fetch_sockets) finds it.
#[derive(Clone, Debug)]
pub struct RemoteSocket {
    data: RemoteSocketData,
    namespace: Namespace,
}

impl RemoteSocket {
    /// The id.
    pub fn id(&self) -> &str {
        &self.data.id
    }

    /// The rooms that it was in.
    pub fn rooms(&self) -> &[Room] {
        &self.data.rooms
    }

    /// Its data, as it was.
    pub fn data(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.data.data
    }

    /// Its handshake, as the official server describes one: see [`Socket::handshake`](crate::Socket::handshake).
    pub fn handshake(&self) -> &serde_json::Value {
        &self.data.handshake
    }

    /// Sends it an event.
    pub fn emit(&self, event: &str, args: impl IntoArgs) {
        self.target().emit(event, args);
    }

    /// Sends it an event and waits for its acknowledgement.
    ///
    /// # Errors
    ///
    /// No answer in time, or the event could not be sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the acknowledgement; the event was sent.
    pub async fn emit_with_ack<T: FromArgs>(
        &self,
        timeout: Duration,
        event: &str,
        args: impl IntoArgs,
    ) -> Result<T, BroadcastError> {
        let mut responses = self.target().timeout(timeout).emit_with_ack(event, args).await?;
        let incomplete = || BroadcastError::Incomplete(BroadcastAckError::new(Vec::new(), 1, Vec::new()));
        responses.pop().ok_or_else(incomplete)
    }

    /// Makes it join a room, or several.
    pub fn join(&self, rooms: impl IntoRooms) {
        self.target().sockets_join(rooms);
    }

    /// Makes it leave a room, or several.
    pub fn leave(&self, rooms: impl IntoRooms) {
        self.target().sockets_leave(rooms);
    }

    /// Disconnects it from its namespace, or closing its connection.
    pub fn disconnect(&self, close: bool) {
        self.target().disconnect_sockets(close);
    }

    fn target(&self) -> Emit {
        Emit::new(self.namespace.clone()).to(self.id())
    }
}

/// The packet of an event.
pub(crate) fn event_packet(namespace: &Namespace, event: &str, args: impl IntoArgs) -> Result<Packet, EmitError> {
    let body = PacketBody::Event { name: event_name(event)?, args: args.into_args()? };
    Ok(Packet::new(namespace.name_shared().clone(), body))
}

fn event_name(event: &str) -> Result<EventName, EmitError> {
    check_event(event)?;
    Ok(EventName::from(event))
}
