//! The faults of a hub.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::delivery::Delivery;
use crate::message::{Destination, NodeId};

/// The faults that are in force.
#[derive(Default)]
pub(super) struct Faults {
    /// Nodes that nothing comes from, nor reaches.
    pub(super) cut: HashSet<NodeId>,
    /// How often a node was healed: each time, what it wrote may have been lost.
    pub(super) healed: u64,
    /// How many of the next messages are lost.
    pub(super) to_lose: usize,
    pub(super) delay: Duration,
    pub(super) delay_of_answers: Duration,
    /// After which time a change of a subscription has reached the hub.
    pub(super) delay_of_subscriptions: Duration,
    /// Nodes whose messages are refused.
    pub(super) refused: HashSet<NodeId>,
    pub(super) refuses_to_keep: bool,
}

impl Faults {
    pub(super) fn is_cut(&self, node: &NodeId) -> bool {
        self.cut.contains(node)
    }

    pub(super) fn healed(&self) -> u64 {
        self.healed
    }

    pub(super) fn refuses_messages_of(&self, node: &NodeId) -> bool {
        self.refused.contains(node)
    }

    /// Whether the log and the session store refuse everything.
    pub(super) fn refuses_to_keep(&self) -> bool {
        self.refuses_to_keep
    }

    /// Whether this delivery is lost.
    pub(super) fn loses(&mut self) -> bool {
        let is_lost = self.to_lose > 0;
        self.to_lose = self.to_lose.saturating_sub(1);
        is_lost
    }

    /// When a message that is sent now arrives.
    pub(super) fn arrival(&self) -> Instant {
        Instant::now() + self.delay
    }

    /// Enters a message into a node's queue, at once or, behind others that are sent later, after a while.
    pub(super) fn send(
        &self,
        queue: &mpsc::Sender<Delivery>,
        delivery: Delivery,
        to: &Destination,
    ) -> Result<(), TrySendError<Delivery>> {
        if self.delay_of_answers.is_zero() || !matches!(to, Destination::Node(_)) {
            return queue.try_send(delivery);
        }
        let (queue, delay) = (queue.clone(), self.delay_of_answers);
        let _detached = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // The node may have gone.
            drop(queue.send(delivery).await);
        });
        Ok(())
    }
}
