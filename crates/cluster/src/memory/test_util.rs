//! Faults of the hub to order, and what a node got: the feature `test-util`.

use std::collections::HashMap;
use std::time::Duration;

use super::delivery::Delivery;
use super::hub::MemoryHub;
use crate::bus::BusError;
use crate::message::{Destination, Message, NodeId, Sender};

/// With the feature `test-util`.
impl MemoryHub {
    /// Nothing comes from this node, nor reaches it, until it is [healed](Self::heal). It is told nothing of that.
    pub fn cut(&self, node: &str) {
        self.state().faults.cut.insert(node.into());
    }

    /// Takes a [cut](Self::cut) back. The node reads on in the logs where it stopped.
    pub fn heal(&self, node: &str) {
        let mut state = self.state();
        state.faults.cut.remove(&NodeId::from(node));
        state.faults.healed += 1;
        drop(state);
        self.note_changed();
    }

    /// The next `count` deliveries are lost.
    pub fn lose(&self, count: usize) {
        self.state().faults.to_lose = count;
    }

    /// Messages sent from now on arrive after this time.
    pub fn delay(&self, delay: Duration) {
        self.state().faults.delay = delay;
    }

    /// Messages for one node, such as answers, arrive after this time, and messages for all overtake them: a broker keeps the order
    /// of a node's messages for each [`Destination`] only.
    pub fn delay_answers(&self, delay: Duration) {
        self.state().faults.delay_of_answers = delay;
    }

    /// Subscriptions, and their ends, reach the hub after this time, in order, and are confirmed then.
    pub fn delay_subscriptions(&self, delay: Duration) {
        self.state().faults.delay_of_subscriptions = delay;
    }

    /// Messages of this node are refused, or are not any more.
    pub fn refuse(&self, node: &str, is_refused: bool) {
        let refused = &mut self.state().faults.refused;
        if is_refused {
            refused.insert(node.into())
        } else {
            refused.remove(&NodeId::from(node))
        };
    }

    /// The logs and the session store refuse everything, or do not any more.
    pub fn refuse_to_keep(&self, is_refused: bool) {
        self.state().faults.refuses_to_keep = is_refused;
        self.note_changed();
    }

    /// The log of the namespace loses all its entries.
    pub fn trim(&self, namespace: &str) {
        if let Some(log) = self.state().logs.get_mut(namespace) {
            log.trim();
        }
        self.note_changed();
    }

    /// The task that brings this node the messages of the namespace panics.
    pub fn panic(&self, node: &str, namespace: &str) {
        self.put(namespace, Some(node), || Delivery::Panic);
    }

    /// Every node of the namespace gets something that is not a message.
    pub fn send_garbage(&self, namespace: &str) {
        self.put(namespace, None, || Delivery::Garbage);
    }

    /// Every node of the namespace gets this message, as if a program that is no node had sent it.
    ///
    /// # Errors
    ///
    /// One of the nodes did not get it.
    pub fn send(&self, namespace: &str, message: &Message) -> Result<(), BusError> {
        self.state().deliver(namespace, &Sender::Unnamed, message, &Destination::All)
    }

    /// How many messages a node got, over all namespaces.
    pub fn delivered(&self, node: &str) -> u64 {
        self.state().delivered.get(&NodeId::from(node)).copied().unwrap_or(0)
    }

    /// Puts something into the queue of one node, or of all.
    fn put(&self, namespace: &str, only: Option<&str>, delivery: impl Fn() -> Delivery) {
        let state = self.state();
        for (node, member) in state.members.get(namespace).into_iter().flat_map(HashMap::iter) {
            if let Some(queue) = &member.queue
                && only.is_none_or(|only| **node == *only)
            {
                let _full = queue.try_send(delivery());
            }
        }
    }
}
