//! Deliveries to a node that wait in its queue.

use tokio::time::Instant;

use crate::message::{Message, Sender};

/// A delivery.
pub(super) enum Delivery {
    Message(Sender, Box<Message>, Instant),
    #[cfg(any(test, feature = "test-util"))]
    Garbage,
    /// The task that takes it panics.
    #[cfg(any(test, feature = "test-util"))]
    Panic,
}
