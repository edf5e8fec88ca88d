//! The adapter: who gets a broadcast, on this node and on others.
//!
//! Each namespace has one. The [`MemoryAdapter`] serves a single node; one for a cluster does the same for the local sockets,
//! through [`Local`], and tells the other nodes.

mod answers;
mod hold;
mod leaving;
mod local;
mod log;
mod members;
mod memory;
mod records;
mod recovery;
mod session;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use crate::reserved::{check_event, check_server_event};
pub use crate::room::Room;
pub use crate::room_set::RoomSet;
pub use answers::Answers;
pub use hold::Hold;
pub use local::{Local, OpenBroadcast, RoomEvent};
pub use memory::MemoryAdapter;
pub use records::{AdapterError, Attachment, RecoveredSession, RemoteSocketData, SavedSession};
pub use recovery::SessionRecovery;
use sockeye_protocol::socket::Args;
pub use sockeye_protocol::socket::{Packet, PacketBody};

pub use crate::ack::AckListener;
use crate::error::{BroadcastAckError, JoinError};
use crate::socket::Socket;
use crate::target::Target;

/// A future of an adapter.
pub type AdapterFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes the adapter of a namespace, from what the namespace has on this node.
pub type AdapterFactory = Arc<dyn Fn(Arc<Local>) -> Arc<dyn Adapter> + Send + Sync>;

/// What the other nodes' programs answered to [`server_side_emit_with_ack`](Adapter::server_side_emit_with_ack).
pub type ServerSideAnswers = Result<Answers<Args>, AdapterError>;

/// Decides who gets what, in one namespace.
///
/// An implementation for a cluster does each thing for the local sockets by the method of [`Local`] that has the same name,
/// unless [`Flags::local`](crate::Flags) says otherwise also tells the other nodes, and collects their answers.
pub trait Adapter: Send + Sync + fmt::Debug + 'static {
    /// Called once, in the server's runtime, when the server has begun to serve: the place to connect and subscribe.
    ///
    /// Other methods may be called before it is done, or earlier.
    fn init(&self) -> AdapterFuture<'_, Result<(), AdapterError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Called when the server stops, or lets go of an empty namespace that a pattern made.
    fn close(&self) -> AdapterFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// How many nodes there are, this one among them.
    fn server_count(&self) -> AdapterFuture<'_, Result<usize, AdapterError>> {
        Box::pin(std::future::ready(Ok(1)))
    }

    /// A socket joins rooms.
    ///
    /// # Errors
    ///
    /// It is in too many, or disconnected; it has joined none.
    fn add(&self, socket: &Socket, rooms: &[Room]) -> Result<(), JoinError>;

    /// A socket leaves rooms.
    fn remove(&self, socket: &Socket, rooms: &[Room]);

    /// A socket is gone: it leaves all its rooms.
    fn remove_all(&self, socket: &Socket);

    /// Sends a packet to the target.
    fn broadcast(&self, packet: Packet, target: &Target);

    /// Sends a packet to the target and collects the acknowledgements.
    ///
    /// [`Local::start_broadcast_with_ack`] tells the count of this node's clients at once, and each acknowledgement as it comes,
    /// as another node wants to know them.
    fn broadcast_with_ack(
        &self,
        packet: Packet,
        target: Target,
        timeout: Duration,
    ) -> AdapterFuture<'_, Result<Vec<Args>, BroadcastAckError>>;

    /// Describes the sockets of the target.
    fn fetch_sockets(&self, target: Target) -> AdapterFuture<'_, Result<Answers<RemoteSocketData>, AdapterError>>;

    /// Makes the sockets of the target join rooms.
    fn add_sockets(&self, target: &Target, rooms: &[Room]);

    /// Makes the sockets of the target leave rooms.
    fn del_sockets(&self, target: &Target, rooms: &[Room]);

    /// Disconnects the sockets of the target, closing their connections if `close`.
    fn disconnect_sockets(&self, target: &Target, close: bool);

    /// Sends an event to the other nodes' programs.
    fn server_side_emit(&self, event: &str, args: Args);

    /// Sends an event to the other nodes' programs and collects their answers.
    fn server_side_emit_with_ack(
        &self,
        event: &str,
        args: Args,
        timeout: Duration,
    ) -> AdapterFuture<'_, ServerSideAnswers>;

    /// What it does besides where sessions are recovered; none if they are not.
    fn recovery(&self) -> Option<&dyn SessionRecovery> {
        None
    }
}
