//! The bus: what a broker is to the cluster.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

pub use super::confirmations::Confirmation;
use super::message::{Destination, Message, NodeId, Sender};
use sockeye::adapter::{AdapterFuture, Room};

/// Why a message did not go out.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum BusError {
    /// The queue of what waits to be sent is full: the broker is slow, or gone. The message was dropped.
    #[error("the queue to the broker is full")]
    Full,
    /// The bus is closed, or not open yet.
    #[error("the bus is not open")]
    Closed,
    /// The broker's format cannot say it.
    #[error("the message cannot be written: {0}")]
    Unwritable(String),
    /// The broker is not reached.
    #[error("the broker is not reached: {0}")]
    Unreachable(String),
}

/// Carries messages between the nodes of one namespace.
///
/// A broker's crate implements it, with a connection that all namespaces share and the broker's wire format.
///
/// What one node publishes with the same [`Destination`] must arrive in that order, once or not at all. A node must not get what
/// it published itself.
pub trait Bus: Send + Sync + fmt::Debug + 'static {
    /// The name of this node.
    fn node(&self) -> &NodeId;

    /// Subscribes. From then on `receiver` gets what the other nodes publish. Called once, in the server's runtime, before
    /// anything is published.
    ///
    /// It is ready when what other nodes publish arrives. While the broker cannot be reached it retries, for as long as its
    /// options say.
    fn open(&self, receiver: Arc<dyn Receiver>) -> AdapterFuture<'_, Result<(), BusError>>;

    /// Sends a message. It only enters it into a bounded queue and never waits: emits call it.
    ///
    /// # Errors
    ///
    /// The message was dropped.
    fn publish(&self, message: Message, to: &Destination) -> Result<(), BusError>;

    /// Whether messages that concern [one room](Message::room) reach only the nodes that have subscribed to it.
    fn routes_by_interest(&self) -> bool {
        false
    }

    /// This node has members of the room from now on. It must not wait; called under a lock, so that the order of calls is that of
    /// the changes.
    ///
    /// The clients that have just joined are told nothing until `confirmation` is dropped: drop it when the broker has confirmed the
    /// subscription, or at once if the broker is known to be away. After [`unsubscribe`](Self::unsubscribe) nobody waits for it.
    fn subscribe(&self, room: &Room, confirmation: Confirmation) {
        let _ = room;
        drop(confirmation);
    }

    /// This node has no members of the room any more. As [`subscribe`](Self::subscribe).
    fn unsubscribe(&self, room: &Room) {
        let _ = room;
    }

    /// Whether the broker knows how many nodes there are. If it does not, they tell one another with heartbeats.
    fn counts_nodes(&self) -> bool {
        false
    }

    /// How many nodes there are, this one among them. Only called if it [can tell](Self::counts_nodes).
    fn count_nodes(&self) -> AdapterFuture<'_, Result<usize, BusError>> {
        Box::pin(std::future::ready(Ok(1)))
    }

    /// Sends what waits, and unsubscribes.
    fn close(&self) -> AdapterFuture<'_, ()>;
}

/// Takes what a [`Bus`] brings. Its methods do not wait. One task must call them, one after the other.
pub trait Receiver: Send + Sync + 'static {
    /// A message has come.
    fn handle_message(&self, sender: Sender, message: Message);

    /// Something has come that is no message.
    fn handle_garbage(&self, reason: &dyn fmt::Display);
}
